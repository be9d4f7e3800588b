/* A dataset opened, edited, written and read again: what was read by a good index gives a good index once more, unedited bytes come
 * out as they went in, and what was written is what is read.
 * First byte: encoding; second: length of the edit script; the script picks paths and values from the tables below. */
#include "dicom/write.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {
    "PatientID", "PatientName", "StudyID", "SpecificCharacterSet", "ImageType[2]", "ImageType[+]", "Rows", "(0018,9087)",
    "ProcedureCodeSequence[1].CodeValue", "ProcedureCodeSequence[+].CodeMeaning", "ProcedureCodeSequence[last]",
    "ProcedureCodeSequence[*].CodeMeaning", "ProcedureCodeSequence", "**.CodeValue", "**.PatientID", "ContentSequence[1]",
    "ContentSequence[1].ContentSequence[1].TextValue", "ProcedureCodeSequence[CodeValue=A].CodeMeaning", "(0009,\"ACME\",01)",
    "(0009,\"GEMS_IDEN_01\",02)", "(0019,1001)[1].PatientName", "(0019,1001)", "**.SpecificCharacterSet", "AccessionNumber",
};
static const char *const values[] = {
    "", "A", "AB\\C", "12", "ISO_IR 100", "ISO_IR 192", "\\ISO 2022 IR 87", "M\xC3\xBCller^Hans", "\xE5\xB1\xB1\xE7\x94\xB0", "-1\\2",
};
static const dv_vr vrs[] = {DV_VR_LO, DV_VR_UN, DV_VR_US, DV_VR_OB, DV_VR_PN, DV_VR_SQ, DV_VR_FD, DV_VR_UT};

static bool look(void *user, const dv_path *place, dv_vr vr)
{
    dv_text text;
    (void)vr;
    dv_dataset *ds = user;
    dv_dataset_get(ds, place, &text, NULL);
    dv_dataset_get_received(ds, place, &text, NULL);
    dv_dataset_items(ds, place);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || (size_t)2 + 3u * (data[1] & 15) > size)
        return 0;
    dv_encoding encoding = {.implicit = data[0] & 1, .big_endian = (data[0] & 3) == 2};
    size_t edits = data[1] & 15;
    const uint8_t *script = data + 2, *bytes = script + 3 * edits;
    size_t len = size - 2 - 3 * edits;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_index ix, again;
    dv_text out;
    dv_error err = {0};
    dv_dataset *ds;
    if (dv_index_all(&ix, &arena, encoding, bytes, len, NULL) && (ds = dv_dataset_open(&arena, &ix, NULL))) {
        if (!dv_write_bytes(ds, &out, NULL) || out.len != len || (len && memcmp(out.at, bytes, len)))
            abort();
        for (size_t i = 0; i < edits; i++, script += 3) {
            const dv_path *path;
            dv_text value = dv_text_of(values[script[2] % (sizeof values / sizeof values[0])]);
            if (!dv_path_compile(&arena, dv_text_of(paths[script[1] % (sizeof paths / sizeof paths[0])]), &path, &err))
                abort();
            switch (script[0] % 8) {
            case 0: dv_dataset_remove(ds, path, NULL, &err); break;
            case 1: dv_dataset_set_vr(ds, path, vrs[script[2] % (sizeof vrs / sizeof vrs[0])], &err); break;
            case 2: dv_dataset_transcode(ds, value, &err); break;
            case 3: dv_dataset_each(ds, path, 0, look, ds, &err); break;
            case 4: dv_dataset_each(ds, NULL, script[2] & 1 ? DV_VR_SH : 0, look, ds, &err); break;
            default: dv_dataset_set(ds, path, value, NULL, &err); break;
            }
        }
        dv_dataset_each(ds, NULL, 0, look, ds, &err);
        if (!dv_write_bytes(ds, &out, &err))
            __builtin_trap(); /* what was accepted can be written */
        if (!dv_index_all(&again, &arena, encoding, (const uint8_t *)out.at, out.len, &err)) {
            /* Only faults of the original may be left. */
            if (!(ix.findings & (DV_INDEX_WRONG_ITEM_LENGTH | DV_INDEX_BAD_VR | DV_INDEX_TRAILING)))
                __builtin_trap();
        }
    }
    dv_arena_free(&arena);
    return 0;
}
