/* harness.h: rules outside of the pipeline: their tests, one dataset explained rule by rule, what a rule costs.
 *
 *   M.test_input(i) -> given, ctx ──> a dataset in bytes, indexed as if received ──> M.test_run(i, ds, ctx) -> faults
 *
 * A test runs one rule alone (scripts/harness.lua says why). Instructions are counted exactly here, no clock ends it.
 * All functions take a state of generation.h with its rules loaded; its limits are as before when they return.
 *
 * Memory    results are in the arena or buffer given.
 * Threads   one state, one thread. */
#ifndef DV_RULES_HARNESS_H
#define DV_RULES_HARNESS_H

#include "base/buffer.h"
#include "rules/rules.h"

#include <lua.h>

typedef struct dv_harness_case {
    const char *rule, *name, *file; /* "mapping/x", "taken from the request", "rules/x.lua" */
    int64_t line;
    const char *why; /* NULL: passed; else sentences, a line each */
    const char *log; /* what the rule logged, NULL without */
    int64_t ns;
} dv_harness_case;

typedef struct dv_harness_report {
    dv_harness_case *cases;
    size_t count;
    int passed, failed, rules, untested; /* rules without a test */
} dv_harness_report;

typedef enum dv_harness_format { DV_HARNESS_TEXT, DV_HARNESS_JSON, DV_HARNESS_JUNIT, DV_HARNESS_TAP } dv_harness_format;

/* Runs the tests of RULE ("mapping/x" or "x"), of all when NULL. True however many fail. False: NOT_FOUND for a rule
 * that does not exist or has no tests; RULE, MEMORY. */
bool dv_harness_run(lua_State *L, const char *rule, dv_arena *arena, dv_harness_report *out, dv_error *err);
bool dv_harness_print(const dv_harness_report *report, dv_harness_format format, dv_buffer *out, dv_error *err);
/* For the publisher: runs all; REPORT (may be NULL) gets a line for each failure, "rules/x.lua:3: mapping/x: name:
 * what", or why nothing could be run (*FAILED 0). True when all passed. */
bool dv_harness_test_all(lua_State *L, dv_buffer *report, int *passed, int *failed);

/* Runs every rule over DS and writes to OUT what each did, as text or JSON. DS is changed by them. */
bool dv_harness_explain(lua_State *L, dv_dataset *ds, const dv_context *ctx, dv_arena *arena, bool json, dv_buffer *out,
                        dv_error *err);

/* Runs the rules ROUNDS times over the dataset in BYTES (ENCODING) and writes to OUT: ns a rule, hottest first, and p50
 * and p99 a dataset. */
bool dv_harness_bench(lua_State *L, dv_text bytes, dv_encoding encoding, const dv_context *ctx, int rounds, bool json,
                      dv_buffer *out, dv_error *err);

/* The rules that are loaded, a line each, by stage. */
bool dv_harness_list(lua_State *L, bool json, dv_buffer *out, dv_error *err);
/* The text that M.WHAT() gives: "reference" (docs/rules.md), "examples" (a rule file); "describe" as JSON. */
bool dv_harness_text(lua_State *L, const char *what, dv_buffer *out, dv_error *err);

#endif
