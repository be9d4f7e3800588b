/* Tests of rules: a dataset from what a test gives, one rule over it, and the reports. */
#include "rules/harness_internal.h"

#include "base/clock.h"
#include "dicom/write.h"
#include "rules/sandbox_internal.h"

#include <string.h>

enum { TEST_INSTRUCTIONS = 10000000 }; /* a rule needs some hundreds; a loop that ends at all ends before this */

typedef struct entry {
    dv_text path, value;
} entry;

typedef struct entries {
    entry *at;
    size_t count;
} entries;

typedef struct one {
    dv_arena *arena; /* of this case */
    int number;
    entries given, vr, found;
    bool has_found;
    dv_text sent_as;
    dv_context ctx;
    dv_dataset *ds;
    dv_outcome outcome;
    const char *why;
} one;

dv_text dv_harness_field(lua_State *L, dv_arena *arena, const char *name)
{
    dv_text t = {0};
    lua_getfield(L, -1, name);
    if (!lua_isnil(L, -1))
        t.at = luaL_tolstring(L, -1, &t.len), lua_pop(L, 1);
    if (t.at) {
        t = dv_arena_text(arena, t);
        if (!t.at)
            luaL_error(L, "out of memory");
    }
    lua_pop(L, 1);
    return t;
}

static int64_t int_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    int64_t n = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return n;
}

/* The flat list path, value, ... in field NAME of the table on top. */
static bool list_field(lua_State *L, dv_arena *arena, const char *name, entries *out)
{
    *out = (entries){0};
    if (lua_getfield(L, -1, name) != LUA_TTABLE) {
        lua_pop(L, 1);
        return false;
    }
    size_t n = (size_t)lua_rawlen(L, -1) / 2;
    out->at = dv_arena_zalloc(arena, n + 1, sizeof *out->at);
    if (!out->at)
        luaL_error(L, "out of memory");
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            dv_text t;
            lua_rawgeti(L, -1, (lua_Integer)(2 * i) + k + 1);
            t.at = luaL_checklstring(L, -1, &t.len);
            t = dv_arena_text(arena, t);
            if (!t.at)
                luaL_error(L, "out of memory");
            *(k ? &out->at[i].value : &out->at[i].path) = t;
            lua_pop(L, 1);
        }
    out->count = n;
    lua_pop(L, 1);
    return true;
}

/* M.NAME on the stack. */
void dv_harness_push(lua_State *L, const char *name)
{
    dv_bind_main(L);
    if (!lua_istable(L, -1))
        luaL_error(L, "scripts/main.lua has not registered itself");
    if (lua_getfield(L, -1, name) != LUA_TFUNCTION)
        luaL_error(L, "scripts/main.lua has no function %s", name);
    lua_remove(L, -2);
}

static int read_input(lua_State *L)
{
    one *o = lua_touserdata(L, 1);
    dv_harness_push(L, "test_input");
    lua_pushinteger(L, o->number);
    lua_call(L, 1, 1);
    list_field(L, o->arena, "given", &o->given);
    list_field(L, o->arena, "vr", &o->vr);
    o->has_found = list_field(L, o->arena, "found", &o->found);
    o->sent_as = dv_harness_field(L, o->arena, "sent_as");
    dv_context *c = &o->ctx;
    const struct {
        const char *name, **to;
    } texts[] = {{"peer", &c->origin.peer},
                 {"calling", &c->origin.calling},
                 {"called", &c->origin.called},
                 {"address", &c->origin.address},
                 {"channel", &c->origin.channel},
                 {"batch", &c->job.batch},
                 {"seed", &c->seed},
                 {"sop_class", &c->info.sop_class},
                 {"transfer_syntax", &c->info.transfer_syntax}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i].to = dv_harness_field(L, o->arena, texts[i].name).at;
    c->job.attempt = int_field(L, "attempt");
    c->info.header_bytes = (uint64_t)int_field(L, "header_bytes");
    c->info.body_bytes = (uint64_t)int_field(L, "body_bytes");
    c->now = int_field(L, "now");
    return 0;
}

static bool set_path(dv_dataset *ds, dv_arena *arena, dv_text path, dv_text value, dv_error *err)
{
    const dv_path *p;
    return dv_path_compile(arena, path, &p, err) &&
           (dv_dataset_set(ds, p, value, NULL, err) || dv_error_context(err, "%.*s", DV_ARG(path)));
}

static const dv_text charset_keyword = {"SpecificCharacterSet", 20};

static dv_text declared_charset(const one *o)
{
    for (size_t i = 0; i < o->given.count; i++)
        if (dv_text_equal(o->given.at[i].path, charset_keyword))
            return o->given.at[i].value;
    return (dv_text){0};
}

/* DS as bytes, read again as if it had been received. */
static dv_dataset *received(dv_dataset *ds, dv_arena *arena, dv_error *err)
{
    dv_text bytes;
    dv_index *ix = dv_arena_zalloc(arena, 1, sizeof *ix);
    if (!ix) {
        dv_fail(err, DV_ERR_MEMORY, "out of memory");
        return NULL;
    }
    const dv_encoding explicit_le = {0};
    if (!dv_write_bytes(ds, &bytes, err) ||
        !dv_index_all(ix, arena, explicit_le, (const uint8_t *)bytes.at, bytes.len, err))
        return NULL;
    return dv_dataset_open(arena, ix, err);
}

static dv_dataset *build(const entries *list, dv_text charset, dv_arena *arena, dv_error *err)
{
    dv_dataset *ds = dv_dataset_new(arena, (dv_encoding){0}, err);
    if (!ds || (charset.at && !dv_dataset_put(ds, DV_SpecificCharacterSet, charset, err)))
        return NULL;
    for (size_t i = 0; i < list->count; i++)
        if (!dv_text_equal(list->at[i].path, charset_keyword) &&
            !set_path(ds, arena, list->at[i].path, list->at[i].value, err))
            return NULL;
    return received(ds, arena, err);
}

/* DS with wrong VRs in its bytes. */
static dv_dataset *mistype(dv_dataset *ds, const entries *vr, dv_arena *arena, dv_error *err)
{
    for (size_t i = 0; i < vr->count; i++) {
        const dv_path *p;
        dv_text name = vr->at[i].value;
        dv_vr code =
            name.len == 2 ? (dv_vr)((unsigned)(unsigned char)name.at[0] << 8 | (unsigned char)name.at[1]) : (dv_vr)0;
        if (!dv_vr_lookup(code)) {
            dv_fail(err, DV_ERR_VALUE, "'%.*s' is no VR", DV_ARG(name));
            return NULL;
        }
        if (!dv_path_compile(arena, vr->at[i].path, &p, err) || !dv_dataset_set_vr(ds, p, code, err))
            return NULL;
    }
    return vr->count ? received(ds, arena, err) : ds;
}

static bool make_dataset(one *o, dv_error *err)
{
    dv_text declared = declared_charset(o);
    o->ds = build(&o->given, o->sent_as.at ? o->sent_as : declared, o->arena, err);
    o->ds = o->ds ? mistype(o->ds, &o->vr, o->arena, err) : NULL;
    if (o->ds && o->sent_as.at) { /* the same bytes under another label */
        const dv_path *label;
        bool ok = declared.at ? dv_dataset_put(o->ds, DV_SpecificCharacterSet, declared, err)
                              : dv_path_of_tag(o->arena, DV_SpecificCharacterSet, &label, err) &&
                                    dv_dataset_remove(o->ds, label, NULL, err);
        o->ds = ok ? received(o->ds, o->arena, err) : NULL;
    }
    if (!o->ds)
        return dv_error_context(err, "the dataset of `given` cannot be made");
    o->ctx.index_findings = dv_dataset_index(o->ds)->findings;
    if (!o->has_found)
        return true;
    dv_dataset *found = dv_dataset_new(o->arena, (dv_encoding){0}, err);
    bool ok = found && dv_dataset_put(found, DV_SpecificCharacterSet, DV_TEXT("ISO_IR 192"), err);
    for (size_t i = 0; ok && i < o->found.count; i++)
        ok = set_path(found, o->arena, o->found.at[i].path, o->found.at[i].value, err);
    o->ctx.found = found;
    return ok;
}

static int run_one(lua_State *L)
{
    one *o = lua_touserdata(L, 1);
    dv_harness_push(L, "test_run");
    lua_pushinteger(L, o->number);
    dv_bind_push(L, o->ds, &o->ctx, o->arena, &o->outcome);
    lua_call(L, 3, 1);
    if (lua_isnil(L, -1))
        return 0;
    luaL_Buffer all;
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    luaL_buffinit(L, &all);
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&all, '\n');
        lua_rawgeti(L, 2, i);
        luaL_addvalue(&all);
    }
    luaL_pushresult(&all);
    o->why = lua_tostring(L, -1);
    o->why = dv_arena_string(o->arena, dv_text_of(o->why));
    return 0;
}

bool dv_harness_call(lua_State *L, lua_CFunction f, void *user, dv_error *err)
{
    dv_sandbox_fault fault;
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, user);
    if (dv_sandbox_call(L, 1, 0, &fault))
        return true;
    dv_code code = fault.kind == DV_RUN_MEMORY ? DV_ERR_MEMORY : DV_ERR_RULE;
    size_t n = strlen(fault.file);
    if (n && strncmp(fault.message, fault.file, n) != 0)
        return dv_fail(err, code, "%s:%d: %s", fault.file, fault.line, fault.message);
    return dv_fail(err, code, "%s", fault.message);
}

/* Runs case NUMBER; what it leaves goes from the scratch arena to the report's. */
static void run_case(lua_State *L, int number, dv_arena *scratch, dv_arena *arena, dv_harness_case *c)
{
    dv_error err = {0};
    dv_buffer log = {0};
    one o = {.arena = scratch, .number = number};
    bool ok = dv_harness_call(L, read_input, &o, &err) && make_dataset(&o, &err);
    if (ok) {
        int64_t from = dv_mono_ns();
        dv_bind_log_to(L, &log);
        ok = dv_harness_call(L, run_one, &o, &err);
        dv_bind_log_to(L, NULL);
        dv_bind_done(L);
        c->ns = dv_mono_ns() - from;
    }
    if (!ok)
        c->why = dv_arena_printf(arena, "%s", err.message);
    else if (o.why)
        c->why = dv_arena_printf(arena, "%s", o.why);
    if (log.len)
        c->log = dv_arena_printf(arena, "%s", log.at);
    dv_buffer_free(&log);
}

typedef struct listing {
    const char *rule;
    dv_arena *arena;
    dv_harness_report *out;
} listing;

static int list_tests(lua_State *L)
{
    listing *l = lua_touserdata(L, 1);
    dv_harness_push(L, "tests");
    lua_pushstring(L, l->rule);
    lua_call(L, 1, 1);
    l->out->count = (size_t)lua_rawlen(L, -1);
    l->out->cases = dv_arena_zalloc(l->arena, l->out->count + 1, sizeof *l->out->cases);
    if (!l->out->cases)
        return luaL_error(L, "out of memory");
    for (size_t i = 0; i < l->out->count; i++) {
        dv_harness_case *c = &l->out->cases[i];
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        c->rule = dv_harness_field(L, l->arena, "id").at;
        c->name = dv_harness_field(L, l->arena, "name").at;
        c->file = dv_harness_field(L, l->arena, "file").at;
        c->line = int_field(L, "line");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    dv_harness_push(L, "rules");
    lua_call(L, 0, 1);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        lua_getfield(L, -1, "replaced");
        if (!lua_toboolean(L, -1)) {
            lua_pop(L, 1);
            l->out->rules++;
            l->out->untested += int_field(L, "tests") == 0;
            lua_pushnil(L);
        }
        lua_pop(L, 2);
    }
    return 0;
}

bool dv_harness_run(lua_State *L, const char *rule, dv_arena *arena, dv_harness_report *out, dv_error *err)
{
    listing l = {rule, arena, out};
    *out = (dv_harness_report){0};
    if (!dv_harness_call(L, list_tests, &l, err))
        return false;
    if (rule && out->count == 0)
        return dv_fail(err, DV_ERR_NOT_FOUND, "there is no rule '%s' with tests; 'drover rules check' lists the rules",
                       rule);
    const dv_sandbox_limits before = dv_sandbox_of(L)->limits;
    dv_sandbox_limits counted = {.memory = before.memory, .instructions = TEST_INSTRUCTIONS};
    dv_sandbox_limit(L, &counted);
    dv_arena scratch;
    dv_arena_init(&scratch, 0);
    for (size_t i = 0; i < out->count; i++) {
        run_case(L, (int)i + 1, &scratch, arena, &out->cases[i]);
        *(out->cases[i].why ? &out->failed : &out->passed) += 1;
        dv_arena_reset(&scratch);
        if (dv_sandbox_grown(L) > (size_t)4 << 20) /* a full collection costs ms in a large set */
            dv_sandbox_collect(L);
    }
    dv_arena_free(&scratch);
    dv_sandbox_limit(L, &before);
    return true;
}

bool dv_harness_test_all(lua_State *L, dv_buffer *report, int *passed, int *failed)
{
    dv_arena arena;
    dv_harness_report all;
    dv_error err;
    dv_arena_init(&arena, 0);
    bool ok = dv_harness_run(L, NULL, &arena, &all, &err);
    *passed = all.passed;
    *failed = all.failed;
    if (!ok && report)
        dv_buffer_printf(report, "%s\n", err.message);
    for (size_t i = 0; ok && report && i < all.count; i++)
        if (all.cases[i].why)
            dv_buffer_printf(report, "%s:%lld: %s: %s: %s\n", all.cases[i].file, (long long)all.cases[i].line,
                             all.cases[i].rule, all.cases[i].name, all.cases[i].why);
    dv_arena_free(&arena);
    return ok && all.failed == 0;
}
