/* fault.h: test builds (DROVER_FAULTS) fail on purpose; in release builds all of this is nothing.
 *
 *   DROVER_FAIL=store.linked:kill     the process kills itself (SIGKILL) when it passes the point store.linked
 *   DROVER_FAIL=store.linked:kill:7   ... the 7th time
 *   DROVER_FAIL=write:fail:3          the 3rd write() of Drover fails with ENOSPC (kinds: malloc write fsync link sql)
 * Several, separated by commas. Read once, at the first use. */
#ifndef DV_BASE_FAULT_H
#define DV_BASE_FAULT_H

#include <stdbool.h>

typedef enum dv_fault_kind {
    DV_FAULT_MALLOC,
    DV_FAULT_WRITE,
    DV_FAULT_FSYNC,
    DV_FAULT_LINK,
    DV_FAULT_SQL
} dv_fault_kind;

#ifdef DROVER_FAULTS
void dv_fail_point(const char *name);
bool dv_fault(dv_fault_kind kind);
#define DV_FAIL_POINT(name) dv_fail_point(name)
#define DV_FAULT(kind)      dv_fault(kind) /* true: pretend that the call failed; errno is set */
#else
#define DV_FAIL_POINT(name) ((void)0)
#define DV_FAULT(kind)      false
#endif

#endif
