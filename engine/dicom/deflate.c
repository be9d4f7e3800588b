#include "dicom/deflate.h"

#include <stdlib.h>
#include <zlib.h>

struct dv_inflater {
    z_stream z;
    size_t given; /* bytes appended in all */
    bool done;
};

enum { DV_INFLATE_STEP = 64 * 1024 };

dv_inflater *dv_inflate_new(bool raw, dv_error *err)
{
    dv_inflater *f = calloc(1, sizeof *f);
    if (f && inflateInit2(&f->z, raw ? -MAX_WBITS : MAX_WBITS) == Z_OK)
        return f;
    free(f);
    dv_fail(err, DV_ERR_MEMORY, "no memory to inflate");
    return NULL;
}

bool dv_inflate_add(dv_inflater *f, const void *bytes, size_t len, size_t limit, dv_buffer *out, bool *done,
                    dv_error *err)
{
    const Bytef *from = bytes;
    *done = f->done;
    while (!f->done) {
        if (f->z.avail_in == 0) {
            uInt n = len > 1u << 30 ? 1u << 30 : (uInt)len; /* zlib counts in 32 bits */
            f->z.next_in = (Bytef *)(uintptr_t)from;
            f->z.avail_in = n;
            from += n;
            len -= n;
        }
        /* One byte past the limit tells a stream that ends there from one that goes on. */
        size_t room = limit - f->given < DV_INFLATE_STEP ? limit - f->given + 1 : DV_INFLATE_STEP;
        if (!dv_buffer_reserve(out, room))
            return dv_fail(err, DV_ERR_MEMORY, "no memory for %zu inflated bytes", f->given + room);
        f->z.next_out = (Bytef *)out->at + out->len;
        f->z.avail_out = (uInt)room;
        int state = inflate(&f->z, Z_NO_FLUSH);
        size_t got = room - f->z.avail_out;
        if (f->given + got > limit)
            return dv_fail(err, DV_ERR_LIMIT, "the deflated data give more than the limit of %zu bytes", limit);
        f->given += got;
        out->len += got;
        out->at[out->len] = '\0';
        if (state == Z_STREAM_END) {
            f->done = *done = true;
        } else if (state == Z_MEM_ERROR) {
            return dv_fail(err, DV_ERR_MEMORY, "no memory to inflate");
        } else if (state != Z_OK && state != Z_BUF_ERROR) {
            return dv_fail(err, DV_ERR_MALFORMED, "the deflated data are broken after %zu inflated bytes: %s", f->given,
                           f->z.msg ? f->z.msg : "unknown code");
        } else if (f->z.avail_out > 0 && f->z.avail_in == 0 && len == 0) {
            return true;
        }
    }
    return true;
}

void dv_inflate_free(dv_inflater *f)
{
    if (f)
        inflateEnd(&f->z);
    free(f);
}

bool dv_deflate(const void *bytes, size_t len, bool raw, int level, dv_buffer *out, dv_error *err)
{
    z_stream z = {0};
    const Bytef *from = bytes;
    if (deflateInit2(&z, level, Z_DEFLATED, raw ? -MAX_WBITS : MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return dv_fail(err, DV_ERR_MEMORY, "no memory to deflate");
    int state = Z_OK;
    while (state != Z_STREAM_END) {
        if (z.avail_in == 0) {
            uInt n = len > 1u << 30 ? 1u << 30 : (uInt)len;
            z.next_in = (Bytef *)(uintptr_t)from;
            z.avail_in = n;
            from += n;
            len -= n;
        }
        if (!dv_buffer_reserve(out, DV_INFLATE_STEP)) {
            deflateEnd(&z);
            return dv_fail(err, DV_ERR_MEMORY, "no memory for deflated bytes");
        }
        z.next_out = (Bytef *)out->at + out->len;
        z.avail_out = DV_INFLATE_STEP;
        state = deflate(&z, len == 0 ? Z_FINISH : Z_NO_FLUSH);
        out->len += DV_INFLATE_STEP - z.avail_out;
        out->at[out->len] = '\0';
        if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR) {
            deflateEnd(&z);
            return dv_fail(err, DV_ERR_INTERNAL, "deflate failed with %d", state);
        }
    }
    deflateEnd(&z);
    return true;
}
