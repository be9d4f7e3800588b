/* sandbox_internal.h: what sandbox.c, safelib.c, pattern.c and watchdog.c share about a state. */
#ifndef DV_RULES_SANDBOX_INTERNAL_H
#define DV_RULES_SANDBOX_INTERNAL_H

#include "rules/sandbox.h"

#include <stdatomic.h>

typedef struct dv_sandbox {
    /* set once a call or between calls */
    lua_State *L;
    dv_sandbox_limits limits;
    int time_ms; /* in force for this call */

    /* memory */
    size_t used, baseline, ceiling; /* ceiling: SIZE_MAX while nothing is limited */
    bool pressed;                   /* the last growth was refused once; Lua collects and asks again */

    /* this call */
    bool running;
    int64_t steps;   /* charged by C functions */
    atomic_int stop; /* dv_fault_reason of the limit that was passed; the signal handler of the same thread sets it */
    bool placed;     /* file and line below are where the limit was passed */
    char file[128];
    int line;
    void *regex; /* pattern.c: what it keeps a state */
} dv_sandbox;

static inline dv_sandbox *dv_sandbox_of(lua_State *L)
{
    return *(dv_sandbox **)lua_getextraspace(L);
}

/* The hook that raises at every instruction; async-signal-safe to install from the thread that runs L. */
void dv_sandbox_interrupt(lua_State *L, dv_fault_reason reason);
/* Raises the error of the limit that was passed. */
int dv_sandbox_raise(lua_State *L);
/* safelib.c: builds the safe environment on top of the stack; called protected, with the standard libraries' functions
 * at hand. */
void dv_safelib_open(lua_State *L);
/* pattern.c: find match gmatch gsub of Lua patterns, into the table on top of the stack. */
void dv_pattern_open(lua_State *L);
void dv_pattern_close(dv_sandbox *sb);

#endif
