/* Writing into the overlay. An edit is prepared at every place first and made when all of them are right, so that an error
 * changes nothing. */
#include "dicom/dataset_internal.h"

enum { LONGEST_SHORT = 65534 }; /* even, and below the 16-bit length's end */

static bool out_of_memory(dv_error *err)
{
    return dv_fail(err, DV_ERR_MEMORY, "out of memory for an edit");
}

static bool encode_with(const dv_charset *cs, dv_vr vr, dv_tag tag, dv_text text, dv_arena *arena, dv_text *out,
                        dv_error *err)
{
    char name[12];
    return dv_charset_encode(cs, vr, text, arena, out, err) ? true
                                                            : dv_error_context(err, "%s", dv_tag_print(tag, name));
}

bool dv_value_encode(const dv_dataset *ds, const dv_level *lv, dv_tag tag, dv_vr vr, dv_text text, dv_text *out,
                     dv_error *err)
{
    char name[12];
    const dv_vr_info *info = dv_vr_lookup(vr);
    bool implicit = ds->ix->encoding.implicit || lv->implicit;
    *out = text;
    if (!text.len)
        return true;
    if (!info || (!info->text && !info->multiple))
        return dv_fail(err, DV_ERR_VALUE, "%s: no text can be written in VR %s; set its VR first",
                       dv_tag_print(tag, name), info ? info->name : "UN");
    if (!info->text) {
        bool big = ds->ix->encoding.big_endian && !lv->implicit;
        if (!dv_numbers_encode(vr, text, big, ds->arena, out, err))
            return dv_error_context(err, "%s", dv_tag_print(tag, name));
    } else if (!dv_text_is_plain(text)) {
        dv_charset room = {0};
        bool good;
        if (!info->charset) {
            size_t i = 0;
            while (i < text.len && (unsigned char)text.at[i] < 0x80)
                i++;
            if (i < text.len)
                return dv_fail(err, DV_ERR_CHARSET, "%s: '%.*s' is not ASCII, as VR %s must be",
                               dv_tag_print(tag, name), text.len > 64 ? 64 : (int)text.len, text.at, info->name);
        } else {
            if (!dv_utf8_valid(text))
                return dv_fail(err, DV_ERR_CHARSET, "%s: the new value is no UTF-8", dv_tag_print(tag, name));
            const dv_charset *cs = dv_level_charset(ds, lv, &room, &good);
            if (!good)
                return dv_fail(err, DV_ERR_CHARSET,
                               "%s: SpecificCharacterSet is no known term, so only ASCII can be written",
                               dv_tag_print(tag, name));
            if (!encode_with(cs, vr, tag, text, ds->arena, out, err))
                return false;
        }
    }
    if (!implicit && !info->long_form && out->len > LONGEST_SHORT)
        return dv_fail(err, DV_ERR_VALUE, "%s: %zu bytes are more than VR %s can hold in explicit encoding (%d)",
                       dv_tag_print(tag, name), out->len, info->name, LONGEST_SHORT);
    return true;
}

/* Every value of the overlay must fit CS, when SpecificCharacterSet of LV becomes that. Goes as deep as the edits do. */
static bool overlay_fits(const dv_dataset *ds, const dv_level *lv, const dv_charset *cs, dv_error *err)
{
    const dv_scope *scope = dv_level_scope(ds, lv);
    for (uint32_t i = 0; scope && i < scope->count; i++) {
        dv_edit *e = scope->edits[i];
        const dv_vr_info *info = dv_vr_lookup(e->vr);
        dv_found f = {.edit = e, .node = e->node, .there = true};
        dv_text bytes;
        dv_item item;
        if (e->kind == DV_EDIT_VALUE && info && info->charset && !dv_text_is_plain(e->value)) {
            if (!encode_with(cs, e->vr, e->tag, e->value, ds->arena, &bytes, err))
                return false;
        }
        for (uint32_t n = 1; dv_found_item(ds, &f, n, &item); n++) {
            dv_level inner = dv_level_item(ds, lv, e->tag, (dv_text){NULL, 0}, &f, item, n);
            const dv_scope *below = dv_level_scope(ds, &inner);
            if (below && below->count && !dv_level_find(ds, &inner, DV_SpecificCharacterSet).there &&
                !overlay_fits(ds, &inner, cs, err))
                return false;
        }
    }
    return true;
}

static bool relabel_fits(const dv_dataset *ds, const dv_level *lv, dv_text value, dv_error *err)
{
    dv_charset cs = {0};
    if (!dv_charset_parse(value, &cs, err))
        return false;
    return overlay_fits(ds, lv, &cs, err);
}

typedef struct prepared {
    dv_vr vr;
    dv_text value;
} prepared;

/* VR to write with: the one it has, unless that is UN or none. */
static dv_vr writing_vr(const dv_dataset *ds, const dv_place *p)
{
    dv_vr vr = dv_found_vr(ds, &p->found);
    if (vr && vr != DV_VR_UN && dv_vr_lookup(vr))
        return vr;
    return dv_level_dict_vr(ds, p->level, p->tag, p->creator);
}

/* OLD with value STEP replaced (VALUE absent: taken out). */
static bool replace_value(dv_arena *arena, dv_text old, const dv_step *step, dv_text value, dv_text *out, dv_error *err)
{
    uint32_t count = old.len ? 1 : 0;
    for (size_t i = 0; i < old.len; i++)
        count += old.at[i] == '\\';
    uint32_t wanted = step->pick == DV_PICK_NUMBER          ? step->number
                      : step->pick == DV_PICK_LAST && count ? count
                                                            : count + 1;
    uint32_t total = wanted > count ? wanted : count;
    *out = old;
    if (!value.at && wanted > count)
        return true;
    char *text = dv_arena_alloc(arena, old.len + value.len + total + 1), *at = text;
    if (!text)
        return out_of_memory(err);
    dv_text rest = old;
    bool first = true;
    for (uint32_t n = 1; n <= total; n++) {
        dv_text one = n <= count ? dv_text_split(rest, '\\', &rest) : (dv_text){"", 0};
        if (n == wanted)
            one = value;
        if (!one.at)
            continue;
        if (!first)
            *at++ = '\\';
        first = false;
        if (one.len)
            memcpy(at, one.at, one.len);
        at += one.len;
    }
    *at = '\0';
    *out = (dv_text){text, (size_t)(at - text)};
    return true;
}

static bool untouchable(const dv_dataset *ds, const dv_place *p, dv_error *err)
{
    char name[12];
    if (p->level->up || p->is_virtual)
        return false;
    if (p->tag == DV_PixelData || p->tag == DV_FloatPixelData || p->tag == DV_DoubleFloatPixelData) {
        dv_fail(err, DV_ERR_VALUE, "%s: pixel data are never changed", dv_tag_print(p->tag, name));
        return true;
    }
    const dv_index *ix = ds->ix;
    if (ix->body != DV_NO_NODE && !ix->whole && p->tag > ix->nodes[ix->body].tag) {
        dv_fail(err, DV_ERR_VALUE, "%s stands behind Pixel Data, where nothing can be written while it arrives",
                dv_tag_print(p->tag, name));
        return true;
    }
    return false;
}

static bool prepare(const dv_dataset *ds, const dv_place *p, dv_text value, prepared *out, dv_error *err)
{
    char name[12];
    dv_text bytes;
    if (untouchable(ds, p, err))
        return false;
    out->vr = p->item ? DV_VR_SQ : writing_vr(ds, p);
    out->value = dv_text_unpadded(value.at ? value : (dv_text){"", 0});
    if (out->vr == DV_VR_SQ)
        return out->value.len ? dv_fail(err, DV_ERR_PATH, "%s is a sequence, it has items and no value",
                                        dv_tag_print(p->tag, name))
                              : true;
    const dv_vr_info *info = dv_vr_lookup(out->vr);
    if (p->step && p->step->pick != DV_PICK_NONE) {
        bool single = info && info->text && !info->multiple;
        dv_text old = {"", 0};
        if (single && p->step->pick == DV_PICK_NUMBER && p->step->number > 1)
            return dv_fail(err, DV_ERR_VALUE, "%s has one value only (VR %s)", dv_tag_print(p->tag, name), info->name);
        if (!single) {
            if (!dv_found_text(ds, p->level, p->tag, &p->found, &old, err) ||
                !replace_value(ds->arena, old, p->step, out->value, &out->value, err))
                return false;
        }
    }
    if (!dv_value_encode(ds, p->level, p->tag, out->vr, out->value, &bytes, err))
        return false;
    if (info && !info->text && out->value.len) { /* numbers are kept as they will read: "007" is "7" */
        bool big = ds->ix->encoding.big_endian && !p->level->implicit;
        if (!dv_numbers_decode(out->vr, bytes, big, ds->arena, &out->value, err))
            return false;
    }
    if (p->tag == DV_SpecificCharacterSet && !relabel_fits(ds, p->level, out->value, err))
        return false;
    return true;
}

static void touched(dv_dataset *ds, const dv_level *lv, dv_tag tag)
{
    ds->changed = true;
    if (tag == DV_SpecificCharacterSet && !lv->up)
        ds->charset_known = false;
}

static bool apply(dv_dataset *ds, const dv_place *p, const prepared *new_one, bool *changed, dv_error *err)
{
    *changed = false;
    if (p->item) {
        if (!p->made)
            return true;
        *changed = true;
        return dv_overlay_record(ds, p, (dv_text){NULL, 0}, (dv_text){"", 0}, err);
    }
    bool sequence = new_one->vr == DV_VR_SQ;
    if (sequence && p->found.there && !dv_found_items(ds, &p->found))
        return true;
    dv_text old;
    bool readable = !sequence && dv_found_text(ds, p->level, p->tag, &p->found, &old, NULL);
    if (readable && old.at && dv_text_equal(old, new_one->value) && dv_found_vr(ds, &p->found) == new_one->vr)
        return true;
    if (readable && old.at && !old.len && !new_one->value.len)
        return true; /* empty stays empty, in whatever VR */
    dv_text before = readable ? old : dv_overlay_show(ds, p->level, p->tag, &p->found);
    dv_text value = dv_arena_text(ds->arena, new_one->value);
    dv_edit *e = dv_level_edit(ds, p->level, p->tag, &p->found);
    if (!e || !value.at)
        return out_of_memory(err);
    e->kind = sequence ? DV_EDIT_ITEMS : DV_EDIT_VALUE;
    e->vr = new_one->vr;
    e->value = value;
    e->count = 0;
    e->listed = false;
    *changed = true;
    touched(ds, p->level, p->tag);
    dv_place now = *p;
    now.found = (dv_found){.edit = e, .node = e->node, .there = true};
    return dv_overlay_record(ds, &now, before, sequence ? dv_text_of("<0 items>") : value, err);
}

typedef struct writer {
    dv_dataset *ds;
    dv_text value;
    dv_error *err;
    uint32_t count;
    bool ok, make;
} writer;

static bool write_place(void *user, const dv_place *place)
{
    writer *w = user;
    prepared p;
    bool changed = false;
    w->ok = prepare(w->ds, place, w->value, &p, w->err) && (!w->make || apply(w->ds, place, &p, &changed, w->err));
    w->count += changed;
    return w->ok;
}

bool dv_dataset_set(dv_dataset *ds, const dv_path *path, dv_text value, uint32_t *count, dv_error *err)
{
    writer w = {.ds = ds, .value = value, .err = err, .ok = true};
    const dv_step *s = path->steps;
    if (count)
        *count = 0;
    if (path->count == 1 && !s->creator.at && !s->anywhere && s->pick == DV_PICK_NONE) {
        dv_level top = dv_level_top(ds);
        dv_place place = {.level = &top, .tag = s->tag, .found = dv_level_find(ds, &top, s->tag), .step = s};
        w.make = true;
        write_place(&w, &place);
    } else {
        if (!dv_walk(ds, path, DV_WALK_CHECK, write_place, &w, err) || !w.ok)
            return false;
        w.make = true;
        if (!dv_walk(ds, path, DV_WALK_MAKE, write_place, &w, err))
            return false;
    }
    if (count)
        *count = w.count;
    return w.ok;
}

bool dv_dataset_put(dv_dataset *ds, dv_tag tag, dv_text value, dv_error *err)
{
    writer w = {.ds = ds, .value = value, .err = err, .make = true};
    dv_level top = dv_level_top(ds);
    dv_place place = {.level = &top, .tag = tag, .found = dv_level_find(ds, &top, tag)};
    write_place(&w, &place);
    return w.ok;
}

/* Places are gathered first and worked on from the last to the first, so that item numbers stay right. Levels are copied
 * with those above them, for the walk's own are gone by then. */
typedef struct gathered {
    dv_place place;
    struct gathered *before;
} gathered;

typedef struct gatherer {
    dv_dataset *ds;
    gathered *last;
    bool ok;
} gatherer;

static const dv_level *keep_level(dv_arena *arena, const dv_level *lv)
{
    dv_level *first = NULL, *below = NULL;
    for (; lv; lv = lv->up) {
        dv_level *copy = dv_arena_alloc(arena, sizeof *copy);
        if (!copy)
            return NULL;
        *copy = *lv;
        if (below)
            below->up = copy;
        else
            first = copy;
        below = copy;
    }
    return first;
}

static bool gather(void *user, const dv_place *place)
{
    gatherer *g = user;
    if (!place->found.there)
        return true;
    gathered *one = dv_arena_alloc(g->ds->arena, sizeof *one);
    const dv_level *lv = one ? keep_level(g->ds->arena, place->level) : NULL;
    g->ok = lv != NULL;
    if (!lv)
        return false;
    *one = (gathered){.place = *place, .before = g->last};
    one->place.level = lv;
    g->last = one;
    return true;
}

static bool remove_element(dv_dataset *ds, const dv_place *p, dv_error *err)
{
    dv_text before = dv_overlay_show(ds, p->level, p->tag, &p->found);
    dv_edit *e = dv_level_edit(ds, p->level, p->tag, &p->found);
    if (!e)
        return out_of_memory(err);
    if (e->node == DV_NO_NODE) {
        dv_scope_remove(dv_level_scope(ds, p->level), e);
    } else {
        e->kind = DV_EDIT_GONE;
        e->count = 0;
        e->listed = false;
    }
    touched(ds, p->level, p->tag);
    return dv_overlay_record(ds, p, before, (dv_text){NULL, 0}, err);
}

static bool remove_item(dv_dataset *ds, const dv_place *p, dv_error *err)
{
    dv_edit *e = dv_level_edit(ds, p->level, p->tag, &p->found);
    if (!e)
        return out_of_memory(err);
    if (!e->vr) {
        e->kind = DV_EDIT_INSIDE;
        e->vr = DV_VR_SQ;
    }
    if (!dv_edit_list_items(ds, e))
        return out_of_memory(err);
    uint32_t at = p->item - 1;
    memmove(&e->items[at], &e->items[at + 1], (e->count - at - 1) * sizeof *e->items);
    e->count--;
    touched(ds, p->level, p->tag);
    return dv_overlay_record(ds, p, dv_text_of("<item>"), (dv_text){NULL, 0}, err);
}

static bool remove_value(dv_dataset *ds, const dv_place *p, bool *changed, dv_error *err)
{
    dv_text old, bytes;
    prepared now = {.vr = writing_vr(ds, p)};
    if (!dv_found_text(ds, p->level, p->tag, &p->found, &old, err) ||
        !replace_value(ds->arena, old, p->step, (dv_text){NULL, 0}, &now.value, err) ||
        !dv_value_encode(ds, p->level, p->tag, now.vr, now.value, &bytes, err))
        return false;
    return apply(ds, p, &now, changed, err);
}

bool dv_dataset_remove(dv_dataset *ds, const dv_path *path, uint32_t *count, dv_error *err)
{
    uint32_t done = 0;
    gatherer g = {.ds = ds, .ok = true};
    if (count)
        *count = 0;
    if (!dv_walk(ds, path, DV_WALK_READ, gather, &g, err))
        return false;
    if (!g.ok)
        return out_of_memory(err);
    for (gathered *one = g.last; one; one = one->before) {
        const dv_place *p = &one->place;
        if (untouchable(ds, p, err))
            return false;
        if (p->tag == DV_SpecificCharacterSet && !p->item) {
            dv_charset ascii = {0};
            dv_charset_parse((dv_text){NULL, 0}, &ascii, NULL);
            if (!overlay_fits(ds, p->level, &ascii, err))
                return false;
        }
    }
    for (gathered *one = g.last; one; one = one->before) {
        dv_place *p = &one->place;
        bool changed = true;
        p->found = dv_level_find(ds, p->level, p->tag);
        if (!p->found.there)
            continue;
        bool value = !p->item && p->step && p->step->pick != DV_PICK_NONE && !dv_found_is_sequence(ds, &p->found);
        if (!(p->item ? remove_item(ds, p, err)
              : value ? remove_value(ds, p, &changed, err)
                      : remove_element(ds, p, err)))
            return false;
        done += changed;
    }
    if (count)
        *count = done;
    return true;
}

static bool retype_fits(const dv_dataset *ds, const dv_place *p, dv_vr vr, dv_error *err)
{
    char name[12];
    const dv_vr_info *info = dv_vr_lookup(vr);
    if (untouchable(ds, p, err))
        return false;
    if (!info)
        return dv_fail(err, DV_ERR_VALUE, "there is no VR of that name");
    if (p->item || vr == DV_VR_SQ || dv_found_is_sequence(ds, &p->found))
        return dv_fail(err, DV_ERR_VALUE, "%s: a sequence cannot become a value, nor a value a sequence",
                       dv_tag_print(p->tag, name));
    if (p->found.edit && p->found.edit->kind == DV_EDIT_VALUE) {
        dv_text bytes;
        return dv_value_encode(ds, p->level, p->tag, vr, p->found.edit->value, &bytes, err);
    }
    const dv_node *n = &ds->ix->nodes[p->found.node];
    unsigned unit = vr == DV_VR_AT ? 4 : info->unit;
    if (n->length == DV_UNDEFINED || n->length % unit)
        return dv_fail(err, DV_ERR_VALUE, "%s: %u bytes are no whole number of values of VR %s",
                       dv_tag_print(p->tag, name), n->length, info->name);
    if (!ds->ix->encoding.implicit && !p->level->implicit && !info->long_form && n->length > LONGEST_SHORT)
        return dv_fail(err, DV_ERR_VALUE, "%s: %u bytes are more than VR %s can hold in explicit encoding (%d)",
                       dv_tag_print(p->tag, name), n->length, info->name, LONGEST_SHORT);
    return true;
}

bool dv_dataset_set_vr(dv_dataset *ds, const dv_path *path, dv_vr vr, dv_error *err)
{
    gatherer g = {.ds = ds, .ok = true};
    if (!dv_walk(ds, path, DV_WALK_READ, gather, &g, err))
        return false;
    if (!g.ok)
        return out_of_memory(err);
    for (gathered *one = g.last; one; one = one->before)
        if (!retype_fits(ds, &one->place, vr, err))
            return false;
    for (gathered *one = g.last; one; one = one->before) {
        dv_place *p = &one->place;
        if (dv_found_vr(ds, &p->found) == vr)
            continue;
        dv_text before = dv_overlay_show(ds, p->level, p->tag, &p->found);
        dv_edit *e = dv_level_edit(ds, p->level, p->tag, &p->found);
        if (!e)
            return out_of_memory(err);
        if (!p->found.edit)
            e->kind = DV_EDIT_VR;
        e->vr = vr;
        touched(ds, p->level, p->tag);
        p->found.edit = e;
        if (!dv_overlay_record(ds, p, before, dv_overlay_show(ds, p->level, p->tag, &p->found), err))
            return false;
    }
    return true;
}

typedef struct transcoder {
    dv_dataset *ds;
    const dv_charset *to;
    dv_text term;
    dv_error *err;
    bool make;
} transcoder;

static bool set_term(transcoder *t, const dv_level *lv)
{
    bool changed;
    prepared p = {.vr = DV_VR_CS, .value = t->term};
    dv_place place = {
        .level = lv, .tag = DV_SpecificCharacterSet, .found = dv_level_find(t->ds, lv, DV_SpecificCharacterSet)};
    return apply(t->ds, &place, &p, &changed, t->err);
}

static bool transcode_value(transcoder *t, const dv_level *lv, dv_tag tag, const dv_found *f)
{
    dv_dataset *ds = t->ds;
    char name[12];
    dv_text text, bytes;
    const dv_vr_info *info = dv_vr_lookup(dv_found_vr(ds, f));
    if (!info || !info->charset)
        return true;
    bool written = f->edit && f->edit->kind == DV_EDIT_VALUE;
    if (!written) {
        bytes = dv_found_bytes(ds, f);
        if (bytes.at && dv_text_is_plain(bytes))
            return true;
        if (ds->ix->nodes[f->node].bulk)
            return dv_fail(t->err, DV_ERR_VALUE, "%s is too long to be encoded anew (%u bytes)",
                           dv_tag_print(tag, name), ds->ix->nodes[f->node].length);
    }
    if (!dv_found_text(ds, lv, tag, f, &text, t->err))
        return false;
    if (!encode_with(t->to, info->vr, tag, text, ds->arena, &bytes, t->err))
        return false;
    if (!ds->ix->encoding.implicit && !lv->implicit && !info->long_form && bytes.len > LONGEST_SHORT)
        return dv_fail(t->err, DV_ERR_VALUE, "%s: %zu bytes are more than VR %s can hold in explicit encoding (%d)",
                       dv_tag_print(tag, name), bytes.len, info->name, LONGEST_SHORT);
    if (!t->make || written)
        return true;
    dv_edit *e = dv_level_edit(ds, lv, tag, f);
    text = e ? dv_arena_text(ds->arena, text) : text;
    if (!e || !text.at)
        return out_of_memory(t->err);
    e->kind = DV_EDIT_VALUE;
    e->vr = info->vr;
    e->value = text;
    return true;
}

/* Bounded by the nesting, as all walks here. The label of a level comes last: its values are read by the old one. */
static bool transcode_level(transcoder *t, const dv_level *lv)
{
    dv_cursor c = {0};
    dv_found f;
    dv_tag tag;
    bool labelled = false;
    while (dv_level_next(t->ds, lv, &c, &tag, &f)) {
        dv_item item;
        labelled |= tag == DV_SpecificCharacterSet;
        if (!dv_found_is_sequence(t->ds, &f)) {
            if (!transcode_value(t, lv, tag, &f))
                return false;
            continue;
        }
        for (uint32_t n = 1; dv_found_item(t->ds, &f, n, &item); n++) {
            dv_level inner = dv_level_item(t->ds, lv, tag, (dv_text){NULL, 0}, &f, item, n);
            if (!transcode_level(t, &inner))
                return false;
        }
    }
    return !t->make || (lv->up && !labelled) || set_term(t, lv);
}

bool dv_dataset_transcode(dv_dataset *ds, dv_text term, dv_error *err)
{
    dv_charset to = {0};
    dv_level top = dv_level_top(ds);
    if (!dv_charset_parse(term, &to, err))
        return false;
    transcoder t = {.ds = ds, .to = &to, .term = term, .err = err};
    if (!transcode_level(&t, &top))
        return false;
    t.make = true;
    return transcode_level(&t, &top);
}
