/* Any bytes in any character set: decoding does not fail badly; what decodes is UTF-8, and what encodes again decodes
 * to the same. */
#include "dicom/charset.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* The first line is the value of SpecificCharacterSet, its first byte chooses the VR; the rest is text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const dv_vr vrs[] = {DV_VR_PN, DV_VR_LO, DV_VR_LT, DV_VR_UC};
    dv_text all = {(const char *)data, size}, bytes, value, out, again, back;
    dv_text values[8];
    dv_charset cs;
    if (size < 2)
        return 0;
    dv_vr vr = vrs[data[0] & 3];
    all = (dv_text){all.at + 1, all.len - 1};
    value = dv_text_split(all, '\n', &bytes);
    dv_charset_parse(value, &cs, NULL);
    dv_charset_detect(bytes);
    dv_charset_split(&cs, bytes, values, 8);
    dv_arena arena;
    dv_arena_init(&arena, 0);
    if (dv_charset_decode(&cs, vr, bytes, &arena, &out, NULL)) {
        check(dv_utf8_valid(out));
        if (dv_charset_encode(&cs, vr, out, &arena, &again, NULL)) {
            check(dv_charset_decode(&cs, vr, again, &arena, &back, NULL));
            check(dv_text_equal(out, back));
        }
    }
    dv_arena_free(&arena);
    return 0;
}
