/* `ds`, its items and `ds.received`: attributes by name, as rule writers see them. */
#include "rules/bind_internal.h"

static const char *const view_name = "dataset";

void dv_bind_push_view(lua_State *L, dv_bind *b, const dv_path *prefix, bool received)
{
    dv_bind_view *v = lua_newuserdatauv(L, sizeof *v, 0);
    *v = (dv_bind_view){b->serial, prefix, received};
    luaL_setmetatable(L, view_name);
}

/* The view at INDEX, of this run. */
static dv_bind_view *view_at(lua_State *L, dv_bind *b, int index)
{
    dv_bind_view *v = luaL_testudata(L, index, view_name);
    if (!v)
        luaL_error(L, "a method of a dataset is called with a colon: ds:values \"ImageType\"");
    if (!b->ds || v->serial != b->serial)
        luaL_error(L, "this dataset is gone: ds and its items live only while the rule runs; keep values, not ds");
    return v;
}

/* The path at INDEX below the view; raises with the caller's place. */
static const dv_path *path_in(lua_State *L, dv_bind *b, const dv_bind_view *v, int index)
{
    dv_error err;
    const dv_path *path;
    if (!dv_bind_path(L, b, index, &path, &err))
        dv_bind_raise(L, &err);
    return dv_bind_join(L, b, v->prefix, path);
}

static int push_attribute(lua_State *L, dv_bind *b, const dv_bind_view *v, const dv_path *path)
{
    dv_error err;
    dv_text value = {0};
    bool ok =
        v->received ? dv_dataset_get_received(b->ds, path, &value, &err) : dv_dataset_get(b->ds, path, &value, &err);
    if (!ok) {
        dv_bind_explain(&err, path);
        return dv_bind_raise(L, &err);
    }
    dv_bind_push_text(L, value);
    return 1;
}

static int unknown_method(lua_State *L, const char *name)
{
    return luaL_error(L,
                      "a dataset has no '%s': attributes are named as in PS3.6 (ds.PatientID), "
                      "methods are values, items, each, has, set_vr, transcode, and ds.received",
                      name);
}

/* ds.Keyword, ds["path"], ds.received, ds:method */
static int view_index(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_bind_view *v = view_at(L, b, 1);
    if (lua_type(L, 2) == LUA_TSTRING) {
        const char *name = lua_tostring(L, 2);
        if (name[0] >= 'a' &&
            name[0] <= 'z') { /* keywords begin with a capital: the few that do not are in no dictionary */
            if (strcmp(name, "received") == 0) {
                dv_bind_push_view(L, b, v->prefix, true);
                return 1;
            }
            lua_rawgeti(L, LUA_REGISTRYINDEX, b->methods);
            lua_pushvalue(L, 2);
            if (lua_rawget(L, -2) != LUA_TNIL)
                return 1;
            return unknown_method(L, name);
        }
    }
    return push_attribute(L, b, v, path_in(L, b, v, 2));
}

/* ds.Keyword = value; nil removes */
static int view_newindex(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    dv_bind_view *v = view_at(L, b, 1);
    if (v->received)
        return luaL_error(L, "what was received cannot be changed; write ds.%s instead", luaL_tolstring(L, 2, NULL));
    const dv_path *path = path_in(L, b, v, 2);
    dv_bind_alloc(L, b, 1); /* only to see that the rules' share of memory is not used up */
    bool ok;
    if (lua_isnil(L, 3)) {
        ok = dv_dataset_remove(b->ds, path, NULL, &err);
    } else {
        dv_text value = dv_bind_value(L, 3, path->text.at ? path->text.at : "an attribute");
        ok = dv_dataset_set(b->ds, path, value, NULL, &err);
    }
    if (!ok) {
        dv_bind_explain(&err, path);
        return dv_bind_raise(L, &err);
    }
    return 0;
}

static int view_tostring(lua_State *L)
{
    lua_pushstring(L, view_name);
    return 1;
}

/* ds:values(path) -> list */
static int view_values(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_bind_view *v = view_at(L, b, 1);
    push_attribute(L, b, v, path_in(L, b, v, 2));
    dv_text rest = {0};
    if (!lua_isnil(L, -1))
        rest.at = lua_tolstring(L, -1, &rest.len);
    lua_newtable(L);
    lua_Integer n = 0;
    while (rest.at && (rest.len || n)) {
        dv_text more;
        dv_bind_push_text(L, dv_text_split(rest, '\\', &more));
        lua_rawseti(L, -2, ++n);
        rest = more;
    }
    return 1;
}

/* ds:has(path): also for sequences and what cannot be read */
static int view_has(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_bind_view *v = view_at(L, b, 1);
    const dv_path *path = path_in(L, b, v, 2);
    if (v->received)
        return luaL_error(L, "has() looks at the dataset as it is now; compare ds.received.X with nil instead");
    lua_pushboolean(L, dv_dataset_vr(b->ds, path) != 0);
    return 1;
}

/* ---- items ---- */

/* Upvalues: bind, view, path of the sequence, number of the last item given, how many there are. */
static int next_item(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_bind_view *v = view_at(L, b, lua_upvalueindex(2));
    const dv_path *sequence = lua_touserdata(L, lua_upvalueindex(3));
    lua_Integer n = lua_tointeger(L, lua_upvalueindex(4)) + 1;
    if (n > lua_tointeger(L, lua_upvalueindex(5)))
        return 0;
    lua_pushinteger(L, n);
    lua_replace(L, lua_upvalueindex(4));
    dv_path *item = dv_bind_alloc(L, b, sizeof *item);
    dv_step *steps = dv_bind_alloc(L, b, sequence->count * sizeof *steps);
    memcpy(steps, sequence->steps, sequence->count * sizeof *steps);
    steps[sequence->count - 1].pick = DV_PICK_NUMBER;
    steps[sequence->count - 1].number = (uint32_t)n;
    char *text = dv_bind_alloc(L, b, sequence->text.len + 16);
    int length = snprintf(text, sequence->text.len + 16, "%.*s[%u]", DV_ARG(sequence->text), (unsigned)n);
    *item = (dv_path){{text, (size_t)length}, steps, sequence->count, false};
    dv_bind_push_view(L, b, item, v->received);
    lua_pushinteger(L, n);
    return 2;
}

/* for item, number in ds:items "Seq" do ... end */
static int view_items(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_bind_view *v = view_at(L, b, 1);
    const dv_path *path = path_in(L, b, v, 2);
    if (!path->count || path->many || path->steps[path->count - 1].pick != DV_PICK_NONE)
        return luaL_error(L,
                          "ds:items takes the name of one sequence, as ds:items \"RequestAttributesSequence\", not %s",
                          path->text.at);
    if (v->received)
        return luaL_error(L, "items of ds.received are read by path: ds.received[\"%s[1].X\"]", path->text.at);
    dv_vr vr = dv_dataset_vr(b->ds, path);
    if (vr && vr != DV_VR_SQ)
        return luaL_error(L, "%s is no sequence", path->text.at);
    lua_pushlightuserdata(L, b);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, (void *)(uintptr_t)path);
    lua_pushinteger(L, 0);
    lua_pushinteger(L, dv_dataset_items(b->ds, path));
    lua_pushcclosure(L, next_item, 5);
    return 1;
}

/* ---- each ---- */

typedef struct walk {
    dv_bind_found found;
    dv_text below; /* only places that begin so; absent: all */
} walk;

static bool keep_place(void *user, const dv_path *place, dv_vr vr)
{
    walk *w = user;
    dv_text path = place->text;
    if (w->below.at) {
        if (path.len <= w->below.len + 1 || !dv_text_starts(path, w->below) || path.at[w->below.len] != '.')
            return true;
        path = (dv_text){path.at + w->below.len + 1, path.len - w->below.len - 1};
    }
    return dv_bind_keep(&w->found, path, vr) != NULL;
}

/* Upvalues: bind, view, next place. */
static int next_place(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_bind_view *v = view_at(L, b, lua_upvalueindex(2));
    const dv_bind_place *p = lua_touserdata(L, lua_upvalueindex(3));
    if (!p)
        return 0;
    lua_pushlightuserdata(L, p->next);
    lua_replace(L, lua_upvalueindex(3));
    dv_bind_push_text(L, p->path);
    push_attribute(L, b, v, path_in(L, b, v, -1));
    return 2;
}

/* for path, value in ds:each "DA" do ... end; a VR or a path with [*] or ** */
static int view_each(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    dv_bind_view *v = view_at(L, b, 1);
    dv_text what;
    what.at = luaL_checklstring(L, 2, &what.len);
    dv_vr vr = dv_bind_vr(what);
    const dv_vr_info *info = vr ? dv_vr_lookup(vr) : NULL;
    if (what.len == 2 && (!info || !info->text))
        return luaL_error(
            L, "'%s' is no VR that holds text; ds:each takes one such as \"DA\", or a path such as \"**.PatientID\"",
            what.at);
    if (v->received)
        return luaL_error(L, "ds.received has no each; use ds:each and read ds.received[path]");
    const dv_path *path = info ? NULL : path_in(L, b, v, 2);
    dv_arena *arena = dv_dataset_arena(b->ds);
    walk w = {.found = {.arena = arena}};
    if (v->prefix)
        w.below = v->prefix->text;
    if (!dv_dataset_each(b->ds, path, vr, keep_place, &w, &err))
        return dv_bind_raise(L, &err);
    if (w.found.failed)
        return luaL_error(L, "out of memory");
    lua_pushlightuserdata(L, b);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, w.found.first);
    lua_pushcclosure(L, next_place, 3);
    return 1;
}

/* ---- the rest ---- */

/* ds:set_vr(path, "LO") */
static int view_set_vr(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    dv_bind_view *v = view_at(L, b, 1);
    const dv_path *path = path_in(L, b, v, 2);
    dv_text name;
    name.at = luaL_checklstring(L, 3, &name.len);
    dv_vr vr = dv_bind_vr(name);
    if (v->received)
        return luaL_error(L, "what was received cannot be changed");
    if (!vr || !dv_vr_lookup(vr))
        return luaL_error(L, "'%s' is no VR; PS3.5 6.2 has 34, such as \"LO\"", name.at);
    if (!dv_dataset_set_vr(b->ds, path, vr, &err))
        return dv_bind_raise(L, &err);
    return 0;
}

/* ds:transcode "ISO_IR 192" */
static int view_transcode(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    dv_bind_view *v = view_at(L, b, 1);
    dv_text term;
    term.at = luaL_checklstring(L, 2, &term.len);
    if (v->prefix || v->received)
        return luaL_error(L, "transcode is for the whole dataset: ds:transcode \"ISO_IR 192\"");
    if (!dv_dataset_transcode(b->ds, term, &err))
        return dv_bind_raise(L, &err);
    return 0;
}

/* native.places(path) -> list of the concrete paths that it names now, nil when there are none */
static int native_places(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    const dv_path *path;
    dv_dataset *ds = dv_bind_dataset(L, b);
    if (!dv_bind_path(L, b, 1, &path, &err))
        return dv_bind_raise_bare(L, &err);
    walk w = {.found = {.arena = dv_dataset_arena(ds)}};
    if (!dv_dataset_each(ds, path, 0, keep_place, &w, &err))
        return dv_bind_raise_bare(L, &err);
    if (w.found.failed)
        return luaL_error(L, "out of memory");
    if (!w.found.first)
        return 0;
    lua_newtable(L);
    lua_Integer n = 0;
    for (const dv_bind_place *p = w.found.first; p; p = p->next) {
        dv_bind_push_text(L, p->path);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static int native_set_vr(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    const dv_path *path;
    dv_text name;
    name.at = luaL_checklstring(L, 2, &name.len);
    if (!dv_bind_path(L, b, 1, &path, &err) || !dv_dataset_set_vr(dv_bind_dataset(L, b), path, dv_bind_vr(name), &err))
        return dv_bind_raise_bare(L, &err);
    return 0;
}

static int native_transcode(lua_State *L)
{
    dv_error err;
    dv_text term;
    term.at = luaL_checklstring(L, 1, &term.len);
    if (!dv_dataset_transcode(dv_bind_dataset(L, dv_bind_of(L)), term, &err))
        return dv_bind_raise_bare(L, &err);
    return 0;
}

/* methods() -> name -> true: so that the reference can say that it has them all */
static int native_methods(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, dv_bind_of(L)->methods);
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, -3); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushboolean(L, true);
        lua_rawset(L, -5);
    }
    return 1;
}

void dv_bind_views(lua_State *L, dv_bind *b)
{
    static const luaL_Reg meta[] = {
        {"__index", view_index}, {"__newindex", view_newindex}, {"__tostring", view_tostring}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"values", view_values}, {"items", view_items},         {"each", view_each}, {"has", view_has},
        {"set_vr", view_set_vr}, {"transcode", view_transcode}, {NULL, NULL}};
    luaL_newmetatable(L, view_name);
    dv_bind_set(L, b, meta);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    lua_newtable(L);
    dv_bind_set(L, b, methods);
    b->methods = luaL_ref(L, LUA_REGISTRYINDEX);
}

void dv_bind_places(lua_State *L, dv_bind *b)
{
    static const luaL_Reg functions[] = {{"places", native_places},
                                         {"set_vr", native_set_vr},
                                         {"transcode", native_transcode},
                                         {"methods", native_methods},
                                         {NULL, NULL}};
    dv_bind_set(L, b, functions);
}
