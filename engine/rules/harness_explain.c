/* One dataset rule by rule, what rules cost, what rules there are. */
#include "rules/harness_internal.h"

#include "base/clock.h"
#include "rules/sandbox_internal.h"

#include <stdlib.h>
#include <string.h>

/* Nobody waits for the harness: a busy machine must not look like a rule that runs away. */
enum { PATIENT_MS = 20000 };

static dv_sandbox_limits be_patient(lua_State *L)
{
    const dv_sandbox_limits before = dv_sandbox_of(L)->limits;
    dv_sandbox_limits patient = before;
    patient.time_ms = PATIENT_MS;
    dv_sandbox_limit(L, &patient);
    return before;
}

typedef struct job {
    dv_dataset *ds;
    const dv_context *ctx;
    dv_arena *arena;
    dv_outcome outcome;
    bool json;
    dv_buffer *out;
    const char *what;
} job;

static const char *text_of(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    const char *s = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return s ? s : "";
}

/* Element I of the list on top, quoted; false is "absent". */
static void quoted(lua_State *L, int i, dv_buffer *out)
{
    lua_rawgeti(L, -1, i);
    if (lua_type(L, -1) == LUA_TSTRING)
        dv_buffer_printf(out, "\"%.200s\"", lua_tostring(L, -1));
    else
        dv_buffer_string(out, "absent");
    lua_pop(L, 1);
}

static const char *element(lua_State *L, int i)
{
    lua_rawgeti(L, -1, i);
    const char *s = lua_tostring(L, -1);
    lua_pop(L, 1);
    return s ? s : "";
}

static void print_step(lua_State *L, dv_buffer *out)
{
    const char *why = text_of(L, "why");
    dv_buffer_printf(out, "  %-34s %s%s%s\n", text_of(L, "rule"), text_of(L, "outcome"), *why ? ": " : "", why);
    if (lua_getfield(L, -1, "changes") == LUA_TTABLE)
        for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, -1); i <= n; i++) {
            lua_rawgeti(L, -1, i);
            dv_buffer_printf(out, "      %s: ", element(L, 1));
            quoted(L, 2, out);
            dv_buffer_string(out, " -> ");
            quoted(L, 3, out);
            dv_buffer_string(out, "\n");
            lua_pop(L, 1);
        }
    lua_pop(L, 1);
    if (lua_getfield(L, -1, "findings") == LUA_TTABLE)
        for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, -1); i <= n; i++) {
            lua_rawgeti(L, -1, i);
            const char *path = element(L, 3);
            dv_buffer_printf(out, "      %s: %s%s%s\n", element(L, 1), path, *path ? ": " : "", element(L, 4));
            lua_pop(L, 1);
        }
    lua_pop(L, 1);
}

static int explain(lua_State *L)
{
    job *j = lua_touserdata(L, 1);
    dv_harness_push(L, "explain");
    dv_bind_push(L, j->ds, j->ctx, j->arena, &j->outcome);
    lua_call(L, 2, 1);
    if (j->json) {
        dv_harness_json(L, -1, j->out);
        dv_buffer_string(j->out, "\n");
        return 0;
    }
    const char *stage = "", *verdict = "store";
    for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, 2); i <= n; i++) {
        lua_rawgeti(L, 2, i);
        if (strcmp(stage, text_of(L, "stage")) != 0) {
            stage = text_of(L, "stage");
            dv_buffer_printf(j->out, "%s\n", stage);
        }
        print_step(L, j->out);
        const char *outcome = text_of(L, "outcome");
        if (i == n &&
            (strcmp(outcome, "reject") == 0 || strcmp(outcome, "exclude") == 0 || strcmp(outcome, "hold") == 0))
            verdict = outcome;
        else if (i == n && strcmp(outcome, "fault") == 0)
            verdict = "hold (the rule failed)";
        lua_pop(L, 1);
    }
    dv_buffer_printf(j->out, "verdict: %s\n", verdict);
    return 0;
}

static bool filled(const dv_buffer *out, dv_error *err)
{
    return !out->failed || dv_fail(err, DV_ERR_MEMORY, "no memory for the output");
}

bool dv_harness_explain(lua_State *L, dv_dataset *ds, const dv_context *ctx, dv_arena *arena, bool json, dv_buffer *out,
                        dv_error *err)
{
    job j = {.ds = ds, .ctx = ctx, .arena = arena, .json = json, .out = out};
    const dv_sandbox_limits before = be_patient(L);
    bool ok = dv_harness_call(L, explain, &j, err);
    dv_bind_done(L);
    dv_sandbox_limit(L, &before);
    if (!ok && j.outcome.rule.at)
        dv_error_context(err, "%.*s", DV_ARG(j.outcome.rule));
    return ok && filled(out, err);
}

static int run_plain(lua_State *L)
{
    job *j = lua_touserdata(L, 1);
    dv_harness_push(L, j->what);
    dv_bind_push(L, j->ds, j->ctx, j->arena, &j->outcome);
    lua_call(L, 2, 0);
    return 0;
}

static int print_bench(lua_State *L)
{
    job *j = lua_touserdata(L, 1);
    dv_harness_push(L, "bench_result");
    lua_call(L, 0, 1);
    if (j->json) {
        dv_harness_json(L, -1, j->out);
        return 0;
    }
    for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, -1); i <= n; i++) {
        lua_rawgeti(L, -1, i);
        lua_getfield(L, -1, "ns");
        long long ns = (long long)lua_tointeger(L, -1);
        lua_pop(L, 1);
        dv_buffer_printf(j->out, "%9lld ns  %s\n", ns, text_of(L, "rule"));
        lua_pop(L, 1);
    }
    return 0;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

bool dv_harness_bench(lua_State *L, dv_text bytes, dv_encoding encoding, const dv_context *ctx, int rounds, bool json,
                      dv_buffer *out, dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    int64_t *times = calloc((size_t)rounds, sizeof *times);
    const dv_sandbox_limits before = be_patient(L);
    bool ok = times || dv_fail(err, DV_ERR_MEMORY, "no memory for %d rounds", rounds);
    for (int i = 0; ok && i < 2 * rounds; i++) { /* plain and with a clock around each rule, in turn */
        dv_index ix;
        job j = {.ctx = ctx, .arena = &arena, .what = i % 2 ? "bench" : "run"};
        dv_arena_reset(&arena);
        ok = dv_index_all(&ix, &arena, encoding, (const uint8_t *)bytes.at, bytes.len, err) &&
             (j.ds = dv_dataset_open(&arena, &ix, err));
        int64_t from = dv_mono_ns();
        ok = ok && dv_harness_call(L, run_plain, &j, err);
        if (i % 2 == 0)
            times[i / 2] = dv_mono_ns() - from;
        dv_bind_done(L);
        dv_sandbox_collect(L);
    }
    if (ok) {
        qsort(times, (size_t)rounds, sizeof *times, compare_times);
        long long p50 = times[rounds / 2], p99 = times[rounds * 99 / 100];
        job j = {.json = json, .out = out};
        if (json)
            dv_buffer_printf(out, "{\"rounds\":%d,\"p50_ns\":%lld,\"p99_ns\":%lld,\"rules\":", rounds, p50, p99);
        ok = dv_harness_call(L, print_bench, &j, err);
        if (json)
            dv_buffer_string(out, "}\n");
        else
            dv_buffer_printf(out, "a dataset, all rules: p50 %.1f us, p99 %.1f us (%d rounds)\n", (double)p50 / 1e3,
                             (double)p99 / 1e3, rounds);
    }
    free(times);
    dv_arena_free(&arena);
    dv_sandbox_limit(L, &before);
    return ok && filled(out, err);
}

static int print_list(lua_State *L)
{
    job *j = lua_touserdata(L, 1);
    dv_harness_push(L, "rules");
    lua_call(L, 0, 1);
    if (j->json) {
        dv_harness_json(L, -1, j->out);
        dv_buffer_string(j->out, "\n");
        return 0;
    }
    const char *stage = "";
    int rules = 0, off = 0;
    for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, 2); i <= n; i++) {
        lua_rawgeti(L, 2, i);
        lua_getfield(L, -1, "replaced");
        lua_getfield(L, -2, "enabled");
        lua_getfield(L, -3, "tests");
        lua_getfield(L, -4, "line");
        bool replaced = lua_toboolean(L, -4), enabled = lua_toboolean(L, -3);
        long long tests = (long long)lua_tointeger(L, -2), line = (long long)lua_tointeger(L, -1);
        lua_pop(L, 4);
        if (!replaced) {
            if (strcmp(stage, text_of(L, "stage")) != 0) {
                stage = text_of(L, "stage");
                dv_buffer_printf(j->out, "%s\n", stage);
            }
            rules++;
            off += !enabled;
            const char *replaces = text_of(L, "replaces");
            dv_buffer_printf(j->out, "  %-34s %-4s %2lld test%s  %s:%lld%s%s%s\n", text_of(L, "id"),
                             enabled ? "" : "off", tests, tests == 1 ? " " : "s", text_of(L, "file"), line,
                             *replaces ? " (replaces " : "", replaces, *replaces ? ")" : "");
        }
        lua_pop(L, 1);
    }
    dv_buffer_printf(j->out, "%d rules, %d of them off\n", rules, off);
    return 0;
}

bool dv_harness_list(lua_State *L, bool json, dv_buffer *out, dv_error *err)
{
    job j = {.json = json, .out = out};
    return dv_harness_call(L, print_list, &j, err) && filled(out, err);
}

static int print_what(lua_State *L)
{
    job *j = lua_touserdata(L, 1);
    dv_harness_push(L, j->what);
    lua_call(L, 0, 1);
    if (lua_type(L, -1) == LUA_TSTRING) {
        size_t n;
        const char *s = lua_tolstring(L, -1, &n);
        dv_buffer_add(j->out, s, n);
    } else {
        dv_harness_json(L, -1, j->out);
        dv_buffer_string(j->out, "\n");
    }
    return 0;
}

bool dv_harness_text(lua_State *L, const char *what, dv_buffer *out, dv_error *err)
{
    job j = {.what = what, .out = out};
    return dv_harness_call(L, print_what, &j, err) && filled(out, err);
}
