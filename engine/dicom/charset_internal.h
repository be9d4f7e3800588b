/* charset_internal.h: the table of code elements, shared by charset.c (terms) and charset_code.c (conversion). */
#ifndef DV_DICOM_CHARSET_INTERNAL_H
#define DV_DICOM_CHARSET_INTERNAL_H

#include "dicom/charset.h"

typedef enum dv_code_form {
    DV_CODE_ASCII,   /* G0 only */
    DV_CODE_BYTE,    /* G1 of 96 single bytes; G0 stays ASCII */
    DV_CODE_KANA,    /* JIS X 0201: katakana in G1, Roman (taken as ASCII) in G0 */
    DV_CODE_G0_PAIR, /* two bytes in G0; the same with high bits set is EUC */
    DV_CODE_G0_212,  /* the same behind 8F in EUC-JP */
    DV_CODE_G1_PAIR, /* two bytes in G1, EUC as they stand */
    DV_CODE_UTF8,
    DV_CODE_GB, /* iconv takes it whole */
} dv_code_form;

typedef struct dv_code_element {
    const char *term;     /* alone: "ISO_IR 100"; NULL for sets that need escapes */
    const char *extended; /* with code extensions: "ISO 2022 IR 100"; NULL for those that forbid them */
    const char *iconv;    /* NULL where iconv is not asked */
    const char *g0, *g1;  /* escape behind ESC that designates it there; NULL */
    dv_code_form form;
} dv_code_element;

enum { DV_CODE_COUNT = 20, DV_ESC = 0x1B };
extern const dv_code_element dv_code_elements[DV_CODE_COUNT]; /* [0] is ASCII */

/* The escape that BYTES (behind ESC) begin with: its element, its length; NULL if it is none of DICOM's. G1: which half it sets. */
const dv_code_element *dv_code_escape(dv_text bytes, size_t *len, bool *g1);

#endif
