/* dict_table.h: the generated tables, for dict.c alone. make_dict.lua says what each holds. */
#ifndef DV_DICOM_DICT_TABLE_H
#define DV_DICOM_DICT_TABLE_H

#include "dicom/dict.h"

enum { DV_DICT_SLOT_BITS = 14 };

typedef struct dv_dict_range {
    uint16_t first_group, last_group, first_element, last_element;
} dv_dict_range;

extern const dv_dict_entry dv_dict_entries[];
extern const uint32_t dv_dict_fixed, dv_dict_total, dv_dict_names, dv_dict_private_count;
extern const dv_dict_range dv_dict_ranges[];
extern const uint16_t dv_dict_slots[], dv_dict_by_name[];
extern const dv_dict_entry dv_dict_privates[];

#endif
