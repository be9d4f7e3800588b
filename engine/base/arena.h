/* arena.h: memory for one dataset or one request, freed whole.
 *
 *   dv_arena_init(&a, 0); ... dv_arena_alloc(&a, n) ... dv_arena_reset(&a) keeps the first chunk ... dv_arena_free(&a)
 *
 * Under AddressSanitizer every allocation is a malloc of its own, so that an overrun shows where it happens; otherwise
 * chunks, and what is reset is poisoned in test builds. Out of memory: NULL, which the caller turns into DV_ERR_MEMORY.
 * Threads   one at a time. */
#ifndef DV_BASE_ARENA_H
#define DV_BASE_ARENA_H

#include "base/text.h"

#include <stdarg.h>

typedef struct dv_arena {
    struct dv_arena_chunk *chunks; /* newest first */
    size_t chunk_size;             /* of the next chunk */
    size_t used;                   /* bytes given out since the last reset */
} dv_arena;

/* FIRST is the size of the first chunk, 0 for 16 KB. Allocates nothing yet. */
void dv_arena_init(dv_arena *a, size_t first);
/* N bytes aligned to 16, not cleared. NULL when memory is out; N 0 gives a valid pointer. */
void *dv_arena_alloc(dv_arena *a, size_t n);
/* The same, cleared. COUNT times SIZE is checked. */
void *dv_arena_zalloc(dv_arena *a, size_t count, size_t size);
/* A copy of the OLD bytes at P in N bytes (N >= OLD); in place when P was the last allocation. */
void *dv_arena_grow(dv_arena *a, void *p, size_t old, size_t n);
/* A copy of T with a terminator behind it; absent stays absent (at == NULL, also when memory is out). */
dv_text dv_arena_text(dv_arena *a, dv_text t);
char *dv_arena_string(dv_arena *a, dv_text t);
char *dv_arena_printf(dv_arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Everything given out is gone; the first chunk stays for the next use. */
void dv_arena_reset(dv_arena *a);
void dv_arena_free(dv_arena *a);

#endif
