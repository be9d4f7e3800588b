/* harness_internal.h: what harness.c, harness_explain.c and harness_print.c share. */
#ifndef DV_RULES_HARNESS_INTERNAL_H
#define DV_RULES_HARNESS_INTERNAL_H

#include "rules/bind.h"
#include "rules/harness.h"
#include "rules/sandbox.h"

/* Calls F(light userdata USER) with the state's limits; RULE or MEMORY with "file:line: message". */
bool dv_harness_call(lua_State *L, lua_CFunction f, void *user, dv_error *err);
/* Pushes M.NAME; raises when there is none. */
void dv_harness_push(lua_State *L, const char *name);
/* Field NAME of the table on top, as text in ARENA; absent when nil. */
dv_text dv_harness_field(lua_State *L, dv_arena *arena, const char *name);
/* The value at INDEX as JSON: tables with 1..n are arrays, keys of others in order. */
void dv_harness_json(lua_State *L, int index, dv_buffer *out);

#endif
