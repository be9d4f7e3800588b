/* text.h: a run of bytes, pointer and length.
 *
 * DICOM values have no terminator, so nothing here needs one. A dv_text borrows: whoever made it says how long it lives.
 * at == NULL means "absent", len == 0 with at != NULL means "empty"; the two are never the same thing in DICOM.
 * Threads   values; share freely. */
#ifndef DV_BASE_TEXT_H
#define DV_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct dv_text {
    const char *at;
    size_t len;
} dv_text;

/* A string literal as text. */
#define DV_TEXT(literal) ((dv_text){"" literal, sizeof(literal) - 1})
/* For printf: "%.*s", DV_ARG(text). */
#define DV_ARG(text) (int)(text).len, ((text).at ? (text).at : "")

/* S up to its terminator; NULL gives the absent text. Lives as long as S. */
dv_text dv_text_of(const char *s);
bool dv_text_is(dv_text a, const char *b);
bool dv_text_equal(dv_text a, dv_text b);
/* ASCII letters compare without case. */
bool dv_text_equal_nocase(dv_text a, dv_text b);
/* -1, 0, 1 by bytes, the shorter first. */
int dv_text_compare(dv_text a, dv_text b);
bool dv_text_starts(dv_text t, dv_text prefix);
/* Index of the first C, or T.len. */
size_t dv_text_find(dv_text t, char c);
/* Without blanks, tabs, line ends and NULs at both ends. */
dv_text dv_text_trim(dv_text t);
/* The part before the first SEP; *REST becomes what follows it, or absent when SEP was not there. */
dv_text dv_text_split(dv_text t, char sep, dv_text *rest);
/* Decimal digits only, whole text; false if not, or past UINT64_MAX. */
bool dv_text_uint(dv_text t, uint64_t *out);
/* V without its fraction; the nearest there is beyond the range, 0 for NaN: what JSON calls a number may be 1e300. */
int64_t dv_int64_of(double v);
/* How many single edits (insert, drop, change, swap) make A of B, case ignored; counted up to LIMIT + 1. */
unsigned dv_text_distance(dv_text a, dv_text b, unsigned limit);
/* Copies T with a terminator into BUF of SIZE bytes, cutting what does not fit; false if it was cut. */
bool dv_text_copy(dv_text t, char *buf, size_t size);

#endif
