/* fault.h: test builds (DROVER_FAULTS) fail on purpose; in release builds all of this is nothing.
 *
 *   DROVER_FAIL=store.linked:kill     the process kills itself (SIGKILL) when it passes the point store.linked
 *   DROVER_FAIL=store.linked:kill:7   ... the 7th time
 *   DROVER_FAIL=write:fail:3          the 3rd write() of Drover fails with ENOSPC (kinds: malloc write fsync link sql)
 * Several, separated by commas. Read once, at the first use.
 *
 * The names of all points lie in a section of their own, so that `drover version --fail-points` lists exactly those that are compiled in:
 * tests/integration/test_faults_points.py kills each, and fails for one that it does not know. Failing calls of whole runs, those of the
 * libraries too, are made from outside: tests/integration/lib/faults.cc. */
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
/* Each point with its name, once, by the order of names. */
void dv_fail_points(void (*each)(const char *name));
#define DV_FAIL_POINT(name)                                                                                            \
    do {                                                                                                               \
        static const char *const dv_point_ __attribute__((section("dv_fail_points"), used)) = ("" name);               \
        dv_fail_point(dv_point_);                                                                                      \
    } while (0)
#define DV_FAULT(kind) dv_fault(kind) /* true: pretend that the call failed; errno is set */
#else
#define DV_FAIL_POINT(name) ((void)0)
#define DV_FAULT(kind)      false
#endif

#endif
