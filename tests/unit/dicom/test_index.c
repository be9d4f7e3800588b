#include "base/limits.h"
#include "dicom/part10.h"
#include "made.h"

static dv_arena arena;
static dv_index ix;
static dv_error err;
static dv_buffer b, inner, deep;

static int fresh(void **state)
{
    (void)state;
    dv_arena_init(&arena, 0);
    err = (dv_error){0};
    b = inner = deep = (dv_buffer){0};
    return 0;
}

static int gone(void **state)
{
    (void)state;
    dv_arena_free(&arena);
    dv_buffer_free(&b);
    dv_buffer_free(&inner);
    dv_buffer_free(&deep);
    return 0;
}

static const dv_encoding explicit_le = {0}, implicit_le = {.implicit = true}, explicit_be = {.big_endian = true};

static bool all(dv_encoding encoding)
{
    return dv_index_all(&ix, &arena, encoding, (const uint8_t *)b.at, b.len, &err);
}

static void assert_all(dv_encoding encoding)
{
    if (!all(encoding))
        fail_msg("%s", err.message);
}

static void assert_bad(dv_encoding encoding, dv_code code, const char *says)
{
    assert_false(all(encoding));
    assert_int_equal(err.code, code);
    if (!strstr(err.message, says))
        fail_msg("'%s' does not say '%s'", err.message, says);
}

static void a_flat_dataset_gives_a_node_an_element(void **state)
{
    (void)state;
    el(&b, DV_SpecificCharacterSet, "CS", "ISO_IR 100");
    el(&b, DV_PatientName, "PN", "DOE^JOHN");
    el(&b, DV_PatientID, "LO", "");
    assert_all(explicit_le);
    assert_int_equal(ix.count, 3);
    assert_int_equal(ix.top_count, 3);
    assert_true(ix.sorted);
    assert_int_equal(ix.findings, 0);
    assert_int_equal(ix.len, b.len);
    uint32_t n = dv_index_find(&ix, DV_PatientName);
    assert_int_equal(n, 1);
    assert_int_equal(ix.nodes[n].vr, DV_VR_PN);
    dv_text v = dv_index_value(&ix, n);
    assert_int_equal(v.len, 8);
    assert_memory_equal(v.at, "DOE^JOHN", 8);
    assert_int_equal(dv_index_find(&ix, DV_StudyID), DV_NO_NODE);
    v = dv_index_value(&ix, dv_index_find(&ix, DV_PatientID));
    assert_non_null(v.at);
    assert_int_equal(v.len, 0);
}

static void big_endian_and_implicit_read_the_same(void **state)
{
    (void)state;
    head(&b, DV_Rows, "US", 2, true);
    m16(&b, 512, true);
    assert_all(explicit_be);
    assert_int_equal(ix.nodes[0].tag, DV_Rows);
    assert_int_equal(ix.nodes[0].length, 2);
    dv_buffer_clear(&b);
    el(&b, DV_PatientName, NULL, "DOE^JOHN");
    el(&b, DV_TAG(0x0029, 0x0010), NULL, "SIEMENS CSA HEADER");
    el(&b, DV_TAG(0x0029, 0x1010), NULL, "xxxx");
    el(&b, DV_TAG(0x0029, 0x1110), NULL, "xxxx");
    assert_all(implicit_le);
    assert_int_equal(ix.nodes[0].vr, DV_VR_PN);
    assert_int_equal(ix.nodes[1].vr, DV_VR_LO);
    assert_int_equal(ix.nodes[2].vr, DV_VR_OB); /* by its creator */
    assert_int_equal(ix.nodes[3].vr, DV_VR_UN); /* block 11 has none */
}

/* PS3.5 A.1: the VR of pixel values in implicit data hangs on Pixel Representation. */
static void implicit_pixel_values_are_signed_when_pixels_are(void **state)
{
    (void)state;
    head(&b, DV_PixelRepresentation, NULL, 2, false);
    m16(&b, 1, false);
    head(&b, DV_SmallestImagePixelValue, NULL, 2, false);
    m16(&b, 0xFFFF, false);
    assert_all(implicit_le);
    assert_int_equal(ix.nodes[1].vr, DV_VR_SS);
    b.at[8] = 0;
    assert_all(implicit_le);
    assert_int_equal(ix.nodes[1].vr, DV_VR_US);
}

static void sequences_of_defined_length_nest(void **state)
{
    (void)state;
    el(&deep, DV_CodeValue, "SH", "T-D1100");
    around(&inner, DV_ITEM, NULL, &deep);
    head(&inner, DV_ITEM, NULL, 0, false);
    around(&b, DV_ProcedureCodeSequence, "SQ", &inner);
    el(&b, DV_PatientID, "LO", "1");
    assert_all(explicit_le);
    assert_int_equal(ix.count, 5);
    assert_int_equal(ix.nodes[0].kind, DV_NODE_SEQUENCE);
    assert_int_equal(ix.nodes[0].end, 4);
    assert_int_equal(ix.nodes[1].kind, DV_NODE_ITEM);
    assert_int_equal(ix.nodes[1].end, 3);
    assert_int_equal(ix.nodes[1].parent, 0);
    assert_int_equal(ix.nodes[2].parent, 1);
    assert_int_equal(ix.nodes[2].depth, 1);
    assert_int_equal(ix.nodes[3].end, 4);
    assert_int_equal(dv_index_find_in(&ix, 1, DV_CodeValue), 2);
    assert_int_equal(dv_index_find_in(&ix, 3, DV_CodeValue), DV_NO_NODE);
    assert_int_equal(dv_index_find(&ix, DV_CodeValue), DV_NO_NODE);
    assert_int_equal(dv_index_find(&ix, DV_PatientID), 4);
}

static void sequences_of_undefined_length_end_at_their_delimiters(void **state)
{
    (void)state;
    head(&b, DV_ProcedureCodeSequence, "SQ", DV_UNDEFINED, false);
    head(&b, DV_ITEM, NULL, DV_UNDEFINED, false);
    el(&b, DV_CodeValue, "SH", "A");
    head(&b, DV_ITEM_END, NULL, 0, false);
    head(&b, DV_SEQUENCE_END, NULL, 0, false);
    size_t stop = b.len;
    el(&b, DV_PatientID, "LO", "1");
    assert_all(explicit_le);
    assert_int_equal(ix.count, 4);
    assert_int_equal(ix.nodes[0].stop, stop);
    assert_int_equal(ix.nodes[1].stop, stop - 8);
    assert_int_equal(ix.findings, 0);
}

/* CP-246: Unknown of undefined length is a sequence in implicit little endian. */
static void un_of_undefined_length_is_an_implicit_sequence(void **state)
{
    (void)state;
    head(&b, DV_TAG(0x0019, 0x1001), "UN", DV_UNDEFINED, true);
    head(&b, DV_ITEM, NULL, DV_UNDEFINED, false);
    el(&b, DV_PatientName, NULL, "DOE^JOHN");
    head(&b, DV_ITEM_END, NULL, 0, false);
    head(&b, DV_SEQUENCE_END, NULL, 0, false);
    head(&b, DV_Rows, "US", 2, true);
    m16(&b, 1, true);
    assert_all(explicit_be);
    assert_int_equal(ix.count, 4);
    assert_int_equal(ix.nodes[0].kind, DV_NODE_SEQUENCE);
    assert_true(ix.nodes[2].implicit);
    assert_int_equal(ix.nodes[2].vr, DV_VR_PN);
    assert_false(ix.nodes[3].implicit);
    assert_true(ix.findings & DV_INDEX_UN_SEQUENCE);
}

static void un_of_defined_length_stays_a_value(void **state)
{
    (void)state;
    bytes_of(&b, DV_ProcedureCodeSequence, "UN", "\xFE\xFF\x00\xE0\0\0\0\0", 8);
    assert_all(explicit_le);
    assert_int_equal(ix.nodes[0].kind, DV_NODE_VALUE);
    assert_int_equal(ix.nodes[0].vr, DV_VR_UN);
}

static void unknown_vrs_are_read_past_as_dcmtk_does(void **state)
{
    (void)state;
    head(&b, DV_StudyID, "??", 4, false);
    dv_buffer_add(&b, "abcd", 4);
    head(&b, DV_SeriesNumber, "  ", 2, false);
    dv_buffer_add(&b, "1 ", 2);
    dv_buffer_add(&b, "\x20\0\x13\0ZZ\0\0\x02\0\0\0" "2 ", 14); /* a VR of the future has a 32-bit length */
    assert_all(explicit_le);
    assert_int_equal(ix.count, 3);
    assert_int_equal(ix.nodes[2].length, 2);
    assert_int_equal(ix.nodes[2].head, 12);
    assert_true(ix.findings & DV_INDEX_BAD_VR);
}

static void faults_of_order_and_length_are_found_and_read_past(void **state)
{
    (void)state;
    el(&b, DV_TAG(0x0002, 0x0016), "AE", "X");
    el(&b, DV_PatientID, "LO", "1");
    el(&b, DV_PatientName, "PN", "A");
    el(&b, DV_PatientName, "PN", "B");
    bytes_of(&b, DV_StudyID, "SH", "abc", 3);
    assert_all(explicit_le);
    assert_int_equal(ix.findings, DV_INDEX_FOREIGN_GROUP | DV_INDEX_UNSORTED | DV_INDEX_DUPLICATE | DV_INDEX_ODD_LENGTH);
    assert_false(ix.sorted);
    assert_int_equal(dv_index_find(&ix, DV_PatientName), 3); /* the last of two */
    assert_int_equal(dv_index_find(&ix, DV_PatientID), 1);
}

static void zeros_behind_the_dataset_are_a_finding(void **state)
{
    (void)state;
    static const uint8_t zeros[100];
    for (size_t n = 1; n < 40; n += 3) {
        dv_buffer_clear(&b);
        el(&b, DV_PatientID, "LO", "1");
        dv_buffer_add(&b, zeros, n);
        assert_all(explicit_le);
        assert_int_equal(ix.count, 1);
        assert_int_equal(ix.findings, DV_INDEX_TRAILING);
        assert_int_equal(ix.len, b.len);
    }
    dv_buffer_add(&b, "x", 1);
    assert_bad(explicit_le, DV_ERR_MALFORMED, "zeros");
}

static void delimiters_in_odd_places_are_read_past(void **state)
{
    (void)state;
    el(&deep, DV_CodeValue, "SH", "A");
    around(&inner, DV_ITEM, NULL, &deep);
    head(&inner, DV_ITEM_END, NULL, 0, false); /* behind an item of defined length */
    around(&b, DV_ProcedureCodeSequence, "SQ", &inner);
    head(&b, DV_SEQUENCE_END, NULL, 0, false); /* behind a sequence of defined length */
    el(&b, DV_PatientID, "LO", "1");
    assert_all(explicit_le);
    assert_int_equal(ix.count, 4);
    assert_true(ix.findings & DV_INDEX_WRONG_ITEM_LENGTH);
    dv_buffer_clear(&b);
    head(&b, DV_ProcedureCodeSequence, "SQ", DV_UNDEFINED, false);
    head(&b, DV_ITEM, NULL, DV_UNDEFINED, false);
    el(&b, DV_CodeValue, "SH", "A");
    head(&b, DV_SEQUENCE_END, NULL, 0, false); /* the item's own is missing */
    el(&b, DV_PatientID, "LO", "1");
    assert_all(explicit_le);
    assert_int_equal(ix.top_count, 2);
}

static void an_item_longer_than_its_sequence_is_believed(void **state)
{
    (void)state;
    head(&b, DV_ProcedureCodeSequence, "SQ", 10, false);
    el(&inner, DV_CodeValue, "SH", "AB");
    el(&inner, DV_CodeMeaning, "LO", "CD");
    around(&b, DV_ITEM, NULL, &inner);
    el(&b, DV_PatientID, "LO", "1");
    assert_all(explicit_le);
    assert_int_equal(ix.findings, DV_INDEX_WRONG_ITEM_LENGTH);
    assert_int_equal(ix.nodes[0].end, 4);
    dv_dataset *ds = open_made(&arena, &b);
    set(ds, "ProcedureCodeSequence[1].CodeValue", "LONGER");
    assert_string_equal(get(again(ds), "ProcedureCodeSequence[1].CodeValue"), "LONGER");
    assert_string_equal(get(again(ds), "PatientID"), "1");
    assert_int_equal(dv_dataset_index(again(ds))->findings, 0); /* the renewed length is the true one */
}

static void broken_structure_is_refused_with_its_offset(void **state)
{
    (void)state;
    head(&b, DV_ITEM_END, NULL, 0, false);
    assert_bad(explicit_le, DV_ERR_MALFORMED, "offset 0");
    dv_buffer_clear(&b);
    head(&b, DV_ITEM, NULL, 0, false);
    assert_bad(explicit_le, DV_ERR_MALFORMED, "in no sequence");
    dv_buffer_clear(&b);
    head(&b, DV_ProcedureCodeSequence, "SQ", 16, false);
    el(&b, DV_CodeValue, "SH", "ABCDEFGH");
    assert_bad(explicit_le, DV_ERR_MALFORMED, "no item where one must begin");
    dv_buffer_clear(&b);
    head(&b, DV_RequestAttributesSequence, "SQ", 60, false);
    head(&b, DV_ITEM, NULL, 52, false);
    head(&b, DV_ProcedureCodeSequence, "SQ", 12, false);
    head(&b, DV_ITEM, NULL, 100, false);
    el(&b, DV_CodeValue, "SH", "ABCDEFGH");
    assert_bad(explicit_le, DV_ERR_MALFORMED, "past the end of what it is in: (FFFE,E000) at offset 32");
    dv_buffer_clear(&b);
    head(&b, DV_ProcedureCodeSequence, "SQ", 20, false);
    head(&b, DV_ITEM, NULL, 12, false);
    el(&b, DV_CodeValue, "SH", "ABCDEFGH");
    assert_bad(explicit_le, DV_ERR_MALFORMED, "past the end of its item: (0008,0100) at offset 20");
    dv_buffer_clear(&b);
    head(&b, DV_PatientID, "LO", 0xFFFF, false);
    dv_buffer_add(&b, "1", 1);
    assert_bad(explicit_le, DV_ERR_TRUNCATED, "(0010,0020)");
    dv_buffer_clear(&b);
    head(&b, DV_ProcedureCodeSequence, "SQ", DV_UNDEFINED, false);
    head(&b, DV_ITEM, NULL, DV_UNDEFINED, false);
    assert_bad(explicit_le, DV_ERR_TRUNCATED, "inside a sequence");
    dv_buffer_clear(&b);
    dv_buffer_add(&b, "\x10\0\x20\0UT\0\0\xFF\xFF\xFF\xFF", 12);
    assert_bad(explicit_le, DV_ERR_MALFORMED, "undefined length");
    dv_buffer_clear(&b);
    el(&b, DV_PatientID, "LO", "1");
    dv_buffer_add(&b, "\x10\0\x30", 3);
    assert_bad(explicit_le, DV_ERR_TRUNCATED, "offset 10 of 13");
}

/* dcmdump and every dcmdata parser of 3.6.7 die of stack overflow on this. */
static void a_hundred_thousand_nested_items_are_refused_by_the_limit(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) {
        head(&b, DV_ContentSequence, "SQ", DV_UNDEFINED, false);
        head(&b, DV_ITEM, NULL, DV_UNDEFINED, false);
    }
    assert_bad(explicit_le, DV_ERR_LIMIT, "more than 64 deep");
    assert_int_equal(ix.count, 2 * DV_MAX_NESTING + 1);
}

static void nesting_up_to_the_limit_is_read(void **state)
{
    (void)state;
    for (int i = 0; i < DV_MAX_NESTING; i++) {
        head(&b, DV_ContentSequence, "SQ", DV_UNDEFINED, false);
        head(&b, DV_ITEM, NULL, DV_UNDEFINED, false);
    }
    for (int i = 0; i < DV_MAX_NESTING; i++) {
        head(&b, DV_ITEM_END, NULL, 0, false);
        head(&b, DV_SEQUENCE_END, NULL, 0, false);
    }
    assert_all(explicit_le);
    assert_int_equal(ix.count, 2 * DV_MAX_NESTING);
}

static void a_million_elements_are_the_most(void **state)
{
    (void)state;
    dv_buffer_reserve(&b, 8 * (DV_MAX_ELEMENTS + 1));
    for (int i = 0; i <= DV_MAX_ELEMENTS; i++)
        head(&b, DV_PatientID, "LO", 0, false);
    assert_bad(explicit_le, DV_ERR_LIMIT, "elements and items; no more are read");
}

static void pixel_data_ends_the_header_and_bulk_stops_it(void **state)
{
    (void)state;
    el(&b, DV_PatientID, "LO", "1");
    head(&b, DV_EncapsulatedDocument, "OB", DV_BULK_BYTES + 2, false);
    size_t bulk = b.len;
    el(&inner, DV_TAG(0x5200, 0x9229), "SQ", "");
    dv_buffer_add(&b, inner.at, inner.len);
    head(&b, DV_PixelData, "OW", 1000, false);
    size_t body = b.len;
    dv_buffer_add(&b, "pixels", 6);
    dv_index_init(&ix, &arena, explicit_le);
    assert_int_equal(dv_index_feed(&ix, (const uint8_t *)b.at, b.len, false, &err), DV_INDEX_BULK);
    assert_int_equal(ix.at, bulk);
    assert_int_equal(ix.nodes[ix.count - 1].length, DV_BULK_BYTES + 2);
    assert_true(ix.nodes[ix.count - 1].bulk);
    assert_null(dv_index_value(&ix, ix.count - 1).at);
    assert_int_equal(dv_index_feed(&ix, (const uint8_t *)b.at, b.len, false, &err), DV_INDEX_BODY);
    assert_int_equal(ix.at, body);
    assert_int_equal(ix.len, body);
    assert_int_equal(ix.body, ix.count - 1);
    assert_int_equal(ix.bulk_count, 1);
}

static void a_whole_file_has_elements_behind_pixel_data_too(void **state)
{
    (void)state;
    bytes_of(&b, DV_PixelData, "OW", "1234", 4);
    el(&b, DV_TAG(0xFFFC, 0xFFFC), "OB", "00");
    assert_all(explicit_le);
    assert_int_equal(ix.count, 2);
    assert_int_equal(ix.body, 0);
    assert_int_equal(dv_index_value(&ix, 0).len, 4);
    dv_buffer_clear(&b);
    head(&b, DV_PixelData, "OB", DV_UNDEFINED, false);
    head(&b, DV_ITEM, NULL, 0, false);
    el(&b, DV_ITEM, NULL, "\xFE\xFF\xDD\xE0");
    head(&b, DV_SEQUENCE_END, NULL, 0, false);
    size_t stop = b.len;
    el(&b, DV_TAG(0xFFFC, 0xFFFC), "OB", "00");
    assert_all(explicit_le);
    assert_int_equal(ix.count, 2);
    assert_int_equal(ix.nodes[0].stop, stop);
    assert_int_equal(ix.nodes[0].kind, DV_NODE_VALUE);
    assert_true(ix.nodes[0].bulk);
}

static void an_icon_may_have_fragments_of_its_own(void **state)
{
    (void)state;
    head(&b, DV_IconImageSequence, "SQ", DV_UNDEFINED, false);
    head(&b, DV_ITEM, NULL, DV_UNDEFINED, false);
    head(&b, DV_PixelData, "OB", DV_UNDEFINED, false);
    head(&b, DV_ITEM, NULL, 0, false);
    el(&b, DV_ITEM, NULL, "abcd");
    head(&b, DV_SEQUENCE_END, NULL, 0, false);
    head(&b, DV_ITEM_END, NULL, 0, false);
    head(&b, DV_SEQUENCE_END, NULL, 0, false);
    el(&b, DV_PatientID, "LO", "1");
    assert_all(explicit_le);
    assert_int_equal(ix.count, 4);
    assert_int_equal(ix.body, DV_NO_NODE);
    dv_index_init(&ix, &arena, explicit_le);
    assert_int_equal(dv_index_feed(&ix, (const uint8_t *)b.at, b.len, true, &err), DV_INDEX_END);
}

static void a_giant_value_inside_a_sequence_meets_the_header_limit(void **state)
{
    (void)state;
    head(&b, DV_ContentSequence, "SQ", DV_UNDEFINED, false);
    head(&b, DV_ITEM, NULL, DV_UNDEFINED, false);
    head(&b, DV_TextValue, "UT", 3000000000u, false);
    dv_index_init(&ix, &arena, explicit_le);
    assert_int_equal(dv_index_feed(&ix, (const uint8_t *)b.at, b.len, false, &err), DV_INDEX_BAD);
    assert_int_equal(err.code, DV_ERR_LIMIT);
    assert_non_null(strstr(err.message, "longer than a whole header may be"));
}

/* Feeds BYTES one by one into a buffer that moves, and compares with feeding all at once. */
static void compare_feeding(dv_encoding encoding, const uint8_t *bytes, size_t len)
{
    dv_arena a;
    dv_index one, whole;
    dv_error e1 = {0}, e2 = {0};
    dv_arena_init(&a, 0);
    dv_index_init(&whole, &a, encoding);
    dv_index_init(&one, &a, encoding);
    dv_index_state s1 = DV_INDEX_MORE, s2 = dv_index_feed(&whole, bytes, len, true, &e2);
    uint8_t *growing = malloc(len + 1); /* exactly N bytes a call, so that ASan sees a read too far */
    for (size_t n = 0; n <= len && s1 == DV_INDEX_MORE; n++) {
        if (n < 64 || n % 512 == 0) {
            free(growing);
            growing = malloc(n + 1);
        }
        uint8_t *exact = n < 64 || n % 512 == 0 ? growing : (uint8_t *)bytes;
        if (n && exact == growing)
            memcpy(growing, bytes, n);
        s1 = dv_index_feed(&one, exact, n, n == len, &e1);
    }
    free(growing);
    assert_int_equal(s1, s2);
    assert_int_equal(one.count, whole.count);
    assert_int_equal(one.findings, whole.findings);
    assert_string_equal(e1.message, e2.message);
    for (uint32_t i = 0; i < one.count && s1 != DV_INDEX_BAD; i++) {
        const dv_node *x = &one.nodes[i], *y = &whole.nodes[i];
        assert_true(x->tag == y->tag && x->vr == y->vr && x->offset == y->offset && x->length == y->length && x->stop == y->stop &&
                    x->end == y->end && x->parent == y->parent && x->kind == y->kind && x->depth == y->depth &&
                    x->bulk == y->bulk && x->implicit == y->implicit);
    }
    dv_arena_free(&a);
}

static size_t indexed;

static void feed_file(const char *name, const dv_map *map)
{
    dv_arena a;
    dv_file_meta meta;
    (void)name;
    dv_arena_init(&a, 0);
    size_t len = map->len < 20000 ? map->len : 20000;
    if (dv_part10_read(map->bytes, map->len, &a, &meta, NULL) && meta.dataset < len &&
        !dv_syntax_encoding(meta.transfer_syntax).deflated) {
        compare_feeding(dv_syntax_encoding(meta.transfer_syntax), map->bytes + meta.dataset, len - meta.dataset);
        indexed++;
    }
    dv_arena_free(&a);
}

static void feeding_byte_by_byte_equals_feeding_at_once(void **state)
{
    (void)state;
    char folder[512];
    if (!data_folder(folder, sizeof folder))
        skip();
    each_file(folder, feed_file);
    assert_true(indexed > 150);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
    const struct CMUnitTest tests[] = {
        TEST(a_flat_dataset_gives_a_node_an_element),
        TEST(big_endian_and_implicit_read_the_same),
        TEST(implicit_pixel_values_are_signed_when_pixels_are),
        TEST(sequences_of_defined_length_nest),
        TEST(sequences_of_undefined_length_end_at_their_delimiters),
        TEST(un_of_undefined_length_is_an_implicit_sequence),
        TEST(un_of_defined_length_stays_a_value),
        TEST(unknown_vrs_are_read_past_as_dcmtk_does),
        TEST(faults_of_order_and_length_are_found_and_read_past),
        TEST(zeros_behind_the_dataset_are_a_finding),
        TEST(delimiters_in_odd_places_are_read_past),
        TEST(an_item_longer_than_its_sequence_is_believed),
        TEST(broken_structure_is_refused_with_its_offset),
        TEST(a_hundred_thousand_nested_items_are_refused_by_the_limit),
        TEST(nesting_up_to_the_limit_is_read),
        TEST(a_million_elements_are_the_most),
        TEST(pixel_data_ends_the_header_and_bulk_stops_it),
        TEST(a_whole_file_has_elements_behind_pixel_data_too),
        TEST(an_icon_may_have_fragments_of_its_own),
        TEST(a_giant_value_inside_a_sequence_meets_the_header_limit),
        TEST(feeding_byte_by_byte_equals_feeding_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
