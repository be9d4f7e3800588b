/* clock.h: the two clocks. Deadlines are monotonic, stamps are wall-clock UTC; the two never mix. */
#ifndef DV_BASE_CLOCK_H
#define DV_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds since 1970-01-01 UTC. What rows and files keep. */
int64_t dv_wall_us(void);
/* The same, but never back: at least what it gave before in this process, and what dv_wall_not_before was told. For what is found again by its
 * time: folders of objects, and from where recovery lists them. */
int64_t dv_wall_forward_us(void);
void dv_wall_not_before(int64_t wall_us);
/* Milliseconds of a clock that nobody sets. */
int64_t dv_mono_ms(void);
int64_t dv_mono_ns(void);
/* "2026-11-24T21:52:29.123456Z"; BUF holds at least DV_STAMP_SIZE bytes. Returns BUF. */
enum { DV_STAMP_SIZE = 32 };
char *dv_stamp(int64_t wall_us, char *buf);

#endif
