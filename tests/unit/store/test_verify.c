/* Verification finds each changed byte; a seal is read from hostile files without harm. */
#include "store/store_fixture.h"
#include "store/seal.h"

#include <fcntl.h>
#include <sys/stat.h>

static char full[700];

static dv_stored store_it(void)
{
    dv_stored s;
    dv_object_note note = plain_note;
    note.received_header = DV_TEXT("as it was received: aaaaaaaaaaaaaaaaaaaaaa");
    dv_object *o = written(DV_OBJECTS, &note, 300, 100, 5, &err);
    assert_non_null(o);
    assert_true(dv_object_finish(o, DV_TEXT("1.2.3"), DV_TEXT("1.2.3.4"), &s, &err));
    snprintf(full, sizeof full, "%s/%s", folder, s.path);
    assert_int_equal(chmod(full, 0640), 0);
    return s;
}

static void flip(int fd, off_t at)
{
    uint8_t b;
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 0x10;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
}

/* A tester changed the Transfer Syntax UID in File Meta: no tool could read the object any more, and verify said 0 damaged. */
static void each_flipped_byte_of_a_file_is_found(void **state)
{
    (void)state;
    dv_stored s = store_it();
    dv_map map;
    dv_arena a;
    dv_sealed sealed;
    dv_arena_init(&a, 0);
    whole(s.path, &map);
    assert_true(dv_store_read_seal(map.bytes, map.len, &a, &sealed, &err));
    off_t dataset = (off_t)sealed.meta.dataset, end = (off_t)map.len;
    int fd = open(full, O_RDWR);
    assert_true(fd >= 0);
    for (off_t at = 0; at < end; at++) {
        flip(fd, at);
        if (dv_store_verify(store, s.path, NULL, &err))
            fail_msg("byte %lld of %lld (dataset at %lld) can change", (long long)at, (long long)end,
                     (long long)dataset);
        assert_int_equal(err.code, DV_ERR_HASH);
        assert_non_null(strstr(err.message, s.path));
        const char *part = at < dataset ? NULL : at < dataset + HEADER ? "the header is" : "the body is";
        if (part && !strstr(err.message, part))
            fail_msg("byte %lld: %s", (long long)(at - dataset), err.message);
        flip(fd, at);
    }
    assert_true(dv_store_verify(store, s.path, &s, &err));
    close(fd);
    dv_map_close(&map);
    dv_arena_free(&a);
}

/* The received header is kept compressed: a change shows, or is none (a bit that zlib does not use). */
static void a_changed_received_header_is_found(void **state)
{
    (void)state;
    dv_stored s = store_it();
    dv_map map;
    whole(s.path, &map);
    const uint8_t *zlib = NULL;
    for (size_t i = 0; i + 1 < map.len && !zlib; i++)
        if (map.bytes[i] == 0x78 && map.bytes[i + 1] == 0x01)
            zlib = map.bytes + i;
    assert_non_null(zlib);
    off_t at = (off_t)(zlib - map.bytes);
    int fd = open(full, O_RDWR);
    for (off_t i = at; i < at + 20; i++) {
        flip(fd, i);
        assert_false(dv_store_verify(store, s.path, NULL, &err));
        assert_int_equal(err.code, DV_ERR_HASH);
        flip(fd, i);
    }
    close(fd);
    dv_map_close(&map);
}

static void a_file_cut_anywhere_is_found(void **state)
{
    (void)state;
    dv_stored s = store_it();
    for (off_t n = (off_t)s.bytes - 1; n >= 0; n--) {
        assert_int_equal(truncate(full, n), 0);
        assert_false(dv_store_verify(store, s.path, NULL, &err));
        assert_int_equal(err.code, DV_ERR_HASH);
    }
    unlink(full);
    assert_false(dv_store_verify(store, s.path, NULL, &err));
    assert_int_equal(err.code, DV_ERR_NOT_FOUND);
}

static void a_row_that_says_otherwise_is_found(void **state)
{
    (void)state;
    dv_stored s = store_it(), row = s;
    assert_true(dv_store_verify(store, s.path, &row, &err));
    row.body_hash[31] ^= 1;
    assert_false(dv_store_verify(store, s.path, &row, &err));
    assert_non_null(strstr(err.message, "body's hash"));
    row = s;
    row.received_hash[0] ^= 1;
    assert_false(dv_store_verify(store, s.path, &row, &err));
    row = s;
    row.bytes++;
    assert_false(dv_store_verify(store, s.path, &row, &err));
    row.bytes = 0;
    assert_true(dv_store_verify(store, s.path, &row, &err));
}

static void a_whole_file_in_the_place_of_another_is_found(void **state)
{
    (void)state;
    dv_stored s = store_it(), other;
    char from[700];
    dv_object *o = written(DV_OBJECTS, &plain_note, 300, 100, 6, &err);
    assert_true(dv_object_finish(o, DV_TEXT("1.2.3"), DV_TEXT("1.2.3.4"), &other, &err));
    snprintf(from, sizeof from, "%s/%s", folder, other.path);
    assert_int_equal(rename(from, full), 0);
    assert_false(dv_store_verify(store, s.path, NULL, &err));
    assert_non_null(strstr(err.message, "name"));
}

static void what_is_not_ours_is_not_sealed(void **state)
{
    (void)state;
    dv_arena a;
    dv_sealed sealed;
    dv_text file;
    dv_arena_init(&a, 0);
    dv_file_meta m = meta();
    assert_true(dv_part10_write(&m, &a, &file, NULL, &err));
    char *bytes = dv_arena_alloc(&a, file.len + HEADER);
    memcpy(bytes, file.at, file.len);
    memcpy(bytes + file.len, header_bytes, HEADER);
    assert_true(dv_store_read_seal((const uint8_t *)bytes, file.len + HEADER, &a, &sealed, &err));
    assert_false(sealed.sealed);
    m.private_creator = DV_TEXT("1.2.3");
    m.private_bytes = DV_TEXT("DVO1");
    assert_true(dv_part10_write(&m, &a, &file, NULL, &err));
    bytes = dv_arena_alloc(&a, file.len + HEADER);
    memcpy(bytes, file.at, file.len);
    memcpy(bytes + file.len, header_bytes, HEADER);
    assert_true(dv_store_read_seal((const uint8_t *)bytes, file.len + HEADER, &a, &sealed, &err));
    assert_false(sealed.sealed);
    assert_false(dv_store_read_seal((const uint8_t *)"%PDF-1.4 and so on and so on", 28, &a, &sealed, &err));
    dv_arena_free(&a);
}

static void an_empty_seal_is_told_apart_from_a_broken_one(void **state)
{
    (void)state;
    dv_arena a;
    dv_private p;
    dv_text value;
    bool ours;
    dv_arena_init(&a, 0);
    dv_object_note note = {.json = DV_TEXT("{}"), .received_header = DV_TEXT("h")};
    dv_piece pieces[] = {{10, 20}, {40, 70000}};
    assert_true(dv_private_build(&note, pieces, 2, &a, &value, &err));
    assert_int_equal(value.len % 2, 0);
    assert_true(dv_private_parse(value, &p, &ours, &err));
    assert_true(ours);
    assert_int_equal(p.piece_count, 2);
    assert_int_equal(dv_private_piece(&p, 1).at, 40);
    assert_int_equal(dv_private_piece(&p, 1).len, 70000);
    assert_true(dv_text_is(p.note, "{}"));
    dv_seal seal, back;
    dv_seal_get(p.seal, &seal);
    assert_int_equal(seal.version, 0);
    for (size_t n = 4; n + 1 < value.len; n++) { /* cut anywhere: said, and not read past */
        char *exact = malloc(n);
        memcpy(exact, value.at, n);
        assert_false(dv_private_parse((dv_text){exact, n}, &p, &ours, &err));
        assert_int_equal(err.code, DV_ERR_MALFORMED);
        free(exact);
    }
    uint8_t raw[DV_SEAL_BYTES];
    seal = (dv_seal){.version = 1,
                     .flags = 1,
                     .dataset_bytes = UINT64_MAX,
                     .header_bytes = 1,
                     .body_bytes = (uint64_t)1 << 40,
                     .body_hash = {9}};
    dv_seal_put(&seal, raw);
    dv_seal_get(raw, &back);
    assert_memory_equal(&seal, &back, sizeof seal);
    assert_memory_equal(raw + 8, "\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0", 24);
    dv_arena_free(&a);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_store, close_store)
    const struct CMUnitTest tests[] = {
        T(each_flipped_byte_of_a_file_is_found),
        T(a_changed_received_header_is_found),
        T(a_file_cut_anywhere_is_found),
        T(a_row_that_says_otherwise_is_found),
        T(a_whole_file_in_the_place_of_another_is_found),
        T(what_is_not_ours_is_not_sealed),
        T(an_empty_seal_is_told_apart_from_a_broken_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
