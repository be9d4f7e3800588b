/* native's functions on what rules do: who acts, findings, changes, log. */
#include "rules/bind_internal.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t actors_lock = PTHREAD_MUTEX_INITIALIZER; /* held at load only, never while Lua runs */
static dv_bind_actor *actors[1024]; /* by hash: a set of 1000 rules is loaded for each state */

static const dv_bind_actor *intern(dv_text stage, dv_text rule, dv_text file, int64_t line)
{
    uint32_t hash = (uint32_t)line;
    for (size_t i = 0; i < rule.len; i++)
        hash = hash * 31 + (unsigned char)rule.at[i];
    dv_bind_actor **bucket = &actors[hash % 1024];
    pthread_mutex_lock(&actors_lock);
    dv_bind_actor *a = *bucket;
    while (a && !(a->line == line && dv_text_equal(a->rule, rule) && dv_text_equal(a->stage, stage) &&
                  dv_text_equal(a->file, file)))
        a = a->next;
    if (!a) {
        char *texts = malloc(stage.len + rule.len + file.len + 3);
        a = malloc(sizeof *a);
        if (texts && a) {
            char *at[3] = {texts, texts + stage.len + 1, texts + stage.len + rule.len + 2};
            dv_text from[3] = {stage, rule, file};
            for (int i = 0; i < 3; i++) {
                memcpy(at[i], from[i].at, from[i].len);
                at[i][from[i].len] = '\0';
            }
            *a = (dv_bind_actor){{at[0], at[1]}, {at[0], stage.len}, {at[1], rule.len}, {at[2], file.len}, line,
                                 *bucket};
            *bucket = a;
        } else {
            free(texts);
            free(a);
            a = NULL;
        }
    }
    pthread_mutex_unlock(&actors_lock);
    return a;
}

/* actor(stage, rule, file, line) -> handle */
static int native_actor(lua_State *L)
{
    dv_text part[3];
    for (int i = 0; i < 3; i++)
        part[i].at = luaL_checklstring(L, i + 1, &part[i].len);
    const dv_bind_actor *a = intern(part[0], part[1], part[2], luaL_optinteger(L, 4, 0));
    if (!a)
        return luaL_error(L, "out of memory");
    lua_pushlightuserdata(L, (void *)(uintptr_t)a);
    return 1;
}

/* enter(actor): what follows is done by this rule */
static int native_enter(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    const dv_bind_actor *a = lua_touserdata(L, 1);
    dv_dataset *ds = dv_bind_dataset(L, b);
    b->actor = a;
    dv_dataset_set_actor(ds, a->actor);
    b->outcome->stage = a->stage;
    b->outcome->rule = a->rule;
    b->outcome->file = a->file;
    b->outcome->line = a->line;
    return 0;
}

/* leave(): no rule is running */
static int native_leave(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    b->actor = NULL;
    if (b->outcome) {
        b->outcome->stage = b->outcome->rule = b->outcome->file = (dv_text){0};
        b->outcome->line = 0;
    }
    return 0;
}

/* finding(kind, path or nil, message) by the rule that is running */
static int native_finding(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_bind_dataset(L, b);
    if (b->findings >= DV_MAX_FINDINGS)
        return 0;
    dv_text path = {0}, message;
    bool warn = strcmp(luaL_checkstring(L, 1), "warn") == 0;
    if (!lua_isnil(L, 2))
        path.at = luaL_checklstring(L, 2, &path.len);
    message.at = luaL_checklstring(L, 3, &message.len);
    dv_finding *f = dv_arena_zalloc(b->arena, 1, sizeof *f);
    if (!f)
        return luaL_error(L, "out of memory");
    f->kind = warn ? "warn" : "flag";
    f->rule = b->actor ? b->actor->rule : DV_TEXT("");
    f->path = dv_arena_text(b->arena, path.at ? path : DV_TEXT(""));
    f->message = dv_arena_text(b->arena, message);
    *b->tail = f;
    b->tail = &f->next;
    b->findings++;
    return 0;
}

/* log(text): for the harness; in normal running a line is only counted, because it may hold a patient's data */
static int native_log(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    b->logged++;
    if (b->log && b->log->len < 1 << 20)
        dv_buffer_printf(b->log, "%s\n", luaL_checkstring(L, 1));
    return 0;
}

/* changes(from) -> how many changes there are; with FROM also a list {path, before|false, after|false, rule} of those
 * behind it */
static int native_changes(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    bool list = !lua_isnoneornil(L, 1);
    lua_Integer from = luaL_optinteger(L, 1, 0), count = 0, row = 0;
    const dv_change *c = dv_dataset_changes(dv_bind_dataset(L, b));
    lua_settop(L, 0);
    lua_newtable(L);
    for (; c; c = c->next) {
        if (++count <= from || !list)
            continue;
        lua_createtable(L, 4, 0);
        dv_text part[3] = {c->path, c->before, c->after};
        for (int i = 0; i < 3; i++) {
            if (part[i].at)
                dv_bind_push_text(L, part[i]);
            else
                lua_pushboolean(L, 0);
            lua_rawseti(L, -2, i + 1);
        }
        lua_pushstring(L, c->by.rule ? c->by.rule : "");
        lua_rawseti(L, -2, 4);
        lua_rawseti(L, 1, ++row);
    }
    lua_pushinteger(L, count);
    lua_insert(L, 1);
    return 2;
}

/* findings(from) -> count, list {kind, rule, path, message} behind FROM */
static int native_findings(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    lua_Integer from = luaL_optinteger(L, 1, 0), count = 0, row = 0;
    dv_bind_dataset(L, b);
    lua_newtable(L);
    for (const dv_finding *f = b->outcome->findings; f; f = f->next) {
        if (++count <= from)
            continue;
        lua_createtable(L, 4, 0);
        lua_pushstring(L, f->kind);
        lua_rawseti(L, -2, 1);
        dv_bind_push_text(L, f->rule);
        lua_rawseti(L, -2, 2);
        dv_bind_push_text(L, f->path);
        lua_rawseti(L, -2, 3);
        dv_bind_push_text(L, f->message);
        lua_rawseti(L, -2, 4);
        lua_rawseti(L, -2, ++row);
    }
    lua_pushinteger(L, count);
    lua_insert(L, -2);
    return 2;
}

/* upvalues(function) -> name -> value: what a rule's code sees from outside of it, without its environment */
static int native_upvalues(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_newtable(L);
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, 1, i)); i++) {
        if (*name && strcmp(name, "_ENV") != 0)
            lua_setfield(L, 2, name);
        else
            lua_pop(L, 1);
    }
    return 1;
}

void dv_bind_rules(lua_State *L, dv_bind *b)
{
    static const luaL_Reg functions[] = {
        {"actor", native_actor},       {"enter", native_enter},       {"leave", native_leave},
        {"finding", native_finding},   {"log", native_log},           {"changes", native_changes},
        {"findings", native_findings}, {"upvalues", native_upvalues}, {NULL, NULL},
    };
    dv_bind_set(L, b, functions);
}
