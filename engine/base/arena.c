#include "base/arena.h"
#include "base/fault.h"

#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define ONE_MALLOC_A_PIECE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ONE_MALLOC_A_PIECE 1
#endif
#endif
#ifndef ONE_MALLOC_A_PIECE
#define ONE_MALLOC_A_PIECE 0
#endif

typedef struct dv_arena_chunk {
    struct dv_arena_chunk *next;
    size_t size, used;
    _Alignas(16) unsigned char bytes[];
} chunk;

enum { FIRST = 16 * 1024, LARGEST = 1024 * 1024 };

void dv_arena_init(dv_arena *a, size_t first)
{
    *a = (dv_arena){NULL, first ? first : FIRST, 0};
}

static chunk *new_chunk(dv_arena *a, size_t size)
{
    size_t total;
    if (__builtin_add_overflow(size, sizeof(chunk), &total) || DV_FAULT(DV_FAULT_MALLOC))
        return NULL;
    chunk *c = malloc(total);
    if (c) {
        *c = (chunk){.next = a->chunks, .size = size};
        a->chunks = c;
    }
    return c;
}

void *dv_arena_alloc(dv_arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    size_t rounded = (n + 15) & ~(size_t)15;
    chunk *c = a->chunks;
    if (ONE_MALLOC_A_PIECE) {
        c = new_chunk(a, n);
        if (!c)
            return NULL;
        c->used = n;
        a->used += n;
        return c->bytes;
    }
    if (!c || c->size - c->used < rounded) {
        size_t size = a->chunk_size > rounded ? a->chunk_size : rounded;
        c = new_chunk(a, size);
        if (!c)
            return NULL;
        if (a->chunk_size < LARGEST)
            a->chunk_size *= 2;
    }
    void *p = c->bytes + c->used;
    c->used += rounded;
    a->used += rounded;
    return p;
}

void *dv_arena_zalloc(dv_arena *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        return NULL;
    void *p = dv_arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

void *dv_arena_grow(dv_arena *a, void *p, size_t old, size_t n)
{
    chunk *c = a->chunks;
    size_t old_rounded = (old + 15) & ~(size_t)15, rounded = (n + 15) & ~(size_t)15;
    if (!ONE_MALLOC_A_PIECE && p && c && n < SIZE_MAX / 2 && (unsigned char *)p + old_rounded == c->bytes + c->used &&
        c->size - c->used >= rounded - old_rounded) {
        c->used += rounded - old_rounded;
        a->used += rounded - old_rounded;
        return p;
    }
    void *q = dv_arena_alloc(a, n);
    if (q && old)
        memcpy(q, p, old);
    return q;
}

char *dv_arena_string(dv_arena *a, dv_text t)
{
    char *p = dv_arena_alloc(a, t.len + 1);
    if (p) {
        if (t.len)
            memcpy(p, t.at, t.len);
        p[t.len] = '\0';
    }
    return p;
}

dv_text dv_arena_text(dv_arena *a, dv_text t)
{
    char *p = t.at ? dv_arena_string(a, t) : NULL;
    return p ? (dv_text){p, t.len} : (dv_text){NULL, 0};
}

char *dv_arena_printf(dv_arena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *p = n < 0 ? NULL : dv_arena_alloc(a, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p;
}

void dv_arena_reset(dv_arena *a)
{
    chunk *c = a->chunks;
    while (c && (c->next || ONE_MALLOC_A_PIECE)) {
        chunk *next = c->next;
        free(c);
        c = next;
    }
    a->chunks = c;
    if (c) {
#ifdef DROVER_FAULTS
        memset(c->bytes, 0xDB, c->used);
#endif
        c->used = 0;
    }
    a->used = 0;
}

void dv_arena_free(dv_arena *a)
{
    for (chunk *c = a->chunks; c;) {
        chunk *next = c->next;
        free(c);
        c = next;
    }
    a->chunks = NULL;
    a->used = 0;
}
