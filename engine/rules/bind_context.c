/* `ctx`: where the dataset comes from and what is known beside it (M23), read-only.
 *
 *   ctx.origin.peer calling called address channel     ctx.job.batch attempt      ctx.seed
 *   ctx.info.transfer_syntax sop_class header_bytes body_bytes                    ctx.found.Keyword
 * One proxy a group and state, made once: they hold nothing, each read asks the run that is under way. */
#include "rules/bind_internal.h"

typedef enum group { CTX, ORIGIN, JOB, INFO, FOUND, GROUPS } group;

static const char *const group_names[GROUPS] = {"ctx", "ctx.origin", "ctx.job", "ctx.info", "ctx.found"};
static const char *const fields[GROUPS] = {
    "origin, job, seed, info, found",
    "peer, calling, called, address, channel",
    "batch, attempt",
    "transfer_syntax, sop_class, header_bytes, body_bytes",
    "the attributes of the source's C-FIND answer",
};
static const char context_key = 0;
static const char *const context_name = "context";

static int push_string(lua_State *L, const char *s)
{
    lua_pushstring(L, s ? s : "");
    return 1;
}

static int push_proxy(lua_State *L, group g)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &context_key);
    lua_rawgeti(L, -1, (int)g + 1);
    return 1;
}

static int push_found(lua_State *L, dv_bind *b)
{
    dv_error err;
    dv_text value = {0};
    const dv_path *path;
    if (!dv_bind_path(L, b, 2, &path, &err))
        return dv_bind_raise(L, &err);
    if (b->ctx->found && !dv_dataset_get(b->ctx->found, path, &value, &err))
        return dv_bind_raise(L, &err);
    dv_bind_push_text(L, value);
    return 1;
}

/* True when NAME is one of G's and its value was pushed. */
static bool push_field(lua_State *L, const dv_context *c, group g, const char *name)
{
#define IS(word) (strcmp(name, word) == 0)
    switch (g) {
    case CTX:
        return IS("origin")  ? push_proxy(L, ORIGIN)
               : IS("job")   ? push_proxy(L, JOB)
               : IS("info")  ? push_proxy(L, INFO)
               : IS("found") ? push_proxy(L, FOUND)
               : IS("seed")  ? push_string(L, c->seed)
                             : false;
    case ORIGIN:
        return IS("peer")      ? push_string(L, c->origin.peer)
               : IS("calling") ? push_string(L, c->origin.calling)
               : IS("called")  ? push_string(L, c->origin.called)
               : IS("address") ? push_string(L, c->origin.address)
               : IS("channel") ? push_string(L, c->origin.channel)
                               : false;
    case JOB:
        if (IS("batch"))
            return push_string(L, c->job.batch);
        if (IS("attempt")) {
            lua_pushinteger(L, c->job.attempt);
            return true;
        }
        return false;
    case INFO:
        if (IS("transfer_syntax"))
            return push_string(L, c->info.transfer_syntax);
        if (IS("sop_class"))
            return push_string(L, c->info.sop_class);
        if (IS("header_bytes") || IS("body_bytes")) {
            lua_pushinteger(L, (lua_Integer)(IS("header_bytes") ? c->info.header_bytes : c->info.body_bytes));
            return true;
        }
        return false;
    case FOUND:
    case GROUPS:
        break;
    }
#undef IS
    return false;
}

static int context_index(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    const group *g = luaL_checkudata(L, 1, context_name);
    if (!b->ctx)
        return luaL_error(L, "ctx lives only while a rule runs over a dataset");
    if (*g == FOUND)
        return push_found(L, b);
    if (!push_field(L, b->ctx, *g, luaL_checkstring(L, 2)))
        return luaL_error(L, "%s has no '%s'; it has %s", group_names[*g], lua_tostring(L, 2), fields[*g]);
    return 1;
}

static int context_newindex(lua_State *L)
{
    const group *g = luaL_checkudata(L, 1, context_name);
    return luaL_error(L, "%s is read-only", group_names[*g]);
}

static int context_tostring(lua_State *L)
{
    const group *g = luaL_checkudata(L, 1, context_name);
    lua_pushstring(L, group_names[*g]);
    return 1;
}

void dv_bind_push_context(lua_State *L, dv_bind *b)
{
    (void)b;
    push_proxy(L, CTX);
    lua_remove(L, -2);
}

/* origin(field) -> text: for the scope of a rule, without a proxy */
static int native_origin(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_bind_dataset(L, b);
    const char *name = luaL_checkstring(L, 1);
    if (strcmp(name, "peer") == 0)
        return push_string(L, b->ctx->origin.peer);
    if (strcmp(name, "batch") == 0)
        return push_string(L, b->ctx->job.batch);
    return luaL_error(L, "no such origin: %s", name);
}

/* now() -> wall clock microseconds of the instance's arrival */
static int native_now(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_bind_dataset(L, b);
    lua_pushinteger(L, b->ctx->now);
    return 1;
}

/* index_findings() -> bits of what the parser read past */
static int native_index_findings(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    lua_pushinteger(L, dv_dataset_index(dv_bind_dataset(L, b)) ? dv_dataset_index(b->ds)->findings : 0);
    return 1;
}

void dv_bind_context(lua_State *L, dv_bind *b)
{
    static const luaL_Reg meta[] = {
        {"__index", context_index}, {"__newindex", context_newindex}, {"__tostring", context_tostring}, {NULL, NULL}};
    luaL_newmetatable(L, context_name);
    dv_bind_set(L, b, meta);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    lua_createtable(L, GROUPS, 0);
    for (int g = 0; g < GROUPS; g++) {
        group *proxy = lua_newuserdatauv(L, sizeof *proxy, 0);
        *proxy = (group)g;
        luaL_setmetatable(L, context_name);
        lua_rawseti(L, -2, g + 1);
    }
    lua_rawsetp(L, LUA_REGISTRYINDEX, &context_key);
}

void dv_bind_contexts(lua_State *L, dv_bind *b)
{
    static const luaL_Reg functions[] = {
        {"origin", native_origin}, {"now", native_now}, {"index_findings", native_index_findings}, {NULL, NULL}};
    dv_bind_set(L, b, functions);
}
