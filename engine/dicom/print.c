#include "dicom/print_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const dv_index *dv_print_index(dv_dataset *ds, dv_error *err)
{
    const dv_index *ix = dv_dataset_index(ds);
    if (ix && !dv_dataset_is_changed(ds))
        return ix;
    dv_text bytes;
    if (!dv_write_bytes(ds, &bytes, err))
        return NULL;
    dv_arena *arena = dv_dataset_arena(ds);
    dv_index *fresh = dv_arena_zalloc(arena, 1, sizeof *fresh);
    if (!fresh) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for the index");
        return NULL;
    }
    dv_encoding e = ix ? ix->encoding : (dv_encoding){0};
    return dv_index_all(fresh, arena, e, (const uint8_t *)bytes.at, bytes.len, err) ? fresh : NULL;
}

dv_charset dv_print_charset(const dv_index *ix, uint32_t item, const dv_charset *around)
{
    dv_charset cs;
    uint32_t n = item == DV_NO_NODE ? dv_index_find(ix, DV_SpecificCharacterSet)
                                    : dv_index_find_in(ix, item, DV_SpecificCharacterSet);
    if (n != DV_NO_NODE && ix->nodes[n].kind == DV_NODE_VALUE && dv_charset_parse(dv_index_value(ix, n), &cs, NULL))
        return cs;
    if (around)
        return *around;
    dv_charset_parse((dv_text){0}, &cs, NULL);
    return cs;
}

dv_printable dv_print_node(const dv_index *ix, uint32_t node, const dv_charset *cs)
{
    const dv_node *n = &ix->nodes[node];
    return (dv_printable){n->vr, dv_index_value(ix, node), ix->encoding.big_endian && !n->implicit, cs};
}

bool dv_print_text(const dv_printable *v, dv_arena *arena, dv_text *out, dv_error *err)
{
    dv_error why = {0};
    if (dv_charset_decode(v->cs, v->vr, v->bytes, arena, out, &why))
        return true;
    if (why.code == DV_ERR_MEMORY)
        return dv_fail(err, why.code, "%s", why.message);
    if (v->cs->iso2022 && dv_charset_decode_carried(v->cs, v->vr, v->bytes, arena, out, NULL))
        return true;
    const char *sure = dv_charset_detect(v->bytes);
    dv_charset cs;
    if (sure && dv_charset_parse(dv_text_of(sure), &cs, NULL) &&
        dv_charset_decode(&cs, v->vr, v->bytes, arena, out, NULL))
        return true;
    char *p = dv_arena_alloc(arena, v->bytes.len * 3);
    if (!p)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for %zu bytes of text", v->bytes.len);
    size_t n = 0;
    for (size_t i = 0; i < v->bytes.len; i++) {
        unsigned char c = (unsigned char)v->bytes.at[i];
        if (c < 0x80 && c != 0x1B) {
            p[n++] = (char)c;
        } else {
            memcpy(p + n, "\xEF\xBF\xBD", 3);
            n += 3;
        }
    }
    *out = (dv_text){p, n};
    return true;
}

dv_text dv_print_strip(dv_vr vr, dv_text one)
{
    while (one.len > 0 && (one.at[one.len - 1] == ' ' || one.at[one.len - 1] == '\0'))
        one.len--;
    bool both =
        vr == DV_VR_AE || vr == DV_VR_CS || vr == DV_VR_DS || vr == DV_VR_IS || vr == DV_VR_LO || vr == DV_VR_SH;
    while (both && one.len > 0 && one.at[0] == ' ')
        one = (dv_text){one.at + 1, one.len - 1};
    return one;
}

static uint64_t number(const char *at, size_t n, bool big)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)(uint8_t)at[i] << 8 * (big ? n - 1 - i : i);
    return v;
}

static size_t width(dv_vr vr)
{
    switch (vr) {
    case DV_VR_US:
    case DV_VR_SS:
        return 2;
    case DV_VR_UL:
    case DV_VR_SL:
    case DV_VR_FL:
    case DV_VR_AT:
        return 4;
    case DV_VR_UV:
    case DV_VR_SV:
    case DV_VR_FD:
        return 8;
    default:
        return 0;
    }
}

bool dv_print_is_numeric(dv_vr vr)
{
    return width(vr) > 0;
}

/* The shortest decimal that reads back as VALUE: as a float when SINGLE. JSON has no word for what is no number (PS3.18
 * F.2.3). */
static void print_real(double value, bool single, bool json, dv_buffer *out)
{
    char buf[40];
    if (isnan(value) || isinf(value)) {
        const char *word = isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity";
        dv_buffer_printf(out, json ? "\"%s\"" : "%s", word);
        return;
    }
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, value);
        if (single ? strtof(buf, NULL) == (float)value : strtod(buf, NULL) == value)
            break;
    }
    dv_buffer_string(out, buf);
}

bool dv_print_number(const dv_printable *v, size_t index, bool json, dv_buffer *out)
{
    size_t n = width(v->vr);
    if (n == 0 || index >= v->bytes.len / n)
        return false;
    const char *at = v->bytes.at + index * n;
    uint64_t u = number(at, n, v->big_endian);
    switch (v->vr) {
    case DV_VR_AT:
        u = number(at, 2, v->big_endian) << 16 | number(at + 2, 2, v->big_endian);
        dv_buffer_printf(out, json ? "\"%08X\"" : "%08X", (unsigned)u);
        break;
    case DV_VR_SS:
        dv_buffer_printf(out, "%d", (int)(int16_t)u);
        break;
    case DV_VR_SL:
        dv_buffer_printf(out, "%d", (int)(int32_t)u);
        break;
    case DV_VR_SV:
        dv_buffer_printf(out, "%lld", (long long)(int64_t)u);
        break;
    case DV_VR_FL: {
        uint32_t bits = (uint32_t)u;
        float f;
        memcpy(&f, &bits, sizeof f);
        print_real((double)f, true, json, out);
        break;
    }
    case DV_VR_FD: {
        double d;
        memcpy(&d, &u, sizeof d);
        print_real(d, false, json, out);
        break;
    }
    default:
        dv_buffer_printf(out, "%llu", (unsigned long long)u);
        break;
    }
    return true;
}

bool dv_print_meta(const dv_file_meta *meta, dv_arena *arena, dv_text *group, dv_error *err)
{
    enum { PREFIX = 132 };
    dv_text made;
    *group = meta->group;
    if (group->at)
        return true;
    if (!dv_part10_write(meta, arena, &made, NULL, err))
        return false;
    *group = (dv_text){made.at + PREFIX, made.len - PREFIX};
    return true;
}
