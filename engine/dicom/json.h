/* json.h: the DICOM JSON model (PS3.18 F), as `drover dump --json` and WADO-RS metadata print it.
 * Names are UTF-8 in their groups, binary values InlineBinary in base64 (little endian), empty elements have only a vr. */
#ifndef DV_DICOM_JSON_H
#define DV_DICOM_JSON_H

#include "base/buffer.h"
#include "dicom/part10.h"

typedef struct dv_json_options {
    bool pretty;        /* indented by two blanks */
    bool no_pixel_data; /* (7FE0,0010) left out */
    bool meta;          /* group 0002 too */
} dv_json_options;

/* Appends DS as one JSON object. META may be NULL unless options.meta. */
bool dv_json_write(dv_dataset *ds, const dv_file_meta *meta, dv_json_options options, dv_buffer *out, dv_error *err);
/* Appends a listing for people, one line an element: tag, VR, value, length, keyword. */
bool dv_dump_write(dv_dataset *ds, const dv_file_meta *meta, dv_buffer *out, dv_error *err);

#endif
