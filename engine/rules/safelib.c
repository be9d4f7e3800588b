/* The safe environment. What the standard libraries do in bounded steps is theirs; what can blow up is ours: raw
 * access, sizes checked before memory is asked for, long loops that call dv_sandbox_step. Tables with a metatable
 * (libraries, a script's proxies) are not written to by the table functions. */
#include "rules/sandbox_internal.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>

static void check_table(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    if (luaL_getmetafield(L, index, "__metatable") != LUA_TNIL || luaL_getmetafield(L, index, "__newindex") != LUA_TNIL)
        luaL_argerror(L, index, "this table is read-only");
}

/* ---- base ---- */

static int safe_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    if (atomic_load(&dv_sandbox_of(L)->stop) != DV_RUN_OK)
        return dv_sandbox_raise(L); /* limits stick */
    if (status == LUA_ERRMEM)
        return lua_error(L);
    lua_pushboolean(L, status == LUA_OK);
    lua_insert(L, 1);
    return lua_gettop(L);
}

static int safe_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    dv_sandbox_tolstring(L, 1, NULL);
    return 1;
}

static int next_item(lua_State *L)
{
    lua_Integer i = luaL_checkinteger(L, 2);
    i = (lua_Integer)((lua_Unsigned)i + 1);
    lua_pushinteger(L, i);
    return lua_geti(L, 1, i) == LUA_TNIL ? 1 : 2;
}

static int safe_ipairs(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushcfunction(L, next_item);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    return 3;
}

/* pairs: numbers first, then strings, then false and true, so that two hosts agree. */
typedef struct sort_key {
    enum { NUMBER, STRING, BOOLEAN } kind;
    union {
        long double number; /* holds both a 64-bit integer and a double */
        dv_text text;
    };
    int at; /* in the list of keys */
} sort_key;

static int compare_keys(const sort_key *a, const sort_key *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == STRING)
        return dv_text_compare(a->text, b->text);
    return a->number < b->number ? -1 : a->number > b->number;
}

static void sift(sort_key *keys, size_t root, size_t n)
{
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && compare_keys(&keys[child], &keys[child + 1]) < 0)
            child++;
        if (compare_keys(&keys[root], &keys[child]) >= 0)
            return;
        sort_key kept = keys[root];
        keys[root] = keys[child];
        keys[child] = kept;
    }
}

static void sort_keys(lua_State *L, sort_key *keys, size_t n)
{
    for (size_t i = n / 2; i-- > 0;) {
        if (i % 1024 == 0)
            dv_sandbox_step(L, 1024);
        sift(keys, i, n);
    }
    for (size_t i = n; i-- > 1;) {
        if (i % 1024 == 0)
            dv_sandbox_step(L, 1024);
        sort_key kept = keys[0];
        keys[0] = keys[i];
        keys[i] = kept;
        sift(keys, 0, i);
    }
}

static int next_sorted(lua_State *L)
{
    lua_Integer i = lua_tointeger(L, lua_upvalueindex(2));
    lua_settop(L, 1);
    for (;;) {
        if (lua_rawgeti(L, lua_upvalueindex(1), ++i) == LUA_TNIL)
            return 1;
        lua_pushvalue(L, 2);
        if (lua_rawget(L, 1) != LUA_TNIL)
            break; /* removed ones are passed over */
        lua_settop(L, 1);
    }
    lua_pushinteger(L, i);
    lua_replace(L, lua_upvalueindex(2));
    return 2;
}

static int safe_pairs(lua_State *L)
{
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 3);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    int n = 0;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1))
        n++;
    dv_sandbox_step(L, n);
    lua_createtable(L, n, 0);
    sort_key *keys = lua_newuserdatauv(L, sizeof *keys * (size_t)(n ? n : 1), 0);
    int i = 0;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) { /* 1 table, 2 list, 3 keys, 4 key, 5 value */
        sort_key *k = &keys[i];
        k->at = ++i;
        if (lua_isinteger(L, 4)) {
            k->kind = NUMBER;
            k->number = (long double)lua_tointeger(L, 4);
        } else if (lua_type(L, 4) == LUA_TNUMBER) {
            k->kind = NUMBER;
            k->number = (long double)lua_tonumber(L, 4);
        } else if (lua_type(L, 4) == LUA_TSTRING) {
            k->kind = STRING;
            k->text.at = lua_tolstring(L, 4, &k->text.len);
        } else if (lua_isboolean(L, 4)) {
            k->kind = BOOLEAN;
            k->number = lua_toboolean(L, 4);
        } else {
            return luaL_error(L, "pairs: a key that is a %s has no order", luaL_typename(L, 4));
        }
        lua_pushvalue(L, 4);
        lua_rawseti(L, 2, i);
    }
    sort_keys(L, keys, (size_t)n);
    lua_createtable(L, n, 0);
    for (i = 0; i < n; i++) {
        lua_rawgeti(L, 2, keys[i].at);
        lua_rawseti(L, 4, i + 1);
    }
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_sorted, 2);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* ---- string ---- */

enum { MOST_REPEATS = 1000000000 };

static int string_rep(lua_State *L)
{
    size_t len, gap, total;
    const char *s = luaL_checklstring(L, 1, &len);
    lua_Integer n = luaL_checkinteger(L, 2);
    const char *between = luaL_optlstring(L, 3, "", &gap);
    /* Also of nothing: who asks for it has a count gone wrong, and that is better told than passed over. */
    if (n > MOST_REPEATS)
        return luaL_error(L, "string.rep: %I times is more than a rule may ask for (%d)", (LUAI_UACINT)n, MOST_REPEATS);
    if (n <= 0 || len + gap == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (__builtin_mul_overflow(len + gap, (size_t)n, &total))
        total = SIZE_MAX / 4;
    dv_sandbox_room(L, total);
    total -= gap;
    char *out = lua_newuserdatauv(L, total + 1, 0), *p = out;
    for (lua_Integer i = 0; i < n; i++) {
        if (i % 4096 == 4095)
            dv_sandbox_step(L, 4096);
        memcpy(p, s, len);
        p += len;
        if (gap && i + 1 < n) {
            memcpy(p, between, gap);
            p += gap;
        }
    }
    lua_pushlstring(L, out, total);
    return 1;
}

static int mapped(lua_State *L, char (*map)(const char *s, size_t len, size_t i))
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    dv_sandbox_step(L, (int64_t)(len / 64));
    char *out = lua_newuserdatauv(L, len + 1, 0);
    for (size_t i = 0; i < len; i++)
        out[i] = map(s, len, i);
    lua_pushlstring(L, out, len);
    return 1;
}

static char lower_at(const char *s, size_t len, size_t i)
{
    (void)len;
    return s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
}

static char upper_at(const char *s, size_t len, size_t i)
{
    (void)len;
    return s[i] >= 'a' && s[i] <= 'z' ? (char)(s[i] - 32) : s[i];
}

static char reversed_at(const char *s, size_t len, size_t i)
{
    return s[len - 1 - i];
}

static int string_lower(lua_State *L)
{
    return mapped(L, lower_at);
}

static int string_upper(lua_State *L)
{
    return mapped(L, upper_at);
}

static int string_reverse(lua_State *L)
{
    return mapped(L, reversed_at);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored                                                                                         \
    "-Wformat-nonliteral" /* the form is checked by string_format: flags, two digits, two digits */

static void format_one(dv_luabuf *b, int arg, const char *spec, char conversion)
{
    char form[32], out[512]; /* the longest: %.99f of 1e308 has 410 characters */
    lua_State *L = b->L;
    int n = 0;
    size_t len;
    switch (conversion) {
    case 'c':
        n = snprintf(form, sizeof form, "%sc", spec);
        n = snprintf(out, sizeof out, form, (int)luaL_checkinteger(L, arg));
        break;
    case 'd':
    case 'i':
    case 'o':
    case 'x':
    case 'X':
        snprintf(form, sizeof form, "%sll%c", spec, conversion);
        n = snprintf(out, sizeof out, form, (long long)luaL_checkinteger(L, arg));
        break;
    case 'a':
    case 'A':
    case 'e':
    case 'E':
    case 'f':
    case 'g':
    case 'G':
        snprintf(form, sizeof form, "%s%c", spec, conversion);
        n = snprintf(out, sizeof out, form, (double)luaL_checknumber(L, arg));
        break;
    case 's': {
        luaL_checkany(L, arg);
        const char *s = dv_sandbox_tolstring(L, arg, &len);
        if (len >= 100 || spec[1] == '\0') {
            if (!strchr(spec, '.')) { /* too long for a width to matter */
                dv_luabuf_add(b, s, len);
                lua_pop(L, 1);
                return;
            }
        }
        luaL_argcheck(L, strlen(s) == len, arg, "a string with a zero byte in it takes no width");
        snprintf(form, sizeof form, "%ss", spec);
        n = snprintf(out, sizeof out, form, s);
        lua_pop(L, 1);
        break;
    }
    default:
        luaL_error(L, "invalid conversion '%s%c' to 'format'", spec, conversion);
    }
    if (n < 0 || n >= (int)sizeof out)
        luaL_error(L, "invalid conversion '%s%c' to 'format'", spec, conversion);
    dv_luabuf_add(b, out, (size_t)n);
}

#pragma GCC diagnostic pop

static int string_format(lua_State *L)
{
    size_t len;
    const char *p = luaL_checklstring(L, 1, &len), *end = p + len;
    int top = lua_gettop(L), arg = 1;
    dv_luabuf b;
    dv_luabuf_init(&b, L);
    while (p < end) {
        const char *percent = memchr(p, '%', (size_t)(end - p));
        dv_luabuf_add(&b, p, (size_t)((percent ? percent : end) - p));
        if (!percent)
            break;
        p = percent + 1;
        if (p < end && *p == '%') {
            dv_luabuf_add(&b, "%", 1);
            p++;
            continue;
        }
        /* subject strings end in a zero byte, so that spans stop */
        size_t n = strspn(p, "-+ #0"), flags = n, digits;
        n += (digits = strspn(p + n, "0123456789"));
        bool bad = flags > 5 || digits > 2;
        if (p[n] == '.') {
            n++;
            n += (digits = strspn(p + n, "0123456789"));
            bad |= digits > 2;
        }
        if (bad || p + n >= end)
            return luaL_error(L, "invalid conversion '%%%s' to 'format'", bad ? "with a field over 99" : "at the end");
        char spec[20];
        spec[0] = '%';
        memcpy(spec + 1, p, n);
        spec[n + 1] = '\0';
        if (++arg > top)
            return luaL_argerror(L, arg, "no value");
        format_one(&b, arg, spec, p[n]);
        p += n + 1;
    }
    dv_luabuf_push(&b);
    return 1;
}

/* ---- table ---- */

static int table_concat(lua_State *L)
{
    size_t gap;
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *between = luaL_optlstring(L, 2, "", &gap);
    lua_Integer i = luaL_optinteger(L, 3, 1), last = luaL_optinteger(L, 4, (lua_Integer)lua_rawlen(L, 1));
    dv_luabuf b;
    lua_settop(L, 4);
    dv_luabuf_init(&b, L);
    for (; i <= last; i++) {
        int type = lua_rawgeti(L, 1, i);
        if (type != LUA_TSTRING && type != LUA_TNUMBER)
            return luaL_error(L, "invalid value (a %s) at index %I in table for 'concat'", luaL_typename(L, -1), i);
        size_t len;
        const char *s = lua_tolstring(L, -1, &len);
        dv_luabuf_add(&b, s, len);
        lua_pop(L, 1);
        if (i == last)
            break; /* last may be the largest integer */
        dv_luabuf_add(&b, between, gap);
        if (i % 1024 == 0)
            dv_sandbox_step(L, 1024);
    }
    dv_luabuf_push(&b);
    return 1;
}

static int table_insert(lua_State *L)
{
    check_table(L, 1);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    int arguments = lua_gettop(L);
    if (arguments == 2) {
        lua_rawseti(L, 1, n + 1);
        return 0;
    }
    if (arguments != 3)
        return luaL_error(L, "wrong number of arguments to 'insert'");
    lua_Integer at = luaL_checkinteger(L, 2);
    luaL_argcheck(L, at >= 1 && at <= n + 1, 2, "position out of bounds");
    dv_sandbox_step(L, n + 1 - at);
    for (lua_Integer i = n; i >= at; i--) {
        lua_rawgeti(L, 1, i);
        lua_rawseti(L, 1, i + 1);
    }
    lua_rawseti(L, 1, at);
    return 0;
}

static int table_remove(lua_State *L)
{
    check_table(L, 1);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1), at = luaL_optinteger(L, 2, n);
    luaL_argcheck(L, at == n || (at >= 1 && at <= n + 1), 2, "position out of bounds");
    dv_sandbox_step(L, n > at ? n - at : 0);
    lua_rawgeti(L, 1, at);
    for (; at < n; at++) {
        lua_rawgeti(L, 1, at + 1);
        lua_rawseti(L, 1, at);
    }
    lua_pushnil(L);
    lua_rawseti(L, 1, at);
    return 1;
}

static int table_unpack(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer i = luaL_optinteger(L, 2, 1), last = luaL_optinteger(L, 3, (lua_Integer)lua_rawlen(L, 1));
    if (i > last)
        return 0;
    lua_Unsigned n = (lua_Unsigned)last - (lua_Unsigned)i;
    if (n >= 100000 || !lua_checkstack(L, (int)n + 1))
        return luaL_error(L, "too many results to unpack");
    dv_sandbox_step(L, (int64_t)n);
    for (lua_Unsigned k = 0; k <= n; k++)
        lua_rawgeti(L, 1, i + (lua_Integer)k);
    return (int)n + 1;
}

/* Is the value on top less than the one below it, by the function at 2 or by <? Pops both. */
static bool is_less(lua_State *L)
{
    dv_sandbox_step(L, 1);
    bool less;
    if (lua_isnil(L, 2)) {
        less = lua_compare(L, -1, -2, LUA_OPLT);
    } else {
        lua_pushvalue(L, 2);
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -4);
        lua_call(L, 2, 1);
        less = lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 2);
    return less;
}

/* A merge sort over copies: stable, n log n whatever the comparator says or does to the table. */
static int table_sort(lua_State *L)
{
    check_table(L, 1);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    luaL_argcheck(L, n < INT32_MAX, 1, "too many items");
    lua_settop(L, 2);
    lua_createtable(L, (int)n, 0); /* 3: from */
    lua_createtable(L, (int)n, 0); /* 4: to */
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 1, i);
        lua_rawseti(L, 3, i);
    }
    for (lua_Integer width = 1; width < n; width *= 2) {
        for (lua_Integer from = 1; from <= n; from += 2 * width) {
            lua_Integer a = from, middle = from + width <= n + 1 ? from + width : n + 1, b = middle;
            lua_Integer end = from + 2 * width <= n + 1 ? from + 2 * width : n + 1;
            for (lua_Integer to = from; to < end; to++) {
                bool right = a >= middle;
                if (!right && b < end) {
                    lua_rawgeti(L, 3, a);
                    lua_rawgeti(L, 3, b);
                    right = is_less(L);
                }
                lua_rawgeti(L, 3, right ? b++ : a++);
                lua_rawseti(L, 4, to);
            }
        }
        lua_pushvalue(L, 3);
        lua_pushvalue(L, 4);
        lua_replace(L, 3);
        lua_replace(L, 4);
    }
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 3, i);
        lua_rawseti(L, 1, i);
    }
    return 0;
}

/* ---- putting it together ---- */

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "the library is read-only: '%s' cannot be set", dv_sandbox_tolstring(L, 2, NULL));
}

/* The library table on top becomes safe[NAME], behind a proxy that cannot be written. Pops it. Stack below: safe. */
static void seal_library(lua_State *L, const char *name)
{
    lua_newtable(L);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushstring(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_setfield(L, -3, name);
    lua_pop(L, 1);
}

/* Copies the fields NAMES of the table at FROM to the table on top. */
static void take(lua_State *L, int from, const char *const *names)
{
    for (; *names; names++) {
        lua_getfield(L, from, *names);
        lua_setfield(L, -2, *names);
    }
}

void dv_safelib_open(lua_State *L)
{
    static const luaL_Reg base[] = {
        {"pcall", safe_pcall}, {"tostring", safe_tostring}, {"ipairs", safe_ipairs}, {"pairs", safe_pairs},
        {NULL, NULL},
    };
    static const char *const base_taken[] = {"type", "tonumber", "select", "error", "assert", NULL};
    static const luaL_Reg strings[] = {
        {"rep", string_rep},         {"lower", string_lower},   {"upper", string_upper},
        {"reverse", string_reverse}, {"format", string_format}, {NULL, NULL},
    };
    static const char *const strings_taken[] = {"byte", "char", "len", "sub", NULL};
    static const luaL_Reg tables[] = {
        {"concat", table_concat}, {"insert", table_insert}, {"remove", table_remove},
        {"sort", table_sort},     {"unpack", table_unpack}, {NULL, NULL},
    };
    static const char *const math_taken[] = {
        "abs",  "acos", "asin", "atan", "ceil",       "cos",  "deg",        "exp",  "floor",
        "fmod", "huge", "log",  "max",  "maxinteger", "min",  "mininteger", "modf", "pi",
        "rad",  "sin",  "sqrt", "tan",  "tointeger",  "type", "ult",        NULL,
    };
    static const char *const utf8_taken[] = {"char", "charpattern", "codepoint", "codes", "len", "offset", NULL};
    luaL_checkstack(L, 16, NULL);
    lua_newtable(L);
    int safe = lua_gettop(L);

    luaL_requiref(L, "_G", luaopen_base, 0);
    lua_pushvalue(L, safe);
    take(L, safe + 1, base_taken);
    luaL_setfuncs(L, base, 0);
    lua_settop(L, safe);

    luaL_requiref(L, "string", luaopen_string, 0);
    lua_newtable(L);
    take(L, safe + 1, strings_taken);
    luaL_setfuncs(L, strings, 0);
    dv_pattern_open(L);
    lua_pushliteral(L, ""); /* the metatable of all strings */
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    lua_remove(L, safe + 1);
    seal_library(L, "string");

    lua_newtable(L);
    luaL_setfuncs(L, tables, 0);
    seal_library(L, "table");

    luaL_requiref(L, "math", luaopen_math, 0);
    lua_newtable(L);
    take(L, safe + 1, math_taken);
    lua_remove(L, safe + 1);
    seal_library(L, "math");

    luaL_requiref(L, "utf8", luaopen_utf8, 0);
    lua_newtable(L);
    take(L, safe + 1, utf8_taken);
    lua_remove(L, safe + 1);
    seal_library(L, "utf8");

    /* nothing is reachable by the registry's own ways */
    lua_newtable(L);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}
