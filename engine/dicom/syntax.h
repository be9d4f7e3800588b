/* syntax.h: transfer syntaxes (PS3.5 10, A) and how a dataset in one of them is laid out. */
#ifndef DV_DICOM_SYNTAX_H
#define DV_DICOM_SYNTAX_H

#include "base/text.h"

#define DV_UID_IMPLICIT_LE "1.2.840.10008.1.2"
#define DV_UID_EXPLICIT_LE "1.2.840.10008.1.2.1"
#define DV_UID_EXPLICIT_BE "1.2.840.10008.1.2.2"
#define DV_UID_DEFLATED_LE "1.2.840.10008.1.2.1.99"

/* What the parser and the writer need to know. */
typedef struct dv_encoding {
    bool implicit; /* VR by dictionary */
    bool big_endian;
    bool deflated;     /* raw deflate around explicit little endian */
    bool encapsulated; /* Pixel Data in fragments */
} dv_encoding;

typedef struct dv_syntax {
    const char *uid, *name; /* name as dcmtk prints it, e.g. "JPEG2000" */
    dv_encoding encoding;
    bool lossy;
} dv_syntax;

/* NULL for one that is not known. */
const dv_syntax *dv_syntax_lookup(dv_text uid);
/* All that are known: the I-th, NULL behind the last. */
const dv_syntax *dv_syntax_at(size_t i);
/* Known or not: private syntaxes are explicit little endian and encapsulated, but for GE's 1.2.840.113619.5.2 (implicit,
 * little endian, big endian pixels). */
dv_encoding dv_syntax_encoding(dv_text uid);

#endif
