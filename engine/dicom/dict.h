/* dict.h: the data dictionary (PS3.6, and DCMTK's list of private elements), a sorted C table made at build time by
 * make_dict.lua. No file and no lock at run time.
 * Threads   read-only. */
#ifndef DV_DICOM_DICT_H
#define DV_DICOM_DICT_H

#include "dicom/tag.h"

typedef struct dv_dict_entry {
    dv_tag tag;             /* private entries: group and the low byte of the element */
    dv_vr vr;               /* the dictionary's VR; "ox", "xs", "up" of DCMTK become OW, US, UL with `alt` */
    dv_vr alt;              /* OB or SS where two VRs are possible, else 0 */
    uint8_t vm_min, vm_max; /* vm_max 255 = n */
    bool retired;
    const char *keyword; /* "PatientID" */
    const char *creator; /* private entries, else NULL */
} dv_dict_entry;

/* Repeating groups (50xx, 60xx) are found by any of their groups. NULL: not in the dictionary. */
const dv_dict_entry *dv_dict_by_tag(dv_tag tag);
const dv_dict_entry *dv_dict_by_keyword(dv_text keyword);
/* CREATOR without padding; TAG in any block. */
const dv_dict_entry *dv_dict_private(dv_text creator, dv_tag tag);
/* The keyword nearest to a misspelt one, NULL if none is near (3 edits, or a third of its length). */
const char *dv_dict_nearest(dv_text keyword);
/* Entries in order, for completion lists: index 0..count-1. */
size_t dv_dict_count(void);
const dv_dict_entry *dv_dict_at(size_t index);
/* VR for implicit VR data: the dictionary's, UL for group length, LO for private creators, else UN. */
dv_vr dv_dict_vr(dv_tag tag);

#endif
