/* The data sets of storage commitment: written, read, and refused. */
#include "dimse/commitment.h"
#include "dicom/syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static dv_reference three[] = {{DV_TEXT("1.2.840.10008.5.1.4.1.1.2"), DV_TEXT("1.2.3"), 0},
                               {DV_TEXT("1.2.840.10008.5.1.4.1.1.4"), DV_TEXT("1.2.34"), DV_COMMIT_NO_INSTANCE},
                               {DV_TEXT("1.2.840.10008.5.1.4.1.1.4"), DV_TEXT("1.2.5"), 0}};
static const dv_commitment sample = {DV_TEXT("9.9"), three, 3};

static void what_is_written_is_read_again(void **state)
{
    const dv_text syntaxes[] = {DV_TEXT(DV_UID_EXPLICIT_LE), DV_TEXT(DV_UID_IMPLICIT_LE)};

    (void)state;
    for (int i = 0; i < 2; i++) {
        dv_buffer b = {0};
        dv_commitment got;
        dv_error err;
        dv_arena arena;

        dv_arena_init(&arena, 0);
        assert_true(dv_commitment_write(&sample, true, syntaxes[i], &b, &err));
        assert_int_equal(b.len % 2, 0);
        assert_true(dv_commitment_read(dv_buffer_as_text(&b), syntaxes[i], &arena, &got, &err));
        assert_true(dv_text_is(got.transaction, "9.9"));
        assert_int_equal(got.count, 3); /* the committed ones first */
        assert_true(dv_text_is(got.references[0].sop_instance, "1.2.3"));
        assert_true(dv_text_is(got.references[1].sop_instance, "1.2.5"));
        assert_true(dv_text_is(got.references[2].sop_instance, "1.2.34"));
        assert_int_equal(got.references[1].reason, DV_COMMITTED);
        assert_int_equal(got.references[2].reason, DV_COMMIT_NO_INSTANCE);
        dv_arena_free(&arena);
        dv_buffer_free(&b);
    }
}

static void every_cut_is_refused_or_smaller_and_never_a_fault(void **state)
{
    dv_buffer b = {0};
    dv_error err;

    (void)state;
    assert_true(dv_commitment_write(&sample, true, DV_TEXT(DV_UID_EXPLICIT_LE), &b, &err));
    for (size_t n = 0; n < b.len; n++) {
        dv_commitment got;
        dv_arena arena;
        char *part = malloc(n ? n : 1);

        memcpy(part, b.at, n);
        dv_arena_init(&arena, 0);
        if (dv_commitment_read((dv_text){part, n}, DV_TEXT(DV_UID_EXPLICIT_LE), &arena, &got, &err))
            assert_true(got.count < 3); /* cut between two sequences */
        dv_arena_free(&arena);
        free(part);
    }
    dv_buffer_free(&b);
}

static void a_syntax_that_was_not_negotiated_is_refused(void **state)
{
    dv_buffer b = {0};
    dv_error err;

    (void)state;
    assert_false(dv_commitment_write(&sample, true, DV_TEXT(DV_UID_EXPLICIT_BE), &b, &err));
    assert_int_equal(err.code, DV_ERR_UNSUPPORTED);
    dv_buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(every_cut_is_refused_or_smaller_and_never_a_fault),
        cmocka_unit_test(a_syntax_that_was_not_negotiated_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
