/* charset.h: SpecificCharacterSet (PS3.3 C.12.1.1.2, PS3.5 6.1): received bytes to UTF-8 and back.
 *
 * Code elements are iconv's, one table row each; ISO 2022 escapes are ours; ISO_IR 13 is Shift-JIS's single bytes.
 * Text that is all ASCII without ESC is never converted and never copied.
 * Memory    results in the arena given, or borrowed from the input when nothing changes. iconv handles are kept a thread.
 * Threads   a dv_charset is read-only after dv_charset_parse. */
#ifndef DV_DICOM_CHARSET_H
#define DV_DICOM_CHARSET_H

#include "base/arena.h"
#include "base/error.h"
#include "dicom/tag.h"

typedef struct dv_charset {
    const struct dv_code_element *elements[8]; /* [0] is in force at the start of each value and component */
    uint8_t count;
    bool iso2022;       /* escapes may occur */
    bool multibyte;     /* GB18030, GBK, or UTF-8 alone: no escapes */
} dv_charset;

/* VALUE is the raw value of (0008,0005), absent or empty for ASCII. Misspelt terms (`ISO-IR 100`, `UTF-8`, `latin1`) are read as
 * what they mean. False with DV_ERR_CHARSET for a term that means nothing; OUT is then ASCII. */
bool dv_charset_parse(dv_text value, dv_charset *out, dv_error *err);
/* The defined term that a misspelt one means ("ISO-IR 100" -> "ISO_IR 100"); NULL if none. */
const char *dv_charset_term(dv_text misspelt);
/* BYTES of an element of VR into UTF-8. Resets at '^', '=', '\\', line ends as VR asks. DV_ERR_CHARSET names the offset of the
 * first byte that is no text in CS. */
bool dv_charset_decode(const dv_charset *cs, dv_vr vr, dv_text bytes, dv_arena *arena, dv_text *out, dv_error *err);
/* UTF-8 into bytes of CS, escapes included. DV_ERR_CHARSET names the first character that CS lacks. */
bool dv_charset_encode(const dv_charset *cs, dv_vr vr, dv_text utf8, dv_arena *arena, dv_text *out, dv_error *err);
/* Splits raw BYTES into values at backslashes, which are not mistaken for second bytes of multi-byte characters (PS3.5 6.1.2.5.3).
 * Returns the count; fills up to MAX. */
size_t dv_charset_split(const dv_charset *cs, dv_text bytes, dv_text *values, size_t max);
bool dv_utf8_valid(dv_text t);
/* Characters, not bytes. */
size_t dv_utf8_length(dv_text t);

#endif
