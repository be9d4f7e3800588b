#include "base/fault.h"

#ifdef DROVER_FAULTS
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct point {
    char name[48];
    bool kill;
    long nth; /* 0: every time */
    atomic_long seen;
} point;

static point points[16];
static int count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void read_environment(void)
{
    const char *given = getenv("DROVER_FAIL");
    while (given && *given && count < 16) {
        point *p = &points[count];
        size_t n = strcspn(given, ":,");
        if (n >= sizeof p->name)
            break;
        memcpy(p->name, given, n);
        given += n;
        if (*given == ':') {
            p->kill = strncmp(given + 1, "kill", 4) == 0;
            given += 1 + strcspn(given + 1, ":,");
            if (*given == ':')
                p->nth = strtol(given + 1, NULL, 10);
            given += strcspn(given, ",");
        }
        count++;
        given += *given == ',';
    }
}

static bool due(const char *name, bool *kill)
{
    pthread_once(&once, read_environment);
    for (int i = 0; i < count; i++)
        if (strcmp(points[i].name, name) == 0) {
            long n = atomic_fetch_add(&points[i].seen, 1) + 1;
            *kill = points[i].kill;
            return points[i].nth == 0 || n == points[i].nth;
        }
    return false;
}

void dv_fail_point(const char *name)
{
    bool kill_now = false;
    if (due(name, &kill_now) && kill_now)
        raise(SIGKILL);
}

/* The section's bounds, given by the linker; weak: a program may have no point at all. */
extern const char *const __start_dv_fail_points[] __attribute__((weak));
extern const char *const __stop_dv_fail_points[] __attribute__((weak));

void dv_fail_points(void (*each)(const char *name))
{
    for (const char *last = "";;) { /* the next one behind `last`: a name that stands twice comes once */
        const char *next = NULL;
        for (const char *const *p = __start_dv_fail_points; p != __stop_dv_fail_points; p++)
            if (strcmp(*p, last) > 0 && (!next || strcmp(*p, next) < 0))
                next = *p;
        if (!next)
            return;
        each(next);
        last = next;
    }
}

bool dv_fault(dv_fault_kind kind)
{
    static const char *const names[] = {"malloc", "write", "fsync", "link", "sql"};
    static const int numbers[] = {ENOMEM, ENOSPC, EIO, EIO, EIO};
    bool kill_now = false;
    if (!due(names[kind], &kill_now))
        return false;
    if (kill_now)
        raise(SIGKILL);
    errno = numbers[kind];
    return true;
}
#else
typedef int dv_fault_is_compiled_out; /* ISO C wants a declaration in every file */
#endif
