/* The state's side of the binding: opening, one run, and native's functions on paths and attributes. */
#include "rules/bind_internal.h"

#include "base/clock.h"

#include <stdio.h>

static const char bind_key = 0; /* registry[&bind_key] = the dv_bind userdata */
static const char main_key = 0; /* registry[&main_key] = scripts/main.lua's module */

dv_bind *dv_bind_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static dv_bind *bind_of_state(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &bind_key);
    dv_bind *b = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return b;
}

int dv_bind_raise(lua_State *L, const dv_error *err)
{
    return luaL_error(L, "%s", err->message);
}

int dv_bind_raise_bare(lua_State *L, const dv_error *err)
{
    lua_pushstring(L, err->message);
    return lua_error(L);
}

dv_dataset *dv_bind_dataset(lua_State *L, dv_bind *b)
{
    if (!b->ds)
        luaL_error(L, "there is no dataset here: ds and ctx live only while a rule runs over one");
    return b->ds;
}

void *dv_bind_alloc(lua_State *L, dv_bind *b, size_t n)
{
    dv_arena *arena = dv_dataset_arena(b->ds);
    if (arena->used - b->used > DV_RULE_BYTES || n > DV_RULE_BYTES)
        luaL_error(L, "the rules of this dataset wrote more than %d MB", DV_RULE_BYTES >> 20);
    void *p = dv_arena_alloc(arena, n);
    if (!p)
        luaL_error(L, "out of memory");
    return p;
}

void dv_bind_push_text(lua_State *L, dv_text t)
{
    if (t.at)
        lua_pushlstring(L, t.at, t.len);
    else
        lua_pushnil(L);
}

/* ---- paths ---- */

static bool compile(lua_State *L, dv_bind *b, int index, const dv_path **out, dv_error *err)
{
    dv_text text;
    text.at = lua_tolstring(L, index, &text.len);
    bool keep = b->cached < DV_PATH_CACHE;
    dv_arena *arena = keep || !b->ds ? &b->paths : dv_dataset_arena(b->ds);
    if (!dv_path_compile(arena, text, out, err))
        return false;
    if (keep) {
        b->cached++;
        lua_rawgeti(L, LUA_REGISTRYINDEX, b->cache);
        lua_pushvalue(L, index);
        lua_pushlightuserdata(L, (void *)(uintptr_t)*out);
        lua_rawset(L, -3);
        lua_pop(L, 1);
    }
    return true;
}

bool dv_bind_path(lua_State *L, dv_bind *b, int index, const dv_path **out, dv_error *err)
{
    int type = lua_type(L, index);
    if (type == LUA_TLIGHTUSERDATA) {
        *out = lua_touserdata(L, index);
        return true;
    }
    if (type != LUA_TSTRING)
        return dv_fail(err, DV_ERR_PATH, "an attribute is named by text, as \"PatientID\", not by a %s",
                       lua_typename(L, type));
    index = lua_absindex(L, index);
    lua_rawgeti(L, LUA_REGISTRYINDEX, b->cache);
    lua_pushvalue(L, index);
    lua_rawget(L, -2);
    *out = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return *out || compile(L, b, index, out, err);
}

const dv_path *dv_bind_join(lua_State *L, dv_bind *b, const dv_path *prefix, const dv_path *path)
{
    if (!prefix)
        return path;
    dv_path *joined = dv_bind_alloc(L, b, sizeof *joined);
    dv_step *steps = dv_bind_alloc(L, b, (prefix->count + path->count) * sizeof *steps);
    memcpy(steps, prefix->steps, prefix->count * sizeof *steps);
    memcpy(steps + prefix->count, path->steps, path->count * sizeof *steps);
    size_t length = prefix->text.len + 1 + path->text.len;
    char *text = dv_bind_alloc(L, b, length + 1);
    memcpy(text, prefix->text.at, prefix->text.len);
    text[prefix->text.len] = '.';
    memcpy(text + prefix->text.len + 1, path->text.at, path->text.len);
    text[length] = '\0';
    *joined = (dv_path){{text, length}, steps, prefix->count + path->count, prefix->many || path->many};
    return joined;
}

dv_text dv_bind_value(lua_State *L, int index, const char *what)
{
    dv_text text = {0};
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        lua_pushvalue(L, index);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            lua_pushvalue(L, index);
        } else {
            lua_Number n = lua_tonumber(L, index);
            lua_Integer whole;
            if (lua_numbertointeger(n, &whole) && (lua_Number)whole == n)
                lua_pushinteger(L, whole); /* 2.0 is written as 2 */
            else
                lua_pushfstring(L, "%f", n);
        }
        break;
    case LUA_TTABLE:
        if (luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) { /* date, time, name */
            lua_pop(L, 1);
            luaL_tolstring(L, index, NULL);
            break;
        }
        index = lua_absindex(L, index);
        luaL_Buffer joined;
        lua_Integer count = (lua_Integer)lua_rawlen(L, index);
        luaL_buffinit(L, &joined);
        for (lua_Integer i = 1; i <= count; i++) {
            if (i > 1)
                luaL_addchar(&joined, '\\');
            if (lua_rawgeti(L, index, i) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
                luaL_error(L, "value %d of the list for %s is a %s; a list holds text and numbers", (int)i, what,
                           luaL_typename(L, -1));
            luaL_addvalue(&joined);
        }
        luaL_pushresult(&joined);
        break;
    default:
        luaL_error(L, "%s cannot be set to a %s; write text, a number, a list, a date, a time or a name", what,
                   luaL_typename(L, index));
    }
    text.at = lua_tolstring(L, -1, &text.len);
    return text;
}

/* path(text) -> handle. Raises with the nearest keyword. */
static int native_path(lua_State *L)
{
    dv_error err = {0};
    const dv_path *path = NULL;
    luaL_checktype(L, 1, LUA_TSTRING);
    if (!dv_bind_path(L, dv_bind_of(L), 1, &path, &err))
        return dv_bind_raise_bare(L, &err);
    lua_pushlightuserdata(L, (void *)(uintptr_t)path);
    return 1;
}

/* path_info(handle) -> canonical text, VR by the dictionary, may name many */
static int native_path_info(lua_State *L)
{
    dv_error err = {0};
    const dv_path *path = NULL;
    if (!dv_bind_path(L, dv_bind_of(L), 1, &path, &err))
        return dv_bind_raise_bare(L, &err);
    dv_vr vr = path->count ? path->steps[path->count - 1].vr : 0;
    char name[2] = {(char)(vr >> 8), (char)(vr & 0xFF)};
    dv_bind_push_text(L, path->text);
    lua_pushlstring(L, name, 2);
    lua_pushboolean(L, path->many);
    return 3;
}

/* ---- reading and writing for compiled rules ---- */

/* get(path) -> text or nil; a second result, true, when the text has a backslash */
static int native_get(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    dv_text value = {0};
    const dv_path *path = lua_touserdata(L, 1);
    if (lua_type(L, 1) != LUA_TLIGHTUSERDATA && !dv_bind_path(L, b, 1, &path, &err))
        return dv_bind_raise_bare(L, &err);
    if (!dv_dataset_get(dv_bind_dataset(L, b), path, &value, &err)) {
        dv_error_context(&err, "%.*s", DV_ARG(path->text));
        return dv_bind_raise_bare(L, &err);
    }
    dv_bind_push_text(L, value);
    if (!value.len || !memchr(value.at, '\\', value.len))
        return 1;
    lua_pushboolean(L, true);
    return 2;
}

/* blank(path) -> absent or empty; what cannot be read as text is neither */
static int native_blank(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    dv_text value = {0};
    const dv_path *path;
    dv_dataset *ds = dv_bind_dataset(L, b);
    if (!dv_bind_path(L, b, 1, &path, &err))
        return dv_bind_raise_bare(L, &err);
    bool read = dv_dataset_get(ds, path, &value, &err);
    if (!read && err.code != DV_ERR_VALUE && err.code != DV_ERR_CHARSET) {
        dv_bind_explain(&err, path);
        return dv_bind_raise_bare(L, &err);
    }
    lua_pushboolean(L, read && value.len == 0);
    return 1;
}

/* set(path, value) -> places changed; nil removes */
static int native_set(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    const dv_path *path;
    uint32_t count = 0;
    dv_dataset *ds = dv_bind_dataset(L, b);
    if (!dv_bind_path(L, b, 1, &path, &err))
        return dv_bind_raise_bare(L, &err);
    dv_bind_alloc(L, b, 1); /* only to see that the rules' share of memory is not used up */
    bool ok;
    if (lua_isnoneornil(L, 2)) {
        ok = dv_dataset_remove(ds, path, &count, &err);
    } else {
        dv_text value;
        value.at = luaL_checklstring(L, 2, &value.len);
        ok = dv_dataset_set(ds, path, value, &count, &err);
    }
    if (!ok) {
        dv_bind_explain(&err, path);
        return dv_bind_raise_bare(L, &err);
    }
    lua_pushinteger(L, count);
    return 1;
}

/* has(path) -> is there such an element, a sequence or an unreadable one too */
static int native_has(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    const dv_path *path;
    if (!dv_bind_path(L, b, 1, &path, &err))
        return dv_bind_raise_bare(L, &err);
    lua_pushboolean(L, dv_dataset_vr(dv_bind_dataset(L, b), path) != 0);
    return 1;
}

/* count(path) -> items of the sequence, 0 when absent */
static int native_count(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    const dv_path *path;
    dv_dataset *ds = dv_bind_dataset(L, b);
    if (!dv_bind_path(L, b, 1, &path, &err))
        return dv_bind_raise_bare(L, &err);
    lua_pushinteger(L, path->steps[path->count - 1].pick == DV_PICK_NONE ? (lua_Integer)dv_dataset_items(ds, path)
                                                                         : dv_dataset_vr(ds, path) != 0);
    return 1;
}

/* What helps a rule writer, behind the error of a write to PATH. */
void dv_bind_explain(dv_error *err, const dv_path *path)
{
    dv_error_context(err, "%.*s", DV_ARG(path->text));
    size_t n = strlen(err->message);
    if (err->code == DV_ERR_CHARSET)
        snprintf(err->message + n, sizeof err->message - n,
                 "; ds:transcode \"ISO_IR 192\" first, or set to_utf8 in normalization/character-set");
    else if (err->code == DV_ERR_PATH && path->count && path->steps[path->count - 1].vr == DV_VR_SQ)
        snprintf(err->message + n, sizeof err->message - n, "; walk them with ds:items, or ask ds:has");
}

/* ---- for the loader ---- */

/* where() -> file, line of the rule file that is being loaded or run */
static int native_where(lua_State *L)
{
    char file[128];
    int line = 0;
    if (!dv_sandbox_where(L, file, sizeof file, &line))
        return 0;
    lua_pushstring(L, file);
    lua_pushinteger(L, line);
    return 2;
}

static int native_register(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &main_key);
    return 0;
}

static int native_clock(lua_State *L)
{
    lua_pushinteger(L, dv_mono_ns());
    return 1;
}

static void open_paths(lua_State *L, dv_bind *b)
{
    static const luaL_Reg functions[] = {
        {"path", native_path},
        {"path_info", native_path_info},
        {"get", native_get},
        {"blank", native_blank},
        {"set", native_set},
        {"has", native_has},
        {"count", native_count},
        {"where", native_where},
        {"register", native_register},
        {"clock", native_clock},
        {NULL, NULL},
    };
    dv_bind_set(L, b, functions);
}

/* ---- the state ---- */

dv_bind_place *dv_bind_keep(dv_bind_found *found, dv_text path, dv_vr vr)
{
    dv_bind_place *p = dv_arena_zalloc(found->arena, 1, sizeof *p);
    if (p)
        p->path = dv_arena_text(found->arena, path);
    if (!p || !p->path.at) {
        found->failed = true;
        return NULL;
    }
    p->vr = vr;
    if (found->last)
        found->last->next = p;
    else
        found->first = p;
    found->last = p;
    found->count++;
    return p;
}

void dv_bind_set(lua_State *L, dv_bind *b, const luaL_Reg *functions)
{
    lua_pushlightuserdata(L, b);
    luaL_setfuncs(L, functions, 1);
}

static int collect(lua_State *L)
{
    dv_bind *b = lua_touserdata(L, 1);
    dv_arena_free(&b->paths);
    return 0;
}

int dv_bind_open(lua_State *L)
{
    dv_bind *b = lua_newuserdatauv(L, sizeof *b, 0);
    memset(b, 0, sizeof *b);
    dv_arena_init(&b->paths, 0);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &bind_key);
    lua_newtable(L);
    b->cache = luaL_ref(L, LUA_REGISTRYINDEX);
    dv_bind_views(L, b);
    dv_bind_context(L, b);
    lua_newtable(L);
    open_paths(L, b);
    dv_bind_rules(L, b);
    dv_bind_places(L, b);
    dv_bind_contexts(L, b);
    dv_bind_values(L, b);
    dv_bind_scans(L, b);
    return 1;
}

void dv_bind_push(lua_State *L, dv_dataset *ds, const dv_context *ctx, dv_arena *arena, dv_outcome *outcome)
{
    dv_bind *b = bind_of_state(L);
    b->serial++;
    b->ds = ds;
    b->ctx = ctx;
    b->arena = arena;
    b->outcome = outcome;
    b->tail = &outcome->findings;
    while (*b->tail)
        b->tail = &(*b->tail)->next;
    b->findings = 0;
    b->actor = NULL;
    b->used = dv_dataset_arena(ds)->used;
    luaL_checkstack(L, 4, NULL);
    dv_bind_push_view(L, b, NULL, false);
    dv_bind_push_context(L, b);
}

void dv_bind_done(lua_State *L)
{
    dv_bind *b = bind_of_state(L);
    b->serial++;
    b->ds = NULL;
    b->ctx = NULL;
    b->arena = NULL;
    b->outcome = NULL;
    b->actor = NULL;
}

void dv_bind_main(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &main_key);
}

void dv_bind_log_to(lua_State *L, dv_buffer *out)
{
    bind_of_state(L)->log = out;
}
