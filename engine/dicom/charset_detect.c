/* What bytes can only be, whatever was declared: the normalization of wrong character sets stands on it. */
#include "dicom/charset_internal.h"

/* Two-byte forms of UTF-8 side by side are also good GBK, EUC-KR and Shift-JIS; then they decode to letters strewn over
 * scripts. A word in one script is believed. */
static int script_of(uint32_t code)
{
    return code < 0x250   ? 1
           : code < 0x370 ? 2
           : code < 0x400 ? 3
           : code < 0x530 ? 4
           : code < 0x590 ? 5
           : code < 0x600 ? 6
                          : 7;
}

static bool certainly_utf8(dv_text t)
{
    int word = 0;
    bool wide = false, mixed = false;
    while (t.len > 0) {
        uint32_t code = 0;
        size_t n = dv_utf8_next(t, &code);
        if (n == 0)
            return false;
        wide |= n > 2;
        if (n == 2) {
            mixed |= word && word != script_of(code);
            word = script_of(code);
        } else {
            word = 0;
        }
        t.at += n;
        t.len -= n;
    }
    return wide || !mixed;
}

static bool certainly_gb18030(dv_text t)
{
    const unsigned char *p = (const unsigned char *)t.at;
    bool four = false;
    for (size_t i = 0; i < t.len;) {
        if (p[i] < 0x80) {
            i++;
        } else if (i + 1 < t.len && p[i] >= 0x81 && p[i] <= 0xFE && p[i + 1] >= 0x40 && p[i + 1] != 0x7F &&
                   p[i + 1] <= 0xFE) {
            i += 2;
        } else if (i + 3 < t.len && p[i] >= 0x81 && p[i] <= 0xFE && p[i + 1] >= 0x30 && p[i + 1] <= 0x39 &&
                   p[i + 2] >= 0x81 && p[i + 2] <= 0xFE && p[i + 3] >= 0x30 && p[i + 3] <= 0x39) {
            four = true;
            i += 4;
        } else {
            return false;
        }
    }
    return four;
}

/* The sets that escapes in T switch to, when all of T decodes by them. */
static const char *detect_escapes(dv_text t)
{
    static const char *const sets[] = {
        "\\ISO 2022 IR 87",
        "\\ISO 2022 IR 149",
        "\\ISO 2022 IR 58",
        "\\ISO 2022 IR 159",
        "\\ISO 2022 IR 87\\ISO 2022 IR 159",
        "\\ISO 2022 IR 100",
        "\\ISO 2022 IR 101",
        "\\ISO 2022 IR 144",
        "\\ISO 2022 IR 126",
        "\\ISO 2022 IR 127",
        "\\ISO 2022 IR 138",
        "\\ISO 2022 IR 166",
        "ISO 2022 IR 13\\ISO 2022 IR 87",
    };
    const char *found = NULL;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof sets / sizeof *sets && !found; i++) {
        dv_charset cs;
        dv_text out;
        if (dv_charset_parse(dv_text_of(sets[i]), &cs, NULL) && dv_charset_decode(&cs, DV_VR_PN, t, &arena, &out, NULL))
            found = sets[i];
        dv_arena_reset(&arena);
    }
    dv_arena_free(&arena);
    return found;
}

const char *dv_charset_detect(dv_text bytes)
{
    if (dv_text_is_ascii(bytes))
        return NULL;
    if (memchr(bytes.at, DV_ESC, bytes.len))
        return detect_escapes(bytes);
    if (certainly_utf8(bytes))
        return "ISO_IR 192";
    if (certainly_gb18030(bytes))
        return "GB18030";
    return NULL;
}
