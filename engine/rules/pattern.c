/* PCRE2 for trusted scripts. The JIT knows a match limit (it counts from each start position on its own) and a stack of
 * its own, nothing else; so a long search is cut into windows of start positions, between which the sandbox's limits
 * are looked at. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "rules/pattern.h"
#include "rules/sandbox_internal.h"

#include <lauxlib.h>
#include <pcre2.h>
#include <stdlib.h>

enum { MAX_PATTERN = 4096, STACK_FIRST = 32 * 1024, STACK_MOST = 512 * 1024, HEAP_KB = 1024, DEPTH = 10000 };
enum { LIMIT_LEAST = 50000, LIMIT_MOST = 1000000, BETWEEN_LOOKS = 4000000 };

static const char TYPE[] = "regex";
static const char CACHE = 0; /* its address is the registry key of pattern -> object, weak values */

typedef struct regex {
    pcre2_code *code;
    uint32_t groups;
    bool anchored;
} regex;

/* What a state keeps for all its matches. */
typedef struct tools {
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pcre2_match_data *data;
    uint32_t groups;
} tools;

void dv_pattern_close(dv_sandbox *sb)
{
    tools *t = sb->regex;
    if (!t)
        return;
    pcre2_match_data_free(t->data);
    pcre2_jit_stack_free(t->stack);
    pcre2_match_context_free(t->context);
    free(t);
    sb->regex = NULL;
}

static tools *tools_for(lua_State *L, uint32_t groups)
{
    dv_sandbox *sb = dv_sandbox_of(L);
    tools *t = sb->regex;
    if (!t) {
        t = sb->regex = calloc(1, sizeof *t);
        if (t) {
            t->context = pcre2_match_context_create(NULL);
            t->stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MOST, NULL);
        }
        if (!t || !t->context || !t->stack) {
            dv_pattern_close(sb);
            luaL_error(L, "not enough memory");
            return NULL;
        }
        pcre2_jit_stack_assign(t->context, NULL, t->stack);
        pcre2_set_heap_limit(t->context, HEAP_KB);
        pcre2_set_depth_limit(t->context, DEPTH);
    }
    if (!t->data || t->groups < groups) {
        pcre2_match_data_free(t->data);
        t->groups = groups;
        t->data = pcre2_match_data_create(groups + 1, NULL);
        if (!t->data)
            luaL_error(L, "not enough memory");
    }
    return t;
}

static int collect(lua_State *L)
{
    regex *re = luaL_checkudata(L, 1, TYPE);
    pcre2_code_free(re->code);
    re->code = NULL;
    return 0;
}

/* Pushes the object of the pattern at INDEX, or nil and why not. */
static bool push_compiled(lua_State *L, int index)
{
    size_t len;
    const char *pattern = luaL_checklstring(L, index, &len);
    luaL_checkstack(L, 8, NULL);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &CACHE);
    lua_pushvalue(L, index);
    if (lua_rawget(L, -2) == LUA_TUSERDATA) {
        lua_remove(L, -2);
        return true;
    }
    lua_pop(L, 1);
    if (len > MAX_PATTERN) {
        lua_pushnil(L);
        lua_pushfstring(L, "the pattern has %I bytes, at most %d are taken", (lua_Integer)len, MAX_PATTERN);
        return false;
    }
    regex *re = lua_newuserdatauv(L, sizeof *re, 0);
    *re = (regex){0};
    luaL_setmetatable(L, TYPE);
    int error;
    PCRE2_SIZE at;
    re->code = pcre2_compile((PCRE2_SPTR)pattern, len,
                             PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY |
                                 PCRE2_USE_OFFSET_LIMIT,
                             &error, &at, NULL);
    if (!re->code) {
        unsigned char why[160];
        pcre2_get_error_message(error, why, sizeof why);
        lua_pushnil(L);
        lua_pushfstring(L, "%s at offset %I", (const char *)why, (lua_Integer)at);
        return false;
    }
    pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE); /* without JIT it is slower, not wrong */
    uint32_t options = 0;
    pcre2_pattern_info(re->code, PCRE2_INFO_CAPTURECOUNT, &re->groups);
    pcre2_pattern_info(re->code, PCRE2_INFO_ALLOPTIONS, &options);
    re->anchored = options & PCRE2_ANCHORED;
    lua_pushvalue(L, index);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
    lua_remove(L, -2);
    return true;
}

/* The object at INDEX, which may be a string. */
static regex *regex_at(lua_State *L, int index)
{
    if (lua_type(L, index) == LUA_TSTRING) {
        if (!push_compiled(L, index))
            luaL_error(L, "bad pattern: %s", lua_tostring(L, -1));
        lua_replace(L, index);
    }
    return luaL_checkudata(L, index, TYPE);
}

/* The first match from FROM on; NULL when there is none. */
static const PCRE2_SIZE *search(lua_State *L, const regex *re, const char *text, size_t len, size_t from,
                                uint32_t options)
{
    tools *t = tools_for(L, re->groups);
    uint32_t limit = len * 4 > LIMIT_MOST ? LIMIT_MOST : len * 4 > LIMIT_LEAST ? (uint32_t)(len * 4) : LIMIT_LEAST;
    size_t window = BETWEEN_LOOKS / limit;
    pcre2_set_match_limit(t->context, limit);
    for (;;) {
        size_t last = re->anchored || len - from < window ? len : from + window - 1;
        pcre2_set_offset_limit(t->context, last);
        int rc = pcre2_match(re->code, (PCRE2_SPTR)text, len, from, options, t->data, t->context);
        if (rc > 0)
            return pcre2_get_ovector_pointer(t->data);
        if (rc != PCRE2_ERROR_NOMATCH) {
            unsigned char why[160];
            pcre2_get_error_message(rc, why, sizeof why);
            luaL_error(L, "the pattern takes too many steps on a text of %I bytes (%s)", (lua_Integer)len,
                       (const char *)why);
        }
        dv_sandbox_step(L, (int64_t)(last - from) + 1);
        for (from = last + 1; from < len && ((unsigned char)text[from] & 0xC0) == 0x80;)
            from++; /* not into the middle of a character */
        if (last >= len || from > len)
            return NULL;
        options &= ~PCRE2_NOTEMPTY_ATSTART;
    }
}

static int regex_compile(lua_State *L)
{
    return push_compiled(L, 1) ? 1 : 2;
}

static int regex_test(lua_State *L)
{
    size_t len;
    const regex *re = regex_at(L, 1);
    const char *text = luaL_checklstring(L, 2, &len);
    lua_pushboolean(L, search(L, re, text, len, 0, 0) != NULL);
    return 1;
}

static int regex_find(lua_State *L)
{
    size_t len;
    const regex *re = regex_at(L, 1);
    const char *text = luaL_checklstring(L, 2, &len);
    const PCRE2_SIZE *at = search(L, re, text, len, 0, 0);
    if (!at) {
        lua_pushnil(L);
        return 1;
    }
    luaL_checkstack(L, (int)re->groups + 4, "too many captures");
    lua_pushinteger(L, (lua_Integer)at[0] + 1);
    lua_pushinteger(L, (lua_Integer)at[1]);
    for (uint32_t i = 1; i <= re->groups; i++) {
        if (at[2 * i] == PCRE2_UNSET)
            lua_pushboolean(L, false);
        else
            lua_pushlstring(L, text + at[2 * i], at[2 * i + 1] - at[2 * i]);
    }
    return 2 + (int)re->groups;
}

/* Reads the reference behind a '$' at *P; the group, or -1 with WHY. */
static int reference(const regex *re, const char **p, const char *end, char *why, size_t size)
{
    const char *s = *p;
    bool braces = s < end && *s == '{';
    s += braces;
    const char *word = s;
    if (!braces && s < end && *s == '&') {
        *p = s + 1;
        return 0;
    }
    while (s < end && (braces ? *s != '}' : *s >= '0' && *s <= '9' && s - word < 2))
        s++;
    char name[40];
    dv_text text = {word, (size_t)(s - word)};
    uint64_t number;
    int group = -1;
    if (text.len == 0 || (braces && s >= end) || !dv_text_copy(text, name, sizeof name)) {
        snprintf(why, size, "a '$' in a replacement is followed by a group's number, {name} or another '$'");
        return -1;
    }
    if (dv_text_uint(text, &number))
        group = number <= re->groups ? (int)number : -1;
    else
        group = pcre2_substring_number_from_name(re->code, (PCRE2_SPTR)name);
    if (group < 0) {
        snprintf(why, size, "the pattern has no group '%s'", name);
        return -1;
    }
    *p = s + braces;
    return group;
}

/* Appends REPLACEMENT for the match AT to B; with B NULL it is only checked. False: WHY. */
static bool expand(const regex *re, dv_text replacement, const char *text, const PCRE2_SIZE *at, dv_luabuf *b,
                   char *why, size_t size)
{
    const char *p = replacement.at, *end = p + replacement.len;
    while (p < end) {
        const char *dollar = memchr(p, '$', (size_t)(end - p));
        if (b)
            dv_luabuf_add(b, p, (size_t)((dollar ? dollar : end) - p));
        if (!dollar)
            break;
        p = dollar + 1;
        if (p < end && *p == '$') {
            if (b)
                dv_luabuf_add(b, "$", 1);
            p++;
            continue;
        }
        int group = reference(re, &p, end, why, size);
        if (group < 0)
            return false;
        if (b && at[2 * group] != PCRE2_UNSET && at[2 * group + 1] >= at[2 * group])
            dv_luabuf_add(b, text + at[2 * group], at[2 * group + 1] - at[2 * group]);
    }
    return true;
}

static int regex_check(lua_State *L)
{
    char why[128];
    dv_text replacement;
    const regex *re = regex_at(L, 1);
    replacement.at = luaL_checklstring(L, 2, &replacement.len);
    if (expand(re, replacement, NULL, NULL, NULL, why, sizeof why))
        lua_pushnil(L);
    else
        lua_pushstring(L, why);
    return 1;
}

static int regex_replace(lua_State *L)
{
    char why[128];
    dv_text replacement;
    size_t len, done = 0, from = 0;
    lua_Integer n = 0;
    const regex *re = regex_at(L, 1);
    const char *text = luaL_checklstring(L, 2, &len);
    replacement.at = luaL_checklstring(L, 3, &replacement.len);
    uint32_t options = 0;
    dv_luabuf b = {0};
    for (const PCRE2_SIZE *at; from <= len && (at = search(L, re, text, len, from, options));) {
        size_t start = at[0], end = at[1];
        if (end < start || start < done) /* \K in a lookahead */
            break;
        if (n++ == 0)
            dv_luabuf_init(&b, L);
        dv_luabuf_add(&b, text + done, start - done);
        if (!expand(re, replacement, text, at, &b, why, sizeof why))
            return luaL_error(L, "%s", why);
        done = from = end;
        options = end == start ? PCRE2_NOTEMPTY_ATSTART : 0;
        dv_sandbox_step(L, 1);
    }
    if (n == 0) {
        lua_pushvalue(L, 2);
    } else {
        dv_luabuf_add(&b, text + done, len - done);
        dv_luabuf_push(&b);
    }
    lua_pushinteger(L, n);
    return 2;
}

void dv_regex_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"regex_compile", regex_compile}, {"regex_test", regex_test},       {"regex_find", regex_find},
        {"regex_check", regex_check},     {"regex_replace", regex_replace}, {NULL, NULL},
    };
    luaL_checkstack(L, 8, NULL);
    luaL_newmetatable(L, TYPE);
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
    lua_pushstring(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    lua_newtable(L);
    lua_newtable(L);
    lua_pushstring(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &CACHE);
    luaL_setfuncs(L, functions, 0);
}
