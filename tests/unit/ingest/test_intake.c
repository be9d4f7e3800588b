/* ingest/: bytes in, receipt out, on a real store and catalog in a temporary folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "engine.h"
#include "catalog/query.h"
#include "dicom/deflate.h"
#include "dicom/write.h"
#include "ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct site {
    char folder[64], dsn[DSN_SIZE];
    dv_store *store;
    dv_catalog *catalog;
    dv_ingest *ingest;
    dv_arena arena;
    dv_error err;
} site;

static void open_site(site *s)
{
    s->store = dv_store_open(s->folder, &s->err);
    assert_non_null(s->store);
    s->catalog = dv_catalog_open(s->dsn, &s->err);
    if (!s->catalog)
        fail_msg("%s", s->err.message);
    s->ingest = dv_ingest_new(s->store, s->catalog, NULL, &s->err);
    assert_non_null(s->ingest);
}

static void close_site(site *s)
{
    dv_ingest_free(s->ingest);
    dv_catalog_close(s->catalog);
    dv_store_close(s->store);
}

static int setup(void **state)
{
    site *s = calloc(1, sizeof *s);
    strcpy(s->folder, "/var/tmp/drover-ingest-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    char file[96];
    snprintf(file, sizeof file, "%s/catalog.db", s->folder);
    assert_true(new_database(file, s->dsn));
    dv_arena_init(&s->arena, 0);
    open_site(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    site *s = *state;
    close_site(s);
    dv_arena_free(&s->arena);
    assert_true(drop_database(s->dsn));
    dv_remove_tree(s->folder, NULL);
    free(s);
    return 0;
}

/* ---- datasets ---- */

static void raw(dv_buffer *b, const void *bytes, size_t n)
{
    assert_true(dv_buffer_add(b, bytes, n));
}

/* One explicit little endian element; VR with a 32-bit length when it is one. */
static void element(dv_buffer *b, uint16_t group, uint16_t number, const char *vr, const void *value, uint32_t len)
{
    uint8_t head[12] = {(uint8_t)group, (uint8_t)(group >> 8), (uint8_t)number, (uint8_t)(number >> 8), (uint8_t)vr[0], (uint8_t)vr[1]};
    bool longer = strstr("OB OW UN UT SQ", vr) != NULL;
    memcpy(head + (longer ? 8 : 6), &len, longer ? 4 : 2);
    raw(b, head, longer ? 12 : 8);
    if (len != 0xFFFFFFFFu)
        raw(b, value, len);
}

static void text(dv_buffer *b, uint16_t group, uint16_t number, const char *vr, const char *value)
{
    char padded[128];
    snprintf(padded, sizeof padded, "%s%s", value, strlen(value) % 2 ? (strcmp(vr, "UI") == 0 ? "" : " ") : "");
    element(b, group, number, vr, padded, (uint32_t)(strlen(value) + strlen(value) % 2));
}

/* A header with the identifiers; SOP tells instances apart. */
static void header(dv_buffer *b, const char *sop, const char *patient)
{
    text(b, 0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.7");
    text(b, 0x0008, 0x0018, "UI", sop);
    text(b, 0x0008, 0x0060, "CS", "OT");
    text(b, 0x0010, 0x0010, "PN", "Doe^Jane");
    text(b, 0x0010, 0x0020, "LO", patient);
    text(b, 0x0020, 0x000D, "UI", "1.2.3.4");
    text(b, 0x0020, 0x000E, "UI", "1.2.3.4.5");
}

static void pixels(dv_buffer *b, uint32_t len, uint8_t fill)
{
    uint8_t *p = malloc(len);
    memset(p, fill, len);
    element(b, 0x7FE0, 0x0010, "OW", p, len);
    free(p);
}

static bool take_in_pieces(site *s, const dv_buffer *b, const char *syntax, const char *sop, size_t piece, dv_receipt *out)
{
    dv_arrival arrival = {.transfer_syntax = dv_text_of(syntax), .sop_class = DV_TEXT("1.2.840.10008.5.1.4.1.1.7"), .sop_instance = dv_text_of(sop),
                          .source = "test", .calling = "TEST", .called = "DROVER", .address = "127.0.0.1", .channel = "test", .batch = "", .seed = ""};
    dv_intake *in = dv_intake_begin(s->ingest, &arrival, &s->err);
    assert_non_null(in);
    for (size_t at = 0; at < b->len; at += piece)
        if (!dv_intake_data(in, b->at + at, b->len - at < piece ? b->len - at : piece, &s->err)) {
            dv_intake_drop(in);
            return false;
        }
    return dv_intake_finish(in, out, &s->err);
}

static dv_receipt take(site *s, const dv_buffer *b, const char *syntax, const char *sop, size_t piece)
{
    dv_receipt r;
    if (!take_in_pieces(s, b, syntax, sop, piece, &r))
        fail_msg("%s", s->err.message);
    return r;
}

/* The dataset of a stored file is B's bytes. */
static void assert_stored_as_sent(site *s, const char *path, const dv_buffer *b)
{
    char full[700];
    dv_map map;
    dv_file_meta meta;
    snprintf(full, sizeof full, "%s/%s", s->folder, path);
    assert_true(dv_map_open(&map, full, &s->err));
    assert_true(dv_part10_read(map.bytes, map.len, &s->arena, &meta, &s->err));
    assert_int_equal(map.len - meta.dataset, b->len);
    assert_memory_equal(map.bytes + meta.dataset, b->at, b->len);
    dv_map_close(&map);
    if (!dv_store_verify(s->store, path, NULL, &s->err))
        fail_msg("%s", s->err.message);
}

static dv_totals totals(site *s)
{
    dv_totals t;
    dv_db *db = dv_catalog_reader(s->catalog, &s->err);
    assert_non_null(db);
    if (!dv_query_totals(db, &t, &s->err))
        fail_msg("%s", s->err.message);
    return t;
}

/* ---- what holds ---- */

static void any_way_of_cutting_the_stream_stores_the_same_bytes(void **state)
{
    site *s = *state;
    static const size_t pieces[] = {1, 7, 4096, 65536, 1 << 20};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        dv_buffer b = {0};
        char sop[32];
        snprintf(sop, sizeof sop, "1.2.3.%zu", i + 1);
        header(&b, sop, "P1");
        pixels(&b, pieces[i] == 1 ? 3000 : 200000, (uint8_t)i);
        dv_receipt r = take(s, &b, DV_UID_EXPLICIT_LE, sop, pieces[i]);
        assert_int_equal(r.kept, DV_KEPT_STORED);
        assert_string_equal(r.sop_uid, sop);
        assert_stored_as_sent(s, r.path, &b);
        dv_buffer_free(&b);
    }
    assert_int_equal(totals(s).instances, 5);
    assert_int_equal(totals(s).studies, 1);
}

static void an_identical_instance_is_acknowledged_and_not_stored(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    header(&b, "1.2.3", "P1");
    pixels(&b, 1000, 1);
    assert_int_equal(take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 1000).kept, DV_KEPT_STORED);
    assert_int_equal(take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 99).kept, DV_KEPT_KNOWN);
    assert_int_equal(totals(s).instances, 1);
    assert_int_equal(totals(s).duplicates, 1);
    dv_buffer_free(&b);
}

static void the_same_uid_with_other_content_is_held_beside_the_first(void **state)
{
    site *s = *state;
    dv_buffer first = {0}, other_pixels = {0}, other_header = {0};
    header(&first, "1.2.3", "P1");
    pixels(&first, 1000, 1);
    header(&other_pixels, "1.2.3", "P1");
    pixels(&other_pixels, 1000, 2);
    header(&other_header, "1.2.3", "P2");
    pixels(&other_header, 1000, 1);
    assert_int_equal(take(s, &first, DV_UID_EXPLICIT_LE, "1.2.3", 512).kept, DV_KEPT_STORED);
    dv_receipt r = take(s, &other_pixels, DV_UID_EXPLICIT_LE, "1.2.3", 512);
    assert_int_equal(r.kept, DV_KEPT_HELD);
    assert_stored_as_sent(s, r.path, &other_pixels);
    assert_int_equal(take(s, &other_header, DV_UID_EXPLICIT_LE, "1.2.3", 512).kept, DV_KEPT_HELD);
    /* The same held instance again is counted, not kept twice. */
    assert_int_equal(take(s, &other_header, DV_UID_EXPLICIT_LE, "1.2.3", 512).kept, DV_KEPT_HELD);
    assert_int_equal(totals(s).instances, 1);
    assert_int_equal(totals(s).held, 2);
    dv_buffer_free(&first);
    dv_buffer_free(&other_pixels);
    dv_buffer_free(&other_header);
}

static void a_bulk_value_before_pixel_data_is_spooled_and_put_back(void **state)
{
    site *s = *state;
    for (int with_pixels = 0; with_pixels < 2; with_pixels++) {
        dv_buffer b = {0};
        const char *sop = with_pixels ? "1.2.3.1" : "1.2.3.2";
        uint8_t *blob = malloc(300000);
        for (int i = 0; i < 300000; i++)
            blob[i] = (uint8_t)(i * 7);
        header(&b, sop, "P1");
        element(&b, 0x0042, 0x0011, "OB", blob, 300000);
        element(&b, 0x0043, 0x1011, "UN", blob + 1, 80000);
        text(&b, 0x0044, 0x0001, "LO", "behind");
        if (with_pixels)
            pixels(&b, 70000, 9);
        dv_receipt r = take(s, &b, DV_UID_EXPLICIT_LE, sop, 10007);
        assert_int_equal(r.kept, DV_KEPT_STORED);
        assert_stored_as_sent(s, r.path, &b);
        assert_int_equal(take(s, &b, DV_UID_EXPLICIT_LE, sop, 65536).kept, DV_KEPT_KNOWN);
        free(blob);
        dv_buffer_free(&b);
    }
}

static void encapsulated_pixel_data_passes_and_one_that_is_cut_is_held(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    const uint8_t offsets[8] = {0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0}, fragment[8] = {0xFE, 0xFF, 0x00, 0xE0, 0x10, 0, 0, 0},
                  end[8] = {0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0};
    header(&b, "1.2.3", "P1");
    element(&b, 0x7FE0, 0x0010, "OB", NULL, 0xFFFFFFFFu);
    raw(&b, offsets, 8);
    raw(&b, fragment, 8);
    raw(&b, "0123456789abcdef", 16);
    size_t cut = b.len;
    raw(&b, end, 8);
    text(&b, 0xFFFC, 0xFFFC, "LO", "behind");
    dv_receipt r = take(s, &b, "1.2.840.10008.1.2.4.50", "1.2.3", 3);
    assert_int_equal(r.kept, DV_KEPT_STORED);
    assert_stored_as_sent(s, r.path, &b);
    b.len = cut;
    b.at[b.len - 1] = 'x'; /* other content, so that it is not taken for the first one's header */
    memcpy(memmem(b.at, b.len, "1.2.3", 5), "1.2.9", 5);
    r = take(s, &b, "1.2.840.10008.1.2.4.50", "1.2.9", 11);
    assert_int_equal(r.kept, DV_KEPT_HELD);
    assert_non_null(strstr(r.reason, "cut"));
    dv_buffer_free(&b);
}

static void native_pixel_data_that_is_cut_is_held_saying_how_much_is_missing(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    header(&b, "1.2.3", "P1");
    pixels(&b, 100000, 1);
    b.len -= 10;
    dv_receipt r = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 4096);
    assert_int_equal(r.kept, DV_KEPT_HELD);
    assert_string_equal(r.reason, "Pixel Data ends 10 bytes too early");
    assert_stored_as_sent(s, r.path, &b);
    dv_buffer_free(&b);
}

static void what_cannot_be_read_is_kept_byte_for_byte(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    uint8_t *blob = calloc(1, 100000);
    header(&b, "1.2.3", "P1");
    element(&b, 0x0042, 0x0011, "OB", blob, 100000);
    raw(&b, "\x08\x00\x05\x00LO\xFF\x00short", 13); /* 255 bytes are promised, 5 come */
    dv_receipt r = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 777);
    assert_int_equal(r.kept, DV_KEPT_UNREADABLE);
    assert_stored_as_sent(s, r.path, &b);
    b.len = 200000 > b.len ? b.len - 60000 : b.len; /* cut inside the bulk value */
    r = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.4", 65536);
    assert_int_equal(r.kept, DV_KEPT_UNREADABLE);
    assert_stored_as_sent(s, r.path, &b);
    dv_buffer_clear(&b);
    r = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.5", 1);
    assert_int_equal(r.kept, DV_KEPT_UNREADABLE);
    assert_int_equal(totals(s).unreadable, 3);
    free(blob);
    dv_buffer_free(&b);
}

static void a_dataset_unlike_its_command_is_held(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    header(&b, "1.2.3", "P1");
    dv_receipt r = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.99", 64);
    assert_int_equal(r.kept, DV_KEPT_HELD);
    assert_non_null(strstr(r.reason, "1.2.99"));
    dv_buffer_free(&b);
}

static void a_deflated_dataset_is_stored_as_the_stream_that_came(void **state)
{
    site *s = *state;
    dv_buffer b = {0}, z = {0};
    header(&b, "1.2.3", "P1");
    text(&b, 0x0040, 0xA160, "UT", "a report");
    assert_true(dv_deflate(b.at, b.len, true, 6, &z, &s->err));
    dv_receipt r = take(s, &z, DV_UID_DEFLATED_LE, "1.2.3", 10);
    assert_int_equal(r.kept, DV_KEPT_STORED);
    assert_stored_as_sent(s, r.path, &z);
    assert_int_equal(take(s, &z, DV_UID_DEFLATED_LE, "1.2.3", 10).kept, DV_KEPT_KNOWN);
    z.len /= 2;
    assert_int_equal(take(s, &z, DV_UID_DEFLATED_LE, "1.2.4", 10).kept, DV_KEPT_UNREADABLE);
    dv_buffer_free(&b);
    dv_buffer_free(&z);
}

/* dwv's bbmri.dcmdir and pydicom's JPEG-LS samples: no Study or Series UID. They came as an error, and were kept nowhere. */
static void what_cannot_be_filed_is_held_naming_the_uid_it_lacks(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    text(&b, 0x0008, 0x0018, "UI", "1.2.3");
    text(&b, 0x0010, 0x0020, "LO", "P1");
    dv_receipt r = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 64);
    assert_int_equal(r.kept, DV_KEPT_HELD);
    assert_non_null(strstr(r.reason, "StudyInstanceUID"));
    text(&b, 0x0020, 0x000D, "UI", "1.2.3.4");
    r = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 64);
    assert_int_equal(r.kept, DV_KEPT_HELD);
    assert_non_null(strstr(r.reason, "SeriesInstanceUID"));
    assert_stored_as_sent(s, r.path, &b);
    dv_buffer_free(&b);
}

/* DEFECTS.md 11: a peer sends explicit elements in a context that was negotiated implicit. */
static void a_dataset_in_another_syntax_than_negotiated_is_stored_in_its_own(void **state)
{
    site *s = *state;
    static const size_t pieces[] = {1, 700, 100000};
    for (size_t i = 0; i < 3; i++) {
        char sop[20];
        snprintf(sop, sizeof sop, "1.2.3.%zu", i);
        dv_buffer b = {0};
        header(&b, sop, "P1");
        if (i)
            pixels(&b, 3000, 1);
        dv_receipt r = take(s, &b, DV_UID_IMPLICIT_LE, sop, pieces[i]);
        assert_int_equal(r.kept, DV_KEPT_STORED);
        assert_stored_as_sent(s, r.path, &b);
        char path[700];
        dv_map map;
        dv_file_meta meta;
        snprintf(path, sizeof path, "%s/%s", s->folder, r.path);
        assert_true(dv_map_open(&map, path, &s->err));
        assert_true(dv_part10_read(map.bytes, map.len, &s->arena, &meta, &s->err));
        assert_true(dv_text_is(meta.transfer_syntax, DV_UID_EXPLICIT_LE));
        assert_false(meta.wrong_meta);
        dv_map_close(&map);
        dv_buffer_free(&b);
    }
}

/* Found by fuzzing: all that came is less than what tells the syntax, and ends in the head of a bulk value. */
static void a_short_dataset_that_ends_in_a_bulk_value_is_kept(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    header(&b, "1.2.3", "P1");
    element(&b, 0x0042, 0x0011, "OB", "", 0);
    memcpy(b.at + b.len - 4, "\0\0\2\0", 4); /* 128 KB, of which nothing came */
    dv_receipt r = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 100000);
    assert_int_equal(r.kept, DV_KEPT_UNREADABLE);
    assert_non_null(strstr(r.reason, "ends inside a bulk value"));
    dv_buffer_free(&b);
}

static void an_intake_that_is_dropped_leaves_nothing(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    header(&b, "1.2.3", "P1");
    pixels(&b, 300000, 1);
    for (size_t len = 0; len < b.len; len += 50001) {
        dv_arrival arrival = {.transfer_syntax = DV_TEXT(DV_UID_EXPLICIT_LE), .source = "test", .calling = "", .called = "", .address = "",
                              .channel = "test", .batch = "", .seed = ""};
        dv_intake *in = dv_intake_begin(s->ingest, &arrival, &s->err);
        assert_true(dv_intake_data(in, b.at, len, &s->err));
        dv_intake_drop(in);
    }
    dv_totals t = totals(s);
    assert_int_equal(t.instances + t.held + t.unreadable, 0);
    dv_buffer_free(&b);
}

static bool count_file(void *user, const char *path, dv_error *err)
{
    (void)path;
    (void)err;
    ++*(int *)user;
    return true;
}

static bool forget_rows(dv_db *db, void *user, dv_error *err)
{
    (void)user;
    return dv_db_script(db, "DELETE FROM instances; DELETE FROM series; DELETE FROM studies; DELETE FROM patients; DELETE FROM edits;"
                            "DELETE FROM findings; DELETE FROM quarantine; DELETE FROM counters", err);
}

static void rows_that_a_kill_took_are_made_again_from_the_objects(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    header(&b, "1.2.3", "P1");
    pixels(&b, 5000, 1);
    dv_receipt stored = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 5000);
    b.at[b.len - 1] = 7;
    dv_receipt held = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 5000);
    b.len = 99; /* inside an element */
    dv_receipt unreadable = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.77", 50);
    assert_int_equal(held.kept, DV_KEPT_HELD);
    assert_int_equal(unreadable.kept, DV_KEPT_UNREADABLE);
    assert_true(dv_catalog_write(s->catalog, true, forget_rows, NULL, &s->err));
    assert_int_equal(totals(s).instances, 0);
    int64_t rows = 0;
    if (!dv_ingest_recover(s->ingest, &rows, &s->err))
        fail_msg("%s", s->err.message);
    dv_totals t = totals(s);
    assert_int_equal(t.instances, 1);
    assert_int_equal(t.held, 1);
    assert_int_equal(t.unreadable, 1);
    /* Again: nothing is left to do. */
    assert_true(dv_ingest_recover(s->ingest, &rows, &s->err));
    assert_int_equal(rows, 0);
    assert_int_equal(totals(s).instances, 1);
    int files = 0;
    assert_true(dv_store_each(s->store, DV_OBJECTS, 0, count_file, &files, &s->err));
    assert_int_equal(files, 1);
    assert_true(stored.path[0] != '\0');
    dv_buffer_free(&b);
}

static void an_object_whose_bytes_were_lost_goes_to_quarantine(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    char full[700];
    header(&b, "1.2.3", "P1");
    pixels(&b, 50000, 1);
    dv_receipt stored = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 5000);
    assert_true(dv_catalog_write(s->catalog, true, forget_rows, NULL, &s->err));
    snprintf(full, sizeof full, "%s/%s", s->folder, stored.path);
    assert_int_equal(truncate(full, 20000), 0);
    int64_t rows = 0;
    assert_true(dv_ingest_recover(s->ingest, &rows, &s->err));
    assert_int_equal(rows, 0);
    assert_int_equal(totals(s).unreadable, 1);
    int objects = 0, kept = 0;
    assert_true(dv_store_each(s->store, DV_OBJECTS, 0, count_file, &objects, &s->err));
    assert_true(dv_store_each(s->store, DV_QUARANTINE, 0, count_file, &kept, &s->err));
    assert_int_equal(objects, 0);
    assert_int_equal(kept, 1);
    /* And the sender, who had no answer, sends it again. */
    assert_int_equal(take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 5000).kept, DV_KEPT_STORED);
    dv_buffer_free(&b);
}

static void what_is_retried_and_passes_leaves_the_quarantine(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    header(&b, "1.2.3", "P1");
    pixels(&b, 5000, 1);
    dv_receipt held = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.99", 5000), again; /* its command named another UID */
    assert_int_equal(held.kept, DV_KEPT_HELD);
    if (!dv_ingest_retry(s->ingest, held.id, false, &again, &s->err))
        fail_msg("%s", s->err.message);
    assert_int_equal(again.kept, DV_KEPT_STORED);
    assert_stored_as_sent(s, again.path, &b);
    assert_int_equal(totals(s).held, 0);
    assert_false(dv_ingest_retry(s->ingest, held.id, false, &again, &s->err));
    assert_int_equal(s->err.code, DV_ERR_NOT_FOUND);
    dv_buffer_free(&b);
}

static void what_is_retried_and_fails_again_stays_once(void **state)
{
    site *s = *state;
    dv_buffer b = {0};
    header(&b, "1.2.3", "P1");
    pixels(&b, 100000, 1);
    b.len -= 2;
    dv_receipt held = take(s, &b, DV_UID_EXPLICIT_LE, "1.2.3", 5000), again;
    assert_int_equal(held.kept, DV_KEPT_HELD);
    assert_true(dv_ingest_retry(s->ingest, held.id, false, &again, &s->err));
    assert_int_equal(again.kept, DV_KEPT_HELD);
    assert_int_equal(totals(s).held, 1);
    int kept = 0;
    assert_true(dv_store_each(s->store, DV_QUARANTINE, 0, count_file, &kept, &s->err));
    assert_int_equal(kept, 1);
    dv_buffer_free(&b);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(any_way_of_cutting_the_stream_stores_the_same_bytes),
        CASE(an_identical_instance_is_acknowledged_and_not_stored),
        CASE(the_same_uid_with_other_content_is_held_beside_the_first),
        CASE(a_bulk_value_before_pixel_data_is_spooled_and_put_back),
        CASE(encapsulated_pixel_data_passes_and_one_that_is_cut_is_held),
        CASE(native_pixel_data_that_is_cut_is_held_saying_how_much_is_missing),
        CASE(what_cannot_be_read_is_kept_byte_for_byte),
        CASE(a_dataset_unlike_its_command_is_held),
        CASE(a_deflated_dataset_is_stored_as_the_stream_that_came),
        CASE(what_cannot_be_filed_is_held_naming_the_uid_it_lacks),
        CASE(a_dataset_in_another_syntax_than_negotiated_is_stored_in_its_own),
        CASE(a_short_dataset_that_ends_in_a_bulk_value_is_kept),
        CASE(an_intake_that_is_dropped_leaves_nothing),
        CASE(rows_that_a_kill_took_are_made_again_from_the_objects),
        CASE(an_object_whose_bytes_were_lost_goes_to_quarantine),
        CASE(what_is_retried_and_passes_leaves_the_quarantine),
        CASE(what_is_retried_and_fails_again_stays_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
