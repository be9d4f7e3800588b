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
