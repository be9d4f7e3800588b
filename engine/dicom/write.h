/* write.h: a dataset as bytes again: spans of the received bytes, and what was written between them.
 *
 * What was not changed is not copied. An edit inside explicit-length sequences renews the lengths up its parents, and
 * nothing else: undefined lengths stay undefined, group lengths and padding stay as they came.
 * Memory    spans and new bytes in the dataset's arena; the rest points into the received bytes.
 * Threads   one at a time. */
#ifndef DV_DICOM_WRITE_H
#define DV_DICOM_WRITE_H

#include "dicom/dataset.h"

typedef struct dv_span {
    const uint8_t *at; /* NULL: a bulk value that was taken out, `node` names it, LEN bytes */
    uint64_t len;
    uint32_t node;
} dv_span;

typedef struct dv_spans {
    dv_span *span;
    uint32_t count;
    uint64_t total; /* bytes of all spans */
} dv_spans;

/* The header of DS: up to and including the head of Pixel Data (whose body the caller sends behind it), or the whole of a dataset without
 * Pixel Data. In the encoding of its index (deflated: the inflated form). */
bool dv_write_spans(dv_dataset *ds, dv_spans *out, dv_error *err);
/* The same in one piece, bulk not allowed to be taken out: for small datasets, queries, tests. */
bool dv_write_bytes(dv_dataset *ds, dv_text *out, dv_error *err);

#endif
