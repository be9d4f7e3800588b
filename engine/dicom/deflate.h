/* deflate.h: raw deflate of PS3.5 A.5, and zlib for the received header kept in File Meta. */
#ifndef DV_DICOM_DEFLATE_H
#define DV_DICOM_DEFLATE_H

#include "base/buffer.h"
#include "base/error.h"

/* Inflates as bytes arrive. Threads: one at a time. */
typedef struct dv_inflater dv_inflater;
/* RAW: deflate without a header (PS3.5 A.5); else zlib. */
dv_inflater *dv_inflate_new(bool raw, dv_error *err);
/* Appends what BYTES give to OUT, at most LIMIT bytes in all (DV_ERR_LIMIT). *DONE: the stream's end was met; bytes behind it
 * are not looked at. MALFORMED for what is no deflate. */
bool dv_inflate_add(dv_inflater *z, const void *bytes, size_t len, size_t limit, dv_buffer *out, bool *done,
                    dv_error *err);
void dv_inflate_free(dv_inflater *z);
/* Deflates all of BYTES, appended to OUT. LEVEL 1 to 9. */
bool dv_deflate(const void *bytes, size_t len, bool raw, int level, dv_buffer *out, dv_error *err);

#endif
