#include "dicom/json.h"

#include "dicom/print_internal.h"

#include <stdlib.h>

typedef struct writer {
    const dv_index *ix;
    dv_arena *arena;
    dv_buffer *out;
    dv_json_options options;
    int depth;
    bool stopped; /* flush said no */
} writer;

enum {
    FULL = 64 * 1024,  /* text that is handed on */
    BASE64 = 24 * 2048 /* bytes encoded at a time: whole groups of three, whole words of eight */
};

/* Hands on what there is, when it is LEAST bytes or more. */
static bool drain(writer *w, size_t least)
{
    if (!w->options.flush || w->out->failed || w->out->len < least)
        return !w->stopped;
    w->stopped = w->stopped || !w->options.flush(w->options.user, dv_buffer_as_text(w->out));
    dv_buffer_clear(w->out);
    return !w->stopped;
}

static void line(writer *w)
{
    if (!w->options.pretty)
        return;
    dv_buffer_add(w->out, "\n", 1);
    for (int i = 0; i < w->depth; i++)
        dv_buffer_add(w->out, "  ", 2);
}

static void open_bracket(writer *w, char c)
{
    dv_buffer_add(w->out, &c, 1);
    w->depth++;
}

static void close_bracket(writer *w, char c)
{
    w->depth--;
    line(w);
    dv_buffer_add(w->out, &c, 1);
}

/* "name": with a comma before it unless it is the FIRST. */
static void name(writer *w, const char *text, bool first)
{
    if (!first)
        dv_buffer_add(w->out, ",", 1);
    line(w);
    dv_buffer_printf(w->out, w->options.pretty ? "\"%s\": " : "\"%s\":", text);
}

static void comma(writer *w, size_t index)
{
    if (index > 0)
        dv_buffer_add(w->out, ",", 1);
    line(w);
}

/* ---- bytes ---- */

/* Byte I of BYTES in little endian, UNIT bytes a word. */
static uint8_t byte_at(dv_text bytes, size_t i, size_t unit)
{
    size_t word = i - i % unit, other = word + unit - 1 - i % unit;
    return (uint8_t)bytes.at[unit == 1 || other >= bytes.len ? i : other];
}

static void base64(dv_buffer *out, dv_text bytes, size_t unit)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (!dv_buffer_reserve(out, (bytes.len + 2) / 3 * 4))
        return;
    char *p = out->at + out->len;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t v = 0;
        for (size_t k = 0; k < n; k++)
            v |= (uint32_t)byte_at(bytes, i + k, unit) << (16 - 8 * k);
        *p++ = digits[v >> 18];
        *p++ = digits[v >> 12 & 63];
        *p++ = n > 1 ? digits[v >> 6 & 63] : '=';
        *p++ = n > 2 ? digits[v & 63] : '=';
    }
    *p = '\0';
    out->len = (size_t)(p - out->at);
}

static void write_binary(writer *w, const dv_printable *v)
{
    if (v->bytes.len == 0)
        return;
    const dv_vr_info *info = dv_vr_lookup(v->vr);
    name(w, "InlineBinary", false);
    dv_buffer_add(w->out, "\"", 1);
    for (size_t at = 0; at < v->bytes.len && drain(w, FULL); at += BASE64) {
        size_t n = v->bytes.len - at < BASE64 ? v->bytes.len - at : BASE64;
        base64(w->out, (dv_text){v->bytes.at + at, n}, v->big_endian && info ? info->unit : 1);
    }
    dv_buffer_add(w->out, "\"", 1);
}

/* ---- numbers ---- */

static size_t count_digits(dv_text t, size_t from)
{
    size_t n = 0;
    while (from + n < t.len && t.at[from + n] >= '0' && t.at[from + n] <= '9')
        n++;
    return n;
}

/* IS or DS as a JSON number: no plus sign, no leading zeros, digits on both sides of a point. False: T is no number. */
static bool decimal(dv_text t, bool integer, dv_buffer *out)
{
    size_t i = 0, before, behind = 0, exponent = 0;
    bool minus = t.len > 0 && t.at[0] == '-';
    char sign = 0;
    i += t.len > 0 && (minus || t.at[0] == '+');
    size_t first = i;
    before = count_digits(t, i);
    i += before;
    size_t point = i;
    if (!integer && i < t.len && t.at[i] == '.') {
        behind = count_digits(t, ++i);
        i += behind;
    }
    if (before + behind == 0)
        return false;
    size_t e = i;
    if (!integer && i < t.len && (t.at[i] == 'E' || t.at[i] == 'e')) {
        i++;
        if (i < t.len && (t.at[i] == '+' || t.at[i] == '-'))
            sign = t.at[i++];
        e = i;
        exponent = count_digits(t, i);
        if (exponent == 0)
            return false;
        i += exponent;
    }
    if (i != t.len)
        return false;
    while (before > 1 && t.at[first] == '0') {
        first++;
        before--;
    }
    dv_buffer_string(out, minus ? "-" : "");
    dv_buffer_text(out, before ? (dv_text){t.at + first, before} : DV_TEXT("0"));
    if (behind)
        dv_buffer_text(out, (dv_text){t.at + point, behind + 1});
    if (exponent)
        dv_buffer_printf(out, "e%s%.*s", sign == '-' ? "-" : "", (int)exponent, t.at + e);
    return true;
}

static void write_numbers(writer *w, const dv_printable *v)
{
    for (size_t i = 0;; i++) {
        drain(w, FULL);
        size_t before = w->out->len;
        if (i == 0) {
            name(w, "Value", false);
            open_bracket(w, '[');
        }
        comma(w, i);
        if (!dv_print_number(v, i, true, w->out)) {
            w->out->len = before; /* the comma, or all of an empty Value */
            if (i == 0)
                w->depth--;
            else
                close_bracket(w, ']');
            return;
        }
    }
}

/* ---- text ---- */

/* A group of a name without blanks around its components and without trailing carets, which say nothing. */
static void write_name_group(writer *w, const char *key, dv_text group, bool *first)
{
    char *p = dv_arena_alloc(w->arena, group.len + 1);
    size_t n = 0, kept = 0;
    if (!p) {
        w->out->failed = true;
        return;
    }
    for (dv_text rest = group; rest.at;) {
        dv_text part = dv_print_strip(DV_VR_LO, dv_text_split(rest, '^', &rest));
        memcpy(p + n, part.at, part.len);
        n += part.len;
        if (part.len > 0)
            kept = n;
        if (rest.at)
            p[n++] = '^';
    }
    if (kept == 0)
        return;
    name(w, key, *first);
    dv_buffer_json(w->out, (dv_text){p, kept});
    *first = false;
}

static bool has_name(dv_text t)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.at[i] != '^' && t.at[i] != '=' && t.at[i] != ' ' && t.at[i] != '\0')
            return true;
    return false;
}

static void write_name(writer *w, dv_text one)
{
    static const char *const keys[] = {"Alphabetic", "Ideographic", "Phonetic"};
    bool first = true;
    dv_text rest = one;
    open_bracket(w, '{');
    for (size_t i = 0; i < 3 && rest.at; i++) /* groups past the third have no place in the model */
        write_name_group(w, keys[i], dv_text_split(rest, '=', &rest), &first);
    close_bracket(w, '}');
}

static void write_one(writer *w, dv_vr vr, dv_text one)
{
    bool number = vr == DV_VR_IS || vr == DV_VR_DS;
    if (vr == DV_VR_PN ? !has_name(one) : one.len == 0)
        dv_buffer_string(w->out, "null");
    else if (vr == DV_VR_PN)
        write_name(w, one);
    else if (!number || !decimal(one, vr == DV_VR_IS, w->out))
        dv_buffer_json(w->out, one);
}

static bool write_text(writer *w, const dv_printable *v, const dv_vr_info *info, dv_error *err)
{
    dv_text text;
    if (!dv_print_text(v, w->arena, &text, err))
        return false;
    bool some = false;
    for (dv_text rest = text; rest.at && !some;) {
        dv_text one = dv_print_strip(v->vr, info->multiple ? dv_text_split(rest, '\\', &rest) : rest);
        some = v->vr == DV_VR_PN ? has_name(one) : one.len > 0;
        if (!info->multiple)
            break;
    }
    if (!some)
        return true;
    name(w, "Value", false);
    open_bracket(w, '[');
    size_t i = 0;
    for (dv_text rest = text; rest.at; i++) {
        dv_text one = info->multiple ? dv_text_split(rest, '\\', &rest) : rest;
        if (!info->multiple)
            rest.at = NULL;
        comma(w, i);
        write_one(w, v->vr, dv_print_strip(v->vr, one));
    }
    close_bracket(w, ']');
    return true;
}

/* ---- elements ---- */

static void begin_element(writer *w, dv_tag tag, const char *vr, bool first)
{
    char key[9];
    static const char hex[] = "0123456789ABCDEF";
    for (int i = 0; i < 8; i++)
        key[i] = hex[tag >> (28 - 4 * i) & 15];
    key[8] = '\0';
    name(w, key, first);
    open_bracket(w, '{');
    name(w, "vr", true);
    dv_buffer_printf(w->out, "\"%s\"", vr);
}

static bool write_value(writer *w, dv_tag tag, const dv_printable *v, bool first, dv_error *err)
{
    const dv_vr_info *info = dv_vr_lookup(v->vr);
    bool charset = tag == DV_SpecificCharacterSet;
    begin_element(w, tag, charset ? "CS" : info ? info->name : "UN", first);
    bool good = true;
    if (charset) {
        name(w, "Value", false);
        open_bracket(w, '[');
        line(w);
        dv_buffer_string(w->out, "\"ISO_IR 192\"");
        close_bracket(w, ']');
    } else if (info && info->text) {
        good = write_text(w, v, info, err);
    } else if (dv_print_is_numeric(v->vr)) {
        write_numbers(w, v);
    } else {
        write_binary(w, v);
    }
    close_bracket(w, '}');
    return good;
}

static bool write_elements(writer *w, uint32_t item, const dv_charset *around, bool first, dv_error *err);

/* Bounded: the index admits DV_MAX_NESTING sequences in each other. */
static bool write_node(writer *w, uint32_t node, const dv_charset *cs, bool first, dv_error *err)
{
    const dv_node *n = &w->ix->nodes[node];
    if (n->kind != DV_NODE_SEQUENCE) {
        dv_printable v = dv_print_node(w->ix, node, cs);
        return write_value(w, n->tag, &v, first, err);
    }
    begin_element(w, n->tag, "SQ", first);
    size_t i = 0;
    for (uint32_t item = node + 1; item < n->end; item = w->ix->nodes[item].end, i++) {
        if (i == 0) {
            name(w, "Value", false);
            open_bracket(w, '[');
        }
        comma(w, i);
        open_bracket(w, '{');
        if (!write_elements(w, item, cs, true, err))
            return false;
        close_bracket(w, '}');
    }
    if (i > 0)
        close_bracket(w, ']');
    close_bracket(w, '}');
    return true;
}

typedef struct place {
    dv_tag tag;
    uint32_t node;
} place;

static int by_tag(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return x->tag != y->tag ? (x->tag < y->tag ? -1 : 1) : x->node < y->node ? -1 : x->node > y->node;
}

static bool wanted(const writer *w, dv_tag tag)
{
    return DV_ELEMENT(tag) != 0 && DV_GROUP(tag) != 2 && !(w->options.no_pixel_data && tag == DV_PixelData);
}

/* The elements of ITEM, or of the dataset: in order of tags, the last of several of one tag. */
static bool write_elements(writer *w, uint32_t item, const dv_charset *around, bool first, dv_error *err)
{
    const dv_index *ix = w->ix;
    const dv_charset cs = dv_print_charset(ix, item, around);
    uint32_t end = item == DV_NO_NODE ? ix->count : ix->nodes[item].end, begin = item == DV_NO_NODE ? 0 : item + 1;
    size_t count = 0, at = 0;
    for (uint32_t n = begin; n < end; n = ix->nodes[n].end)
        count += wanted(w, ix->nodes[n].tag);
    place *list = dv_arena_alloc(w->arena, count * sizeof *list);
    if (!list)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for %zu elements", count);
    bool sorted = true;
    for (uint32_t n = begin; n < end; n = ix->nodes[n].end)
        if (wanted(w, ix->nodes[n].tag)) {
            sorted &= at == 0 || list[at - 1].tag < ix->nodes[n].tag;
            list[at++] = (place){ix->nodes[n].tag, n};
        }
    if (!sorted)
        qsort(list, count, sizeof *list, by_tag);
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && list[i + 1].tag == list[i].tag)
            continue;
        if (!write_node(w, list[i].node, &cs, first, err) || !drain(w, FULL))
            return false;
        first = false;
    }
    return true;
}

bool dv_json_write(dv_dataset *ds, const dv_file_meta *meta, dv_json_options options, dv_buffer *out, dv_error *err)
{
    writer w = {.arena = dv_dataset_arena(ds), .out = out, .options = options};
    bool first = true;
    w.ix = dv_print_index(ds, err);
    if (!w.ix)
        return false;
    open_bracket(&w, '{');
    if (options.meta && meta) {
        dv_printable v = {0};
        dv_charset ascii;
        dv_text group;
        dv_tag tag = 0;
        dv_charset_parse((dv_text){0}, &ascii, NULL);
        if (!dv_print_meta(meta, w.arena, &group, err))
            return false;
        v.cs = &ascii;
        for (size_t at = 0; dv_part10_next(group, &at, &tag, &v.vr, &v.bytes);) {
            if (DV_ELEMENT(tag) == 0)
                continue;
            if (!write_value(&w, tag, &v, first, err))
                return false;
            first = false;
        }
    }
    if (!write_elements(&w, DV_NO_NODE, NULL, first, err))
        return false;
    close_bracket(&w, '}');
    if (out->failed)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for the JSON text");
    return drain(&w, 0);
}
