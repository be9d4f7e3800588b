#include "dicom/tag.h"

bool dv_tag_is_private(dv_tag tag)
{
    uint16_t group = DV_GROUP(tag);
    return (group & 1) && group > 7 && group != 0xFFFF;
}

bool dv_tag_is_creator(dv_tag tag)
{
    return dv_tag_is_private(tag) && DV_ELEMENT(tag) >= 0x10 && DV_ELEMENT(tag) <= 0xFF;
}

static char *hex4(char *p, uint16_t v)
{
    static const char digits[] = "0123456789ABCDEF";
    for (int shift = 12; shift >= 0; shift -= 4)
        *p++ = digits[(v >> shift) & 15];
    return p;
}

char *dv_tag_print(dv_tag tag, char buf[12])
{
    char *p = buf;
    *p++ = '(';
    p = hex4(p, DV_GROUP(tag));
    *p++ = ',';
    p = hex4(p, DV_ELEMENT(tag));
    *p++ = ')';
    *p = '\0';
    return buf;
}

/* vr, name, text, charset, multiple, long form, unit, max, pad (PS3.5 table 6.2-1, 7.1.2). */
static const dv_vr_info infos[] = {
    {DV_VR_AE, "AE", true, false, true, false, 1, 16, ' '}, {DV_VR_AS, "AS", true, false, true, false, 1, 4, ' '},
    {DV_VR_AT, "AT", false, false, true, false, 2, 0, 0},   {DV_VR_CS, "CS", true, false, true, false, 1, 16, ' '},
    {DV_VR_DA, "DA", true, false, true, false, 1, 8, ' '},  {DV_VR_DS, "DS", true, false, true, false, 1, 16, ' '},
    {DV_VR_DT, "DT", true, false, true, false, 1, 26, ' '}, {DV_VR_FD, "FD", false, false, true, false, 8, 0, 0},
    {DV_VR_FL, "FL", false, false, true, false, 4, 0, 0},   {DV_VR_IS, "IS", true, false, true, false, 1, 12, ' '},
    {DV_VR_LO, "LO", true, true, true, false, 1, 64, ' '},  {DV_VR_LT, "LT", true, true, false, false, 1, 10240, ' '},
    {DV_VR_OB, "OB", false, false, false, true, 1, 0, 0},   {DV_VR_OD, "OD", false, false, false, true, 8, 0, 0},
    {DV_VR_OF, "OF", false, false, false, true, 4, 0, 0},   {DV_VR_OL, "OL", false, false, false, true, 4, 0, 0},
    {DV_VR_OV, "OV", false, false, false, true, 8, 0, 0},   {DV_VR_OW, "OW", false, false, false, true, 2, 0, 0},
    {DV_VR_PN, "PN", true, true, true, false, 1, 64, ' '},  {DV_VR_SH, "SH", true, true, true, false, 1, 16, ' '},
    {DV_VR_SL, "SL", false, false, true, false, 4, 0, 0},   {DV_VR_SQ, "SQ", false, false, false, true, 1, 0, 0},
    {DV_VR_SS, "SS", false, false, true, false, 2, 0, 0},   {DV_VR_ST, "ST", true, true, false, false, 1, 1024, ' '},
    {DV_VR_SV, "SV", false, false, true, true, 8, 0, 0},    {DV_VR_TM, "TM", true, false, true, false, 1, 14, ' '},
    {DV_VR_UC, "UC", true, true, true, true, 1, 0, ' '},    {DV_VR_UI, "UI", true, false, true, false, 1, 64, 0},
    {DV_VR_UL, "UL", false, false, true, false, 4, 0, 0},   {DV_VR_UN, "UN", false, false, false, true, 1, 0, 0},
    {DV_VR_UR, "UR", true, false, false, true, 1, 0, ' '},  {DV_VR_US, "US", false, false, true, false, 2, 0, 0},
    {DV_VR_UT, "UT", true, true, false, true, 1, 0, ' '},   {DV_VR_UV, "UV", false, false, true, true, 8, 0, 0},
};

/* 1 + the place in `infos` by the second letter, for each first one; the walk over elements asks several times an element. */
static const uint8_t places[26][26] = {
    ['A' - 'A'] = {['E' - 'A'] = 1, ['S' - 'A'] = 2, ['T' - 'A'] = 3},
    ['C' - 'A'] = {['S' - 'A'] = 4},
    ['D' - 'A'] = {['A' - 'A'] = 5, ['S' - 'A'] = 6, ['T' - 'A'] = 7},
    ['F' - 'A'] = {['D' - 'A'] = 8, ['L' - 'A'] = 9},
    ['I' - 'A'] = {['S' - 'A'] = 10},
    ['L' - 'A'] = {['O' - 'A'] = 11, ['T' - 'A'] = 12},
    ['O' - 'A'] =
        {['B' - 'A'] = 13, ['D' - 'A'] = 14, ['F' - 'A'] = 15, ['L' - 'A'] = 16, ['V' - 'A'] = 17, ['W' - 'A'] = 18},
    ['P' - 'A'] = {['N' - 'A'] = 19},
    ['S' - 'A'] =
        {['H' - 'A'] = 20, ['L' - 'A'] = 21, ['Q' - 'A'] = 22, ['S' - 'A'] = 23, ['T' - 'A'] = 24, ['V' - 'A'] = 25},
    ['T' - 'A'] = {['M' - 'A'] = 26},
    ['U' - 'A'] = {['C' - 'A'] = 27,
                   ['I' - 'A'] = 28,
                   ['L' - 'A'] = 29,
                   ['N' - 'A'] = 30,
                   ['R' - 'A'] = 31,
                   ['S' - 'A'] = 32,
                   ['T' - 'A'] = 33,
                   ['V' - 'A'] = 34},
};

const dv_vr_info *dv_vr_lookup(dv_vr vr)
{
    unsigned first = (vr >> 8) - 'A', second = (vr & 0xFFu) - 'A';
    unsigned place = first < 26 && second < 26 ? places[first][second] : 0;
    return place ? &infos[place - 1] : NULL;
}
