/* How text is compared: without case, accents and differences of blanks. */
#include "catalog/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void check(const char *text, const char *wanted)
{
    dv_arena a;
    dv_arena_init(&a, 0);
    dv_text got = dv_fold(&a, dv_text_of(text));
    assert_non_null(got.at);
    if (!dv_text_is(got, wanted))
        fail_msg("'%s' became '%.*s', not '%s'", text, DV_ARG(got), wanted);
    dv_arena_free(&a);
}

static void case_and_accents_go(void **state)
{
    (void)state;
    check("MÜLLER", "muller");
    check("Łódź", "lodz");
    check("Åse Ærø Ĳssel Œuvre straße ŠĐŽ", "ase aero ijssel oeuvre strasse sdz");
    check("Nguyễn Thị Hồng Ứng Ơn", "nguyen thi hong ung on");
    check("Bălaș Țepeș", "balas tepes");
    check("ÿŸ÷×", "yy");
}

static void accents_written_apart_are_the_same_as_accents_on_letters(void **state)
{
    (void)state;
    check("Mu\xcc\x88ller", "muller");
    check("Cafe\xcc\x81", "cafe");
}

static void carets_and_blanks_become_one_blank(void **state)
{
    (void)state;
    check("Doe^John  Q^^Dr", "doe john q dr");
    check("  Doe^^^ ", "doe");
    check("Doe\xc2\xa0John\xe3\x80\x80X", "doe john x");
    check("^", "");
    check("", "");
}

static void other_scripts_lose_their_case(void **state)
{
    (void)state;
    check("ИВАНОВ^Пётр Й", "иванов петр й");
    check("ΠΑΠΑΔΌΠΟΥΛΟΣ Ήρα", "παπαδοπουλοσ ηρα");
    check("παπαδόπουλος", "παπαδοπουλοσ");
    check("Yamada^Tarou=山田^太郎=やまだ^たろう", "yamada tarou=山田 太郎=やまだ たろう");
    check("ＹＡＭＡＤＡ１", "yamada1");
    check("김희중", "김희중");
}

static void wildcards_and_punctuation_stay(void **state)
{
    (void)state;
    check("MÜ*^H?n%_\\", "mu* h?n%_\\");
    check("O'Neil-Smith,Jr.", "o'neil-smith,jr.");
}

static void wrong_bytes_become_the_replacement_and_never_overrun(void **state)
{
    (void)state;
    check("a\xff"
          "b",
          "a\xef\xbf\xbd"
          "b");
    check("\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd");                 /* overlong */
    check("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* surrogate */
    check("x\xe5\xb1", "x\xef\xbf\xbd\xef\xbf\xbd");               /* cut */
    for (int lead = 0x80; lead < 0x100; lead++) {
        char text[3] = {(char)lead, 'z', 0}, *exact = malloc(2), *out = malloc(2 * DV_FOLD_GROWTH);
        memcpy(exact, text, 2);
        assert_int_equal(dv_fold_into((dv_text){exact, 2}, out), 4);
        free(exact);
        free(out);
    }
}

static void folding_twice_changes_nothing(void **state)
{
    (void)state;
    for (uint32_t c = 0x80; c < 0x3000; c++) {
        char in[4] = {0}, once[16], twice[64];
        size_t n = c < 0x800 ? 2 : 3;
        if (n == 2) {
            in[0] = (char)(0xC0 | c >> 6);
            in[1] = (char)(0x80 | (c & 0x3F));
        } else {
            in[0] = (char)(0xE0 | c >> 12);
            in[1] = (char)(0x80 | (c >> 6 & 0x3F));
            in[2] = (char)(0x80 | (c & 0x3F));
        }
        size_t a = dv_fold_into((dv_text){in, n}, once), b = dv_fold_into((dv_text){once, a}, twice);
        if (a != b || memcmp(once, twice, a) != 0)
            fail_msg("U+%04X", (unsigned)c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_and_accents_go),
        cmocka_unit_test(accents_written_apart_are_the_same_as_accents_on_letters),
        cmocka_unit_test(carets_and_blanks_become_one_blank),
        cmocka_unit_test(other_scripts_lose_their_case),
        cmocka_unit_test(wildcards_and_punctuation_stay),
        cmocka_unit_test(wrong_bytes_become_the_replacement_and_never_overrun),
        cmocka_unit_test(folding_twice_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
