/* charset.h: SpecificCharacterSet (PS3.3 C.12.1.1.2, PS3.5 6.1): received bytes to UTF-8 and back.
 *
 *   "ISO 2022 IR 13\ISO 2022 IR 87"      code elements: [0] katakana (in force at each start), [1] kanji by escape
 *    D4 CF C0 DE ^ ...  = ESC$B 3B33 4544 ESC(J ^ ...
 *    G1: katakana         G0: kanji       G0: initial again, as PS3.5 6.1.2.5.3 wants before each delimiter
 *
 * Code elements are iconv's, one table row each; ISO 2022 escapes are ours; ISO_IR 13 is Shift-JIS's single bytes, its two
 * odd Roman letters (yen for backslash, overline for tilde) read as ASCII, so that 5C stays a delimiter both ways. What NEC and IBM
 * added to JIS X 0208 (rows 13, 89 to 92) is read, since Japanese systems send it, and never written.
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
    bool iso2022;   /* escapes may occur */
    bool multibyte; /* GB18030, GBK, or UTF-8 alone: no escapes */
} dv_charset;

/* VALUE is the raw value of (0008,0005), absent or empty for ASCII. Misspelt terms (`ISO-IR 100`, `UTF-8`, `latin1`) are read as
 * what they mean; a multi-byte set that needs escapes gets ASCII before it when it stands first. False with DV_ERR_CHARSET for a
 * term that means nothing; OUT is then ASCII. */
bool dv_charset_parse(dv_text value, dv_charset *out, dv_error *err);
/* The defined term that a misspelt one means ("ISO-IR 100" -> "ISO_IR 100"); NULL if none. */
const char *dv_charset_term(dv_text misspelt);
/* BYTES of an element of VR into UTF-8. Resets at '^', '=', '\\', line ends as VR asks. DV_ERR_CHARSET names the offset of the
 * first byte that is no text in CS; an escape of a code element that CS does not declare is such a byte (ASCII excepted). */
bool dv_charset_decode(const dv_charset *cs, dv_vr vr, dv_text bytes, dv_arena *arena, dv_text *out, dv_error *err);
/* The same for writers that do not return to the initial state: a set that an escape put into G1 stands over delimiters. For repair and
 * for printing, where dv_charset_decode has failed. */
bool dv_charset_decode_carried(const dv_charset *cs, dv_vr vr, dv_text bytes, dv_arena *arena, dv_text *out,
                               dv_error *err);
/* UTF-8 into bytes of CS, escapes included: each character in the first code element that has it, the initial state before
 * delimiters and at the end. DV_ERR_CHARSET names the first character that CS lacks. */
bool dv_charset_encode(const dv_charset *cs, dv_vr vr, dv_text utf8, dv_arena *arena, dv_text *out, dv_error *err);
/* Splits raw BYTES into values at backslashes, which are not mistaken for second bytes of multi-byte characters (PS3.5 6.1.2.5.3).
 * Returns the count (at least 1); fills up to MAX. */
size_t dv_charset_split(const dv_charset *cs, dv_text bytes, dv_text *values, size_t max);
/* The value of SpecificCharacterSet that BYTES are certainly text in, whatever was declared: UTF-8, ISO 2022 escapes, GB18030's
 * four-byte forms. NULL for ASCII and whenever more than one reading is possible (Latin-1, GBK, EUC-KR look alike). Static. */
const char *dv_charset_detect(dv_text bytes);
/* No byte over 7F, no ESC: the same text in every character set of DICOM. */
bool dv_text_is_ascii(dv_text t);
/* Well-formed UTF-8 (RFC 3629): no surrogates, no overlong forms. */
bool dv_utf8_valid(dv_text t);
/* Characters, not bytes. */
size_t dv_utf8_length(dv_text t);
/* Bytes of the well-formed character that T begins with, *CODE its number (may be NULL); 0 when there is none. */
size_t dv_utf8_next(dv_text t, uint32_t *code);

#endif
