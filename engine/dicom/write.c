/* Invariants
 * 1. `from` is the first received byte not yet given out; received bytes are given out in the order they came.
 * 2. Spans are in order and never empty; received bytes that follow each other share a span.
 * 3. A new head is put in its place before what it encloses; its length is filled in when that is known. */
#include "dicom/write.h"
#include "base/limits.h"
#include "dicom/dataset_internal.h"

typedef struct output {
    dv_dataset *ds;
    dv_span *span;
    uint32_t count, room;
    uint64_t total;
    dv_error *err;
} output;

static bool out_of_memory(output *o)
{
    return dv_fail(o->err, DV_ERR_MEMORY, "out of memory while a dataset is written");
}

static bool add_span(output *o, const uint8_t *at, uint64_t len, uint32_t node)
{
    if (!len)
        return true;
    dv_span *last = o->count ? &o->span[o->count - 1] : NULL;
    o->total += len;
    if (last && at && last->at && last->at + last->len == at) {
        last->len += len;
        return true;
    }
    if (o->count == o->room) {
        uint32_t room = o->room ? o->room * 2 : 16;
        dv_span *grown = dv_arena_grow(o->ds->arena, o->span, o->room * sizeof *grown, room * sizeof *grown);
        if (!grown)
            return out_of_memory(o);
        o->span = grown;
        o->room = room;
    }
    o->span[o->count++] = (dv_span){.at = at, .len = len, .node = node};
    return true;
}

static bool add_received(output *o, size_t from, size_t to)
{
    return add_span(o, o->ds->ix->bytes + from, to - from, DV_NO_NODE);
}

static void put16(uint8_t *p, uint32_t v, bool big)
{
    p[big ? 1 : 0] = (uint8_t)v;
    p[big ? 0 : 1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v, bool big)
{
    for (int i = 0; i < 4; i++)
        p[big ? 3 - i : i] = (uint8_t)(v >> 8 * i);
}

/* How the elements of LV are encoded. */
static bool is_implicit(const output *o, const dv_level *lv)
{
    return o->ds->ix->encoding.implicit || lv->implicit;
}

static bool is_big(const output *o, const dv_level *lv)
{
    return o->ds->ix->encoding.big_endian && !lv->implicit;
}

/* Head of an element into P of 12 bytes; returns its size. VR 0: an item or delimiter. */
static uint32_t put_head(uint8_t *p, dv_tag tag, dv_vr vr, uint32_t length, bool implicit, bool big)
{
    put16(p, DV_GROUP(tag), big);
    put16(p + 2, DV_ELEMENT(tag), big);
    if (implicit || !vr) {
        put32(p + 4, length, big);
        return 8;
    }
    const dv_vr_info *info = dv_vr_lookup(vr);
    p[4] = (uint8_t)(vr >> 8);
    p[5] = (uint8_t)vr;
    if (info && !info->long_form) {
        put16(p + 6, length, big);
        return 8;
    }
    p[6] = p[7] = 0;
    put32(p + 8, length, big);
    return 12;
}

static bool add_value(output *o, const dv_level *lv, const dv_edit *e)
{
    dv_text bytes;
    if (!dv_value_encode(o->ds, lv, e->tag, e->vr, e->value, &bytes, o->err))
        return false;
    if (bytes.len > 0xFFFFFFFEu - 1)
        return dv_fail(o->err, DV_ERR_VALUE, "a value of %zu bytes has no length in DICOM", bytes.len);
    uint32_t padded = (uint32_t)bytes.len + (uint32_t)(bytes.len & 1);
    uint8_t *p = dv_arena_alloc(o->ds->arena, padded + (size_t)12);
    if (!p)
        return out_of_memory(o);
    uint32_t head = put_head(p, e->tag, e->vr, padded, is_implicit(o, lv), is_big(o, lv));
    if (bytes.len)
        memcpy(p + head, bytes.at, bytes.len);
    if (padded > bytes.len) {
        const dv_vr_info *info = dv_vr_lookup(e->vr);
        p[head + bytes.len] = info ? (uint8_t)info->pad : 0;
    }
    return add_span(o, p, head + (uint64_t)padded, DV_NO_NODE);
}

/* The received value under another VR. */
static bool add_retyped(output *o, const dv_level *lv, const dv_edit *e)
{
    const dv_node *n = &o->ds->ix->nodes[e->node];
    uint8_t *p = dv_arena_alloc(o->ds->arena, 12);
    if (!p)
        return out_of_memory(o);
    uint32_t head = put_head(p, e->tag, e->vr, n->length, is_implicit(o, lv), is_big(o, lv));
    if (!add_span(o, p, head, DV_NO_NODE))
        return false;
    dv_text bytes = dv_index_value(o->ds->ix, e->node);
    return bytes.at ? add_span(o, (const uint8_t *)bytes.at, bytes.len, DV_NO_NODE)
                    : add_span(o, NULL, n->length, e->node);
}

/* Room for a head whose length comes later. */
static uint8_t *add_head(output *o, dv_tag tag, dv_vr vr, bool implicit, bool big, uint32_t *head)
{
    uint8_t *p = dv_arena_alloc(o->ds->arena, 12);
    if (!p) {
        out_of_memory(o);
        return NULL;
    }
    *head = put_head(p, tag, vr, 0, implicit, big);
    return add_span(o, p, *head, DV_NO_NODE) ? p : NULL;
}

static bool fill_length(output *o, uint8_t *head, uint32_t head_len, uint64_t before, bool big)
{
    uint64_t length = o->total - before;
    if (length >= DV_UNDEFINED)
        return dv_fail(o->err, DV_ERR_LIMIT, "a sequence of %llu bytes has no length in DICOM",
                       (unsigned long long)length);
    put32(head + head_len - 4, (uint32_t)length, big);
    return true;
}

static bool write_level(output *o, const dv_level *lv, size_t *from);

/* The head of a received sequence or item: as it came when its length is undefined, else with room for the new length. */
static bool copy_head(output *o, const dv_node *n, uint8_t **head, uint64_t *before)
{
    *head = NULL;
    if (n->length == DV_UNDEFINED)
        return add_received(o, n->offset, n->offset + n->head);
    *head = dv_arena_alloc(o->ds->arena, n->head);
    if (!*head)
        return out_of_memory(o);
    memcpy(*head, o->ds->ix->bytes + n->offset, n->head);
    if (!add_span(o, *head, n->head, DV_NO_NODE))
        return false;
    *before = o->total;
    return true;
}

/* What stands behind the last child of N: delimiters. Those that a faulty dataset has behind a defined length do not count in it. */
static bool copy_tail(output *o, const dv_node *n, size_t from, uint8_t *head, uint64_t before, bool big)
{
    size_t inside = n->stop;
    if (head && n->offset + n->head + n->length < inside)
        inside = n->offset + n->head + n->length;
    if (inside < from) /* its length was too short for what it has */
        inside = from;
    if (!add_received(o, from, inside) || (head && !fill_length(o, head, n->head, before, big)))
        return false;
    return add_received(o, inside, n->stop);
}

static bool write_item(output *o, const dv_level *lv, bool big)
{
    uint8_t *head;
    uint32_t head_len;
    uint64_t before = 0;
    if (lv->item == DV_NO_NODE) {
        head = add_head(o, DV_ITEM, 0, true, big, &head_len);
        before = o->total;
        size_t unused = 0;
        return head && write_level(o, lv, &unused) && fill_length(o, head, head_len, before, big);
    }
    const dv_node *n = &o->ds->ix->nodes[lv->item];
    const dv_scope *scope = dv_level_scope(o->ds, lv);
    if (!scope || !scope->count)
        return add_received(o, n->offset, n->stop);
    size_t from = n->offset + n->head;
    return copy_head(o, n, &head, &before) && write_level(o, lv, &from) && copy_tail(o, n, from, head, before, big);
}

/* A sequence with edits inside. New ones, and new items, have defined lengths. */
static bool write_sequence(output *o, const dv_level *lv, const dv_edit *e)
{
    const dv_index *ix = o->ds->ix;
    bool received = e->kind == DV_EDIT_INSIDE, big = is_big(o, lv), inner_big = big;
    const dv_node *n = received ? &ix->nodes[e->node] : NULL;
    dv_found f = {.edit = (dv_edit *)e, .node = e->node, .there = true};
    uint8_t *head;
    uint32_t head_len = 0;
    uint64_t before = 0;
    if (n) {
        inner_big = ix->encoding.big_endian && !n->implicit;
        if (!copy_head(o, n, &head, &before))
            return false;
    } else {
        if (!(head = add_head(o, e->tag, DV_VR_SQ, is_implicit(o, lv), big, &head_len)))
            return false;
        before = o->total;
    }
    dv_item item;
    for (uint32_t number = 1; dv_found_item(o->ds, &f, number, &item); number++) {
        dv_level inner = dv_level_item(o->ds, lv, e->tag, (dv_text){NULL, 0}, &f, item, number);
        if (!write_item(o, &inner, inner_big))
            return false;
    }
    if (!n)
        return fill_length(o, head, head_len, before, big);
    size_t from = n->offset + n->head;
    for (uint32_t i = e->node + 1; i < n->end; i = ix->nodes[i].end)
        from = ix->nodes[i].stop;
    return copy_tail(o, n, from, head, before, big);
}

static bool write_edit(output *o, const dv_level *lv, const dv_edit *e)
{
    switch ((dv_edit_kind)e->kind) {
    case DV_EDIT_VALUE:
        return add_value(o, lv, e);
    case DV_EDIT_VR:
        return add_retyped(o, lv, e);
    case DV_EDIT_GONE:
        return true;
    case DV_EDIT_ITEMS:
    case DV_EDIT_INSIDE:
        return write_sequence(o, lv, e);
    }
    return true;
}

/* The elements of LV, whose received bytes begin at *FROM; *FROM becomes the end of the last. Recursion ends with the nesting
 * of the index, or of the path that made an item. */
static bool write_level(output *o, const dv_level *lv, size_t *from)
{
    const dv_index *ix = o->ds->ix;
    const dv_scope *scope = dv_level_scope(o->ds, lv);
    bool top = !lv->up;
    uint32_t end = top ? ix->top_count : lv->item != DV_NO_NODE ? ix->nodes[lv->item].end : 0;
    uint32_t next = top ? 0 : lv->item + 1, fresh = 0, edits = scope ? scope->count : 0;
    size_t run = *from; /* received bytes from here to *from wait to be copied */
    while (next < end) {
        uint32_t i = top ? ix->top[next] : next;
        const dv_node *n = &ix->nodes[i];
        next = top ? next + 1 : n->end;
        for (; fresh < edits && scope->edits[fresh]->tag < n->tag; fresh++) {
            dv_edit *e = scope->edits[fresh];
            if (e->node != DV_NO_NODE)
                continue;
            if (!add_received(o, run, *from) || !write_edit(o, lv, e))
                return false;
            run = *from;
        }
        const dv_edit *e = edits ? dv_scope_find(scope, n->tag) : NULL;
        bool outside = n->bulk && top && !ix->whole && i != ix->body; /* its value was taken out */
        if (e && (e->node == i || e->kind != DV_EDIT_INSIDE)) {
            if (!add_received(o, run, *from) || (e->node == i && !write_edit(o, lv, e)))
                return false;
            run = *from = n->stop;
        } else if (outside) {
            if (!add_received(o, run, n->stop) || !add_span(o, NULL, n->length, i))
                return false;
            run = *from = n->stop;
        } else {
            *from = n->stop;
        }
    }
    if (!add_received(o, run, *from))
        return false;
    for (; fresh < edits; fresh++)
        if (scope->edits[fresh]->node == DV_NO_NODE && !write_edit(o, lv, scope->edits[fresh]))
            return false;
    return true;
}

bool dv_write_spans(dv_dataset *ds, dv_spans *out, dv_error *err)
{
    const dv_index *ix = ds->ix;
    output o = {.ds = ds, .err = err};
    *out = (dv_spans){0};
    if (!ds->changed && (ix->whole || !ix->bulk_count)) {
        if (!add_received(&o, 0, ix->len))
            return false;
    } else {
        dv_level top = dv_level_top(ds);
        size_t from = 0;
        if (!write_level(&o, &top, &from) || !add_received(&o, from, ix->len))
            return false;
    }
    *out = (dv_spans){o.span, o.count, o.total};
    return true;
}

bool dv_write_bytes(dv_dataset *ds, dv_text *out, dv_error *err)
{
    dv_spans spans;
    *out = (dv_text){NULL, 0};
    if (!dv_write_spans(ds, &spans, err))
        return false;
    char *bytes = dv_arena_alloc(ds->arena, spans.total + 1), *at = bytes;
    if (!bytes)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for a dataset of %llu bytes",
                       (unsigned long long)spans.total);
    for (uint32_t i = 0; i < spans.count; i++) {
        if (!spans.span[i].at)
            return dv_fail(err, DV_ERR_INTERNAL,
                           "a bulk value was taken out, the dataset cannot be written in one piece");
        memcpy(at, spans.span[i].at, spans.span[i].len);
        at += spans.span[i].len;
    }
    *at = '\0';
    *out = (dv_text){bytes, (size_t)spans.total};
    return true;
}
