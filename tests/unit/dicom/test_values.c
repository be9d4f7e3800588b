#include "dicom/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

static void dates_are_read_strictly(void **state)
{
    (void)state;
    dv_date d;
    assert_true(dv_date_parse(DV_TEXT("20240229"), &d));
    assert_int_equal(d.year, 2024);
    assert_int_equal(d.month, 2);
    assert_int_equal(d.day, 29);
    assert_true(dv_date_parse(DV_TEXT("20000229"), &d));
    static const char *const bad[] = {"",          "20230229", "19000229", "20241301", "20240001",
                                      "20240100",  "2024.1.1", "2024-1-1", "00000000", "2024010",
                                      "202401011", "2024 101", "20240431", "20240101-"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (dv_date_parse(dv_text_of(bad[i]), &d))
            fail_msg("'%s' was taken", bad[i]);
    assert_false(dv_date_parse((dv_text){0}, &d));
}

static void times_are_read_strictly(void **state)
{
    (void)state;
    dv_time t;
    assert_true(dv_time_parse(DV_TEXT("10"), &t));
    assert_int_equal(t.digits, 2);
    assert_true(dv_time_parse(DV_TEXT("1011"), &t));
    assert_true(dv_time_parse(DV_TEXT("235960"), &t));
    assert_true(dv_time_parse(DV_TEXT("101112.5"), &t));
    assert_int_equal(t.micro, 500000);
    assert_int_equal(t.digits, 7);
    assert_true(dv_time_parse(DV_TEXT("101112.000001"), &t));
    assert_int_equal(t.micro, 1);
    static const char *const bad[] = {"",       "1",        "101",     "10:11",          "240000",
                                      "236000", "235961",   "101112.", "101112.1234567", "1011.5",
                                      "1011a2", "101112.1a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (dv_time_parse(dv_text_of(bad[i]), &t))
            fail_msg("'%s' was taken", bad[i]);
}

static void days_count_from_1970(void **state)
{
    (void)state;
    assert_int_equal(dv_date_days((dv_date){1970, 1, 1}), 0);
    assert_int_equal(dv_date_days((dv_date){2000, 3, 1}), 11017);
    assert_int_equal(dv_date_days((dv_date){1969, 12, 31}), -1);
    assert_int_equal(dv_date_days((dv_date){2026, 11, 24}), 20781);
    int64_t before = dv_date_days((dv_date){1899, 12, 31});
    assert_int_equal(dv_date_days((dv_date){1900, 1, 1}), before + 1);
}

static void age_is(dv_date birth, dv_date day, const char *age)
{
    char buf[5];
    assert_true(dv_age_compute(birth, day, buf));
    assert_string_equal(buf, age);
}

static void ages_take_the_unit_of_their_size(void **state)
{
    (void)state;
    char buf[5];
    age_is((dv_date){2020, 5, 10}, (dv_date){2020, 5, 10}, "000D");
    age_is((dv_date){2020, 5, 10}, (dv_date){2020, 6, 6}, "027D");
    age_is((dv_date){2020, 5, 10}, (dv_date){2020, 6, 7}, "004W");
    age_is((dv_date){2020, 5, 10}, (dv_date){2020, 8, 9}, "013W");
    age_is((dv_date){2020, 5, 10}, (dv_date){2020, 8, 10}, "003M");
    age_is((dv_date){2020, 5, 10}, (dv_date){2022, 5, 9}, "023M");
    age_is((dv_date){2020, 5, 10}, (dv_date){2022, 5, 10}, "002Y");
    age_is((dv_date){1948, 2, 29}, (dv_date){2023, 2, 28}, "074Y");
    assert_false(dv_age_compute((dv_date){2020, 5, 10}, (dv_date){2020, 5, 9}, buf));
    assert_false(dv_age_compute((dv_date){95, 5, 10}, (dv_date){2020, 5, 9}, buf));
}

static void names_come_apart(void **state)
{
    (void)state;
    dv_name n;
    assert_true(dv_name_parse(DV_TEXT("Adams^John Robert Quincy^^Rev.^B.A. M.Div."), &n));
    assert_true(dv_text_is(n.alphabetic.family, "Adams"));
    assert_true(dv_text_is(n.alphabetic.given, "John Robert Quincy"));
    assert_int_equal(n.alphabetic.middle.len, 0);
    assert_non_null(n.alphabetic.middle.at);
    assert_true(dv_text_is(n.alphabetic.suffix, "B.A. M.Div."));
    assert_non_null(n.phonetic.family.at);
    assert_true(dv_name_parse(DV_TEXT("=山田^太郎=やまだ"), &n));
    assert_int_equal(n.alphabetic.family.len, 0);
    assert_true(dv_text_is(n.ideographic.given, "太郎"));
    assert_true(dv_text_is(n.phonetic.family, "やまだ"));
    assert_true(dv_name_parse((dv_text){0}, &n));
    assert_false(dv_name_parse(DV_TEXT("a=b=c=d"), &n));
    assert_false(dv_name_parse(DV_TEXT("a^b^c^d^e^f"), &n));
    assert_true(dv_name_parse(DV_TEXT("a^b^c^d^"), &n));
}

typedef struct row {
    dv_vr vr;
    const char *value;
    const char *complaint; /* NULL: right */
} row;

#define X16 "XXXXXXXXXXXXXXXX"
#define X64 X16 X16 X16 X16

static void values_are_checked_by_their_vr(void **state)
{
    (void)state;
    static const row rows[] = {
        {DV_VR_AE, "STORE_1", NULL},
        {DV_VR_AE, X16 "X", "17 characters"},
        {DV_VR_AE, "MÜL", "ASCII"},
        {DV_VR_AE, "A\\B", "backslash"},
        {DV_VR_AE, "   ", "blank"},
        {DV_VR_AS, "045Y", NULL},
        {DV_VR_AS, "45Y", "three digits"},
        {DV_VR_AS, "045y", "three digits"},
        {DV_VR_AS, "0455", "three digits"},
        {DV_VR_CS, "ISO 2022 IR 87", NULL},
        {DV_VR_CS, "male", "A-Z"},
        {DV_VR_CS, X16 "X", "17 characters"},
        {DV_VR_CS, "A-B", "A-Z"},
        {DV_VR_DA, "20240101", NULL},
        {DV_VR_DA, "20240101-20240102", "YYYYMMDD"},
        {DV_VR_DA, "2024.01.01", "YYYYMMDD"},
        {DV_VR_DS, "-1.5E+3", NULL},
        {DV_VR_DS, " 1.5 ", NULL},
        {DV_VR_DS, ".5", NULL},
        {DV_VR_DS, "5.", NULL},
        {DV_VR_DS, "12,5", "decimal"},
        {DV_VR_DS, "1E", "decimal"},
        {DV_VR_DS, ".", "decimal"},
        {DV_VR_DS, "NaN", "decimal"},
        {DV_VR_DS, "1 000", "decimal"},
        {DV_VR_DS, "0.12345678901234567", "19 characters"},
        {DV_VR_DT, "2024", NULL},
        {DV_VR_DT, "202401", NULL},
        {DV_VR_DT, "20240101101112.123456+0100", NULL},
        {DV_VR_DT, "202413", "YYYYMMDD"},
        {DV_VR_DT, "2024010110-1200", NULL},
        {DV_VR_DT, "2024-0000", "YYYYMMDD"},
        {DV_VR_DT, "2024+1500", "YYYYMMDD"},
        {DV_VR_DT, "2024+9:00", "YYYYMMDD"},
        {DV_VR_DT, "20240", "YYYYMMDD"},
        {DV_VR_DT, "+0100", "YYYYMMDD"},
        {DV_VR_IS, "2147483647", NULL},
        {DV_VR_IS, "-2147483648", NULL},
        {DV_VR_IS, "2147483648", "whole number"},
        {DV_VR_IS, "-2147483649", "whole number"},
        {DV_VR_IS, "1.0", "whole number"},
        {DV_VR_IS, "1A", "whole number"},
        {DV_VR_IS, "+7", NULL},
        {DV_VR_IS, "0000000000007", "13 characters"},
        {DV_VR_IS, "-", "whole number"},
        {DV_VR_LO, X64, NULL},
        {DV_VR_LO, X64 "X", "65 characters"},
        {DV_VR_LO, "a\nb", "control character 0A at offset 1"},
        {DV_VR_LO, "a\\b", "backslash"},
        {DV_VR_LO, "\xFF", "UTF-8"},
        {DV_VR_SH, "ÄÖÜäöüßÄÖÜäöüßÄÖ", NULL},
        {DV_VR_SH, X16 "X", "17 characters"},
        {DV_VR_LT, "a\r\n\\b", NULL},
        {DV_VR_LT, "a\033", "control character 1B"},
        {DV_VR_ST, X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64, NULL},
        {DV_VR_ST, X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 "X", "1025 characters"},
        {DV_VR_PN, X64 "=" X64, NULL},
        {DV_VR_PN, X64 "X", "65 characters"},
        {DV_VR_PN, "a^b^c^d^e^f", "5 components"},
        {DV_VR_PN, "a=b=c=d", "3 component groups"},
        {DV_VR_TM, "101112.5", NULL},
        {DV_VR_TM, "10:11:12", "HHMMSS"},
        {DV_VR_UC, X64 X64, NULL},
        {DV_VR_UC, "a\tb", "control character 09"},
        {DV_VR_UI, "1.2.840.10008.1.2", NULL},
        {DV_VR_UI, "1.2.03", "leading zeros"},
        {DV_VR_UI, "1.2.", "numbers"},
        {DV_VR_UR, "https://a.b/c?d=%20", NULL},
        {DV_VR_UR, "a b", "RFC 3986"},
        {DV_VR_UT, "a\r\n\tb\\", NULL},
        {DV_VR_UT, "a\001", "control character 01"},
        {DV_VR_US, "65535", NULL},
        {DV_VR_US, "65536", "range"},
        {DV_VR_US, "-1", "range"},
        {DV_VR_SS, "-32768", NULL},
        {DV_VR_SS, "32768", "range"},
        {DV_VR_UL, "4294967295", NULL},
        {DV_VR_SL, "-2147483649", "range"},
        {DV_VR_UV, "18446744073709551615", NULL},
        {DV_VR_SV, "-9223372036854775808", NULL},
        {DV_VR_SV, "9223372036854775808", "range"},
        {DV_VR_FD, "1e-300", NULL},
        {DV_VR_FL, "x", "number"},
        {DV_VR_AT, "00100010", NULL},
        {DV_VR_AT, "(0010,0010)", "hexadecimal"},
        {DV_VR_OB, "anything", NULL},
        {DV_VR_DA, "", NULL},
        {0, "x", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dv_error err = {0};
        bool good = dv_value_check(rows[i].vr, dv_text_of(rows[i].value), &err);
        if (good != (rows[i].complaint == NULL))
            fail_msg("'%s' as %04X: %s", rows[i].value, rows[i].vr, good ? "was taken" : err.message);
        if (!good && !strstr(err.message, rows[i].complaint))
            fail_msg("'%s' does not say '%s'", err.message, rows[i].complaint);
    }
    char long_text[10241];
    memset(long_text, 'a', sizeof long_text);
    assert_true(dv_value_check(DV_VR_LT, (dv_text){long_text, 10240}, NULL));
    assert_false(dv_value_check(DV_VR_LT, (dv_text){long_text, 10241}, NULL));
    assert_false(dv_value_check(DV_VR_CS, DV_TEXT("A\0B"), NULL));
}

static void uids_follow_part_5(void **state)
{
    (void)state;
    assert_true(dv_uid_check(DV_TEXT("1.2.0.3")));
    assert_true(dv_uid_check(DV_TEXT("2.25.329800735698586629295641978511506172918")));
    assert_false(dv_uid_check(DV_TEXT("")));
    assert_false(dv_uid_check(DV_TEXT(".1")));
    assert_false(dv_uid_check(DV_TEXT("1..2")));
    assert_false(dv_uid_check(DV_TEXT("1.2a")));
    assert_false(dv_uid_check(DV_TEXT("1.00")));
    assert_false(dv_uid_check(DV_TEXT("1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24.25")));
}

static void new_uids_are_valid_and_differ(void **state)
{
    (void)state;
    char a[65], b[65];
    for (int i = 0; i < 200; i++) {
        assert_true(dv_uid_make(a, NULL));
        assert_true(dv_uid_make(b, NULL));
        assert_true(dv_uid_check(dv_text_of(a)));
        assert_true(strlen(a) <= 44);
        assert_string_not_equal(a, b);
    }
}

static void equal_seeds_give_equal_uids(void **state)
{
    (void)state;
    char a[65], b[65];
    assert_true(dv_uid_from(DV_TEXT("1.2.3"), a, NULL));
    assert_true(dv_uid_from(DV_TEXT("1.2.3"), b, NULL));
    assert_string_equal(a, b);
    assert_true(dv_uid_check(dv_text_of(a)));
    /* the first 16 bytes of SHA-256("abc"): ba7816bf8f01cfea414140de5dae2223 */
    assert_true(dv_uid_from(DV_TEXT("abc"), a, NULL));
    assert_string_equal(a, "2.25.247859944228867399418143717509236138531");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_read_strictly),
        cmocka_unit_test(times_are_read_strictly),
        cmocka_unit_test(days_count_from_1970),
        cmocka_unit_test(ages_take_the_unit_of_their_size),
        cmocka_unit_test(names_come_apart),
        cmocka_unit_test(values_are_checked_by_their_vr),
        cmocka_unit_test(uids_follow_part_5),
        cmocka_unit_test(new_uids_are_valid_and_differ),
        cmocka_unit_test(equal_seeds_give_equal_uids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
