#include "dicom/dataset_internal.h"
#include "dicom/dict.h"

static bool out_of_memory(dv_error *err)
{
    return dv_fail(err, DV_ERR_MEMORY, "out of memory for a dataset");
}

dv_dataset *dv_dataset_open(dv_arena *arena, const dv_index *ix, dv_error *err)
{
    dv_dataset *ds = dv_arena_zalloc(arena, 1, sizeof *ds);
    if (!ds) {
        out_of_memory(err);
        return NULL;
    }
    ds->arena = arena;
    ds->ix = ix;
    ds->actor = (dv_actor){"", ""};
    return ds;
}

dv_dataset *dv_dataset_new(dv_arena *arena, dv_encoding encoding, dv_error *err)
{
    dv_index *ix = dv_arena_alloc(arena, sizeof *ix);
    if (!ix) {
        out_of_memory(err);
        return NULL;
    }
    dv_index_init(ix, arena, encoding);
    ix->bytes = (const uint8_t *)"";
    ix->whole = true;
    return dv_dataset_open(arena, ix, err);
}

dv_arena *dv_dataset_arena(const dv_dataset *ds)
{
    return ds->arena;
}

const dv_index *dv_dataset_index(const dv_dataset *ds)
{
    return ds->ix;
}

void dv_dataset_set_actor(dv_dataset *ds, dv_actor by)
{
    ds->actor = by;
}

const dv_change *dv_dataset_changes(const dv_dataset *ds)
{
    return ds->changes;
}

bool dv_dataset_is_changed(const dv_dataset *ds)
{
    return ds->changed;
}

dv_text dv_text_unpadded(dv_text t)
{
    while (t.len && (t.at[t.len - 1] == ' ' || t.at[t.len - 1] == '\0'))
        t.len--;
    return t;
}

/* ASCII without escapes: means the same in every character set that DICOM knows, but for two signs of ISO_IR 13 and 14
 * that all readers take for backslash and tilde. */
bool dv_text_is_plain(dv_text t)
{
    size_t i = 0;
    for (; i + 8 <= t.len; i += 8) {
        uint64_t eight;
        memcpy(&eight, t.at + i, 8);
        uint64_t escape = eight ^ 0x1B1B1B1B1B1B1B1Bu;
        if ((eight & 0x8080808080808080u) || ((escape - 0x0101010101010101u) & ~escape & 0x8080808080808080u))
            return false;
    }
    for (; i < t.len; i++)
        if ((unsigned char)t.at[i] >= 0x80 || t.at[i] == 0x1B)
            return false;
    return true;
}

/* What SpecificCharacterSet says in LV itself; absent when it is not there. */
static dv_text own_charset(const dv_dataset *ds, const dv_level *lv)
{
    dv_found f = dv_level_find(ds, lv, DV_SpecificCharacterSet);
    if (!f.there)
        return (dv_text){NULL, 0};
    dv_text value = f.edit && f.edit->kind == DV_EDIT_VALUE ? f.edit->value : dv_found_bytes(ds, &f);
    return value.at ? dv_text_unpadded(value) : (dv_text){"", 0};
}

const dv_charset *dv_level_charset(const dv_dataset *ds, const dv_level *lv, dv_charset *room, bool *good)
{
    for (; lv->up; lv = lv->up) { /* an item without its own has that of what it is in (PS3.3 C.12.1.1.2) */
        dv_text own = own_charset(ds, lv);
        if (own.at) {
            *good = dv_charset_parse(own, room, NULL);
            return room;
        }
    }
    if (ds->received_only) {
        *good = dv_charset_parse(own_charset(ds, lv), room, NULL);
        return room;
    }
    dv_dataset *cache = (dv_dataset *)ds;
    if (!ds->charset_known) {
        cache->charset_good = dv_charset_parse(own_charset(ds, lv), &cache->charset, NULL);
        cache->charset_known = true;
    }
    *good = ds->charset_good;
    return &ds->charset;
}

dv_text dv_found_bytes(const dv_dataset *ds, const dv_found *f)
{
    return f->node == DV_NO_NODE ? (dv_text){NULL, 0} : dv_index_value(ds->ix, f->node);
}

dv_vr dv_level_dict_vr(const dv_dataset *ds, const dv_level *lv, dv_tag tag, dv_text creator)
{
    if (!creator.at && dv_tag_is_private(tag) && DV_ELEMENT(tag) >= 0x1000)
        creator = dv_level_creator(ds, lv, tag);
    const dv_dict_entry *e = creator.at ? dv_dict_private(creator, tag) : NULL;
    return e ? e->vr : dv_dict_vr(tag);
}

static bool decode_text(const dv_dataset *ds, const dv_level *lv, dv_tag tag, const dv_vr_info *info, dv_text bytes,
                        dv_text *out, dv_error *err)
{
    char name[12];
    dv_charset room = {0};
    bool good = true;
    const dv_charset *cs = &room;
    if (info->charset)
        cs = dv_level_charset(ds, lv, &room, &good);
    else if (!dv_charset_parse((dv_text){NULL, 0}, &room, err))
        return false;
    if (!good) {
        /* Says which term it is. */
        const dv_level *at = lv;
        while (at->up && !own_charset(ds, at).at)
            at = at->up;
        dv_charset_parse(own_charset(ds, at), &room, err);
        return dv_error_context(err, "%s", dv_tag_print(tag, name));
    }
    if (!dv_charset_decode(cs, info->vr, bytes, ds->arena, out, err)) {
        *out = (dv_text){NULL, 0};
        return dv_error_context(err, "%s", dv_tag_print(tag, name));
    }
    return true;
}

bool dv_found_text(const dv_dataset *ds, const dv_level *lv, dv_tag tag, const dv_found *f, dv_text *out, dv_error *err)
{
    char name[12];
    *out = (dv_text){NULL, 0};
    if (!f->there)
        return true;
    if (f->edit && f->edit->kind == DV_EDIT_VALUE) {
        *out = f->edit->value;
        return true;
    }
    if (dv_found_is_sequence(ds, f))
        return dv_fail(err, DV_ERR_PATH, "%s is a sequence, it has items and no value", dv_tag_print(tag, name));
    const dv_node *node = &ds->ix->nodes[f->node];
    dv_vr vr = f->edit ? f->edit->vr : node->vr;
    const dv_vr_info *info = dv_vr_lookup(vr);
    if (!info)
        info = dv_vr_lookup(dv_level_dict_vr(ds, lv, tag, (dv_text){NULL, 0}));
    if (!node->length) {
        *out = (dv_text){"", 0};
        return true;
    }
    bool number = info && !info->text && info->multiple;
    dv_text bytes = dv_index_value(ds->ix, f->node);
    if (node->bulk || !bytes.at || !info || (!info->text && !number))
        return dv_fail(err, DV_ERR_VALUE, "%s has %u bytes that are no text (VR %s%s)", dv_tag_print(tag, name),
                       node->length, info ? info->name : "unknown", node->bulk ? ", bulk" : "");
    if (number) {
        bool big = ds->ix->encoding.big_endian && !node->implicit;
        return dv_numbers_decode(info->vr, bytes, big, ds->arena, out, err)
                   ? true
                   : dv_error_context(err, "%s", dv_tag_print(tag, name));
    }
    bytes = dv_text_unpadded(bytes);
    if (dv_text_is_plain(bytes)) {
        *out = bytes;
        return true;
    }
    if (!decode_text(ds, lv, tag, info, bytes, out, err))
        return false;
    *out = dv_text_unpadded(*out);
    return true;
}

/* Value of number STEP says; ALL when it says none. Absent when there are fewer. */
static dv_text pick_value(dv_text all, const dv_step *step, dv_vr vr)
{
    if (!all.at || !step || step->pick == DV_PICK_NONE)
        return all;
    const dv_vr_info *info = dv_vr_lookup(vr);
    if (info && info->text && !info->multiple)
        return step->pick == DV_PICK_LAST || step->number == 1 ? all : (dv_text){NULL, 0};
    dv_text rest = all, value = {NULL, 0};
    for (uint32_t n = 1; rest.at; n++) {
        value = dv_text_split(rest, '\\', &rest);
        if (step->pick == DV_PICK_NUMBER && n == step->number)
            return dv_text_unpadded(value);
    }
    return step->pick == DV_PICK_LAST ? dv_text_unpadded(value) : (dv_text){NULL, 0};
}

typedef struct reader {
    const dv_dataset *ds;
    dv_text *out;
    dv_error *err;
    dv_vr vr;
    uint32_t items;
    bool ok, met, wants_text;
} reader;

static bool read_place(void *user, const dv_place *place)
{
    reader *r = user;
    if (place->item) {
        r->ok = dv_fail(r->err, DV_ERR_PATH, "the path names an item, which has no value");
        return false;
    }
    if (!place->found.there)
        return true; /* with wildcards another level may have it */
    r->met = true;
    r->vr = dv_found_vr(r->ds, &place->found);
    r->items = dv_found_items(r->ds, &place->found);
    if (!r->wants_text)
        return false;
    r->ok = dv_found_text(r->ds, place->level, place->tag, &place->found, r->out, r->err);
    if (r->ok)
        *r->out = pick_value(*r->out, place->step, r->vr);
    return false;
}

/* Walks that only read do not change what can be seen; the cast is for the caches inside. */
static bool read_walk(const dv_dataset *ds, const dv_path *path, reader *r, dv_error *err)
{
    return dv_walk((dv_dataset *)ds, path, DV_WALK_READ, read_place, r, err) && r->ok;
}

bool dv_dataset_get(const dv_dataset *ds, const dv_path *path, dv_text *out, dv_error *err)
{
    *out = (dv_text){NULL, 0};
    const dv_step *s = path->steps;
    if (path->count == 1 && !s->creator.at && !s->anywhere && s->pick == DV_PICK_NONE) {
        dv_level top = dv_level_top(ds);
        dv_found f = dv_level_find(ds, &top, s->tag);
        return dv_found_text(ds, &top, s->tag, &f, out, err);
    }
    reader r = {.ds = ds, .out = out, .err = err, .ok = true, .wants_text = true};
    return read_walk(ds, path, &r, err);
}

bool dv_dataset_get_received(const dv_dataset *ds, const dv_path *path, dv_text *out, dv_error *err)
{
    dv_dataset *inner = (dv_dataset *)ds;
    inner->received_only = true;
    bool ok = dv_dataset_get(ds, path, out, err);
    inner->received_only = false;
    return ok;
}

dv_text dv_dataset_text(const dv_dataset *ds, dv_tag tag)
{
    dv_level top = dv_level_top(ds);
    dv_found f = dv_level_find(ds, &top, tag);
    dv_text out;
    dv_found_text(ds, &top, tag, &f, &out, NULL);
    return out;
}

dv_text dv_dataset_raw(const dv_dataset *ds, dv_tag tag)
{
    uint32_t node = dv_index_find(ds->ix, tag);
    return node == DV_NO_NODE ? (dv_text){NULL, 0} : dv_text_trim(dv_index_value(ds->ix, node));
}

dv_vr dv_dataset_vr(const dv_dataset *ds, const dv_path *path)
{
    reader r = {.ds = ds, .ok = true};
    read_walk(ds, path, &r, NULL);
    return r.vr;
}

uint32_t dv_dataset_items(const dv_dataset *ds, const dv_path *path)
{
    reader r = {.ds = ds, .ok = true};
    read_walk(ds, path, &r, NULL);
    return r.items;
}

typedef struct caller {
    dv_dataset *ds;
    dv_vr vr;
    bool (*each)(void *user, const dv_path *place, dv_vr vr);
    void *user;
    dv_error *err;
    bool failed;
} caller;

static bool call_place(void *user, const dv_place *place)
{
    caller *c = user;
    if (!place->item && !place->found.there)
        return true;
    dv_vr vr = place->item ? 0 : dv_found_vr(c->ds, &place->found);
    if (c->vr && c->vr != vr)
        return true;
    dv_path path;
    if (!dv_place_path(c->ds, place, c->ds->arena, &path, c->err)) {
        c->failed = true;
        return false;
    }
    if (!place->item && place->step && (place->step->pick == DV_PICK_NUMBER || place->step->pick == DV_PICK_LAST)) {
        dv_step *last = &path.steps[path.count - 1];
        last->pick = place->step->pick;
        last->number = place->step->number;
        path.text = dv_path_print(c->ds->arena, path.steps, path.count);
    }
    return c->each(c->user, &path, vr);
}

/* Every element of LV and below; bounded by the nesting of the index and of paths. */
static bool call_level(caller *c, const dv_level *lv)
{
    dv_cursor cursor = {0};
    dv_place place = {.level = lv};
    while (dv_level_next(c->ds, lv, &cursor, &place.tag, &place.found)) {
        bool sequence = dv_found_is_sequence(c->ds, &place.found);
        if (!c->vr || dv_found_vr(c->ds, &place.found) == c->vr) {
            if (!call_place(c, &place))
                return false;
            if (sequence && c->ds->changed)
                place.found = dv_level_find(c->ds, lv, place.tag);
        }
        dv_item item;
        for (uint32_t number = 1; sequence && dv_found_item(c->ds, &place.found, number, &item); number++) {
            dv_level inner = dv_level_item(c->ds, lv, place.tag, (dv_text){NULL, 0}, &place.found, item, number);
            if (!call_level(c, &inner))
                return false;
            if (c->ds->changed)
                place.found = dv_level_find(c->ds, lv, place.tag);
        }
    }
    return true;
}

bool dv_dataset_each(dv_dataset *ds, const dv_path *path, dv_vr vr,
                     bool (*each)(void *user, const dv_path *place, dv_vr vr), void *user, dv_error *err)
{
    caller c = {.ds = ds, .vr = vr, .each = each, .user = user, .err = err};
    if (path)
        return dv_walk(ds, path, DV_WALK_READ, call_place, &c, err) && !c.failed;
    if (vr && vr != DV_VR_SQ && !ds->changed) { /* the common answer of the policies that ask VR by VR: none */
        uint32_t i = 0;
        while (i < ds->ix->count && (ds->ix->nodes[i].vr != vr || ds->ix->nodes[i].kind != DV_NODE_VALUE))
            i++;
        if (i == ds->ix->count)
            return true;
    }
    dv_level top = dv_level_top(ds);
    call_level(&c, &top);
    return !c.failed;
}
