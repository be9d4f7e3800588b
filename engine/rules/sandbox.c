/* Invariants
 *   1 nothing that may raise runs outside lua_pcall: the panic function is never reached
 *   2 `stop` is set once a call and cleared by the next; while it is set nothing but dv_sandbox_call catches an error
 *   3 `used` is the sum of what Lua holds from allocate() */
#include "rules/sandbox_internal.h"
#include "rules/watchdog.h"
#include "base/fault.h"
#include "base/limits.h"

#include <lauxlib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const char SAFE = 0;  /* its address is the registry key of the safe environment */
static const char LIMIT = 0; /* its address is the error object of a passed limit: needs no memory */

static size_t memory_limit(const dv_sandbox *sb)
{
    return sb->limits.memory ? sb->limits.memory : DV_RULE_BYTES;
}

bool dv_sandbox_where(lua_State *L, char *file, size_t size, int *line)
{
    lua_Debug ar;
    for (int level = 0; level < 64 && lua_getstack(L, level, &ar); level++) {
        if (!lua_getinfo(L, "Sl", &ar) || ar.source[0] != '@' || strncmp(ar.source, "@scripts/", 9) == 0)
            continue;
        dv_text_copy(dv_text_of(ar.source + 1), file, size);
        *line = ar.currentline;
        return true;
    }
    return false;
}

/* The first place counts: where the limit was passed, not where it was raised again. Allocates nothing. */
static void place(dv_sandbox *sb)
{
    if (!sb->placed)
        sb->placed = dv_sandbox_where(sb->L, sb->file, sizeof sb->file, &sb->line);
}

static void *allocate(void *user, void *p, size_t old, size_t n)
{
    dv_sandbox *sb = user;
    if (!p)
        old = 0; /* Lua passes the kind of object here */
    if (n == 0) {
        free(p);
        sb->used -= old;
        return NULL;
    }
    if (n > old && sb->ceiling != SIZE_MAX) {
        /* Refused once, Lua collects everything and asks again; then an eighth must have come free, or a rule that sits
         * at its limit would collect at every allocation. */
        size_t top = sb->pressed ? sb->ceiling - memory_limit(sb) / 8 : sb->ceiling;
        if (n - old > top || sb->used > top - (n - old)) {
            if (sb->pressed && sb->running) {
                int none = DV_RUN_OK;
                atomic_compare_exchange_strong(&sb->stop, &none, DV_RUN_MEMORY);
                place(sb);
            }
            sb->pressed = !sb->pressed;
            return NULL;
        }
        sb->pressed = false;
    }
    void *q = n > old && DV_FAULT(DV_FAULT_MALLOC) ? NULL : realloc(p, n);
    if (!q)
        return n <= old ? p : NULL; /* Lua relies on it that shrinking does not fail */
    sb->used = sb->used - old + n;
    return q;
}

static int open_state(lua_State *L)
{
    dv_safelib_open(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &SAFE);
    return 0;
}

lua_State *dv_sandbox_new(const dv_sandbox_limits *limits, dv_error *err)
{
    dv_sandbox *sb = calloc(1, sizeof *sb);
    lua_State *L = NULL;
    if (sb) {
        sb->ceiling = SIZE_MAX;
        sb->L = L = lua_newstate(allocate, sb);
    }
    if (!L) {
        free(sb);
        dv_fail(err, DV_ERR_MEMORY, "no memory for a Lua state");
        return NULL;
    }
    *(dv_sandbox **)lua_getextraspace(L) = sb;
    dv_sandbox_limit(L, limits);
    lua_gc(L, LUA_GCSTOP);
    lua_pushcfunction(L, open_state);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        const char *why = lua_tostring(L, -1);
        dv_fail(err, DV_ERR_MEMORY, "a Lua state could not be made: %s", why ? why : "no memory");
        dv_sandbox_free(L);
        return NULL;
    }
    return L;
}

void dv_sandbox_free(lua_State *L)
{
    if (!L)
        return;
    dv_sandbox *sb = dv_sandbox_of(L);
    sb->ceiling = SIZE_MAX;
    lua_close(L);
    dv_pattern_close(sb);
    free(sb);
}

void dv_sandbox_limit(lua_State *L, const dv_sandbox_limits *limits)
{
    dv_sandbox *sb = dv_sandbox_of(L);
    sb->limits = limits ? *limits : (dv_sandbox_limits){0};
    if (sb->limits.time_ms == 0 && sb->limits.instructions == 0)
        sb->limits.time_ms = DV_RULE_MS;
}

void dv_sandbox_push_safe(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &SAFE);
}

static int raw_get(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    lua_rawget(L, 1);
    return 1;
}

static int raw_set(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 1;
}

static int raw_equal(lua_State *L)
{
    luaL_checkany(L, 2);
    lua_pushboolean(L, lua_rawequal(L, 1, 2));
    return 1;
}

static int raw_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 1));
    return 1;
}

static int get_metatable(lua_State *L)
{
    if (!lua_getmetatable(L, 1))
        lua_pushnil(L);
    return 1;
}

static int set_metatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        luaL_argcheck(L, lua_getfield(L, 2, "__gc") == LUA_TNIL, 2, "finalizers are not to be had");
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

static int next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    if (lua_next(L, 1))
        return 2;
    lua_pushnil(L);
    return 1;
}

void dv_sandbox_push_trusted(lua_State *L)
{
    static const luaL_Reg more[] = {
        {"getmetatable", get_metatable},
        {"setmetatable", set_metatable},
        {"rawget", raw_get},
        {"rawset", raw_set},
        {"rawequal", raw_equal},
        {"rawlen", raw_len},
        {"next", next},
        {NULL, NULL},
    };
    luaL_checkstack(L, 8, NULL);
    lua_newtable(L);
    dv_sandbox_push_safe(L);
    for (lua_pushnil(L); lua_next(L, -2);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -5); /* env safe key key value */
    }
    lua_setfield(L, -2, "safe");
    luaL_setfuncs(L, more, 0);
}

/* "rules/x.lua:3: why": the place in front, if there is one. Returns what follows it. */
static const char *behind_place(const char *message)
{
    const char *p = strstr(message, ".lua:");
    if (!p || memchr(message, ' ', (size_t)(p - message)))
        return message;
    p += 5;
    size_t digits = strspn(p, "0123456789");
    return digits && p[digits] == ':' && p[digits + 1] == ' ' ? p + digits + 2 : message;
}

bool dv_sandbox_load(lua_State *L, dv_text text, const char *chunk, dv_error *err)
{
    if (text.len >= 3 && memcmp(text.at, "\xEF\xBB\xBF", 3) == 0)
        text = (dv_text){text.at + 3, text.len - 3};
    int status = luaL_loadbufferx(L, text.len ? text.at : "", text.len, chunk, "t");
    if (status != LUA_OK) {
        const char *why = lua_tostring(L, -1);
        dv_fail(err, status == LUA_ERRMEM ? DV_ERR_MEMORY : DV_ERR_RULE_LOAD, "%s",
                why ? why : "it cannot be compiled");
        lua_pop(L, 2);
        return false;
    }
    lua_insert(L, -2);
    if (!lua_setupvalue(L, -2, 1)) /* cannot be: a chunk has one upvalue, its environment */
        lua_pop(L, 1);
    return true;
}

void dv_sandbox_seal(lua_State *L)
{
    dv_sandbox_collect(L);
    dv_sandbox *sb = dv_sandbox_of(L);
    sb->baseline = sb->used;
}

size_t dv_sandbox_used(lua_State *L)
{
    return dv_sandbox_of(L)->used;
}

size_t dv_sandbox_grown(lua_State *L)
{
    const dv_sandbox *sb = dv_sandbox_of(L);
    return sb->used > sb->baseline ? sb->used - sb->baseline : 0;
}

void dv_sandbox_collect(lua_State *L)
{
    lua_gc(L, LUA_GCCOLLECT);
}

/* ---- limits ---- */

int dv_sandbox_raise(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)&LIMIT);
    return lua_error(L);
}

static void on_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    dv_sandbox *sb = dv_sandbox_of(L);
    if (atomic_load(&sb->stop) == DV_RUN_OK)
        dv_sandbox_interrupt(L, DV_RUN_INSTRUCTIONS); /* only the count hook comes here unasked */
    place(sb);
    dv_sandbox_raise(L);
}

void dv_sandbox_interrupt(lua_State *L, dv_fault_reason reason)
{
    int none = DV_RUN_OK;
    atomic_compare_exchange_strong(&dv_sandbox_of(L)->stop, &none, (int)reason);
    /* no call hook: it would meet the message handler and spoil the error */
    lua_sethook(L, on_hook, LUA_MASKCOUNT, 1);
}

void dv_sandbox_step(lua_State *L, int64_t steps)
{
    dv_sandbox *sb = dv_sandbox_of(L);
    if (!sb->running)
        return;
    sb->steps += steps;
    if (sb->limits.instructions && sb->steps > sb->limits.instructions)
        dv_sandbox_interrupt(L, DV_RUN_INSTRUCTIONS);
    if (atomic_load_explicit(&sb->stop, memory_order_relaxed) != DV_RUN_OK) {
        place(sb);
        dv_sandbox_raise(L);
    }
}

void dv_sandbox_room(lua_State *L, size_t n)
{
    dv_sandbox *sb = dv_sandbox_of(L);
    if (sb->ceiling == SIZE_MAX || (n <= memory_limit(sb) && n <= sb->ceiling))
        return; /* may fit after a collection: the allocator decides */
    if (!sb->running)
        luaL_error(L, "not enough memory");
    dv_sandbox_interrupt(L, DV_RUN_MEMORY);
    place(sb);
    dv_sandbox_raise(L);
}

/* ---- calls ---- */

static int on_error(lua_State *L)
{
    place(dv_sandbox_of(L));
    return 1;
}

static void describe(dv_sandbox *sb, int status, dv_sandbox_fault *fault)
{
    lua_State *L = sb->L;
    dv_fault_reason stop = (dv_fault_reason)atomic_load(&sb->stop);
    *fault = (dv_sandbox_fault){.kind = stop                   ? stop
                                        : status == LUA_ERRMEM ? DV_RUN_MEMORY
                                                               : DV_RUN_ERROR,
                                .line = sb->line};
    memcpy(fault->file, sb->file, sizeof fault->file);
    char *out = fault->message;
    size_t size = sizeof fault->message;
    if (fault->kind == DV_RUN_TIME)
        snprintf(out, size, "ran longer than %d ms", sb->time_ms);
    else if (fault->kind == DV_RUN_MEMORY)
        snprintf(out, size, "needs more than %zu MB of memory", memory_limit(sb) / (1024 * 1024));
    else if (fault->kind == DV_RUN_INSTRUCTIONS)
        snprintf(out, size, "executes more than %lld instructions", (long long)sb->limits.instructions);
    else if (lua_type(L, -1) != LUA_TSTRING)
        snprintf(out, size, "raised a %s", luaL_typename(L, -1)); /* its __tostring would be foreign code */
    else {
        size_t len;
        const char *message = lua_tolstring(L, -1, &len);
        const char *text = behind_place(message);
        size_t cut =
            strncmp(message, "scripts/", 8) == 0 ? 0 : (size_t)(text - message); /* a script's own fault says where */
        dv_text_copy((dv_text){message + cut, len - cut}, out, size);
        if (!*fault->file && text > message) { /* raised in a script on behalf of a rule, or by the compiler */
            const char *colon = text - 3;
            while (*colon != ':')
                colon--;
            dv_text_copy((dv_text){message, (size_t)(colon - message)}, fault->file, sizeof fault->file);
            fault->line = (int)strtol(colon + 1, NULL, 10);
        }
    }
}

static bool call(lua_State *L, int arguments, int results, int ms, size_t floor, dv_sandbox_fault *fault)
{
    dv_sandbox *sb = dv_sandbox_of(L);
    bool outer = !sb->running;
    int base = lua_gettop(L) - arguments;
    if (fault)
        *fault = (dv_sandbox_fault){0};
    bool armed = false;
    dv_error err = {0};
    if (!lua_checkstack(L, 8) || (outer && ms > 0 && !(armed = dv_watchdog_arm(L, ms, &err)))) {
        if (fault) {
            fault->kind = DV_RUN_MEMORY;
            dv_text_copy(dv_text_of(err.code ? err.message : "no memory"), fault->message, sizeof fault->message);
        }
        lua_settop(L, base - 1);
        return false;
    }
    if (outer) {
        sb->time_ms = ms;
        sb->steps = 0;
        sb->pressed = false;
        sb->ceiling = floor + memory_limit(sb);
        sb->running = true;
        if (sb->limits.instructions)
            lua_sethook(L, on_hook, LUA_MASKCOUNT,
                        sb->limits.instructions < INT32_MAX ? (int)sb->limits.instructions : INT32_MAX);
    }
    sb->placed = false;
    sb->file[0] = '\0';
    sb->line = 0;
    lua_pushcfunction(L, on_error);
    lua_insert(L, base);
    int status = lua_pcall(L, arguments, results, base);
    if (outer) {
        if (armed)
            dv_watchdog_disarm();
        if (sb->limits.instructions || atomic_load(&sb->stop) != DV_RUN_OK)
            lua_sethook(L, NULL, 0, 0);
        sb->ceiling = SIZE_MAX;
        sb->running = false;
    }
    if (status != LUA_OK) {
        if (fault)
            describe(sb, status, fault);
        lua_pop(L, 1);
    }
    lua_remove(L, base);
    if (outer)
        atomic_store(&sb->stop, DV_RUN_OK);
    return status == LUA_OK;
}

bool dv_sandbox_call(lua_State *L, int arguments, int results, dv_sandbox_fault *fault)
{
    const dv_sandbox *sb = dv_sandbox_of(L);
    return call(L, arguments, results, sb->limits.time_ms, sb->baseline, fault);
}

bool dv_sandbox_call_loading(lua_State *L, int arguments, int results, dv_sandbox_fault *fault)
{
    dv_sandbox *sb = dv_sandbox_of(L);
    dv_sandbox_limits kept = sb->limits;
    sb->limits.instructions = 0;
    bool ok = call(L, arguments, results, DV_SANDBOX_LOAD_MS, sb->used, fault);
    sb->limits = kept;
    return ok;
}

/* ---- help for C functions ---- */

const char *dv_sandbox_tolstring(lua_State *L, int index, size_t *len)
{
    index = lua_absindex(L, index);
    if (luaL_callmeta(L, index, "__tostring")) {
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "'__tostring' must give a string");
    } else if (lua_type(L, index) == LUA_TNUMBER || lua_type(L, index) == LUA_TSTRING) {
        lua_pushvalue(L, index);
    } else if (lua_type(L, index) == LUA_TBOOLEAN) {
        lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
    } else if (luaL_getmetafield(L, index, "__name") != LUA_TSTRING) {
        lua_pushstring(L, luaL_typename(L, index)); /* never an address: two hosts must agree */
    }
    return lua_tolstring(L, -1, len);
}

void dv_luabuf_init(dv_luabuf *b, lua_State *L)
{
    luaL_checkstack(L, 4, NULL);
    *b = (dv_luabuf){.L = L, .size = 240};
    b->at = lua_newuserdatauv(L, b->size, 0);
    b->slot = lua_gettop(L);
}

void dv_luabuf_add(dv_luabuf *b, const char *bytes, size_t n)
{
    if (n > b->size - b->len) {
        size_t wanted, size = b->size;
        if (__builtin_add_overflow(b->len, n, &wanted) || wanted > SIZE_MAX / 4)
            wanted = SIZE_MAX / 4;
        dv_sandbox_room(b->L, wanted);
        while (size < wanted)
            size *= 2;
        dv_sandbox_step(b->L, (int64_t)(b->len / 64));
        char *grown = lua_newuserdatauv(b->L, size, 0);
        memcpy(grown, b->at, b->len);
        lua_replace(b->L, b->slot);
        b->at = grown;
        b->size = size;
    }
    if (n)
        memcpy(b->at + b->len, bytes, n);
    b->len += n;
}

void dv_luabuf_push(dv_luabuf *b)
{
    lua_pushlstring(b->L, b->at, b->len);
}
