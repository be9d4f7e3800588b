/* watchdog.h: ends calls that run too long, without a hook in normal running.
 *
 *   worker   arm: state ARMED, deadline ─────────────────────> disarm
 *   watchdog every 5 ms: deadline passed? ARMED -> SIGNALLED, pthread_kill ──> handler in the worker's thread:
 * lua_sethook
 *
 * Invariants
 *   1 a slot belongs to a live thread: it is taken off the list, under the lock, before its thread ends
 *   2 the signal reaches a worker only between arm and disarm: disarm waits for one that is on its way
 * The watchdog sleeps when nothing has been armed for a second.
 * Threads   arm and disarm: the thread that runs the state; no lock is taken while a rule runs. */
#ifndef DV_RULES_WATCHDOG_H
#define DV_RULES_WATCHDOG_H

#include "base/error.h"

#include <lua.h>

/* After MS milliseconds of this thread's CPU time (or 50 times that on the clock) dv_sandbox_interrupt(L) is called in this thread. One at a time a thread; the first call starts
 * the watchdog. False: its thread could not be started (MEMORY). */
bool dv_watchdog_arm(lua_State *L, int ms, dv_error *err);
void dv_watchdog_disarm(void);

#endif
