/* The overlay's own bookkeeping: scopes, edits, new items, private blocks, the list of changes. */
#include "dicom/dataset_internal.h"

static bool out_of_memory(dv_error *err)
{
    return dv_fail(err, DV_ERR_MEMORY, "out of memory for an edit");
}

static bool scope_insert(dv_dataset *ds, dv_scope *scope, dv_edit *e)
{
    if (scope->count == scope->room) {
        uint32_t room = scope->room ? scope->room * 2 : 8;
        dv_edit **grown =
            dv_arena_grow(ds->arena, scope->edits, scope->room * sizeof(dv_edit *), room * sizeof(dv_edit *));
        if (!grown)
            return false;
        scope->edits = grown;
        scope->room = room;
    }
    uint32_t at = scope->count;
    for (; at && scope->edits[at - 1]->tag > e->tag; at--)
        scope->edits[at] = scope->edits[at - 1];
    scope->edits[at] = e;
    scope->count++;
    ds->changed = true;
    return true;
}

bool dv_scope_remove(dv_scope *scope, dv_edit *e)
{
    uint32_t at = 0;
    while (at < scope->count && scope->edits[at] != e)
        at++;
    if (at == scope->count)
        return false;
    memmove(&scope->edits[at], &scope->edits[at + 1], (scope->count - at - 1) * sizeof *scope->edits);
    scope->count--;
    return true;
}

dv_edit *dv_level_edit(dv_dataset *ds, const dv_level *lv, dv_tag tag, const dv_found *f)
{
    dv_scope *scope = dv_level_write(ds, lv);
    if (!scope)
        return NULL;
    dv_edit *e = dv_scope_find(scope, tag);
    if (e)
        return e;
    e = dv_arena_zalloc(ds->arena, 1, sizeof *e);
    if (!e)
        return NULL;
    e->tag = tag;
    e->node = f->node;
    return scope_insert(ds, scope, e) ? e : NULL;
}

dv_scope *dv_level_write(dv_dataset *ds, const dv_level *lv)
{
    if (lv->fresh)
        return lv->fresh;
    if (!ds->by_node) {
        ds->by_node = dv_arena_zalloc(ds->arena, ds->ix->count, sizeof *ds->by_node);
        if (!ds->by_node)
            return NULL;
    }
    if (ds->by_node[lv->item])
        return ds->by_node[lv->item];
    dv_found sequence = {.node = lv->sequence, .there = true};
    dv_scope *scope = dv_arena_zalloc(ds->arena, 1, sizeof *scope);
    /* Recursion upwards, bounded by the nesting. */
    dv_edit *above = scope ? dv_level_edit(ds, lv->up, lv->tag, &sequence) : NULL;
    if (!above)
        return NULL;
    if (!above->vr) {
        above->kind = DV_EDIT_INSIDE;
        above->vr = DV_VR_SQ;
    }
    scope->implicit = lv->implicit;
    ds->by_node[lv->item] = scope;
    return scope;
}

static bool add_item(dv_dataset *ds, dv_edit *e, dv_item item)
{
    if (e->count == e->room) {
        uint32_t room = e->room ? e->room * 2 : 4;
        dv_item *grown = dv_arena_grow(ds->arena, e->items, e->room * sizeof(dv_item), room * sizeof(dv_item));
        if (!grown)
            return false;
        e->items = grown;
        e->room = room;
    }
    e->items[e->count++] = item;
    return true;
}

bool dv_edit_list_items(dv_dataset *ds, dv_edit *e)
{
    if (e->kind == DV_EDIT_ITEMS || e->listed)
        return true;
    const dv_node *nodes = ds->ix->nodes;
    for (uint32_t n = e->node + 1; n < nodes[e->node].end; n = nodes[n].end)
        if (!add_item(ds, e, (dv_item){.node = n}))
            return false;
    e->listed = true;
    return true;
}

dv_scope *dv_level_add_item(dv_dataset *ds, const dv_level *lv, dv_tag tag, uint32_t *number)
{
    dv_found f = dv_level_find(ds, lv, tag);
    bool received = f.there && (!f.edit || f.edit->kind == DV_EDIT_INSIDE);
    dv_edit *e = dv_level_edit(ds, lv, tag, &f);
    dv_scope *fresh = e ? dv_arena_zalloc(ds->arena, 1, sizeof *fresh) : NULL;
    if (!fresh)
        return NULL;
    fresh->implicit = received ? ds->ix->nodes[f.node].implicit : lv->implicit;
    e->vr = DV_VR_SQ;
    if (!f.there) {
        e->kind = DV_EDIT_ITEMS;
        e->count = 0;
    } else if (received) {
        e->kind = DV_EDIT_INSIDE;
        if (!dv_edit_list_items(ds, e))
            return NULL;
    }
    ds->changed = true;
    if (!add_item(ds, e, (dv_item){.node = DV_NO_NODE, .fresh = fresh}))
        return NULL;
    *number = e->count;
    return fresh;
}

dv_tag dv_level_reserve(dv_dataset *ds, const dv_level *lv, const dv_step *step, bool make, dv_error *err)
{
    if (!step->creator.at)
        return step->tag;
    bool used[256] = {false};
    dv_cursor c = {0};
    dv_found f;
    dv_tag tag, group = step->tag & 0xFFFF0000u;
    while (dv_level_next(ds, lv, &c, &tag, &f)) {
        unsigned element = DV_ELEMENT(tag);
        if (DV_GROUP(tag) == DV_GROUP(group) && element >= 0x10)
            used[element <= 0xFF ? element : element >> 8] = true;
    }
    unsigned block = 0x10;
    while (block < 256 && used[block])
        block++;
    if (block == 256) {
        dv_fail(err, DV_ERR_VALUE, "group %04X has no free private block for '%.*s'", DV_GROUP(group),
                DV_ARG(step->creator));
        return 0;
    }
    dv_tag creator = group | block;
    dv_text bytes;
    if (!dv_value_encode(ds, lv, creator, DV_VR_LO, step->creator, &bytes, err))
        return 0;
    if (make) {
        dv_found none = dv_level_find(ds, lv, creator);
        dv_edit *e = dv_level_edit(ds, lv, creator, &none);
        dv_text value = e ? dv_arena_text(ds->arena, step->creator) : (dv_text){NULL, 0};
        if (!value.at) {
            out_of_memory(err);
            return 0;
        }
        e->kind = DV_EDIT_VALUE;
        e->vr = DV_VR_LO;
        e->value = value;
        dv_place place = {.level = lv, .tag = creator, .found = {.edit = e, .node = e->node, .there = true}};
        if (!dv_overlay_record(ds, &place, (dv_text){NULL, 0}, value, err))
            return 0;
    }
    return group | block << 8 | (step->tag & 0xFF);
}

bool dv_overlay_record(dv_dataset *ds, const dv_place *place, dv_text before, dv_text after, dv_error *err)
{
    dv_path path;
    dv_change *change = dv_arena_zalloc(ds->arena, 1, sizeof *change);
    if (!change)
        return out_of_memory(err);
    if (!dv_place_path(ds, place, ds->arena, &path, err))
        return false;
    *change = (dv_change){.path = path.text, .before = before, .after = after, .by = ds->actor};
    if (ds->last_change)
        ds->last_change->next = change;
    else
        ds->changes = change;
    ds->last_change = change;
    return true;
}

dv_text dv_overlay_show(const dv_dataset *ds, const dv_level *lv, dv_tag tag, const dv_found *f)
{
    dv_text text = {NULL, 0};
    if (!f->there)
        return text;
    if (dv_found_is_sequence(ds, f)) {
        uint32_t items = dv_found_items(ds, f);
        return dv_text_of(dv_arena_printf(ds->arena, "<%u item%s>", items, items == 1 ? "" : "s"));
    }
    if (dv_found_text(ds, lv, tag, f, &text, NULL))
        return text;
    const dv_node *n = &ds->ix->nodes[f->node];
    return dv_text_of(n->length == DV_UNDEFINED ? "<fragments>" : dv_arena_printf(ds->arena, "<%u bytes>", n->length));
}
