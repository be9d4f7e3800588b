/* What must hold for any dataset: made at random in the three encodings (nested sequences of defined and undefined length, sequences sent as UN,
 * odd lengths, every VR, private blocks, fragments), and every real file.
 *
 *   written unedited, it is the bytes that came
 *   after an edit, what was written reads as before but for the place that was named: every other element, item and delimiter has its bytes
 *   an edit that is refused changes nothing
 *
 * DROVER_SEED=n repeats a run, DROVER_ROUNDS=n makes it longer; both are printed. */
#include "made.h"

#include "dicom/dict.h"
#include "dicom/part10.h"

#include <time.h>

static dv_arena arena;
static uint64_t seed, state;
static unsigned rounds = 100, edited, refused;
static char what[600]; /* for the message of a failure */

static int set_up(void **unused)
{
    (void)unused;
    const char *given = getenv("DROVER_SEED"), *more = getenv("DROVER_ROUNDS");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    rounds = more ? (unsigned)strtoul(more, NULL, 10) : rounds;
    print_message("DROVER_SEED=%llu DROVER_ROUNDS=%u\n", (unsigned long long)seed, rounds);
    state = seed * 2 + 1;
    dv_arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    dv_arena_free(&arena);
    return 0;
}

/* splitmix64 */
static uint32_t any(uint32_t below)
{
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ z >> 31) >> 16) % below;
}

/* ---- datasets ---- */

static const dv_tag tags[] = {
    0x00080008, 0x00080018, 0x00080020, 0x0008002A, 0x00080030, 0x00080050, 0x00080080, 0x00080119, 0x00080120, 0x00081030, 0x00081032, 0x00081110,
    0x00081140, 0x00090010, 0x00091001, 0x00091002, 0x00100010, 0x00100020, 0x00101010, 0x00104000, 0x00180050, 0x00181150, 0x00186020, 0x00189087,
    0x00189219, 0x00209165, 0x00280010, 0x00280106, 0x00289001, 0x00400275, 0x0040A160, 0x0040A730, 0x00420011, 0x00540016, 0x00660016, 0x00660040,
    0x00720073, 0x00720081, 0x00720082, 0x00720083, 0x54001010,
};

static const char *name_of(dv_vr vr)
{
    const dv_vr_info *info = dv_vr_lookup(vr);
    return info ? info->name : "UN";
}

static void add_items(dv_buffer *b, dv_encoding e, int depth, bool big);

static void add_sequence(dv_buffer *b, dv_tag tag, dv_encoding e, int depth)
{
    bool big = e.big_endian, undefined = any(2);
    dv_buffer items = {0};
    if (!e.implicit && undefined && any(6) == 0) { /* CP-246: its content is implicit little endian */
        add_items(&items, (dv_encoding){.implicit = true}, depth, false);
        head(b, tag, "UN", DV_UNDEFINED, big);
        dv_buffer_add(b, items.at, items.len);
        head(b, DV_SEQUENCE_END, NULL, 0, false);
    } else {
        add_items(&items, e, depth, big);
        head(b, tag, e.implicit ? NULL : "SQ", undefined ? DV_UNDEFINED : (uint32_t)items.len, big);
        dv_buffer_add(b, items.at, items.len);
        if (undefined)
            head(b, DV_SEQUENCE_END, NULL, 0, big);
    }
    dv_buffer_free(&items);
}

static void add_value(dv_buffer *b, dv_tag tag, dv_encoding e)
{
    static const char *const all[] = {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OD", "OF", "OL", "OV",
                                      "OW", "PN", "SH", "SL", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV"};
    const char *vr = name_of(dv_dict_vr(tag));
    if (tag == 0x00090010) {
        head(b, tag, e.implicit ? NULL : "LO", 4, e.big_endian);
        dv_buffer_add(b, "ACME", 4);
        return;
    }
    if (!e.implicit && any(8) == 0)
        vr = all[any(sizeof all / sizeof *all)];
    const dv_vr_info *info = dv_vr_lookup(DV_VR(vr[0], vr[1]));
    uint8_t value[64];
    size_t n = any(6) == 0 ? 0 : 2 * any(info->text ? 20 : 4) * (info->text ? 1 : info->unit);
    for (size_t i = 0; i < n; i++)
        value[i] = info->text ? (uint8_t)(any(9) ? '0' + any(10) : '.') : (uint8_t)any(256);
    if (n && info->text && any(10) == 0)
        n--; /* odd */
    head(b, tag, e.implicit ? NULL : vr, (uint32_t)n, e.big_endian);
    dv_buffer_add(b, value, n);
}

static void add_elements(dv_buffer *b, dv_encoding e, int depth)
{
    uint32_t share = 2 + any(6);
    bool block = false;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        if (any(share) || (DV_GROUP(tags[i]) == 9 && DV_ELEMENT(tags[i]) > 0xFF && !block))
            continue;
        block |= tags[i] == 0x00090010;
        if (dv_dict_vr(tags[i]) != DV_VR_SQ)
            add_value(b, tags[i], e);
        else if (depth < 5)
            add_sequence(b, tags[i], e, depth + 1);
    }
}

static void add_items(dv_buffer *b, dv_encoding e, int depth, bool big)
{
    for (uint32_t i = any(4); i > 0; i--) {
        dv_buffer item = {0};
        bool undefined = any(2);
        if (any(8))
            add_elements(&item, e, depth);
        head(b, DV_ITEM, NULL, undefined ? DV_UNDEFINED : (uint32_t)item.len, big);
        dv_buffer_add(b, item.at, item.len);
        if (undefined)
            head(b, DV_ITEM_END, NULL, 0, big);
        dv_buffer_free(&item);
    }
}

static void make(dv_buffer *b, dv_encoding e)
{
    dv_buffer_clear(b);
    add_elements(b, e, 0);
    if (any(3) == 0) {
        bool fragments = !e.implicit && any(2);
        head(b, DV_PixelData, e.implicit ? NULL : fragments ? "OB" : "OW", fragments ? DV_UNDEFINED : 8, e.big_endian);
        if (fragments) {
            head(b, DV_ITEM, NULL, 0, e.big_endian);
            head(b, DV_ITEM, NULL, 8, e.big_endian);
        }
        dv_buffer_add(b, "12345678", 8);
        if (fragments)
            head(b, DV_SEQUENCE_END, NULL, 0, e.big_endian);
    }
}

/* ---- comparing ---- */

typedef struct element {
    const char *key; /* tags and item numbers down to it */
    const uint8_t *at, *stop;
    uint32_t node;
} element;

/* Every node of IX with its place, in order. */
static element *flatten(const dv_index *ix)
{
    element *list = dv_arena_zalloc(&arena, ix->count + 1, sizeof *list);
    for (uint32_t i = 0; i < ix->count; i++) {
        const dv_node *n = &ix->nodes[i];
        const char *parent = n->parent == DV_NO_NODE ? "" : list[n->parent].key;
        uint32_t number = 0;
        if (n->kind == DV_NODE_ITEM) {
            for (uint32_t k = n->parent + 1; k < i; k = ix->nodes[k].end)
                number++;
            list[i].key = dv_arena_printf(&arena, "%s[%u]", parent, number);
        } else {
            list[i].key = dv_arena_printf(&arena, "%s.%08X", parent, (unsigned)n->tag);
        }
        list[i].at = ix->bytes + n->offset;
        list[i].stop = ix->bytes + n->stop;
        list[i].node = i;
    }
    return list;
}

/* NULL: AFTER is BEFORE, but for the element KEY, which may have come, gone, or have another value. Else what differs. Elements that stand
 * twice are compared in their order. */
static const char *difference(const dv_index *before, const dv_index *after, const char *key)
{
    element *a = flatten(before), *b = flatten(after);
    uint32_t i = 0, k = 0;
    size_t length = strlen(key);
    while (i < before->count || k < after->count) {
        bool named_a = i < before->count && !strncmp(a[i].key, key, length), named_b = k < after->count && !strncmp(b[k].key, key, length);
        if (named_a || named_b) {
            i += named_a;
            k += named_b;
            continue;
        }
        if (i == before->count || k == after->count || strcmp(a[i].key, b[k].key) != 0)
            return i < before->count ? a[i].key : b[k].key;
        const dv_node *m = &before->nodes[i], *n = &after->nodes[k];
        /* Those around it may have another length, if theirs is defined. */
        bool around = !strncmp(key, a[i].key, strlen(a[i].key)) && m->kind != DV_NODE_VALUE;
        size_t same = m->kind == DV_NODE_VALUE ? m->stop - m->offset : m->head;
        if (around && m->length != DV_UNDEFINED)
            same -= 4;
        /* The VR of an implicit one may follow another element (PixelRepresentation); an explicit one stands in the bytes. */
        if (m->head != n->head || memcmp(a[i].at, b[k].at, same) != 0)
            return a[i].key;
        if (!around && m->stop - m->offset != n->stop - n->offset)
            return a[i].key;
        if (m->kind != DV_NODE_VALUE && m->length == DV_UNDEFINED && memcmp(a[i].stop - 8, b[k].stop - 8, 8) != 0)
            return a[i].key;
        i++;
        k++;
    }
    return NULL;
}

/* ---- edits ---- */

typedef struct choice {
    uint32_t left;
    char path[400];
    dv_vr vr;
} choice;

static bool choose(void *user, const dv_path *place, dv_vr vr)
{
    choice *c = user;
    if (dv_text_copy(place->text, c->path, sizeof c->path))
        c->vr = vr;
    return c->left-- > 0;
}

/* The key of flatten() for PATH; NULL for what has no single one. */
static const char *key_of(const dv_index *ix, const dv_path *path)
{
    const char *key = "";
    uint32_t item = DV_NO_NODE;
    for (uint32_t s = 0; s < path->count; s++) {
        const dv_step *step = &path->steps[s];
        dv_tag tag = step->tag;
        if (step->creator.at) { /* made data has one block, 10; real files have more and are not asked here */
            if (!dv_text_is(step->creator, "ACME"))
                return NULL;
            tag = DV_TAG(DV_GROUP(tag), 0x1000 | (DV_ELEMENT(tag) & 0xFF));
        }
        key = dv_arena_printf(&arena, "%s.%08X", key, (unsigned)tag);
        uint32_t node = item == DV_NO_NODE ? dv_index_find(ix, tag) : dv_index_find_in(ix, item, tag);
        if (step->pick == DV_PICK_NUMBER && s + 1 < path->count) {
            key = dv_arena_printf(&arena, "%s[%u]", key, step->number - 1);
            uint32_t k = node == DV_NO_NODE ? DV_NO_NODE : node + 1;
            for (uint32_t i = 1; k != DV_NO_NODE && i < step->number; i++)
                k = ix->nodes[k].end;
            item = k;
        }
    }
    return key;
}

static void one_edit(const dv_index *ix, bool flip)
{
    dv_error err = {0};
    dv_dataset *ds = dv_dataset_open(&arena, ix, &err);
    choice c = {.left = ix->count ? any(ix->count) : 0};
    dv_dataset_each(ds, NULL, 0, choose, &c, &err);
    if (!c.path[0])
        return;
    char value[20];
    const char *key;
    uint32_t kind = any(4);
    snprintf(value, sizeof value, "%u", any(4) ? 1000 + any(90000) : any(10));
    if (kind == 3) { /* one that is not there, beside the chosen one */
        char *dot = strrchr(c.path, '.');
        size_t at = dot ? (size_t)(dot + 1 - c.path) : 0;
        snprintf(c.path + at, sizeof c.path - at, "%s", any(2) ? "AccessionNumber" : "PatientTelephoneNumbers");
    }
    snprintf(what, sizeof what, "seed %llu, %s %s := %s", (unsigned long long)seed, kind == 0 ? "remove" : "set", c.path, value);
    const dv_path *path = path_of(&arena, c.path);
    if (!(key = key_of(ix, path)))
        return;
    uint32_t places = 0;
    bool done = kind == 0 ? dv_dataset_remove(ds, path, &places, &err) : dv_dataset_set(ds, path, dv_text_of(value), &places, &err);
    dv_text out, now;
    if (!dv_write_bytes(ds, &out, &err))
        fail_msg("%s: %s", what, err.message);
    edited += done && places;
    refused += !done;
    if (!done || !places) {
        if (out.len != ix->len || memcmp(out.at, ix->bytes, out.len) != 0)
            fail_msg("%s: it did nothing and changed bytes", what);
        return;
    }
    dv_index again;
    if (flip && !out.len) /* its only element went */
        return;
    if (flip) {
        out = dv_arena_text(&arena, out);
        ((char *)(uintptr_t)out.at)[any((uint32_t)out.len)] ^= (char)(1 << any(8));
    }
    bool reads = dv_index_all(&again, &arena, ix->encoding, (const uint8_t *)out.at, out.len, &err);
    if (flip) {
        /* Only a flip inside what was named goes unseen. */
        if (reads && !difference(ix, &again, key)) {
            dv_index right;
            dv_write_bytes(ds, &now, &err);
            dv_index_all(&right, &arena, ix->encoding, (const uint8_t *)now.at, now.len, &err);
            if (difference(&right, &again, key))
                fail_msg("%s: the comparison misses a flipped bit", what);
        }
        return;
    }
    if (!reads)
        fail_msg("%s: what was written does not read: %s", what, err.message);
    const char *other = difference(ix, &again, key);
    if (other)
        fail_msg("%s: %s changed", what, other);
    dv_dataset *read = dv_dataset_open(&arena, &again, &err);
    if (!dv_dataset_get(read, path, &now, &err))
        fail_msg("%s: %s", what, err.message);
    if (kind == 0 ? now.at != NULL : !dv_text_is(dv_text_trim(now), value) && c.vr != DV_VR_UN)
        fail_msg("%s: it reads '%.*s'", what, DV_ARG(now));
}

/* ---- tests ---- */

static const dv_encoding encodings[] = {{0}, {.implicit = true}, {.big_endian = true}};

static void each_made(void (*test)(const dv_index *ix))
{
    dv_buffer b = {0};
    dv_error err = {0};
    for (unsigned i = 0; i < rounds; i++)
        for (size_t k = 0; k < 3; k++) {
            dv_index ix;
            uint64_t before = state;
            make(&b, encodings[k]);
            dv_arena_reset(&arena);
            if (!dv_index_all(&ix, &arena, encodings[k], (const uint8_t *)b.at, b.len, &err))
                fail_msg("seed %llu, state %llx, encoding %zu: %s", (unsigned long long)seed, (unsigned long long)before, k, err.message);
            test(&ix);
        }
    dv_buffer_free(&b);
}

static size_t compared;

static void same_bytes(const dv_index *ix)
{
    dv_error err = {0};
    dv_text out;
    dv_index again;
    dv_dataset *ds = dv_dataset_open(&arena, ix, &err);
    assert_true(dv_write_bytes(ds, &out, &err));
    assert_int_equal(out.len, ix->len);
    if (out.len)
        assert_memory_equal(out.at, ix->bytes, out.len);
    assert_true(dv_index_all(&again, &arena, ix->encoding, (const uint8_t *)out.at, out.len, &err));
    assert_null(difference(ix, &again, "none"));
    compared += ix->count;
}

static void edits(const dv_index *ix)
{
    for (int i = 0; i < 4; i++)
        one_edit(ix, false);
}

static void flips(const dv_index *ix)
{
    one_edit(ix, true);
}

static void any_dataset_is_written_as_it_was_read(void **unused)
{
    (void)unused;
    each_made(same_bytes);
    assert_true(compared > rounds * 10);
}

static void an_edit_changes_what_it_names_and_nothing_else(void **unused)
{
    (void)unused;
    each_made(edits);
    print_message("%u edits made, %u refused\n", edited, refused);
    assert_true(edited > rounds * 3);
}

/* That the property above can fail. */
static void a_single_flipped_bit_elsewhere_is_seen(void **unused)
{
    (void)unused;
    each_made(flips);
}

static void real(const char *name, const dv_map *map)
{
    dv_error err = {0};
    dv_file_meta meta;
    dv_arena_reset(&arena);
    dv_dataset *ds = dv_part10_open(map->bytes, map->len, &arena, &meta, &err);
    if (!ds)
        return;
    const dv_index *ix = dv_dataset_index(ds);
    same_bytes(ix);
    for (int i = 0; i < 10; i++)
        one_edit(ix, false);
    (void)name;
}

static void it_holds_for_every_real_file(void **unused)
{
    (void)unused;
    char folder[900];
    if (!data_folder(folder, sizeof folder))
        skip();
    assert_true(each_file(folder, real) > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_dataset_is_written_as_it_was_read),
        cmocka_unit_test(an_edit_changes_what_it_names_and_nothing_else),
        cmocka_unit_test(a_single_flipped_bit_elsewhere_is_seen),
        cmocka_unit_test(it_holds_for_every_real_file),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
