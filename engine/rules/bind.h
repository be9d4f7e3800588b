/* bind.h: the dataset and its context as Lua sees them.
 *
 *   dv_bind_open(L)                 once a state: metatables, caches; leaves the table `native` for the trusted scripts
 *   dv_bind_push(L, ds, ctx, ...)   once a dataset: pushes `ds` and `ctx`, the arguments of M.run
 *   dv_bind_done(L)                 after it: both are dead, any later access raises
 *
 * Rule files see `ds` (text by path: ds.PatientID, ds["Seq[1].X"], ds:values, ds:items, ds:each, ds.received) and `ctx`
 * (read-only). The scripts also see `native`: compiled paths as light userdata, so that a data rule costs one C call an
 * attribute and no string lookup.
 *
 * Errors raised by ds and ctx carry the caller's file and line; those of `native` carry none, because the script that
 * calls it is not to blame: the runner then names the rule that was entered (dv_outcome.file, line).
 *
 * Memory    paths live in an arena of the state; values in the dataset's arena; findings in the arena given to push.
 * Names of stages and rules are interned for the life of the process, so that changes outlive the state that made them.
 * Threads   one state, one thread at a time. Nothing here holds a lock, descriptor or malloc where Lua may raise. */
#ifndef DV_RULES_BIND_H
#define DV_RULES_BIND_H

#include "base/buffer.h"
#include "rules/rules.h"

#include <lauxlib.h>
#include <lua.h>

/* Pushes `native` (1 value). Raises when memory is out. Once a state. */
int dv_bind_open(lua_State *L);
/* Pushes `ds` and `ctx` (2 values) for a run over DS. All pointers are borrowed until dv_bind_done. OUTCOME gets stage,
 * rule, file and line of the rule that is running, and the findings. Raises only when memory is out: call it inside the
 * protected call. */
void dv_bind_push(lua_State *L, dv_dataset *ds, const dv_context *ctx, dv_arena *arena, dv_outcome *outcome);
/* The run is over, however it ended. Touches no Lua value, raises nothing. */
void dv_bind_done(lua_State *L);
/* Pushes what scripts/main.lua registered as its module (a table, or nil before). */
void dv_bind_main(lua_State *L);
/* Lines that rules log() go to OUT (one a line); NULL: they are only counted, as in normal running. */
void dv_bind_log_to(lua_State *L, dv_buffer *out);

#endif
