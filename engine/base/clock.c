#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

int64_t dv_wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static atomic_llong latest; /* wall time, us */

void dv_wall_not_before(int64_t wall_us)
{
    long long seen = atomic_load(&latest);
    while (seen < wall_us && !atomic_compare_exchange_weak(&latest, &seen, wall_us))
        ;
}

int64_t dv_wall_forward_us(void)
{
    dv_wall_not_before(dv_wall_us());
    return atomic_load(&latest);
}

int64_t dv_mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t dv_mono_ms(void)
{
    return dv_mono_ns() / 1000000;
}

char *dv_stamp(int64_t wall_us, char *buf)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm t;
    gmtime_r(&seconds, &t);
    size_t n = strftime(buf, DV_STAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(buf + n, DV_STAMP_SIZE - n, ".%06dZ", (int)(wall_us % 1000000));
    return buf;
}
