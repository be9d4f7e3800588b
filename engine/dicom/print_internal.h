/* print_internal.h: values as text, shared by the JSON model (json.c) and the listing (dump.c). */
#ifndef DV_DICOM_PRINT_INTERNAL_H
#define DV_DICOM_PRINT_INTERNAL_H

#include "base/buffer.h"
#include "dicom/dataset.h"
#include "dicom/part10.h"

/* One value to be printed, from dataset or meta group. */
typedef struct dv_printable {
    dv_vr vr;
    dv_text bytes; /* as encoded */
    bool big_endian;
    const dv_charset *cs;
} dv_printable;

/* The index of DS with all its bytes in memory, edits applied: DS's own when nothing was written. NULL with ERR. */
const dv_index *dv_print_index(dv_dataset *ds, dv_error *err);
/* The character set in force in ITEM (DV_NO_NODE: the dataset): its own, else AROUND. A term that means nothing leaves AROUND. */
dv_charset dv_print_charset(const dv_index *ix, uint32_t item, const dv_charset *around);
dv_printable dv_print_node(const dv_index *ix, uint32_t node, const dv_charset *cs);
/* A text value as UTF-8. Bytes that are none in the declared set are read with its escapes standing over delimiters, or by the set that
 * they certainly are in, else shown as U+FFFD: printing does not fail on them. */
bool dv_print_text(const dv_printable *v, dv_arena *arena, dv_text *out, dv_error *err);
/* ONE value without the padding that its VR makes insignificant. */
dv_text dv_print_strip(dv_vr vr, dv_text one);
/* Appends number INDEX of US SS UL SL UV SV FL FD AT. False: behind the last, or no such VR. */
bool dv_print_number(const dv_printable *v, size_t index, bool json, dv_buffer *out);
/* Numbers and tags; not text, not bytes. */
bool dv_print_is_numeric(dv_vr vr);
/* The elements of group 0002 of META, whether read or made by hand; in ARENA. */
bool dv_print_meta(const dv_file_meta *meta, dv_arena *arena, dv_text *group, dv_error *err);

#endif
