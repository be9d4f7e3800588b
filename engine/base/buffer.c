#include "base/buffer.h"
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool dv_buffer_reserve(dv_buffer *b, size_t n)
{
    size_t need;
    if (b->failed || __builtin_add_overflow(b->len, n + 1, &need)) {
        b->failed = true;
        return false;
    }
    if (need <= b->size)
        return true;
    size_t size = b->size ? b->size : 256;
    while (size < need)
        size += size / 2;
    char *p = DV_FAULT(DV_FAULT_MALLOC) ? NULL : realloc(b->at, size);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->at = p;
    b->size = size;
    return true;
}

bool dv_buffer_add(dv_buffer *b, const void *bytes, size_t n)
{
    if (!dv_buffer_reserve(b, n))
        return false;
    if (n)
        memcpy(b->at + b->len, bytes, n);
    b->len += n;
    b->at[b->len] = '\0';
    return true;
}

bool dv_buffer_text(dv_buffer *b, dv_text t)
{
    return dv_buffer_add(b, t.at, t.len);
}

bool dv_buffer_string(dv_buffer *b, const char *s)
{
    return dv_buffer_add(b, s, strlen(s));
}

bool dv_buffer_printf(dv_buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    bool ok = n >= 0 && dv_buffer_reserve(b, (size_t)n);
    if (ok) {
        vsnprintf(b->at + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return ok;
}

/* Length of the well-formed UTF-8 sequence at P, 0 if it is none (RFC 3629: no surrogates, nothing overlong). */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF && n >= 2 && (p[1] & 0xC0) == 0x80)
        return 2;
    if (p[0] >= 0xE0 && p[0] <= 0xEF && n >= 3 && (p[1] & 0xC0) == 0x80 && (p[2] & 0xC0) == 0x80 &&
        !(p[0] == 0xE0 && p[1] < 0xA0) && !(p[0] == 0xED && p[1] > 0x9F))
        return 3;
    if (p[0] >= 0xF0 && p[0] <= 0xF4 && n >= 4 && (p[1] & 0xC0) == 0x80 && (p[2] & 0xC0) == 0x80 &&
        (p[3] & 0xC0) == 0x80 && !(p[0] == 0xF0 && p[1] < 0x90) && !(p[0] == 0xF4 && p[1] > 0x8F))
        return 4;
    return 0;
}

bool dv_buffer_json(dv_buffer *b, dv_text t)
{
    dv_buffer_add(b, "\"", 1);
    for (size_t i = 0; i < t.len;) {
        const unsigned char *p = (const unsigned char *)t.at + i;
        size_t n = utf8_length(p, t.len - i);
        if (n == 0) {
            dv_buffer_string(b, "\xEF\xBF\xBD");
            n = 1;
        } else if (*p == '"' || *p == '\\') {
            dv_buffer_printf(b, "\\%c", *p);
        } else if (*p < 0x20) {
            dv_buffer_printf(b, "\\u%04x", *p);
        } else {
            dv_buffer_add(b, p, n);
        }
        i += n;
    }
    dv_buffer_add(b, "\"", 1);
    return !b->failed;
}

dv_text dv_buffer_as_text(const dv_buffer *b)
{
    return (dv_text){b->at ? b->at : "", b->len};
}

void dv_buffer_clear(dv_buffer *b)
{
    b->len = 0;
    b->failed = false;
}

void dv_buffer_free(dv_buffer *b)
{
    free(b->at);
    *b = (dv_buffer){0};
}
