/* buffer.h: bytes that grow; the one owner of memory that outlives a request but has no fixed size.
 * An append that fails sets `failed` and keeps what was there, so that a run of appends is checked once.
 * Threads   one at a time. */
#ifndef DV_BASE_BUFFER_H
#define DV_BASE_BUFFER_H

#include "base/text.h"

typedef struct dv_buffer {
    char *at; /* NULL or len bytes followed by a terminator */
    size_t len, size;
    bool failed; /* memory was out at some append */
} dv_buffer;

/* At least N more bytes will fit; false when memory is out. */
bool dv_buffer_reserve(dv_buffer *b, size_t n);
bool dv_buffer_add(dv_buffer *b, const void *bytes, size_t n);
bool dv_buffer_text(dv_buffer *b, dv_text t);
bool dv_buffer_string(dv_buffer *b, const char *s);
bool dv_buffer_printf(dv_buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* T as a JSON string with quotes; bytes that are no UTF-8 become U+FFFD. */
bool dv_buffer_json(dv_buffer *b, dv_text t);
dv_text dv_buffer_as_text(const dv_buffer *b);
void dv_buffer_clear(dv_buffer *b);
void dv_buffer_free(dv_buffer *b);

#endif
