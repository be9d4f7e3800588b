/* tag.h: attribute tags and value representations (PS3.5 6.2, 7.1). Keywords as constants: DV_PatientID, in the generated
 * dv_tags.h, made from DCMTK's dictionary. */
#ifndef DV_DICOM_TAG_H
#define DV_DICOM_TAG_H

#include "base/text.h"
#include "dv_tags.h" /* generated: a constant for every standard keyword, DV_PatientID is 0x00100020u */

typedef uint32_t dv_tag; /* group << 16 | element */

#define DV_TAG(group, element) ((dv_tag)(((uint32_t)(group) << 16) | (uint32_t)(element)))
#define DV_GROUP(tag)          ((uint16_t)((tag) >> 16))
#define DV_ELEMENT(tag)        ((uint16_t)((tag)&0xFFFF))
/* Odd groups but 1, 3, 5, 7 and FFFF (PS3.5 7.8). */
bool dv_tag_is_private(dv_tag tag);
/* (gggg,0010-00FF) of a private group. */
bool dv_tag_is_creator(dv_tag tag);
#define DV_ITEM         0xFFFEE000u
#define DV_ITEM_END     0xFFFEE00Du
#define DV_SEQUENCE_END 0xFFFEE0DDu
/* "(0010,0020)" into BUF of 12 bytes; returns BUF. */
char *dv_tag_print(dv_tag tag, char buf[12]);

/* The two letters, first in the high byte: DV_VR('P','N'). 0 is "none" (items, delimiters). */
typedef uint16_t dv_vr;
#define DV_VR(a, b) ((dv_vr)((a) << 8 | (b)))

enum {
    DV_VR_AE = 0x4145,
    DV_VR_AS = 0x4153,
    DV_VR_AT = 0x4154,
    DV_VR_CS = 0x4353,
    DV_VR_DA = 0x4441,
    DV_VR_DS = 0x4453,
    DV_VR_DT = 0x4454,
    DV_VR_FD = 0x4644,
    DV_VR_FL = 0x464C,
    DV_VR_IS = 0x4953,
    DV_VR_LO = 0x4C4F,
    DV_VR_LT = 0x4C54,
    DV_VR_OB = 0x4F42,
    DV_VR_OD = 0x4F44,
    DV_VR_OF = 0x4F46,
    DV_VR_OL = 0x4F4C,
    DV_VR_OV = 0x4F56,
    DV_VR_OW = 0x4F57,
    DV_VR_PN = 0x504E,
    DV_VR_SH = 0x5348,
    DV_VR_SL = 0x534C,
    DV_VR_SQ = 0x5351,
    DV_VR_SS = 0x5353,
    DV_VR_ST = 0x5354,
    DV_VR_SV = 0x5356,
    DV_VR_TM = 0x544D,
    DV_VR_UC = 0x5543,
    DV_VR_UI = 0x5549,
    DV_VR_UL = 0x554C,
    DV_VR_UN = 0x554E,
    DV_VR_UR = 0x5552,
    DV_VR_US = 0x5553,
    DV_VR_UT = 0x5554,
    DV_VR_UV = 0x5556,
};

typedef struct dv_vr_info {
    dv_vr vr;
    char name[3];
    bool text;      /* string VRs */
    bool charset;   /* SpecificCharacterSet applies: LO LT PN SH ST UC UT */
    bool multiple;  /* a backslash separates values (not in LT ST UT UR) */
    bool long_form; /* 32-bit length in explicit encoding */
    uint8_t unit;   /* bytes that endianness swaps; 1 for text and OB UN */
    uint16_t max;   /* characters a value (PN: a component group), 0 = no limit */
    char pad;       /* ' ' or NUL */
} dv_vr_info;

/* NULL when VR is none of PS3.5's 34. */
const dv_vr_info *dv_vr_lookup(dv_vr vr);

#endif
