/* native's walks over the whole header, for the normalization policies: they look at every element in C and hand only
 * what is faulty to Lua. The common case, nothing to do, is one pass over the index without reading a path or making a
 * string. What earlier rules wrote is not looked at again: rules write what is right. */
#include "rules/bind_internal.h"

#include "dicom/dict.h"
#include "dicom/values.h"

enum {
    MAX_FAULTY = 10000
}; /* values of one VR handed to Lua; a dataset with more is garbage, the rest stays as it is */

static dv_text trim_padding(dv_text t)
{
    while (t.len && (t.at[t.len - 1] == ' ' || t.at[t.len - 1] == '\0'))
        t.len--;
    return t;
}

/* PN as it should not be: trailing delimiters, blanks doubled or beside a delimiter, commas, over 64 characters a
 * group. */
static bool name_is_odd(dv_text t)
{
    size_t group = 0;
    char last = '^';
    for (size_t i = 0; i < t.len; i++) {
        char c = t.at[i];
        bool delimiter = c == '^' || c == '=';
        if (c == ',' || (c == ' ' && (last == ' ' || last == '^' || last == '=')) || (delimiter && last == ' ') ||
            (unsigned char)c < 0x20)
            return true;
        group = c == '=' ? 0 : group + 1;
        if (group > 64)
            return true;
        last = c;
    }
    return last == '^' ? t.len > 0 : last == '=' || last == ' ';
}

/* The numbers that nearly all are: digits, one point, a sign. The full check costs ten times as much. */
static bool is_plain_number(dv_vr vr, dv_text t)
{
    size_t i = t.len && t.at[0] == '-', points = 0, digits = 0;
    for (; i < t.len; i++) {
        if (t.at[i] == '.')
            points++;
        else if (t.at[i] >= '0' && t.at[i] <= '9')
            digits++;
        else
            return false;
    }
    return digits > 0 && (vr == DV_VR_DS ? points <= 1 && t.len <= 16 : points == 0 && t.len <= 9);
}

static bool value_is_odd(dv_vr vr, dv_text value)
{
    if ((vr == DV_VR_DS || vr == DV_VR_IS) && is_plain_number(vr, value))
        return false;
    return vr == DV_VR_PN ? name_is_odd(value) || !dv_value_check(vr, value, NULL) : !dv_value_check(vr, value, NULL);
}

/* The VR by which rules read node N: an UN of a known tag may have been re-typed by a rule before. */
static const dv_vr_info *info_of(const dv_node *n)
{
    if (n->kind != DV_NODE_VALUE || n->bulk || n->length == 0)
        return NULL;
    return dv_vr_lookup(n->vr == DV_VR_UN && !dv_tag_is_private(n->tag) ? dv_dict_vr(n->tag) : n->vr);
}

/* Any of the backslash-separated values in T. */
static bool any_odd(const dv_vr_info *info, dv_text t)
{
    if (!info->multiple)
        return value_is_odd(info->vr, trim_padding(t));
    for (dv_text rest = t; rest.at;) {
        dv_text more, value = dv_text_split(rest, '\\', &more);
        if (value_is_odd(info->vr, trim_padding(value)))
            return true;
        rest = more;
    }
    return false;
}

static bool index_has_odd(const dv_index *ix, const dv_vr_info *info)
{
    for (uint32_t i = 0; i < ix->count; i++) {
        const dv_node *n = &ix->nodes[i];
        if ((n->vr != info->vr && n->vr != DV_VR_UN) || info_of(n) != info)
            continue;
        dv_text raw = dv_index_value(ix, i);
        raw = trim_padding(raw);
        if ((!info->charset && !dv_text_is_ascii(raw)) || any_odd(info, raw))
            return true;
    }
    return false;
}

typedef struct odd_walk {
    dv_bind_found found;
    dv_dataset *ds;
    const dv_vr_info *info;
} odd_walk;

static bool keep_odd(void *user, const dv_path *place, dv_vr vr)
{
    odd_walk *w = user;
    dv_text value = {0};
    if (!dv_dataset_get(w->ds, place, &value, NULL) || !value.at || !any_odd(w->info, value))
        return true; /* what cannot be read is the character set policy's */
    dv_bind_place *p = dv_bind_keep(&w->found, place->text, vr);
    if (!p)
        return false;
    p->value = value;
    return w->found.count < MAX_FAULTY;
}

/* faulty(vr) -> nil, or a list path, value, path, value, ...: elements of VR, at every depth, whose value is not as
 * PS3.5 6.2 wants it */
static int native_faulty(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    const char *name = luaL_checkstring(L, 1);
    const dv_vr_info *info = dv_vr_lookup(dv_bind_vr(dv_text_of(name)));
    dv_dataset *ds = dv_bind_dataset(L, b);
    const dv_index *ix = dv_dataset_index(ds);
    if (!info)
        return luaL_error(L, "no such VR: %s", name);
    if (ix && !index_has_odd(ix, info))
        return 0;
    odd_walk w = {{.arena = dv_dataset_arena(ds)}, ds, info};
    if (!dv_dataset_each(ds, NULL, info->vr, keep_odd, &w, &err))
        return dv_bind_raise_bare(L, &err);
    if (w.found.failed)
        return luaL_error(L, "out of memory");
    if (!w.found.first)
        return 0;
    lua_newtable(L);
    lua_Integer n = 0;
    for (const dv_bind_place *p = w.found.first; p; p = p->next) {
        dv_bind_push_text(L, p->path);
        lua_rawseti(L, -2, ++n);
        dv_bind_push_text(L, p->value);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* ---- character sets ---- */

typedef struct text_walk {
    dv_dataset *ds;
    dv_arena *arena;
    dv_text path;
    char *why;
} text_walk;

static bool find_unreadable(void *user, const dv_path *place, dv_vr vr)
{
    text_walk *w = user;
    const dv_vr_info *info = dv_vr_lookup(vr);
    dv_text value;
    dv_error err = {0};
    if (!info || !info->charset || dv_dataset_get(w->ds, place, &value, &err) || err.code != DV_ERR_CHARSET)
        return true;
    w->path = dv_arena_text(w->arena, place->text);
    w->why = dv_arena_printf(w->arena, "%s", err.message);
    return false;
}

/* charset_scan() -> "plain"                                             all text is ASCII
 *                   "good", all text is UTF-8, certain                  it decodes in the declared set
 *                   "bad", all text is UTF-8, certain, path, why        it does not
 * CERTAIN is the set that the bytes can only be in, nil when several are possible. */
static int native_charset_scan(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    dv_dataset *ds = dv_bind_dataset(L, b);
    const dv_index *ix = dv_dataset_index(ds);
    bool plain = true, utf8 = true, agreed = true;
    const char *certain = NULL;
    for (uint32_t i = 0; ix && i < ix->count; i++) {
        const dv_node *n = &ix->nodes[i];
        const dv_vr_info *info = info_of(n);
        if (!info || !info->charset)
            continue;
        dv_text raw = dv_index_value(ix, i);
        if (dv_text_is_ascii(raw))
            continue;
        const char *detected = dv_charset_detect(raw);
        agreed = agreed && detected && (plain || (certain && strcmp(certain, detected) == 0));
        certain = detected;
        plain = false;
        if (memchr(raw.at, 0x1B, raw.len) || !dv_utf8_valid(raw))
            utf8 = false;
    }
    if (plain) {
        lua_pushstring(L, "plain");
        return 1;
    }
    text_walk w = {ds, dv_dataset_arena(ds), {0}, NULL};
    if (!dv_dataset_each(ds, NULL, 0, find_unreadable, &w, &err))
        return dv_bind_raise_bare(L, &err);
    lua_pushstring(L, w.why ? "bad" : "good");
    lua_pushboolean(L, utf8);
    lua_pushstring(L, agreed ? certain : NULL);
    dv_bind_push_text(L, w.path);
    lua_pushstring(L, w.why);
    return 5;
}

/* charset_fits(term) -> would all the text decode in TERM */
static int native_charset_fits(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_text term;
    term.at = luaL_checklstring(L, 1, &term.len);
    const dv_index *ix = dv_dataset_index(dv_bind_dataset(L, b));
    dv_charset cs;
    bool fits = ix && dv_charset_parse(term, &cs, NULL);
    dv_arena scratch;
    dv_arena_init(&scratch, 0);
    for (uint32_t i = 0; fits && i < ix->count; i++) {
        const dv_node *n = &ix->nodes[i];
        const dv_vr_info *info = info_of(n);
        dv_text out;
        if (info && info->charset)
            fits = dv_charset_decode(&cs, info->vr, dv_index_value(ix, i), &scratch, &out, NULL);
    }
    dv_arena_free(&scratch); /* nothing above calls Lua */
    lua_pushboolean(L, fits);
    return 1;
}

/* ---- elements that should not be there, or not so ---- */

/* foreign() -> nil, or the paths of top-level elements in groups 0000, 0002, 0004 (PS3.5 7) */
static int native_foreign(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    const dv_index *ix = dv_dataset_index(dv_bind_dataset(L, b));
    lua_Integer n = 0;
    if (!ix || !(ix->findings & DV_INDEX_FOREIGN_GROUP))
        return 0;
    for (uint32_t i = 0; i < ix->top_count; i++) {
        dv_tag tag = ix->nodes[ix->top[i]].tag;
        if (DV_GROUP(tag) > 4)
            continue;
        char name[12];
        if (n == 0)
            lua_newtable(L);
        lua_pushstring(L, dv_tag_print(tag, name));
        lua_rawseti(L, -2, ++n);
    }
    return n ? 1 : 0;
}

static bool keep_untyped(void *user, const dv_path *place, dv_vr vr)
{
    dv_bind_found *found = user;
    (void)vr;
    dv_tag tag = place->steps[place->count - 1].tag;
    const dv_dict_entry *entry = dv_tag_is_private(tag) ? NULL : dv_dict_by_tag(tag);
    /* a VR that the dictionary leaves open (US or SS, OB or OW) cannot be known here; a sequence's content must be
     * parsed first */
    if (!entry || entry->alt || entry->vr == DV_VR_UN || entry->vr == DV_VR_SQ)
        return true;
    return dv_bind_keep(found, place->text, entry->vr) && found->count < MAX_FAULTY;
}

/* untyped() -> nil, or a list path, vr, path, vr, ...: elements sent as UN whose VR the dictionary knows */
static int native_untyped(lua_State *L)
{
    dv_bind *b = dv_bind_of(L);
    dv_error err;
    dv_dataset *ds = dv_bind_dataset(L, b);
    const dv_index *ix = dv_dataset_index(ds);
    bool any = false;
    for (uint32_t i = 0; ix && i < ix->count && !any; i++)
        any = ix->nodes[i].vr == DV_VR_UN && ix->nodes[i].kind == DV_NODE_VALUE && !dv_tag_is_private(ix->nodes[i].tag);
    if (!any)
        return 0;
    dv_bind_found found = {.arena = dv_dataset_arena(ds)};
    if (!dv_dataset_each(ds, NULL, DV_VR_UN, keep_untyped, &found, &err))
        return dv_bind_raise_bare(L, &err);
    if (found.failed)
        return luaL_error(L, "out of memory");
    if (!found.first)
        return 0;
    lua_newtable(L);
    lua_Integer n = 0;
    for (const dv_bind_place *p = found.first; p; p = p->next) {
        char vr[2] = {(char)(p->vr >> 8), (char)(p->vr & 0xFF)};
        dv_bind_push_text(L, p->path);
        lua_rawseti(L, -2, ++n);
        lua_pushlstring(L, vr, 2);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

void dv_bind_scans(lua_State *L, dv_bind *b)
{
    static const luaL_Reg functions[] = {
        {"faulty", native_faulty},   {"charset_scan", native_charset_scan}, {"charset_fits", native_charset_fits},
        {"foreign", native_foreign}, {"untyped", native_untyped},           {NULL, NULL},
    };
    dv_bind_set(L, b, functions);
}
