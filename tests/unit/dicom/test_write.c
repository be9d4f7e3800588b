#include "base/limits.h"
#include "dicom/part10.h"
#include "made.h"

#include <unistd.h>

static dv_arena arena;
static dv_buffer b, inner, deep;
static dv_error err;

static int fresh(void **state)
{
    (void)state;
    dv_arena_init(&arena, 0);
    b = inner = deep = (dv_buffer){0};
    err = (dv_error){0};
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

static dv_text written(dv_dataset *ds)
{
    dv_text t;
    if (!dv_write_bytes(ds, &t, &err))
        fail_msg("%s", err.message);
    return t;
}

static void assert_bytes(dv_dataset *ds, const dv_buffer *want)
{
    dv_text t = written(ds);
    assert_int_equal(t.len, want->len);
    assert_memory_equal(t.at, want->at, t.len);
}

static void without_edits_the_received_bytes_are_one_span(void **state)
{
    (void)state;
    el(&b, DV_PatientName, "PN", "A");
    el(&b, DV_PatientID, "LO", "1");
    dv_buffer_add(&b, "\0\0\0\0\0\0", 6); /* padding behind the dataset stays */
    dv_dataset *ds = open_made(&arena, &b);
    dv_spans spans;
    assert_true(dv_write_spans(ds, &spans, &err));
    assert_int_equal(spans.count, 1);
    assert_ptr_equal(spans.span[0].at, b.at);
    assert_int_equal(spans.total, b.len);
}

static void an_edit_copies_what_is_around_it_and_nothing_else(void **state)
{
    (void)state;
    el(&b, DV_StudyID, "SH", "A");
    size_t one = b.len;
    el(&b, DV_SeriesNumber, "IS", "1");
    size_t two = b.len;
    el(&b, DV_InstanceNumber, "IS", "2");
    dv_dataset *ds = open_made(&arena, &b);
    set(ds, "SeriesNumber", "123");
    dv_spans spans;
    assert_true(dv_write_spans(ds, &spans, &err));
    assert_int_equal(spans.count, 3);
    assert_ptr_equal(spans.span[0].at, b.at);
    assert_int_equal(spans.span[0].len, one);
    assert_ptr_equal(spans.span[2].at, b.at + two);
    assert_memory_equal(spans.span[1].at, "\x20\0\x11\0IS\4\0" "123 ", 12);
}

static void new_elements_stand_in_the_order_of_tags(void **state)
{
    (void)state;
    el(&b, DV_PatientName, "PN", "A");
    el(&b, DV_StudyID, "SH", "S");
    dv_dataset *ds = open_made(&arena, &b);
    set(ds, "InstanceNumber", "9");
    set(ds, "PatientID", "P");
    set(ds, "StudyDate", "20200101");
    el(&inner, DV_StudyDate, "DA", "20200101");
    el(&inner, DV_PatientName, "PN", "A");
    el(&inner, DV_PatientID, "LO", "P");
    el(&inner, DV_StudyID, "SH", "S");
    el(&inner, DV_InstanceNumber, "IS", "9");
    assert_bytes(ds, &inner);
}

static void an_edit_inside_defined_lengths_renews_them_up_its_parents(void **state)
{
    (void)state;
    el(&deep, DV_CodeValue, "SH", "AB");
    around(&inner, DV_ITEM, NULL, &deep);
    around(&deep, DV_ProcedureCodeSequence, "SQ", &inner);
    around(&inner, DV_ITEM, NULL, &deep);
    around(&b, DV_RequestAttributesSequence, "SQ", &inner);
    el(&b, DV_TAG(0x0041, 0x0000), "UL", "abcd");
    dv_dataset *ds = open_made(&arena, &b);
    set(ds, "RequestAttributesSequence[1].ProcedureCodeSequence[1].CodeValue", "ABCDE");
    dv_buffer want = {0}, w2 = {0}, w3 = {0};
    el(&w3, DV_CodeValue, "SH", "ABCDE");
    around(&w2, DV_ITEM, NULL, &w3);
    around(&w3, DV_ProcedureCodeSequence, "SQ", &w2);
    around(&w2, DV_ITEM, NULL, &w3);
    around(&want, DV_RequestAttributesSequence, "SQ", &w2);
    el(&want, DV_TAG(0x0041, 0x0000), "UL", "abcd");
    assert_bytes(ds, &want);
    dv_buffer_free(&want);
}

static void undefined_lengths_and_delimiters_stay(void **state)
{
    (void)state;
    for (int edited = 0; edited < 2; edited++) {
        dv_buffer *to = edited ? &inner : &b;
        head(to, DV_ProcedureCodeSequence, "SQ", DV_UNDEFINED, false);
        head(to, DV_ITEM, NULL, DV_UNDEFINED, false);
        el(to, DV_CodeValue, "SH", edited ? "LONGER" : "A");
        head(to, DV_ITEM_END, NULL, 0, false);
        if (edited) { /* a new item has a defined length */
            el(&deep, DV_CodeValue, "SH", "N");
            around(to, DV_ITEM, NULL, &deep);
        }
        head(to, DV_SEQUENCE_END, NULL, 0, false);
        el(to, DV_PatientID, "LO", "1");
    }
    dv_dataset *ds = open_made(&arena, &b);
    set(ds, "ProcedureCodeSequence[1].CodeValue", "LONGER");
    set(ds, "ProcedureCodeSequence[+].CodeValue", "N");
    assert_bytes(ds, &inner);
}

static void new_sequences_and_items_have_defined_lengths(void **state)
{
    (void)state;
    dv_dataset *ds = dv_dataset_new(&arena, (dv_encoding){0}, &err);
    set(ds, "RequestAttributesSequence[1].AccessionNumber", "7");
    el(&deep, DV_AccessionNumber, "SH", "7");
    around(&inner, DV_ITEM, NULL, &deep);
    around(&b, DV_RequestAttributesSequence, "SQ", &inner);
    assert_bytes(ds, &b);
}

static void implicit_data_stay_implicit(void **state)
{
    (void)state;
    el(&b, DV_PatientName, NULL, "A");
    dv_dataset *ds = open_bytes(&arena, (dv_encoding){.implicit = true}, b.at, b.len);
    set(ds, "PatientID", "1");
    set(ds, "RequestAttributesSequence[1].AccessionNumber", "7");
    dv_buffer want = {0};
    el(&want, DV_PatientName, NULL, "A");
    el(&want, DV_PatientID, NULL, "1");
    el(&deep, DV_AccessionNumber, NULL, "7");
    around(&inner, DV_ITEM, NULL, &deep);
    around(&want, DV_RequestAttributesSequence, NULL, &inner);
    assert_bytes(ds, &want);
    dv_buffer_free(&want);
}

static void inside_unknown_sequences_elements_are_implicit_little_endian(void **state)
{
    (void)state;
    for (int edited = 0; edited < 2; edited++) {
        dv_buffer *to = edited ? &inner : &b;
        head(to, DV_TAG(0x0019, 0x1001), "UN", DV_UNDEFINED, true);
        head(to, DV_ITEM, NULL, DV_UNDEFINED, false);
        el(to, DV_PatientName, NULL, edited ? "B" : "A");
        if (edited) {
            head(to, DV_Rows, NULL, 2, false);
            m16(to, 513, false);
        }
        head(to, DV_ITEM_END, NULL, 0, false);
        head(to, DV_SEQUENCE_END, NULL, 0, false);
        head(to, DV_Rows, "US", 2, true);
        m16(to, edited ? 513 : 1, true);
    }
    dv_dataset *ds = open_bytes(&arena, (dv_encoding){.big_endian = true}, b.at, b.len);
    set(ds, "(0019,1001)[1].PatientName", "B");
    set(ds, "(0019,1001)[1].Rows", "513");
    set(ds, "Rows", "513");
    assert_bytes(ds, &inner);
}

static void odd_values_are_padded_as_their_vr_asks(void **state)
{
    (void)state;
    dv_dataset *ds = dv_dataset_new(&arena, (dv_encoding){0}, &err);
    set(ds, "SOPInstanceUID", "1.2.3");
    set(ds, "PatientID", "ABC");
    dv_text t = written(ds);
    assert_memory_equal(t.at + 8, "1.2.3\0", 6);
    assert_memory_equal(t.at + 22, "ABC ", 4);
}

static void a_bulk_value_that_was_taken_out_is_a_span_of_its_own(void **state)
{
    (void)state;
    el(&b, DV_PatientID, "LO", "1");
    head(&b, DV_EncapsulatedDocument, "OB", DV_BULK_BYTES + 2, false);
    size_t bulk = b.len;
    el(&b, DV_TAG(0x0043, 0x0010), "LO", "X");
    head(&b, DV_PixelData, "OW", 1000, false);
    dv_index *ix = dv_arena_alloc(&arena, sizeof *ix);
    dv_index_init(ix, &arena, (dv_encoding){0});
    assert_int_equal(dv_index_feed(ix, (const uint8_t *)b.at, b.len, false, &err), DV_INDEX_BULK);
    assert_int_equal(dv_index_feed(ix, (const uint8_t *)b.at, b.len, false, &err), DV_INDEX_BODY);
    dv_dataset *ds = dv_dataset_open(&arena, ix, &err);
    dv_spans spans;
    for (int edited = 0; edited < 2; edited++) {
        assert_true(dv_write_spans(ds, &spans, &err));
        dv_span *s = spans.span + (edited ? 1 : 0);
        assert_int_equal(spans.count, 3 + edited);
        assert_null(s[1].at);
        assert_int_equal(s[1].len, DV_BULK_BYTES + 2);
        assert_int_equal(ix->nodes[s[1].node].tag, DV_EncapsulatedDocument);
        assert_ptr_equal(s[2].at, b.at + bulk);
        assert_int_equal(s[2].len, b.len - bulk);
        if (!edited)
            set(ds, "PatientID", "2");
    }
    removed(ds, "EncapsulatedDocument");
    assert_true(dv_write_spans(ds, &spans, &err));
    assert_int_equal(spans.total, b.len - 12);
    assert_int_equal(set_fails(ds, "(FFFC,FFFC)", ""), DV_ERR_VALUE);
    dv_text t;
    ds = dv_dataset_open(&arena, ix, &err);
    assert_false(dv_write_bytes(ds, &t, &err));
}

/* -- real files -- */

static size_t opened;

static void unedited(const char *name, const dv_map *map)
{
    dv_arena a;
    dv_file_meta meta;
    dv_spans spans;
    dv_error e = {0};
    dv_arena_init(&a, 0);
    dv_dataset *ds = dv_part10_open(map->bytes, map->len, &a, &meta, &e);
    if (ds) {
        opened++;
        const dv_index *ix = dv_dataset_index(ds);
        if (!dv_write_spans(ds, &spans, &e))
            fail_msg("%s: %s", name, e.message);
        if (spans.count != 1 || spans.span[0].at != ix->bytes ||
            (!ix->encoding.deflated && spans.total != map->len - meta.dataset))
            fail_msg("%s: %u spans, %llu bytes", name, spans.count, (unsigned long long)spans.total);
    }
    dv_arena_free(&a);
}

static void every_real_file_unedited_is_written_bit_for_bit(void **state)
{
    (void)state;
    char folder[512];
    if (!data_folder(folder, sizeof folder))
        skip();
    each_file(folder, unedited);
    print_message("%zu files\n", opened);
    assert_true(opened > 200);
}

/* An edit that is undone by another leaves the same elements: this sends every file through the writer's edited way. */
static void edited_and_back(const char *name, const dv_map *map)
{
    dv_arena a;
    dv_error e = {0};
    dv_text out;
    dv_arena_init(&a, 0);
    dv_dataset *ds = dv_part10_open(map->bytes, map->len, &a, NULL, &e);
    if (ds && dv_index_find(dv_dataset_index(ds), DV_TAG(0x0009, 0x0102)) == DV_NO_NODE) {
        const dv_index *ix = dv_dataset_index(ds);
        set(ds, "(0018,9999)", "");
        removed(ds, "(0018,9999)");
        assert_true(dv_dataset_is_changed(ds));
        if (!dv_write_bytes(ds, &out, &e))
            fail_msg("%s: %s", name, e.message);
        if (out.len != ix->len || memcmp(out.at, ix->bytes, out.len))
            fail_msg("%s: the bytes are not the same", name);
    }
    dv_arena_free(&a);
}

static void every_real_file_is_the_same_after_an_edit_and_its_undoing(void **state)
{
    (void)state;
    char folder[512];
    if (!data_folder(folder, sizeof folder))
        skip();
    each_file(folder, edited_and_back);
}

/* -- 20 kinds of edit by DCMTK's reading -- */

/* What dcmdump says of DS, a line an element without its length; NULL when dcmdump fails. */
static char *dumped(dv_dataset *ds, const dv_file_meta *meta)
{
    char name[] = "/tmp/dv-write-XXXXXX", command[256];
    dv_text part10, data = written(ds);
    dv_file_meta copy = *meta;
    copy.private_creator = copy.private_bytes = (dv_text){NULL, 0};
    assert_true(dv_part10_write(&copy, &arena, &part10, NULL, &err));
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_true(dv_write_all(fd, part10.at, part10.len, name, &err) && dv_write_all(fd, data.at, data.len, name, &err));
    close(fd);
    snprintf(command, sizeof command, "dcmdump -q +L %s", name);
    FILE *pipe = popen(command, "r");
    dv_buffer text = {0};
    char line[65536];
    while (pipe && fgets(line, sizeof line, pipe)) {
        char *length = strstr(line, " # ");
        if (length)
            snprintf(length, 2, "\n");
        char *count = strstr(line, "(Sequence with ");
        if (!count)
            count = strstr(line, "(Item with ");
        if (count)
            snprintf(count, 2, "\n");
        dv_buffer_string(&text, line);
    }
    int status = pipe ? pclose(pipe) : -1;
    unlink(name);
    char *copied = status ? NULL : dv_arena_string(&arena, dv_buffer_as_text(&text));
    dv_buffer_free(&text);
    return copied;
}

static uint32_t lines_of(char *text, char **lines, uint32_t most)
{
    uint32_t n = 0;
    for (char *at = text; *at && n < most;) {
        lines[n++] = at;
        char *end = strchr(at, '\n');
        if (!end)
            break;
        *end = '\0';
        at = end + 1;
    }
    return n;
}

/* Lines that are in A and not in B, counted as often as they are there (both are in file order, so an LCS is not needed: an edit
 * leaves the order of the others). */
static uint32_t missing_from(char **a, uint32_t na, char **c, uint32_t nc)
{
    uint32_t missing = 0;
    bool *used = calloc(nc + 1, 1);
    for (uint32_t i = 0; i < na; i++) {
        uint32_t j = 0;
        while (j < nc && (used[j] || strcmp(a[i], c[j])))
            j++;
        if (j < nc)
            used[j] = true;
        else
            missing++;
    }
    free(used);
    return missing;
}

enum { PUT, DROP, RETYPE, TRANSCODE };
typedef struct edit {
    const char *what;
    int kind;
    const char *path, *value;
    uint32_t lost, gained; /* lines of dcmdump; ITEM and delimiter lines count */
} edit;

static const edit edits[] = {
    {"a value is replaced", PUT, "PatientID", "NEW-ID", 1, 1},
    {"a value is cleared", PUT, "PatientName", "", 1, 1},
    {"an empty value is filled", PUT, "AccessionNumber", "ACC1", 1, 1},
    {"an element is added in front", PUT, "(0008,0001)", "1", 0, 1},
    {"an element is added in the middle", PUT, "PatientAge", "042Y", 0, 1},
    {"an element is removed", DROP, "StudyID", NULL, 1, 0},
    {"a long value makes an odd length even", PUT, "StudyDescription", "odd", 1, 1},
    {"a binary number is replaced", PUT, "Rows", "77", 1, 1},
    {"one value of several is replaced", PUT, "ImageType[2]", "SECONDARY", 1, 1},
    {"a value is appended to several", PUT, "ImageType[+]", "LAST", 1, 1},
    {"a value inside a sequence is replaced", PUT, "ProcedureCodeSequence[1].CodeValue", "CV", 1, 1},
    {"an element is added inside a sequence", PUT, "ProcedureCodeSequence[1].CodingSchemeVersion", "1", 0, 1},
    {"an element inside a sequence is removed", DROP, "ProcedureCodeSequence[1].CodeMeaning", NULL, 1, 0},
    {"an item is added", PUT, "ProcedureCodeSequence[+].CodeValue", "CV2", 0, 3},
    {"an item is removed", DROP, "ProcedureCodeSequence[1]", NULL, 5, 0},
    {"a sequence is removed", DROP, "ProcedureCodeSequence", NULL, 7, 0},
    {"a sequence is made", PUT, "RequestAttributesSequence[1].RequestedProcedureID", "RP", 0, 5},
    {"sequences are made in sequences", PUT, "RequestAttributesSequence[1].RequestedProcedureCodeSequence[1].CodeValue", "C", 0, 9},
    {"an element is written at every depth", PUT, "**.CodingSchemeDesignator", "99X", 2, 2},
    {"an item of undefined length is written to", PUT, "ReferencedStudySequence[1].ReferencedSOPInstanceUID", "1.2.3", 1, 1},
    {"a private element is added with its creator", PUT, "(0029,\"SIEMENS MEDCOM HEADER\",08)", "X", 0, 2},
    {"a private element is replaced by creator", PUT, "(0009,\"GEMS_IDEN_01\",02)", "SUITE", 1, 1},
    {"a VR is set right", RETYPE, "(0010,4000)", "LT", 1, 1},
    {"the character set is relabelled", PUT, "SpecificCharacterSet", "ISO_IR 101", 1, 1},
    {"the character set is changed and text with it", TRANSCODE, NULL, "ISO_IR 192", 2, 2},
};

/* What every encoding can hold: a header with sequences of both kinds of length, a private block, Latin-1. */
static dv_dataset *patient_file(dv_encoding encoding, bool un)
{
    dv_dataset *ds = dv_dataset_new(&arena, encoding, &err);
    set(ds, "SpecificCharacterSet", "ISO_IR 100");
    set(ds, "ImageType", "ORIGINAL\\PRIMARY\\AXIAL");
    set(ds, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2");
    set(ds, "SOPInstanceUID", "1.2.3.4");
    set(ds, "AccessionNumber", "");
    set(ds, "StudyDescription", "Sch\xC3\xA4" "del");
    set(ds, "ProcedureCodeSequence[1].CodeValue", "A");
    set(ds, "ProcedureCodeSequence[1].CodingSchemeDesignator", "99A");
    set(ds, "ProcedureCodeSequence[1].CodeMeaning", "Kopf");
    set(ds, "(0009,\"GEMS_IDEN_01\",02)", "OLD");
    set(ds, "PatientName", "Mueller");
    set(ds, "PatientID", "42");
    set(ds, "StudyID", "S1");
    set(ds, "Rows", "512");
    set(ds, "AnatomicRegionSequence[1].CodingSchemeDesignator", "SRT");
    dv_text first = written(ds);
    /* In front of (0009,xxxx) and others: a sequence of undefined length, and UN of a known tag. */
    dv_buffer whole = {0};
    bool big = encoding.big_endian;
    const char *sq = encoding.implicit ? NULL : "SQ";
    dv_index ix;
    assert_true(dv_index_all(&ix, &arena, encoding, (const uint8_t *)first.at, first.len, &err));
    size_t cut = ix.nodes[dv_index_find(&ix, DV_TAG(0x0009, 0x0010))].offset;
    size_t late = ix.nodes[dv_index_find(&ix, DV_StudyID)].offset;
    dv_buffer_add(&whole, first.at, cut);
    head(&whole, DV_ReferencedStudySequence, sq, DV_UNDEFINED, big);
    head(&whole, DV_ITEM, NULL, DV_UNDEFINED, big);
    head(&whole, DV_ReferencedSOPInstanceUID, encoding.implicit ? NULL : "UI", 4, big);
    dv_buffer_add(&whole, "9.9\0", 4);
    head(&whole, DV_ITEM_END, NULL, 0, big);
    head(&whole, DV_SEQUENCE_END, NULL, 0, big);
    dv_buffer_add(&whole, first.at + cut, late - cut);
    if (un) {
        head(&whole, DV_TAG(0x0010, 0x4000), encoding.implicit ? NULL : "UN", 4, big);
        dv_buffer_add(&whole, "text", 4);
    }
    dv_buffer_add(&whole, first.at + late, first.len - late);
    dv_text kept = dv_arena_text(&arena, dv_buffer_as_text(&whole));
    dv_buffer_free(&whole);
    return open_bytes(&arena, encoding, kept.at, kept.len);
}

static void make_edit(dv_dataset *ds, const edit *e)
{
    bool ok = true;
    switch (e->kind) {
    case PUT: set(ds, e->path, e->value); break;
    case DROP: assert_true(removed(ds, e->path) > 0); break;
    case RETYPE: ok = dv_dataset_set_vr(ds, path_of(&arena, e->path), DV_VR(e->value[0], e->value[1]), &err); break;
    case TRANSCODE: ok = dv_dataset_transcode(ds, dv_text_of(e->value), &err); break;
    }
    if (!ok)
        fail_msg("%s: %s", e->what, err.message);
}

static void each_kind_of_edit_changes_exactly_its_elements_as_dcmtk_reads_them(void **state)
{
    (void)state;
    if (system("dcmdump --version >/dev/null 2>&1")) {
        const char *must = getenv("DROVER_REQUIRE_DATA");
        if (must && !strcmp(must, "1"))
            fail_msg("dcmdump is not installed");
        print_message("skipped: dcmdump is not installed\n");
        skip();
    }
    static const struct {
        dv_encoding encoding;
        const char *uid;
    } ways[] = {{{0}, DV_UID_EXPLICIT_LE}, {{.implicit = true}, DV_UID_IMPLICIT_LE}, {{.big_endian = true}, DV_UID_EXPLICIT_BE}};
    static char *before_lines[4096], *after_lines[4096];
    for (size_t w = 0; w < 3; w++) {
        dv_file_meta meta = {.sop_class = DV_TEXT("1.2.840.10008.5.1.4.1.1.2"), .sop_instance = DV_TEXT("1.2.3.4"),
                             .transfer_syntax = dv_text_of(ways[w].uid)};
        char *before = dumped(patient_file(ways[w].encoding, true), &meta);
        assert_non_null(before);
        uint32_t nb = lines_of(before, before_lines, 4096);
        for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
            dv_dataset *ds = patient_file(ways[w].encoding, true);
            if (edits[i].kind == RETYPE && ways[w].encoding.implicit)
                continue; /* there is no VR to set right */
            make_edit(ds, &edits[i]);
            assert_non_null(dv_dataset_changes(ds));
            char *after = dumped(ds, &meta);
            if (!after)
                fail_msg("%s, %s: dcmdump refuses it", ways[w].uid, edits[i].what);
            uint32_t na = lines_of(after, after_lines, 4096);
            uint32_t lost = missing_from(before_lines, nb, after_lines, na), gained = missing_from(after_lines, na, before_lines, nb);
            if (lost != edits[i].lost || gained != edits[i].gained)
                fail_msg("%s, %s: %u lines lost, %u gained; expected %u and %u", ways[w].uid, edits[i].what, lost, gained,
                         edits[i].lost, edits[i].gained);
        }
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
    const struct CMUnitTest tests[] = {
        TEST(without_edits_the_received_bytes_are_one_span),
        TEST(an_edit_copies_what_is_around_it_and_nothing_else),
        TEST(new_elements_stand_in_the_order_of_tags),
        TEST(an_edit_inside_defined_lengths_renews_them_up_its_parents),
        TEST(undefined_lengths_and_delimiters_stay),
        TEST(new_sequences_and_items_have_defined_lengths),
        TEST(implicit_data_stay_implicit),
        TEST(inside_unknown_sequences_elements_are_implicit_little_endian),
        TEST(odd_values_are_padded_as_their_vr_asks),
        TEST(a_bulk_value_that_was_taken_out_is_a_span_of_its_own),
        TEST(every_real_file_unedited_is_written_bit_for_bit),
        TEST(every_real_file_is_the_same_after_an_edit_and_its_undoing),
        TEST(each_kind_of_edit_changes_exactly_its_elements_as_dcmtk_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
