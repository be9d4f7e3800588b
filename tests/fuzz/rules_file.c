/* Rule files from outside: whatever the text, loading it and running it ends within its limits. The first byte says as
 * what it is taken: a file that is loaded and run, a Lua pattern, a PCRE2 pattern, a format. */
#include "rules/pattern.h"
#include "rules/sandbox.h"

#include <lauxlib.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char *const drivers[] = {
    NULL,
    "local p, s = ... s:find(p) s:match(p) s:gsub(p, '%0') for a in s:gmatch(p) do end p:gsub('a*', s)",
    "local p, s = ... local re = native.regex_compile(p) if re then native.regex_find(re, s) native.regex_replace(re, "
    "s, p) native.regex_check(re, p) end",
    "local p, s = ... p:format(s, 1, 2.5, p) utf8.len(p) p:rep(#s) for _ in utf8.codes(p) do end",
};

static int environment(lua_State *L)
{
    dv_sandbox_push_safe(L);
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, 1);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, 2);
    }
    lua_newtable(L);
    dv_regex_open(L);
    lua_setfield(L, 2, "native");
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < 2)
        return 0;
    const char *driver = drivers[bytes[0] % 4], *text = (const char *)bytes + 1;
    size_t len = n - 1, half = len / 2;
    dv_error err;
    dv_sandbox_fault fault;
    lua_State *L = dv_sandbox_new(&(dv_sandbox_limits){.time_ms = 50, .memory = 1 << 20}, &err);
    if (!L)
        return 0;
    lua_pushcfunction(L, environment);
    if (lua_pcall(L, 0, 1, 0) != LUA_OK)
        abort();
    if (dv_sandbox_load(L, driver ? dv_text_of(driver) : (dv_text){text, len}, "@rules/fuzz.lua", &err)) {
        dv_sandbox_seal(L);
        if (driver) {
            lua_pushlstring(L, text, half);
            lua_pushlstring(L, text + half, len - half);
        }
        if (!dv_sandbox_call(L, driver ? 2 : 0, 0, &fault) && (!fault.kind || !*fault.message))
            abort(); /* a failure says what it was */
        if (dv_sandbox_grown(L) > 2 << 20)
            abort();
    }
    if (lua_gettop(L) != 0)
        abort();
    dv_sandbox_free(L);
    return 0;
}
