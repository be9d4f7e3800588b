/* Levels, elements and items as the overlay shows them, and walks along paths.
 * Recursion goes one frame deeper for each sequence that is entered; the index has at most DV_MAX_NESTING of them, and a
 * path that makes new ones has at most as many steps. */
#include "base/limits.h"
#include "dicom/dataset_internal.h"
#include "dicom/dict.h"

dv_level dv_level_top(const dv_dataset *ds)
{
    return (dv_level){.fresh = (dv_scope *)&ds->top, .item = DV_NO_NODE, .sequence = DV_NO_NODE};
}

dv_scope *dv_level_scope(const dv_dataset *ds, const dv_level *lv)
{
    return lv->fresh ? lv->fresh : ds->by_node ? ds->by_node[lv->item] : NULL;
}

/* Index of the first edit whose tag is not below TAG. */
static uint32_t edit_at(const dv_scope *scope, dv_tag tag)
{
    uint32_t low = 0, high = scope->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (scope->edits[mid]->tag < tag)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

dv_edit *dv_scope_find(const dv_scope *scope, dv_tag tag)
{
    if (!scope || !scope->count)
        return NULL;
    uint32_t i = edit_at(scope, tag);
    return i < scope->count && scope->edits[i]->tag == tag ? scope->edits[i] : NULL;
}

static bool is_top(const dv_level *lv)
{
    return !lv->up;
}

dv_found dv_level_find(const dv_dataset *ds, const dv_level *lv, dv_tag tag)
{
    dv_found f = {.node = DV_NO_NODE};
    if (!ds->received_only && (f.edit = dv_scope_find(dv_level_scope(ds, lv), tag))) {
        f.node = f.edit->node;
        f.there = f.edit->kind != DV_EDIT_GONE;
        return f;
    }
    if (is_top(lv))
        f.node = dv_index_find(ds->ix, tag);
    else if (lv->item != DV_NO_NODE)
        f.node = dv_index_find_in(ds->ix, lv->item, tag);
    f.there = f.node != DV_NO_NODE;
    return f;
}

bool dv_found_is_sequence(const dv_dataset *ds, const dv_found *f)
{
    if (!f->there)
        return false;
    if (f->edit)
        return f->edit->kind == DV_EDIT_ITEMS || f->edit->kind == DV_EDIT_INSIDE;
    return ds->ix->nodes[f->node].kind == DV_NODE_SEQUENCE;
}

dv_vr dv_found_vr(const dv_dataset *ds, const dv_found *f)
{
    if (!f->there)
        return 0;
    if (dv_found_is_sequence(ds, f))
        return DV_VR_SQ;
    return f->edit ? f->edit->vr : ds->ix->nodes[f->node].vr;
}

static bool has_list(const dv_found *f)
{
    return f->edit && (f->edit->kind == DV_EDIT_ITEMS || f->edit->listed);
}

bool dv_found_item(const dv_dataset *ds, const dv_found *f, uint32_t number, dv_item *out)
{
    if (!number || !dv_found_is_sequence(ds, f))
        return false;
    if (has_list(f)) {
        if (number > f->edit->count)
            return false;
        *out = f->edit->items[number - 1];
        return true;
    }
    const dv_node *nodes = ds->ix->nodes;
    struct dv_seek *seek = &((dv_dataset *)ds)->seek[nodes[f->node].depth % 8];
    uint32_t at = 1, n = f->node + 1, end = nodes[f->node].end;
    if (seek->number && seek->sequence == f->node && seek->number <= number) {
        at = seek->number;
        n = seek->item;
    }
    for (; n < end && at < number; at++)
        n = nodes[n].end;
    if (n >= end)
        return false;
    *seek = (struct dv_seek){f->node, number, n};
    *out = (dv_item){.node = n};
    return true;
}

uint32_t dv_found_items(const dv_dataset *ds, const dv_found *f)
{
    if (!dv_found_is_sequence(ds, f))
        return 0;
    if (has_list(f))
        return f->edit->count;
    uint32_t count = 0;
    for (uint32_t n = f->node + 1; n < ds->ix->nodes[f->node].end; n = ds->ix->nodes[n].end)
        count++;
    return count;
}

dv_level dv_level_item(const dv_dataset *ds, const dv_level *up, dv_tag tag, dv_text creator, const dv_found *sequence,
                       dv_item item, uint32_t number)
{
    return (dv_level){
        .up = up,
        .fresh = item.fresh,
        .item = item.node,
        .tag = tag,
        .creator = creator,
        .sequence = sequence->node,
        .number = number,
        .implicit = item.fresh ? item.fresh->implicit : ds->ix->nodes[item.node].implicit,
    };
}

bool dv_level_next(const dv_dataset *ds, const dv_level *lv, dv_cursor *c, dv_tag *tag, dv_found *out)
{
    const dv_index *ix = ds->ix;
    const dv_scope *scope = ds->received_only ? NULL : dv_level_scope(ds, lv);
    bool top = is_top(lv), received = top || lv->item != DV_NO_NODE;
    uint32_t end = top ? ix->top_count : received ? ix->nodes[lv->item].end : 0;
    if (!c->begun) {
        c->begun = true;
        c->next = top || !received ? 0 : lv->item + 1;
    }
    for (;;) {
        uint32_t n = c->next < end ? top ? ix->top[c->next] : c->next : DV_NO_NODE;
        if (scope && scope->count) {
            /* New elements stand in front of the first received one with a greater tag. `fresh` counts tags, not
             * positions, for edits come and go while a caller walks. */
            for (uint32_t i = edit_at(scope, c->fresh); i < scope->count; i++) {
                dv_edit *e = scope->edits[i];
                if (n != DV_NO_NODE && e->tag >= ix->nodes[n].tag)
                    break;
                c->fresh = e->tag + 1;
                if (e->node != DV_NO_NODE || e->kind == DV_EDIT_GONE)
                    continue;
                *tag = e->tag;
                *out = (dv_found){.edit = e, .node = DV_NO_NODE, .there = true};
                return true;
            }
        }
        if (n == DV_NO_NODE)
            return false;
        c->next = top ? c->next + 1 : ix->nodes[n].end;
        dv_edit *e = dv_scope_find(scope, ix->nodes[n].tag);
        if (e && e->node != n) { /* a twin of the element that was written, which replaces them all */
            if (e->kind != DV_EDIT_INSIDE)
                continue;
            e = NULL;
        }
        if (e && e->kind == DV_EDIT_GONE)
            continue;
        *tag = ix->nodes[n].tag;
        *out = (dv_found){.edit = e, .node = n, .there = true};
        return true;
    }
}

static bool creator_is(const dv_dataset *ds, const dv_level *lv, dv_tag tag, const dv_found *f, dv_text creator)
{
    dv_text name;
    return dv_found_text(ds, lv, tag, f, &name, NULL) && dv_text_equal(dv_text_trim(name), creator);
}

dv_tag dv_level_block(const dv_dataset *ds, const dv_level *lv, dv_text creator, dv_tag tag)
{
    dv_tag first = 0, group = tag & 0xFFFF0000u;
    dv_cursor c = {0};
    dv_found f;
    dv_tag t;
    if (is_top(lv) && ds->ix->sorted) {
        uint32_t low = 0, high = ds->ix->top_count;
        while (low < high) {
            uint32_t mid = (low + high) / 2;
            if (ds->ix->nodes[ds->ix->top[mid]].tag < (group | 0x10))
                low = mid + 1;
            else
                high = mid;
        }
        c = (dv_cursor){.begun = true, .next = low, .fresh = group | 0x10};
    }
    while (dv_level_next(ds, lv, &c, &t, &f)) {
        if (t > (group | 0xFF)) {
            if (is_top(lv) && ds->ix->sorted)
                break;
            continue;
        }
        if (t < (group | 0x10) || !creator_is(ds, lv, t, &f, creator))
            continue;
        /* Two blocks of one creator are allowed; the one that has the element is meant. */
        dv_tag full = group | (t & 0xFF) << 8 | (tag & 0xFF);
        if (dv_level_find(ds, lv, full).there)
            return full;
        if (!first)
            first = full;
    }
    return first;
}

dv_text dv_level_creator(const dv_dataset *ds, const dv_level *lv, dv_tag tag)
{
    dv_text name = {NULL, 0};
    if (!dv_tag_is_private(tag) || DV_ELEMENT(tag) < 0x1000)
        return name;
    dv_tag block = (tag & 0xFFFF0000u) | DV_ELEMENT(tag) >> 8;
    dv_found f = dv_level_find(ds, lv, block);
    if (f.there && dv_found_text(ds, lv, block, &f, &name, NULL))
        return dv_text_trim(name);
    return (dv_text){NULL, 0};
}

typedef struct walker {
    dv_dataset *ds;
    const dv_path *path;
    dv_walk_mode mode;
    dv_visit *visit;
    void *user;
    dv_error *err;
    bool failed, wild;
    bool made; /* the item being entered was just made */
} walker;

static bool walk_step(walker *w, uint32_t i, const dv_level *lv);

static bool fail(walker *w, const char *what, dv_tag tag)
{
    char name[12];
    dv_fail(w->err, DV_ERR_PATH, "%s: %s (path '%.*s')", what, dv_tag_print(tag, name), DV_ARG(w->path->text));
    w->failed = true;
    return false;
}

/* CHECK for what MAKE will make below LV: only the next item can be made. */
static bool check_new(walker *w, uint32_t i, const dv_level *lv)
{
    const dv_step *steps = w->path->steps;
    uint32_t last = w->path->count - 1;
    for (uint32_t j = i + 1; j <= last; j++) {
        const dv_step *s = &steps[j];
        if (s->anywhere)
            return true; /* nothing can be found in a new item */
        if ((j < last || s->vr == DV_VR_SQ) && s->pick != DV_PICK_NEW && s->pick != DV_PICK_NONE &&
            !(s->pick == DV_PICK_NUMBER && s->number == 1))
            return s->pick == DV_PICK_NUMBER ? fail(w, "a new sequence begins with item [1]", s->tag) : true;
    }
    dv_place place = {.level = lv,
                      .tag = steps[last].tag,
                      .creator = steps[last].creator,
                      .found = {.node = DV_NO_NODE},
                      .step = &steps[last],
                      .is_virtual = true};
    return w->visit(w->user, &place);
}

static bool matches(const walker *w, const dv_level *lv, const dv_step *s)
{
    dv_found f = dv_level_find(w->ds, lv, s->match_tag);
    dv_text text;
    return f.there && !dv_found_is_sequence(w->ds, &f) && dv_found_text(w->ds, lv, s->match_tag, &f, &text, NULL) &&
           dv_text_equal(dv_text_trim(text), s->match_value);
}

static bool enter(walker *w, uint32_t i, const dv_level *lv, dv_tag tag, const dv_found *f, dv_item item,
                  uint32_t number)
{
    const dv_step *s = &w->path->steps[i];
    dv_level inner = dv_level_item(w->ds, lv, tag, s->creator, f, item, number);
    if (s->pick == DV_PICK_MATCH && !matches(w, &inner, s))
        return true;
    if (i + 1 < w->path->count)
        return walk_step(w, i + 1, &inner);
    dv_place place = {
        .level = lv, .tag = tag, .creator = s->creator, .found = *f, .step = s, .item = number, .made = w->made};
    return w->visit(w->user, &place);
}

static bool make_item(walker *w, uint32_t i, const dv_level *lv, dv_tag tag)
{
    const dv_step *s = &w->path->steps[i];
    uint32_t number;
    if (w->mode == DV_WALK_CHECK)
        return check_new(w, i, lv);
    if (!tag && !(tag = dv_level_reserve(w->ds, lv, s, true, w->err))) {
        w->failed = true;
        return false;
    }
    dv_scope *fresh = dv_level_add_item(w->ds, lv, tag, &number);
    if (!fresh) {
        w->failed = true;
        return dv_fail(w->err, DV_ERR_MEMORY, "out of memory for a new item");
    }
    dv_found f = dv_level_find(w->ds, lv, tag);
    w->made = true;
    bool on = enter(w, i, lv, tag, &f, (dv_item){.node = DV_NO_NODE, .fresh = fresh}, number);
    w->made = false;
    return on;
}

static bool walk_items(walker *w, uint32_t i, const dv_level *lv, dv_tag tag, const dv_found *f)
{
    const dv_step *s = &w->path->steps[i];
    dv_item item;
    uint32_t count;
    switch (s->pick) {
    case DV_PICK_NUMBER:
        if (dv_found_item(w->ds, f, s->number, &item))
            return enter(w, i, lv, tag, f, item, s->number);
        if (w->mode == DV_WALK_READ || w->wild)
            return true;
        count = dv_found_items(w->ds, f);
        if (s->number == count + 1)
            return make_item(w, i, lv, tag);
        dv_fail(w->err, DV_ERR_PATH, "there are %u items, so item [%u] cannot be made (path '%.*s')", count, s->number,
                DV_ARG(w->path->text));
        w->failed = true;
        return false;
    case DV_PICK_NEW:
        return w->mode == DV_WALK_READ || w->wild ? true : make_item(w, i, lv, tag);
    case DV_PICK_LAST:
        count = dv_found_items(w->ds, f);
        return count && dv_found_item(w->ds, f, count, &item) ? enter(w, i, lv, tag, f, item, count) : true;
    case DV_PICK_ALL:
    case DV_PICK_MATCH:
        for (uint32_t number = 1;; number++) {
            /* Looked up anew: the visitor may have written here. */
            dv_found now = dv_level_find(w->ds, lv, tag);
            if (!dv_found_item(w->ds, &now, number, &item))
                return true;
            if (!enter(w, i, lv, tag, &now, item, number))
                return false;
        }
    case DV_PICK_NONE:
        break;
    }
    return true;
}

static bool here(walker *w, uint32_t i, const dv_level *lv)
{
    const dv_step *s = &w->path->steps[i];
    bool last = i + 1 == w->path->count;
    dv_tag tag = s->creator.at ? dv_level_block(w->ds, lv, s->creator, s->tag) : s->tag;
    dv_found f = tag ? dv_level_find(w->ds, lv, tag) : (dv_found){.node = DV_NO_NODE};
    bool sequence = f.there ? dv_found_is_sequence(w->ds, &f) : s->vr == DV_VR_SQ || !last;
    if (last && (s->pick == DV_PICK_NONE || !sequence)) {
        if (!f.there && w->wild)
            return true;
        if (!tag && w->mode == DV_WALK_MAKE && !(tag = dv_level_reserve(w->ds, lv, s, true, w->err))) {
            w->failed = true;
            return false;
        }
        dv_place place = {.level = lv, .tag = tag ? tag : s->tag, .creator = s->creator, .found = f, .step = s};
        if (!tag && w->mode == DV_WALK_CHECK) {
            place.is_virtual = true;
            if (!dv_level_reserve(w->ds, lv, s, false, w->err)) {
                w->failed = true;
                return false;
            }
        }
        return w->visit(w->user, &place);
    }
    if (f.there && !sequence)
        return w->wild ? true : fail(w, "the path runs through what is no sequence", tag);
    return walk_items(w, i, lv, tag, &f);
}

static bool walk_step(walker *w, uint32_t i, const dv_level *lv)
{
    if (!w->path->steps[i].anywhere)
        return here(w, i, lv);
    bool before = w->wild;
    w->wild = true; /* what is not there in some level is neither an error nor made */
    bool on = here(w, i, lv);
    dv_cursor c = {0};
    dv_found f;
    dv_tag tag;
    while (on && dv_level_next(w->ds, lv, &c, &tag, &f)) {
        dv_item item;
        for (uint32_t number = 1; on && dv_found_is_sequence(w->ds, &f) && dv_found_item(w->ds, &f, number, &item);
             number++) {
            dv_level inner = dv_level_item(w->ds, lv, tag, (dv_text){NULL, 0}, &f, item, number);
            on = walk_step(w, i, &inner);
            f = dv_level_find(w->ds, lv, tag);
        }
    }
    w->wild = before;
    return on;
}

bool dv_walk(dv_dataset *ds, const dv_path *path, dv_walk_mode mode, dv_visit *visit, void *user, dv_error *err)
{
    walker w = {.ds = ds, .path = path, .mode = mode, .visit = visit, .user = user, .err = err};
    dv_level top = dv_level_top(ds);
    walk_step(&w, 0, &top);
    return !w.failed;
}

static bool one_step(const dv_place *place, dv_step *s, dv_text *text)
{
    if (place->level->up || place->item || place->creator.at)
        return false;
    const dv_dict_entry *e = dv_dict_by_tag(place->tag);
    if (!e || e->tag != place->tag || dv_dict_by_keyword(dv_text_of(e->keyword)) != e)
        return false;
    *s = (dv_step){.tag = place->tag, .vr = e->vr};
    *text = dv_text_of(e->keyword);
    return true;
}

bool dv_place_path(const dv_dataset *ds, const dv_place *place, dv_arena *arena, dv_path *out, dv_error *err)
{
    (void)ds;
    uint32_t count = 1;
    for (const dv_level *lv = place->level; lv->up; lv = lv->up)
        count++;
    dv_step *steps = dv_arena_zalloc(arena, count, sizeof *steps);
    *out = (dv_path){.steps = steps, .count = count};
    if (!steps)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for a path");
    if (one_step(place, steps, &out->text))
        return true;
    dv_step *s = &steps[count - 1];
    *s = (dv_step){.tag = place->tag,
                   .creator = place->creator,
                   .pick = place->item ? DV_PICK_NUMBER : DV_PICK_NONE,
                   .number = place->item,
                   .vr = place->item ? DV_VR_SQ : dv_found_vr(ds, &place->found)};
    if (s->creator.at)
        s->tag &= 0xFFFF00FFu;
    for (const dv_level *lv = place->level; lv->up; lv = lv->up) {
        *--s = (dv_step){
            .tag = lv->tag, .creator = lv->creator, .vr = DV_VR_SQ, .pick = DV_PICK_NUMBER, .number = lv->number};
        if (s->creator.at)
            s->tag &= 0xFFFF00FFu;
    }
    out->text = dv_path_print(arena, steps, count);
    return out->text.at ? true : dv_fail(err, DV_ERR_MEMORY, "out of memory for a path");
}
