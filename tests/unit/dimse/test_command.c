#include "dimse/associate_internal.h"
#include "raw_peer.h"

static const uint8_t echo[] = {
    0,   0,   0,    0,   4,    0,   0,   0,   0x38, 0,   0,   0, /* group length */
    0,   0,   2,    0,   0x12, 0,   0,   0,   '1',  '.', '2', '.', '8',
    '4', '0', '.',  '1', '0',  '0', '0', '8', '.',  '1', '.', '1', 0, /* class */
    0,   0,   0,    1,   2,    0,   0,   0,   0x30, 0,                /* command */
    0,   0,   0x10, 1,   2,    0,   0,   0,   7,    0,                /* message id */
    0,   0,   0,    8,   2,    0,   0,   0,   1,    1,                /* no data set */
};

static void a_command_set_is_read(void **state)
{
    dv_command c;
    dv_error err;

    (void)state;
    assert_true(dv_command_parse(echo, sizeof echo, &c, &err));
    assert_int_equal(c.field, DV_C_ECHO_RQ);
    assert_int_equal(c.message_id, 7);
    assert_int_equal(c.data_set, DV_NO_DATA_SET);
    assert_true(dv_text_is(dv_text_trim(c.sop_class), "1.2.840.10008.1.1"));
    assert_int_equal(c.sop_class.len, 18); /* as it came */
    assert_null(c.sop_instance.at);
    assert_false(c.has_status);
    assert_int_equal(c.remaining, -1);
}

static void a_wrong_group_length_is_not_believed(void **state)
{
    uint8_t bytes[sizeof echo];
    dv_command c;
    dv_error err;

    (void)state;
    memcpy(bytes, echo, sizeof echo);
    memset(bytes + 8, 0xFF, 4);
    assert_true(dv_command_parse(bytes, sizeof bytes, &c, &err));
    assert_true(dv_command_parse(bytes + 12, sizeof bytes - 12, &c, &err)); /* nor is it missed */
}

static void every_cut_of_a_command_set_is_refused_or_whole_elements(void **state)
{
    dv_error err;

    (void)state;
    for (size_t n = 0; n < sizeof echo; n++) {
        uint8_t *exact = malloc(n ? n : 1); /* so that ASan sees a byte too many */
        dv_command c;

        memcpy(exact, echo, n);
        if (dv_command_parse(exact, n, &c, &err))
            assert_int_equal(c.field, DV_C_ECHO_RQ);
        free(exact);
    }
}

static void a_length_past_the_end_is_refused(void **state)
{
    uint8_t bytes[sizeof echo];
    dv_command c;
    dv_error err;

    (void)state;
    memcpy(bytes, echo, sizeof echo);
    memset(bytes + 16, 0xFF, 4);
    assert_false(dv_command_parse(bytes, sizeof bytes, &c, &err));
    assert_int_equal(err.code, DV_ERR_TRUNCATED);
}

static void numbers_of_one_byte_and_missing_commands_are_refused(void **state)
{
    const uint8_t one[] = {0, 0, 0, 1, 1, 0, 0, 0, 0x30};
    dv_command c;
    dv_error err;

    (void)state;
    assert_false(dv_command_parse(one, sizeof one, &c, &err));
    assert_int_equal(err.code, DV_ERR_MALFORMED);
    assert_false(dv_command_parse(echo, 12, &c, &err));
    assert_int_equal(err.code, DV_ERR_MALFORMED);
    assert_false(dv_command_parse(NULL, 0, &c, &err));
}

static void what_is_written_is_read_again(void **state)
{
    dv_command_writer w;
    dv_command c;
    dv_error err;

    (void)state;
    dv_command_begin(&w);
    dv_command_text(&w, 0x0002, DV_TEXT("1.2.3"), '\0');
    dv_command_u16(&w, 0x0100, 0x8001);
    dv_command_u16(&w, 0x0120, 65535);
    dv_command_u16(&w, 0x0800, DV_NO_DATA_SET);
    dv_command_u16(&w, 0x0900, 0xA700);
    dv_command_text(&w, 0x0902, DV_TEXT("disk full"), ' ');
    dv_command_text(&w, 0x1000, (dv_text){0}, '\0');
    dv_command_end(&w);
    assert_false(w.full);
    assert_int_equal(w.len % 2, 0);
    assert_int_equal(w.bytes[8] + 12, w.len);
    assert_true(dv_command_parse(w.bytes, w.len, &c, &err));
    assert_int_equal(c.status, 0xA700);
    assert_int_equal(c.answers, 65535);
    assert_true(dv_text_is(dv_text_trim(c.comment), "disk full"));
    assert_true(dv_text_is(dv_text_trim(c.sop_class), "1.2.3"));
    assert_null(c.sop_instance.at);
}

static void a_writer_that_is_full_says_so(void **state)
{
    static char big[1020];
    dv_command_writer w;

    (void)state;
    dv_command_begin(&w);
    dv_command_text(&w, 0x0002, (dv_text){big, sizeof big}, '\0');
    assert_true(w.full);
    assert_int_equal(w.len, 12);
    dv_command_begin(&w);
    dv_command_text(&w, 0x0002, (dv_text){big, SIZE_MAX - 9}, '\0');
    assert_true(w.full);
}

static void the_first_bytes_tell_dicom_from_the_rest(void **state)
{
    size_t total;

    (void)state;
    assert_int_equal(dv_associate_first((const uint8_t *)"\1\0\0\0\1\0", 6, &total), DV_FIRST_ASSOCIATE);
    assert_int_equal(total, 262);
    assert_int_equal(dv_associate_first((const uint8_t *)"\1\0\0", 3, &total), DV_FIRST_MORE);
    assert_int_equal(dv_associate_first((const uint8_t *)"", 0, &total), DV_FIRST_MORE);
    assert_int_equal(dv_associate_first((const uint8_t *)"\1\0\0\x08\0\1", 6, &total), DV_FIRST_TOO_LONG);
    assert_int_equal(dv_associate_first((const uint8_t *)"\1\0\xFF\xFF\xFF\xFF", 6, &total), DV_FIRST_TOO_LONG);
    assert_int_equal(dv_associate_first((const uint8_t *)"GE", 2, &total), DV_FIRST_MORE);
    assert_int_equal(dv_associate_first((const uint8_t *)"GET /", 5, &total), DV_FIRST_HTTP);
    assert_int_equal(dv_associate_first((const uint8_t *)"\x16\3\1", 3, &total), DV_FIRST_TLS);
    assert_int_equal(dv_associate_first((const uint8_t *)"\4\0\0\0\0\0", 6, &total), DV_FIRST_FOREIGN);
    assert_int_equal(dv_associate_first((const uint8_t *)"HELO", 4, &total), DV_FIRST_FOREIGN);
}

static void no_cut_or_flip_of_an_association_request_is_read_past_its_end(void **state)
{
    static raw r;
    const char *why;

    (void)state;
    raw_associate_begin(&r, 1, "A", "B");
    raw_context(&r, 0x20, 1, 0, CT_CLASS, (const char *[]){IMPLICIT, EXPLICIT, NULL});
    raw_associate_end(&r, 16384);
    assert_true(dv_associate_check(r.at, r.n, &why));
    for (size_t n = 0; n < r.n; n++) {
        uint8_t *exact = malloc(n ? n : 1);

        memcpy(exact, r.at, n);
        (void)dv_associate_check(exact, n, &why);
        free(exact);
    }
    for (size_t i = 74; i < r.n; i++) {
        uint8_t *exact = malloc(r.n);

        memcpy(exact, r.at, r.n);
        exact[i] = 0xFF;
        (void)dv_associate_check(exact, r.n, &why);
        free(exact);
    }
}

/* Found by fuzzing: DCMTK 3.6.7 leaks memory on each of these, so a peer could fill ours. */
static void what_dcmtk_leaks_memory_on_is_refused(void **state)
{
    static raw r;
    const char *why;
    const char *const one[] = {IMPLICIT, NULL}, *const none[] = {NULL}, *const empty[] = {"", NULL};

    (void)state;
    raw_associate_begin(&r, 1, "A", "B");
    raw_context(&r, 0x20, 1, 0, CT_CLASS, none);
    raw_associate_end(&r, 16384);
    assert_false(dv_associate_check(r.at, r.n, &why));
    assert_non_null(strstr(why, "no transfer syntax"));
    raw_associate_begin(&r, 1, "A", "B");
    raw_context(&r, 0x20, 1, 0, CT_CLASS, empty);
    raw_associate_end(&r, 16384);
    assert_false(dv_associate_check(r.at, r.n, &why));
    raw_associate_begin(&r, 1, "A", "B");
    raw_context(&r, 0x20, 1, 0, CT_CLASS, one);
    raw_context(&r, 0x21, 3, 0, NULL, one);
    raw_associate_end(&r, 16384);
    assert_false(dv_associate_check(r.at, r.n, &why));
    raw_associate_begin(&r, 1, "", "B");
    raw_context(&r, 0x20, 1, 0, CT_CLASS, one);
    raw_associate_end(&r, 16384);
    assert_false(dv_associate_check(r.at, r.n, &why));
    assert_non_null(strstr(why, "blank"));
    raw_associate_begin(&r, 1, "A", "B");
    r.at[74] = 0x11; /* the application context */
    raw_context(&r, 0x20, 1, 0, CT_CLASS, one);
    raw_associate_end(&r, 16384);
    assert_false(dv_associate_check(r.at, r.n, &why));
    assert_non_null(strstr(why, "application context"));
    raw_associate_begin(&r, 1, "A", "B");
    raw_context(&r, 0x20, 1, 0, CT_CLASS, one);
    raw_bytes(&r, "\x50\0\0\x0b\x56\0\0\7\0\x09" "1.2\0\1", 15); /* extended negotiation, its UID longer than the item */
    raw_pdu_end(&r, 0);
    assert_false(dv_associate_check(r.at, r.n, &why));
    r.at[r.n - 6] = 3;
    assert_true(dv_associate_check(r.at, r.n, &why));
}

static void an_answer_is_checked_too_before_dcmtk_sees_it(void **state)
{
    static raw r;
    const char *why;
    const char *const one[] = {IMPLICIT, NULL}, *const none[] = {NULL}, *const empty[] = {"", NULL};

    (void)state;
    raw_associate_begin(&r, 2, "", ""); /* an answer's titles mean nothing */
    raw_context(&r, 0x21, 1, 0, NULL, one);
    raw_context(&r, 0x21, 3, 4, NULL, empty); /* refused: its syntax means nothing */
    raw_context(&r, 0x21, 5, 3, NULL, none);
    raw_associate_end(&r, 16384);
    assert_true(dv_associate_check(r.at, r.n, &why));
    raw_associate_begin(&r, 2, "A", "B");
    raw_context(&r, 0x21, 1, 0, NULL, none);
    raw_associate_end(&r, 16384);
    assert_false(dv_associate_check(r.at, r.n, &why));
    raw_associate_begin(&r, 2, "A", "B");
    raw_context(&r, 0x21, 1, 0, NULL, (const char *[]){IMPLICIT, EXPLICIT, NULL}); /* which one? */
    raw_associate_end(&r, 16384);
    assert_false(dv_associate_check(r.at, r.n, &why));
    raw_associate_begin(&r, 2, "A", "B");
    raw_context(&r, 0x21, 1, 0, CT_CLASS, one);
    raw_associate_end(&r, 16384);
    assert_true(dv_associate_check(r.at, r.n, &why));
    raw_associate_begin(&r, 2, "A", "B");
    raw_context(&r, 0x20, 1, 0, CT_CLASS, one);
    raw_associate_end(&r, 16384);
    assert_false(dv_associate_check(r.at, r.n, &why));
    assert_non_null(strstr(why, "item of a request"));
}

static void more_than_128_contexts_are_refused(void **state)
{
    static raw r;
    const char *why;

    (void)state;
    raw_associate_begin(&r, 1, "A", "B");
    for (unsigned i = 0; i < 129; i++)
        raw_context(&r, 0x20, i, 0, CT_CLASS, (const char *[]){IMPLICIT, NULL});
    raw_associate_end(&r, 16384);
    assert_false(dv_associate_check(r.at, r.n, &why));
    assert_non_null(strstr(why, "128"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_set_is_read),
        cmocka_unit_test(a_wrong_group_length_is_not_believed),
        cmocka_unit_test(every_cut_of_a_command_set_is_refused_or_whole_elements),
        cmocka_unit_test(a_length_past_the_end_is_refused),
        cmocka_unit_test(numbers_of_one_byte_and_missing_commands_are_refused),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_writer_that_is_full_says_so),
        cmocka_unit_test(the_first_bytes_tell_dicom_from_the_rest),
        cmocka_unit_test(no_cut_or_flip_of_an_association_request_is_read_past_its_end),
        cmocka_unit_test(what_dcmtk_leaks_memory_on_is_refused),
        cmocka_unit_test(an_answer_is_checked_too_before_dcmtk_sees_it),
        cmocka_unit_test(more_than_128_contexts_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
