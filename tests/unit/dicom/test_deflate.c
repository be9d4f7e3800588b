#include "dicom/deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

static char text[200000];

static void fill(void)
{
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * i >> 7);
}

static void what_was_deflated_inflates_to_the_same(void **state)
{
    (void)state;
    fill();
    for (int raw = 0; raw < 2; raw++) {
        dv_buffer packed = {0}, out = {0};
        dv_error err = {0};
        bool done = false;
        assert_true(dv_deflate(text, sizeof text, raw, 6, &packed, &err));
        assert_true(packed.len < sizeof text);
        dv_inflater *z = dv_inflate_new(raw, &err);
        assert_non_null(z);
        assert_true(dv_inflate_add(z, packed.at, packed.len, sizeof text, &out, &done, &err));
        assert_true(done);
        assert_int_equal(out.len, sizeof text);
        assert_memory_equal(out.at, text, sizeof text);
        dv_inflate_free(z);
        dv_buffer_free(&packed);
        dv_buffer_free(&out);
    }
}

static void bytes_may_arrive_one_by_one(void **state)
{
    (void)state;
    fill();
    dv_buffer packed = {0}, out = {0};
    dv_error err = {0};
    assert_true(dv_deflate(text, 5000, true, 1, &packed, &err));
    dv_inflater *z = dv_inflate_new(true, &err);
    for (size_t i = 0; i < packed.len; i++) {
        bool done;
        assert_true(dv_inflate_add(z, packed.at + i, 1, 5000, &out, &done, &err));
        assert_int_equal(done, i + 1 == packed.len);
    }
    bool done;
    assert_true(dv_inflate_add(z, "trailing", 8, 5000, &out, &done, &err));
    assert_true(done);
    assert_int_equal(out.len, 5000);
    assert_memory_equal(out.at, text, 5000);
    dv_inflate_free(z);
    dv_buffer_free(&packed);
    dv_buffer_free(&out);
}

static void a_bomb_ends_at_the_limit(void **state)
{
    (void)state;
    dv_buffer packed = {0}, out = {0};
    dv_error err = {0};
    bool done;
    size_t n = 20u << 20;
    char *zeros = calloc(1, n);
    assert_true(dv_deflate(zeros, n, true, 9, &packed, &err));
    free(zeros);
    dv_inflater *z = dv_inflate_new(true, &err);
    assert_false(dv_inflate_add(z, packed.at, packed.len, n - 1, &out, &done, &err));
    assert_int_equal(err.code, DV_ERR_LIMIT);
    assert_true(out.len < n);
    dv_inflate_free(z);
    dv_buffer_free(&packed);
    dv_buffer_free(&out);
}

static void garbage_and_cut_streams_are_told_apart(void **state)
{
    (void)state;
    dv_buffer packed = {0}, out = {0};
    dv_error err = {0};
    bool done = true;
    dv_inflater *z = dv_inflate_new(true, &err);
    assert_false(dv_inflate_add(z, "\x07\x07\x07\x07", 4, 100, &out, &done, &err));
    assert_int_equal(err.code, DV_ERR_MALFORMED);
    dv_inflate_free(z);
    fill();
    assert_true(dv_deflate(text, 5000, true, 6, &packed, &err));
    z = dv_inflate_new(true, &err);
    assert_true(dv_inflate_add(z, packed.at, packed.len / 2, 5000, &out, &done, &err));
    assert_false(done);
    dv_inflate_free(z);
    dv_buffer_free(&packed);
    dv_buffer_free(&out);
}

static void nothing_deflates_to_a_valid_stream(void **state)
{
    (void)state;
    dv_buffer packed = {0}, out = {0};
    dv_error err = {0};
    bool done = false;
    assert_true(dv_deflate(NULL, 0, false, 6, &packed, &err));
    dv_inflater *z = dv_inflate_new(false, &err);
    assert_true(dv_inflate_add(z, packed.at, packed.len, 0, &out, &done, &err));
    assert_true(done);
    assert_int_equal(out.len, 0);
    dv_inflate_free(z);
    dv_buffer_free(&packed);
    dv_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_deflated_inflates_to_the_same),
        cmocka_unit_test(bytes_may_arrive_one_by_one),
        cmocka_unit_test(a_bomb_ends_at_the_limit),
        cmocka_unit_test(garbage_and_cut_streams_are_told_apart),
        cmocka_unit_test(nothing_deflates_to_a_valid_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
