#include "base/limits.h"
#include "dicom/dict.h"
#include "dicom/json.h"
#include "dicom/print_internal.h"

#include <stdio.h>

enum { SHOWN_CHARACTERS = 64, SHOWN_BYTES = 16, SHOWN_NUMBERS = 16, COMMENT_COLUMN = 64 };

typedef struct lister {
    const dv_index *ix;
    dv_arena *arena;
    dv_buffer *out;
    size_t line; /* where the line begins in OUT */
} lister;

static void begin(lister *l, int depth, dv_tag tag, const char *vr)
{
    char text[12];
    l->line = l->out->len;
    for (int i = 0; i < depth; i++)
        dv_buffer_add(l->out, "  ", 2);
    dv_buffer_printf(l->out, "%s %s ", dv_tag_print(tag, text), vr);
}

/* "# LENGTH, WORD" in one column, where that is free. */
static void finish(lister *l, uint32_t length, const char *word)
{
    dv_text shown = {l->out->at ? l->out->at + l->line : NULL, l->out->at ? l->out->len - l->line : 0};
    for (size_t n = dv_utf8_length(shown); n < COMMENT_COLUMN; n++)
        dv_buffer_add(l->out, " ", 1);
    if (length == DV_UNDEFINED)
        dv_buffer_string(l->out, " # undefined length");
    else
        dv_buffer_printf(l->out, " # %u", (unsigned)length);
    dv_buffer_printf(l->out, "%s%s\n", *word ? ", " : "", word);
}

static const char *keyword(dv_tag tag)
{
    if (DV_ELEMENT(tag) == 0)
        return "GroupLength";
    if (dv_tag_is_creator(tag))
        return "PrivateCreator";
    const dv_dict_entry *e = dv_dict_by_tag(tag);
    return e && e->keyword ? e->keyword : "";
}

/* The same for an element of the dataset: private ones by the creator of their block. */
static const char *keyword_of(const dv_index *ix, const dv_node *n)
{
    if (!dv_tag_is_private(n->tag) || DV_ELEMENT(n->tag) < 0x1000)
        return keyword(n->tag);
    dv_tag block = DV_TAG(DV_GROUP(n->tag), DV_ELEMENT(n->tag) >> 8);
    uint32_t c = n->parent == DV_NO_NODE ? dv_index_find(ix, block) : dv_index_find_in(ix, n->parent, block);
    const dv_dict_entry *e = c == DV_NO_NODE ? NULL : dv_dict_private(dv_text_trim(dv_index_value(ix, c)), n->tag);
    return e && e->keyword ? e->keyword : "";
}

/* The beginning of T; what would move the terminal's cursor is shown as a point. */
static void show_text(lister *l, dv_text t)
{
    size_t shown = 0;
    dv_buffer_add(l->out, "[", 1);
    while (t.len > 0 && shown < SHOWN_CHARACTERS) {
        uint32_t code = 0;
        size_t n = dv_utf8_next(t, &code);
        if (n == 0)
            dv_buffer_string(l->out, "\xEF\xBF\xBD");
        else if (code < 0x20 || (code >= 0x7F && code < 0xA0) || (code >= 0x200E && code <= 0x202E && code != 0x2010))
            dv_buffer_add(l->out, ".", 1);
        else
            dv_buffer_add(l->out, t.at, n);
        n += n == 0;
        t = (dv_text){t.at + n, t.len - n};
        shown++;
    }
    dv_buffer_string(l->out, t.len > 0 ? "...]" : "]");
}

static bool show_value(lister *l, int depth, dv_tag tag, const dv_printable *v, uint32_t length, const char *word,
                       dv_error *err)
{
    const dv_vr_info *info = dv_vr_lookup(v->vr);
    begin(l, depth, tag, info ? info->name : "??");
    if (!v->bytes.at && length > 0) {
        dv_buffer_string(l->out, "(not in memory)");
    } else if (v->bytes.len == 0) {
        dv_buffer_string(l->out, "(empty)");
    } else if (info && info->text) {
        dv_text text;
        if (!dv_print_text(v, l->arena, &text, err))
            return false;
        show_text(l, dv_print_strip(v->vr, text));
    } else if (dv_print_is_numeric(v->vr)) {
        size_t before = l->out->len, i = 0;
        while (i < SHOWN_NUMBERS && dv_print_number(v, i, false, l->out)) {
            before = l->out->len;
            dv_buffer_add(l->out, "\\", 1);
            i++;
        }
        l->out->len = before;
        dv_buffer more = {0};
        if (i == SHOWN_NUMBERS && dv_print_number(v, i, false, &more))
            dv_buffer_string(l->out, "\\...");
        dv_buffer_free(&more);
    } else {
        size_t n = v->bytes.len < SHOWN_BYTES ? v->bytes.len : SHOWN_BYTES;
        for (size_t i = 0; i < n; i++)
            dv_buffer_printf(l->out, i ? "\\%02x" : "%02x", (unsigned char)v->bytes.at[i]);
        dv_buffer_string(l->out, n < v->bytes.len ? "\\..." : "");
    }
    finish(l, length, word);
    return true;
}

/* The offset table and fragments of compressed pixels: items in the value of NODE (PS3.5 A.4). */
static void show_fragments(lister *l, const dv_node *n, dv_text value)
{
    begin(l, n->depth, n->tag, n->vr == DV_VR_OW ? "OW" : "OB");
    dv_buffer_string(l->out, "(compressed)");
    finish(l, n->length, keyword(n->tag));
    bool big = l->ix->encoding.big_endian;
    for (size_t at = 0, i = 0; value.len - at >= 8; i++) {
        const uint8_t *p = (const uint8_t *)value.at + at;
        uint32_t length = big ? (uint32_t)p[4] << 24 | (uint32_t)p[5] << 16 | (uint32_t)p[6] << 8 | p[7]
                              : (uint32_t)p[7] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[5] << 8 | p[4];
        if ((big ? p[3] : p[2]) != 0x00) /* E000 is an item; E0DD ends them */
            return;
        begin(l, n->depth + 1, (dv_tag)DV_ITEM, "  ");
        dv_buffer_printf(l->out, i ? "fragment %zu" : "offset table", i);
        finish(l, length, "");
        if (length > value.len - at - 8)
            return;
        at += 8 + length;
    }
}

typedef struct around {
    dv_charset cs;
    uint32_t end; /* node behind the item */
} around;

static bool show_dataset(lister *l, dv_error *err)
{
    const dv_index *ix = l->ix;
    around open[1 + DV_MAX_NESTING]; /* character sets of the items that are open */
    size_t depth = 0;
    uint32_t number[1 + DV_MAX_NESTING] = {0}; /* of the last item, by its depth */
    open[0] = (around){dv_print_charset(ix, DV_NO_NODE, NULL), ix->count};
    for (uint32_t i = 0; i < ix->count; i++) {
        const dv_node *n = &ix->nodes[i];
        while (depth > 0 && i >= open[depth].end)
            depth--;
        const dv_charset *cs = &open[depth].cs;
        if (n->kind == DV_NODE_SEQUENCE) {
            uint32_t items = 0;
            for (uint32_t k = i + 1; k < n->end; k = ix->nodes[k].end)
                items++;
            begin(l, n->depth * 2, n->tag, "SQ");
            dv_buffer_printf(l->out, items == 1 ? "(%u item)" : "(%u items)", (unsigned)items);
            finish(l, n->length, keyword_of(ix, n));
            number[n->depth] = 0;
        } else if (n->kind == DV_NODE_ITEM) {
            begin(l, n->depth * 2 - 1, n->tag, "  ");
            dv_buffer_printf(l->out, "item %u", (unsigned)++number[n->depth - 1]);
            finish(l, n->length, "");
            dv_charset own = dv_print_charset(ix, i, cs);
            open[++depth] = (around){own, n->end};
        } else if (n->length == DV_UNDEFINED) {
            show_fragments(l, n, dv_index_value(ix, i));
        } else {
            dv_printable v = dv_print_node(ix, i, cs);
            if (!show_value(l, n->depth * 2, n->tag, &v, n->length, keyword_of(ix, n), err))
                return false;
        }
    }
    return true;
}

bool dv_dump_write(dv_dataset *ds, const dv_file_meta *meta, dv_buffer *out, dv_error *err)
{
    lister l = {.arena = dv_dataset_arena(ds), .out = out};
    l.ix = dv_print_index(ds, err);
    if (!l.ix)
        return false;
    if (meta) {
        dv_printable v = {0};
        dv_charset ascii;
        dv_text group;
        dv_tag tag = 0;
        dv_charset_parse((dv_text){0}, &ascii, NULL);
        v.cs = &ascii;
        if (!dv_print_meta(meta, l.arena, &group, err))
            return false;
        for (size_t at = 0; dv_part10_next(group, &at, &tag, &v.vr, &v.bytes);)
            if (!show_value(&l, 0, tag, &v, (uint32_t)v.bytes.len, keyword(tag), err))
                return false;
    }
    if (!show_dataset(&l, err))
        return false;
    if (out->failed)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for the listing");
    return true;
}
