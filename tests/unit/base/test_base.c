/* base/: text, arena, buffer, errors, hash, file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void absent_is_not_empty(void **state)
{
    (void)state;
    assert_null(dv_text_of(NULL).at);
    assert_non_null(dv_text_of("").at);
    dv_text rest, first = dv_text_split(DV_TEXT("a\\"), '\\', &rest);
    assert_true(dv_text_is(first, "a"));
    assert_non_null(rest.at);
    assert_int_equal(rest.len, 0);
    dv_text_split(DV_TEXT("a"), '\\', &rest);
    assert_null(rest.at);
}

static void trimming_takes_blanks_and_nuls_at_both_ends_only(void **state)
{
    (void)state;
    assert_true(dv_text_is(dv_text_trim((dv_text){" \0a b\0 ", 7}), "a b"));
    assert_int_equal(dv_text_trim(DV_TEXT("   ")).len, 0);
}

static void a_number_is_digits_that_fit(void **state)
{
    (void)state;
    uint64_t n = 7;
    assert_true(dv_text_uint(DV_TEXT("18446744073709551615"), &n));
    assert_true(n == UINT64_MAX);
    assert_false(dv_text_uint(DV_TEXT("18446744073709551616"), &n));
    assert_false(dv_text_uint(DV_TEXT(""), &n));
    assert_false(dv_text_uint(DV_TEXT("-1"), &n));
    assert_false(dv_text_uint(DV_TEXT("1 "), &n));
}

static void distance_counts_single_edits_and_swaps_without_case(void **state)
{
    (void)state;
    assert_int_equal(dv_text_distance(DV_TEXT("PatientID"), DV_TEXT("patientid"), 3), 0);
    assert_int_equal(dv_text_distance(DV_TEXT("PateintID"), DV_TEXT("PatientID"), 3), 1);
    assert_int_equal(dv_text_distance(DV_TEXT("PatientI"), DV_TEXT("PatientID"), 3), 1);
    assert_int_equal(dv_text_distance(DV_TEXT("abc"), DV_TEXT("xyz"), 2), 3);
    assert_int_equal(dv_text_distance(DV_TEXT(""), DV_TEXT("ab"), 9), 2);
}

static void arena_memory_is_aligned_distinct_and_survives_growth(void **state)
{
    (void)state;
    dv_arena a;
    dv_arena_init(&a, 64);
    char *p = dv_arena_alloc(&a, 10);
    memset(p, 'x', 10);
    for (size_t size = 10; size < 100000; size *= 2) {
        p = dv_arena_grow(&a, p, size, size * 2);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p + size, 'x', size);
        assert_int_equal(p[0], 'x');
        assert_int_equal(p[2 * size - 1], 'x');
    }
    assert_null(dv_arena_zalloc(&a, SIZE_MAX / 2, 4));
    assert_null(dv_arena_alloc(&a, SIZE_MAX - 8));
    assert_non_null(dv_arena_alloc(&a, 0));
    dv_arena_reset(&a);
    assert_string_equal(dv_arena_printf(&a, "%s-%d", "a", 7), "a-7");
    dv_arena_free(&a);
}

static void json_strings_are_escaped_and_bad_utf8_is_replaced(void **state)
{
    (void)state;
    dv_buffer b = {0};
    assert_true(dv_buffer_json(&b, DV_TEXT("a\"\\\n\xC3\xBC\xFF\xED\xA0\x80")));
    assert_string_equal(b.at, "\"a\\\"\\\\\\u000a\xC3\xBC\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    dv_buffer_free(&b);
}

static void an_error_says_what_it_was_given_and_hides_control_characters(void **state)
{
    (void)state;
    dv_error err;
    assert_false(dv_fail(&err, DV_ERR_VALUE, "value '%s'", "a\x1b[2J"));
    assert_string_equal(err.message, "value 'a?[2J'");
    assert_false(dv_error_context(&err, "file %d", 3));
    assert_string_equal(err.message, "file 3: value 'a?[2J'");
    assert_int_equal(err.code, DV_ERR_VALUE);
    errno = ENOSPC;
    dv_fail_errno(&err, "cannot write x");
    assert_int_equal(err.code, DV_ERR_DISK_FULL);
    assert_int_equal(dv_error_code(dv_error_lookup(DV_ERR_HASH)->name), DV_ERR_HASH);
    assert_int_equal(dv_error_code("nonsense"), DV_ERR_INTERNAL);
    char *longer = malloc(5000);
    memset(longer, 'y', 4999);
    longer[4999] = '\0';
    dv_fail(&err, DV_ERR_IO, "%s", longer);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    free(longer);
}

static void sha256_of_abc_is_the_standards(void **state)
{
    (void)state;
    uint8_t out[DV_SHA256_BYTES], back[DV_SHA256_BYTES];
    char hex[DV_SHA256_HEX];
    dv_sha256 *h = dv_sha256_new();
    assert_true(dv_sha256_begin(h, NULL) && dv_sha256_add(h, "a", 1, NULL) && dv_sha256_add(h, "bc", 2, NULL) && dv_sha256_end(h, out, NULL));
    assert_string_equal(dv_hex(out, sizeof out, hex), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(dv_unhex(dv_text_of(hex), back, sizeof back));
    assert_memory_equal(out, back, sizeof out);
    assert_false(dv_unhex(DV_TEXT("zz"), back, 1));
    assert_true(dv_sha256_of("abc", 3, back, NULL));
    assert_memory_equal(out, back, sizeof out);
    dv_sha256_free(h);
}

static void a_file_is_replaced_whole_and_read_back(void **state)
{
    (void)state;
    char folder[] = "/tmp/drover-base-XXXXXX", path[80], deep[64];
    assert_non_null(mkdtemp(folder));
    dv_error err;
    snprintf(deep, sizeof deep, "%s/a/b/c", folder);
    assert_true(dv_mkdirs(deep, 0755, &err));
    assert_true(dv_mkdirs(deep, 0755, &err));
    snprintf(path, sizeof path, "%s/f", deep);
    assert_true(dv_file_replace(path, DV_TEXT("one"), 0644, &err));
    assert_true(dv_file_replace(path, DV_TEXT(""), 0644, &err));
    dv_map map;
    assert_true(dv_map_open(&map, path, &err));
    assert_int_equal(map.len, 0);
    dv_map_close(&map);
    assert_false(dv_map_open(&map, deep, &err)); /* a folder */
    char fifo[96];
    snprintf(fifo, sizeof fifo, "%s/fifo", deep);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    alarm(10); /* one that waits for a writer ends the test */
    assert_false(dv_map_open(&map, fifo, &err));
    alarm(0);
    assert_int_equal(unlink(fifo), 0);
    assert_false(dv_mkdirs(path, 0755, &err));   /* a file is in the way */
    assert_true(dv_remove_tree(folder, &err));
    assert_int_equal(access(folder, F_OK), -1);
    dv_buffer b = {0};
    assert_false(dv_file_read(path, &b, &err));
    assert_non_null(strstr(err.message, path));
    dv_buffer_free(&b);
}

/* Found by fuzzing the control socket and the notes of objects: {"limit":1e300}. */
static void a_number_beyond_its_range_is_the_nearest_there_is(void **state)
{
    (void)state;
    assert_int_equal(dv_int64_of(-3.7), -3);
    assert_int_equal(dv_int64_of(1e300), INT64_MAX);
    assert_int_equal(dv_int64_of(0x1p63), INT64_MAX);
    assert_int_equal(dv_int64_of(-0x1p63), INT64_MIN);
    assert_int_equal(dv_int64_of(-1e300), INT64_MIN);
    assert_int_equal(dv_int64_of(__builtin_nan("")), 0);
}

static void a_stamp_is_utc_with_microseconds(void **state)
{
    (void)state;
    char buf[DV_STAMP_SIZE];
    assert_string_equal(dv_stamp(1700000000123456, buf), "2023-11-14T22:13:20.123456Z");
}

static void time_that_goes_forward_is_never_before_what_it_was(void **state)
{
    (void)state;
    int64_t now = dv_wall_forward_us(), later = now + 3600 * (int64_t)1000000;
    assert_true(now >= dv_wall_us() - 1000000);
    dv_wall_not_before(later);
    assert_int_equal(dv_wall_forward_us(), later);
    dv_wall_not_before(now);
    assert_int_equal(dv_wall_forward_us(), later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_is_not_empty),
        cmocka_unit_test(trimming_takes_blanks_and_nuls_at_both_ends_only),
        cmocka_unit_test(a_number_is_digits_that_fit),
        cmocka_unit_test(distance_counts_single_edits_and_swaps_without_case),
        cmocka_unit_test(arena_memory_is_aligned_distinct_and_survives_growth),
        cmocka_unit_test(json_strings_are_escaped_and_bad_utf8_is_replaced),
        cmocka_unit_test(an_error_says_what_it_was_given_and_hides_control_characters),
        cmocka_unit_test(sha256_of_abc_is_the_standards),
        cmocka_unit_test(a_file_is_replaced_whole_and_read_back),
        cmocka_unit_test(a_number_beyond_its_range_is_the_nearest_there_is),
        cmocka_unit_test(a_stamp_is_utc_with_microseconds),
        cmocka_unit_test(time_that_goes_forward_is_never_before_what_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
