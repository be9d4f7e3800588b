/* json.h: the DICOM JSON model (PS3.18 F), as `drover dump --json` and WADO-RS metadata print it.
 *
 *   {"00100010":{"vr":"PN","Value":[{"Alphabetic":"Yamada^Tarou","Ideographic":"山田^太郎"}]}, ...
 *
 * Names are UTF-8 in their groups, binary values InlineBinary in base64 (little endian), empty elements have only a vr. The model
 * is that of DCMTK's dcm2json, with these readings of what Annex F leaves open:
 *   - elements in order of tags, the last of a tag that stands twice; group lengths left out
 *   - SpecificCharacterSet, where it stands, is ISO_IR 192, which the text now is; in items too
 *   - IS and DS are numbers where they are numbers, else strings; FL and FD that are none are "NaN", "Infinity", "-Infinity"
 *   - a VR that is none is UN; UN of undefined length is SQ (CP-246)
 *   - compressed Pixel Data is InlineBinary of its fragments with their item heads, as encoded (dcm2json refuses it)
 *   - text that is none in its declared set is read with escapes standing over delimiters, or by the set that it certainly is in,
 *     else its bytes become U+FFFD
 * Memory    the dataset's arena for what is decoded; the text in the buffer. Threads: one at a time a dataset. */
#ifndef DV_DICOM_JSON_H
#define DV_DICOM_JSON_H

#include "base/buffer.h"
#include "dicom/part10.h"

typedef struct dv_json_options {
    bool pretty;        /* indented by two blanks */
    bool no_pixel_data; /* (7FE0,0010) left out */
    bool meta;          /* group 0002 too */
    /* Gets the text piece by piece, so that it is never all in memory; false ends the writing (the error is its own). NULL: OUT has all. */
    bool (*flush)(void *user, dv_text piece);
    void *user;
} dv_json_options;

/* Appends DS as one JSON object, edits included. META may be NULL unless options.meta. Values that were taken out of the header
 * (bulk, in a dataset that is being received) have only their vr. */
bool dv_json_write(dv_dataset *ds, const dv_file_meta *meta, dv_json_options options, dv_buffer *out, dv_error *err);
/* Appends a listing for people, one line an element: tag, VR, value, length, keyword; items and fragments below it, indented. */
bool dv_dump_write(dv_dataset *ds, const dv_file_meta *meta, dv_buffer *out, dv_error *err);

#endif
