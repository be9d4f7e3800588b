#include "dicom/dict_table.h"

static bool in_range(const dv_dict_range *r, dv_tag tag)
{
    uint16_t group = DV_GROUP(tag), element = DV_ELEMENT(tag);
    /* Only even groups and elements are meant (DCMTK's notation without -u- or -o-). */
    return group >= r->first_group && group <= r->last_group && !(group & 1) && element >= r->first_element &&
           element <= r->last_element && !((element ^ r->first_element) & 1);
}

const dv_dict_entry *dv_dict_by_tag(dv_tag tag)
{
    /* The table is filled by make_dict.lua with this very hash, at most a third full. */
    uint32_t at = (uint32_t)(tag * 2654435761u) >> (32 - DV_DICT_SLOT_BITS);
    for (uint16_t slot; (slot = dv_dict_slots[at]); at = (at + 1) & ((1u << DV_DICT_SLOT_BITS) - 1))
        if (dv_dict_entries[slot - 1].tag == tag)
            return &dv_dict_entries[slot - 1];
    uint16_t family = DV_GROUP(tag) & 0xFF00;
    if (family == 0x5000 || family == 0x6000 || family == 0x7F00 || DV_GROUP(tag) == 0x0020)
        for (uint32_t i = dv_dict_fixed; i < dv_dict_total; i++)
            if (in_range(&dv_dict_ranges[i - dv_dict_fixed], tag))
                return &dv_dict_entries[i];
    return NULL;
}

const dv_dict_entry *dv_dict_by_keyword(dv_text keyword)
{
    uint32_t low = 0, high = dv_dict_names;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        const dv_dict_entry *e = &dv_dict_entries[dv_dict_by_name[mid]];
        size_t n = strlen(e->keyword), least = n < keyword.len ? n : keyword.len;
        int order = least ? memcmp(keyword.at, e->keyword, least) : 0;
        if (!order && n == keyword.len)
            return e;
        if (order < 0 || (!order && keyword.len < n))
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const dv_dict_entry *dv_dict_private(dv_text creator, dv_tag tag)
{
    dv_tag key = tag & 0xFFFF00FFu;
    uint32_t low = 0, high = dv_dict_private_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        const dv_dict_entry *e = &dv_dict_privates[mid];
        size_t n = strlen(e->creator), least = n < creator.len ? n : creator.len;
        int order = least ? memcmp(creator.at, e->creator, least) : 0;
        if (!order && n == creator.len) {
            if (e->tag == key)
                return e;
            order = key < e->tag ? -1 : 1;
        } else if (!order) {
            order = creator.len < n ? -1 : 1;
        }
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const char *dv_dict_nearest(dv_text keyword)
{
    unsigned third = (unsigned)(keyword.len < 512 ? keyword.len / 3 : 170), limit = third < 3 ? third : 3;
    const char *best = NULL;
    for (uint32_t i = 0; i < dv_dict_names; i++) {
        const dv_dict_entry *e = &dv_dict_entries[dv_dict_by_name[i]];
        size_t n = strlen(e->keyword), apart = n > keyword.len ? n - keyword.len : keyword.len - n;
        if (apart > limit)
            continue;
        unsigned distance = dv_text_distance(keyword, dv_text_of(e->keyword), limit);
        if (distance > limit)
            continue;
        best = e->keyword;
        if (!distance)
            return best;
        limit = distance - 1;
    }
    return best;
}

size_t dv_dict_count(void)
{
    return dv_dict_total;
}

const dv_dict_entry *dv_dict_at(size_t index)
{
    return index < dv_dict_total ? &dv_dict_entries[index] : NULL;
}

dv_vr dv_dict_vr(dv_tag tag)
{
    if (!DV_ELEMENT(tag))
        return DV_VR_UL;
    if (DV_GROUP(tag) & 1)
        return DV_ELEMENT(tag) >= 0x10 && DV_ELEMENT(tag) <= 0xFF ? DV_VR_LO : DV_VR_UN;
    const dv_dict_entry *e = dv_dict_by_tag(tag);
    return e ? e->vr : DV_VR_UN;
}
