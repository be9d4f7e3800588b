/* Names are those of PS3.5 annexes H to K and of the files of pydicom's charset_files. */
#include "dicom/charset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

typedef struct fixture {
    dv_arena arena;
    dv_error err;
} fixture;

static int setup(void **state)
{
    static fixture f;
    dv_arena_init(&f.arena, 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    dv_arena_free(&((fixture *)*state)->arena);
    return 0;
}

static dv_charset set_of(const char *value)
{
    dv_charset cs;
    dv_error err = {0};
    if (!dv_charset_parse(dv_text_of(value), &cs, &err))
        fail_msg("%s: %s", value, err.message);
    return cs;
}

static void decodes_vr(fixture *f, const char *set, dv_vr vr, dv_text bytes, const char *utf8)
{
    dv_charset cs = set_of(set);
    dv_text out;
    if (!dv_charset_decode(&cs, vr, bytes, &f->arena, &out, &f->err))
        fail_msg("%s: %s", set, f->err.message);
    if (!dv_text_is(out, utf8))
        fail_msg("%s: '%.*s' is not '%s'", set, DV_ARG(out), utf8);
}

static void decodes(fixture *f, const char *set, dv_text bytes, const char *utf8)
{
    decodes_vr(f, set, DV_VR_PN, bytes, utf8);
}

static void refuses(fixture *f, const char *set, dv_text bytes, const char *words)
{
    dv_charset cs = set_of(set);
    dv_text out;
    assert_false(dv_charset_decode(&cs, DV_VR_PN, bytes, &f->arena, &out, &f->err));
    assert_int_equal(f->err.code, DV_ERR_CHARSET);
    if (!strstr(f->err.message, words))
        fail_msg("'%s' does not say '%s'", f->err.message, words);
}

static void encodes(fixture *f, const char *set, const char *utf8, dv_text bytes)
{
    dv_charset cs = set_of(set);
    dv_text out, back;
    if (!dv_charset_encode(&cs, DV_VR_PN, dv_text_of(utf8), &f->arena, &out, &f->err))
        fail_msg("%s: %s", set, f->err.message);
    if (!dv_text_equal(out, bytes)) {
        for (size_t i = 0; i < out.len; i++)
            print_message("%02X ", (unsigned char)out.at[i]);
        fail_msg("%s: '%s' is not encoded as wanted", set, utf8);
    }
    assert_true(dv_charset_decode(&cs, DV_VR_PN, out, &f->arena, &back, &f->err));
    assert_true(dv_text_is(back, utf8));
}

static void lacks(fixture *f, const char *set, const char *utf8, const char *words)
{
    dv_charset cs = set_of(set);
    dv_text out;
    assert_false(dv_charset_encode(&cs, DV_VR_PN, dv_text_of(utf8), &f->arena, &out, &f->err));
    assert_int_equal(f->err.code, DV_ERR_CHARSET);
    if (!strstr(f->err.message, words))
        fail_msg("'%s' does not say '%s'", f->err.message, words);
}

#define H31 "Yamada^Tarou=\033$B;3ED\033(B^\033$BB@O:\033(B=\033$B$d$^$@\033(B^\033$B$?$m$&\033(B"
#define H32 "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=\033$B;3ED\033(J^\033$BB@O:\033(J=\033$B$d$^$@\033(J^\033$B$?$m$&\033(J"
#define I2  "Hong^Gildong=\033$)C\xFB\xF3^\033$)C\xD1\xCE\xD4\xD7=\033$)C\xC8\xAB^\033$)C\xB1\xE6\xB5\xBF"

static void every_single_byte_set_decodes(void **state)
{
    fixture *f = *state;
    decodes(f, "ISO_IR 100", DV_TEXT("Buc^J\xE9r\xF4me"), "Buc^Jérôme");
    decodes(f, "ISO_IR 100",
            DV_TEXT("\xC4neas^R\xFC"
                    "diger"),
            "Äneas^Rüdiger");
    decodes(f, "ISO_IR 101", DV_TEXT("Wa\xB3\xEAsa"), "Wałęsa");
    decodes(f, "ISO_IR 109", DV_TEXT("\xA9"), "İ");
    decodes(f, "ISO_IR 110", DV_TEXT("\xBA"), "ē");
    decodes(f, "ISO_IR 144",
            DV_TEXT("\xBB\xEE\xDA"
                    "ce\xDC\xD1yp\xD3"),
            "Люкceмбypг");
    decodes(f, "ISO_IR 127", DV_TEXT("\xE2\xC8\xC7\xE6\xEA^\xE4\xE6\xD2\xC7\xD1"), "قباني^لنزار");
    decodes(f, "ISO_IR 126", DV_TEXT("\xC4\xE9\xEF\xED\xF5\xF3\xE9\xEF\xF2"), "Διονυσιος");
    decodes(f, "ISO_IR 138", DV_TEXT("\xF9\xF8\xE5\xEF^\xE3\xE1\xE5\xF8\xE4"), "שרון^דבורה");
    decodes(f, "ISO_IR 148", DV_TEXT("\xDD\xF0"), "İğ");
    decodes(f, "ISO_IR 203", DV_TEXT("\xA4\xBD"), "€œ");
    decodes(f, "ISO_IR 166", DV_TEXT("\xA1\xD2"), "กา");
    decodes(f, "ISO_IR 13", DV_TEXT("\xD4\xCF\xC0\xDE^\xC0\xDB\xB3~"), "ﾔﾏﾀﾞ^ﾀﾛｳ~");
}

static void the_names_of_the_standard_decode(void **state)
{
    fixture *f = *state;
    decodes(f, "\\ISO 2022 IR 87", DV_TEXT(H31), "Yamada^Tarou=山田^太郎=やまだ^たろう");
    decodes(f, "ISO 2022 IR 13\\ISO 2022 IR 87", DV_TEXT(H32), "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう");
    decodes(f, "\\ISO 2022 IR 149", DV_TEXT(I2), "Hong^Gildong=洪^吉洞=홍^길동");
    decodes(f, "ISO_IR 192", DV_TEXT("Wang^XiaoDong=王^小東="), "Wang^XiaoDong=王^小東=");
    decodes(f, "GB18030", DV_TEXT("Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB="), "Wang^XiaoDong=王^小东=");
    decodes(f, "GBK", DV_TEXT("\xCD\xF5^\xD0\xA1\xB6\xAB"), "王^小东");
    decodes(f, "\\ISO 2022 IR 58", DV_TEXT("Zhang^XiaoDong=\033$)A\xD5\xC5^\033$)A\xD0\xA1\xB6\xAB="),
            "Zhang^XiaoDong=张^小东=");
    decodes(f, "\\ISO 2022 IR 87\\ISO 2022 IR 159", DV_TEXT("\033$(D0!\033(B"), "丂");
    decodes(f, "ISO 2022 IR 100\\ISO 2022 IR 144", DV_TEXT("M\xFCller^\033-L\xBB\xEE"), "Müller^Лю");
}

static void an_escape_ends_at_delimiters_of_its_vr(void **state)
{
    fixture *f = *state;
    refuses(f, "\\ISO 2022 IR 149", DV_TEXT("\033$)C\xFB\xF3^\xD1\xCE"), "offset 7");
    decodes_vr(f, "\\ISO 2022 IR 149", DV_VR_LO, DV_TEXT("\033$)C\xFB\xF3^\xD1\xCE"), "洪^吉");
    refuses(f, "\\ISO 2022 IR 149", DV_TEXT("\033$)C\xFB\xF3\r\n\xD1\xCE"), "offset 8");
    decodes_vr(f, "\\ISO 2022 IR 149", DV_VR_LT, DV_TEXT("\033$)C\xFB\xF3\\\xD1\xCE"), "洪\\吉");
    refuses(f, "\\ISO 2022 IR 149", DV_TEXT("\033$)C\xFB\xF3\\\xD1\xCE"), "offset 7");
}

static void bytes_of_kanji_are_no_delimiters(void **state)
{
    fixture *f = *state;
    /* 5E 3D and 5C 3D within JIS X 0208 */
    decodes(f, "\\ISO 2022 IR 87", DV_TEXT("\033$B^=\\=\033(B"), "渊椽");
}

/* A hospital's Japanese system: the ladder form of "taka" and circled digits, which JIS X 0208 does not have. */
static void additions_of_vendors_to_kanji_are_read_and_not_written(void **state)
{
    fixture *f = *state;
    decodes(f, "\\ISO 2022 IR 87", DV_TEXT("\033$B|b;3-!-j\033(B"), "髙山①㈱");
    decodes(f, "\\ISO 2022 IR 87", DV_TEXT("\033$By!\033(B"), "纊");
    refuses(f, "\\ISO 2022 IR 87", DV_TEXT("\033$B;3}!\033(B"), "offset 5");
    lacks(f, "\\ISO 2022 IR 87", "山髙", "U+9AD9");
}

static void a_set_that_stands_over_delimiters_is_read_when_asked(void **state)
{
    fixture *f = *state;
    dv_charset cs = set_of("\\ISO 2022 IR 149");
    dv_text out;
    assert_true(
        dv_charset_decode_carried(&cs, DV_VR_PN, DV_TEXT("a=\033$)C\xFB\xF3^\xD1\xCE"), &f->arena, &out, &f->err));
    assert_true(dv_text_is(out, "a=洪^吉"));
    assert_false(dv_charset_decode_carried(&cs, DV_VR_PN, DV_TEXT("\xFB\xF3"), &f->arena, &out, &f->err));
}

static void ascii_is_borrowed(void **state)
{
    fixture *f = *state;
    dv_charset cs = set_of("\\ISO 2022 IR 87");
    dv_text in = DV_TEXT("a long enough value of ASCII alone"), out;
    assert_true(dv_charset_decode(&cs, DV_VR_LO, in, &f->arena, &out, &f->err));
    assert_ptr_equal(out.at, in.at);
    assert_true(dv_charset_encode(&cs, DV_VR_LO, in, &f->arena, &out, &f->err));
    assert_ptr_equal(out.at, in.at);
    assert_true(dv_charset_decode(&cs, DV_VR_LO, (dv_text){0}, &f->arena, &out, &f->err));
    assert_null(out.at);
}

static void the_scan_for_ascii_misses_no_byte(void **state)
{
    (void)state;
    char buf[40];
    for (size_t len = 0; len < sizeof buf; len++)
        for (size_t i = 0; i < len; i++) {
            memset(buf, 'x', sizeof buf);
            assert_true(dv_text_is_ascii((dv_text){buf, len}));
            buf[i] = '\033';
            assert_false(dv_text_is_ascii((dv_text){buf, len}));
            buf[i] = (char)0x9B;
            assert_false(dv_text_is_ascii((dv_text){buf, len}));
            buf[i] = '\032';
            assert_true(dv_text_is_ascii((dv_text){buf, len}));
            buf[i] = '\0';
            assert_true(dv_text_is_ascii((dv_text){buf, len}));
        }
}

static void bytes_outside_the_set_are_refused_with_their_offset(void **state)
{
    fixture *f = *state;
    refuses(f, "", DV_TEXT("M\xFCller"), "byte FC at offset 1 is no text in ISO_IR 6");
    refuses(f, "ISO_IR 192", DV_TEXT("M\xFCller"), "byte FC at offset 1");
    refuses(f, "ISO_IR 126", DV_TEXT("ab\xD2"), "offset 2");
    refuses(f, "GB18030", DV_TEXT("ab\xFF"), "offset 2");
    refuses(f, "ISO_IR 13", DV_TEXT("\xC0\x8A\xBF"), "byte 8A at offset 1");
    refuses(f, "\\ISO 2022 IR 87", DV_TEXT("\033$B;\033(B"), "offset 3");
    refuses(f, "\\ISO 2022 IR 87", DV_TEXT("\033$B;"), "offset 3");
    refuses(f, "\\ISO 2022 IR 87", DV_TEXT("a\033$)C\xFB\xF3"), "offset 1 switches to ISO 2022 IR 149");
    refuses(f, "ISO_IR 100", DV_TEXT("\033$B;3\033(B"), "switches to ISO 2022 IR 87");
    refuses(f, "\\ISO 2022 IR 87", DV_TEXT("\033%G"), "none of DICOM's");
    refuses(f, "\\ISO 2022 IR 87", DV_TEXT("\033"), "none of DICOM's");
}

static void misspelt_terms_are_read(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"ISO_IR 100", "ISO_IR 100"},
        {"ISO-IR 100", "ISO_IR 100"},
        {"ISO_IR100", "ISO_IR 100"},
        {"ISO IR 100", "ISO_IR 100"},
        {"IR 100", "ISO_IR 100"},
        {"iso_ir 100", "ISO_IR 100"},
        {"UTF-8", "ISO_IR 192"},
        {"UTF8", "ISO_IR 192"},
        {"utf-8", "ISO_IR 192"},
        {"iso8859-1", "ISO_IR 100"},
        {"ISO_8859-15", "ISO_IR 203"},
        {"latin1", "ISO_IR 100"},
        {"ISO_IR 192 ", "ISO_IR 192"},
        {"ISO2022IR100", "ISO 2022 IR 100"},
        {"ISO 2022 87", NULL},
        {"ISO_2022_IR_87", "ISO 2022 IR 87"},
        {"ISO_IR 87", "ISO 2022 IR 87"},
        {"GB2312", "GB18030"},
        {"gb18030", "GB18030"},
        {"ISO_IR 6", "ISO_IR 6"},
        {"WINDOWS-1252", NULL},
        {"SHIFT_JIS", NULL},
        {"EUC-KR", NULL},
        {"ISO_IR 999", NULL},
        {"100", NULL},
        {"", NULL},
        {"ISO_IR 1000000000000000000000000000000000", NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *term = dv_charset_term(dv_text_of(table[i][0]));
        if (table[i][1] ? !term || strcmp(term, table[i][1]) != 0 : term != NULL)
            fail_msg("'%s' gives '%s'", table[i][0], term ? term : "nothing");
    }
}

static void a_term_that_means_nothing_is_named(void **state)
{
    fixture *f = *state;
    dv_charset cs;
    assert_false(dv_charset_parse(DV_TEXT("WINDOWS-1252"), &cs, &f->err));
    assert_int_equal(f->err.code, DV_ERR_CHARSET);
    assert_non_null(strstr(f->err.message, "'WINDOWS-1252'"));
    assert_int_equal(cs.count, 1);
    dv_text out;
    assert_true(dv_charset_decode(&cs, DV_VR_LO, DV_TEXT("plain"), &f->arena, &out, &f->err));
    assert_false(dv_charset_parse(DV_TEXT("ISO_IR 100\\ISO_IR 192"), &cs, &f->err));
    assert_false(dv_charset_parse(
        DV_TEXT("\\ISO 2022 IR 100\\ISO 2022 IR 101\\ISO 2022 IR 109\\ISO 2022 IR 110\\ISO 2022 IR 144\\"
                "ISO 2022 IR 127\\ISO 2022 IR 126\\ISO 2022 IR 138"),
        &cs, &f->err));
}

static void odd_combinations_keep_their_sense(void **state)
{
    fixture *f = *state;
    decodes(f, "ISO 2022 IR 87", DV_TEXT("Yamada=\033$B;3ED\033(B"), "Yamada=山田");
    decodes(f, "\\ISO_IR 192", DV_TEXT("王"), "王");
    decodes(f, "ISO_IR 100\\ISO 2022 IR 87", DV_TEXT("J\xE9=\033$B;3ED\033(B"), "Jé=山田");
    decodes(f, "ISO 2022 IR 100", DV_TEXT("J\xE9"), "Jé");
    decodes(f, "\\ISO 2022 IR 87", DV_TEXT("\033$@;3ED\033(B"), "山田");
    assert_true(set_of("ISO 2022 IR 6\\ISO 2022 IR 87").iso2022);
    assert_false(set_of("ISO_IR 100").iso2022);
    assert_true(set_of("GB18030").multibyte);
}

static void names_are_written_as_the_standard_shows(void **state)
{
    fixture *f = *state;
    encodes(f, "\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう", DV_TEXT(H31));
    encodes(f, "ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", DV_TEXT(H32));
    encodes(f, "\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동", DV_TEXT(I2));
    encodes(f, "ISO_IR 100", "Äneas^Rüdiger",
            DV_TEXT("\xC4neas^R\xFC"
                    "diger"));
    encodes(f, "GB18030", "王^小东", DV_TEXT("\xCD\xF5^\xD0\xA1\xB6\xAB"));
    encodes(f, "GB18030", "𠀀", DV_TEXT("\x95\x32\x82\x36"));
    encodes(f, "\\ISO 2022 IR 58", "张^小东", DV_TEXT("\033$)A\xD5\xC5^\033$)A\xD0\xA1\xB6\xAB"));
    encodes(f, "ISO_IR 192", "王^小東", DV_TEXT("王^小東"));
    encodes(f, "ISO_IR 13", "ﾔﾏﾀﾞ", DV_TEXT("\xD4\xCF\xC0\xDE"));
    encodes(f, "\\ISO 2022 IR 87\\ISO 2022 IR 159", "山丂a", DV_TEXT("\033$B;3\033$(D0!\033(Ba"));
    /* G1 of the first value comes back before each delimiter and at the end. */
    encodes(f, "ISO 2022 IR 100\\ISO 2022 IR 144", "Лю^é", DV_TEXT("\033-L\xBB\xEE\033-A^\xE9"));
    encodes(f, "ISO 2022 IR 100\\ISO 2022 IR 144", "éЛ", DV_TEXT("\xE9\033-L\xBB\033-A"));
    /* a blank within kanji goes back to one-byte characters */
    encodes(f, "\\ISO 2022 IR 87", "山 田", DV_TEXT("\033$B;3\033(B \033$BED\033(B"));
}

static void a_character_that_the_set_lacks_is_named(void **state)
{
    fixture *f = *state;
    lacks(f, "", "Müller", "U+00FC does not exist in ISO_IR 6");
    lacks(f, "ISO_IR 100", "Łukasz", "U+0141 does not exist in ISO_IR 100");
    lacks(f, "\\ISO 2022 IR 149", "Müller", "U+00FC");
    lacks(f, "GBK", "a😀", "U+1F600");
    lacks(f, "ISO_IR 13", "山", "U+5C71");
    lacks(f, "ISO_IR 100", "a\xFF", "no UTF-8 at offset 1");
    lacks(f, "ISO_IR 192", "a\xFF", "no UTF-8 at offset 1");
    lacks(f, "ISO_IR 100", "\033é", "ESC at offset 0");
}

static void values_split_at_true_backslashes_only(void **state)
{
    (void)state;
    dv_text v[4];
    dv_charset ascii = set_of(""), gb = set_of("GB18030"), jp = set_of("\\ISO 2022 IR 87"),
               kr = set_of("\\ISO 2022 IR 149");
    assert_int_equal(dv_charset_split(&ascii, DV_TEXT("a\\\\b"), v, 4), 3);
    assert_true(dv_text_is(v[0], "a"));
    assert_int_equal(v[1].len, 0);
    assert_non_null(v[1].at);
    assert_true(dv_text_is(v[2], "b"));
    assert_int_equal(dv_charset_split(&ascii, DV_TEXT(""), v, 4), 1);
    assert_int_equal(dv_charset_split(&ascii, DV_TEXT("1\\2\\3\\4\\5\\6"), v, 4), 6);
    assert_int_equal(dv_charset_split(&gb, DV_TEXT("\x81\\x\\\x81\x5C"), v, 4), 2); /* 815C is one character */
    assert_true(dv_text_is(v[0], "\x81\\x"));
    assert_true(dv_text_is(v[1], "\x81\x5C"));
    assert_int_equal(dv_charset_split(&gb, DV_TEXT("\x81\x30\x81\x30\\b"), v, 4), 2);
    assert_int_equal(dv_charset_split(&gb, DV_TEXT("a\x81"), v, 4), 1);
    assert_int_equal(dv_charset_split(&jp, DV_TEXT("\033$B\\=\033(B\\b"), v, 4), 2);
    assert_true(dv_text_is(v[1], "b"));
    assert_int_equal(dv_charset_split(&kr, DV_TEXT("\033$)C\xFB\xF3\\b"), v, 4), 2);
    assert_int_equal(dv_charset_split(&jp, DV_TEXT("\033$B\\"), v, 4),
                     1); /* cut short: no byte behind the end is read */
}

static void detection_claims_only_what_is_sure(void **state)
{
    (void)state;
    assert_null(dv_charset_detect(DV_TEXT("plain")));
    assert_null(dv_charset_detect((dv_text){0}));
    assert_string_equal(dv_charset_detect(DV_TEXT("Müller")), "ISO_IR 192");
    assert_string_equal(dv_charset_detect(DV_TEXT("王^小東")), "ISO_IR 192");
    assert_string_equal(dv_charset_detect(DV_TEXT("Люксембург")), "ISO_IR 192");
    assert_null(dv_charset_detect(DV_TEXT("M\xFCller")));
    assert_null(dv_charset_detect(DV_TEXT("\xCD\xF5^\xD0\xA1\xB6\xAB")));
    assert_null(dv_charset_detect(DV_TEXT("\xC3\xB1\xD5\xA4"))); /* good UTF-8 of two scripts, and two GBK hanzi */
    assert_string_equal(dv_charset_detect(DV_TEXT("\x95\x32\x82\x36\xCD\xF5")), "GB18030");
    assert_string_equal(dv_charset_detect(DV_TEXT(H31)), "\\ISO 2022 IR 87");
    assert_string_equal(dv_charset_detect(DV_TEXT(H32)), "ISO 2022 IR 13\\ISO 2022 IR 87");
    assert_string_equal(dv_charset_detect(DV_TEXT(I2)), "\\ISO 2022 IR 149");
    assert_null(dv_charset_detect(DV_TEXT("\033[31mred")));
}

static void utf8_is_checked_strictly(void **state)
{
    (void)state;
    assert_true(dv_utf8_valid(DV_TEXT("aé山😀")));
    assert_int_equal(dv_utf8_length(DV_TEXT("aé山😀")), 4);
    assert_false(dv_utf8_valid(DV_TEXT("\xC0\x80")));
    assert_false(dv_utf8_valid(DV_TEXT("\xE0\x80\x80")));
    assert_false(dv_utf8_valid(DV_TEXT("\xED\xA0\x80")));
    assert_false(dv_utf8_valid(DV_TEXT("\xF4\x90\x80\x80")));
    assert_false(dv_utf8_valid(DV_TEXT("\xF8\x88\x80\x80\x80")));
    assert_false(dv_utf8_valid(DV_TEXT("\x80")));
    assert_false(dv_utf8_valid((dv_text){"\xE5\xB1\xB1", 2}));
    assert_true(dv_utf8_valid((dv_text){0}));
}

static void a_long_value_outgrows_its_first_room(void **state)
{
    fixture *f = *state;
    dv_charset cs = set_of("ISO_IR 203");
    static char bytes[50000];
    memset(bytes, 0xA4, sizeof bytes); /* three bytes of UTF-8 each */
    dv_text out, back;
    assert_true(dv_charset_decode(&cs, DV_VR_LT, (dv_text){bytes, sizeof bytes}, &f->arena, &out, &f->err));
    assert_int_equal(out.len, 3 * sizeof bytes);
    assert_true(dv_charset_encode(&cs, DV_VR_LT, out, &f->arena, &back, &f->err));
    assert_int_equal(back.len, sizeof bytes);
    assert_memory_equal(back.at, bytes, sizeof bytes);
}

static void *decode_many(void *user)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    const dv_charset *cs = user;
    for (int i = 0; i < 200; i++) {
        dv_text out;
        if (!dv_charset_decode(cs, DV_VR_PN, DV_TEXT(H32), &arena, &out, NULL) ||
            !dv_text_is(out, "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"))
            user = NULL;
        dv_arena_reset(&arena);
    }
    dv_arena_free(&arena);
    return user;
}

/* Handles are kept a thread; the leak checker sees that they go with it. */
static void threads_share_a_charset(void **state)
{
    (void)state;
    dv_charset cs = set_of("ISO 2022 IR 13\\ISO 2022 IR 87");
    pthread_t thread[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, decode_many, &cs), 0);
    for (int i = 0; i < 4; i++) {
        void *good = NULL;
        pthread_join(thread[i], &good);
        assert_non_null(good);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_single_byte_set_decodes),
        CASE(the_names_of_the_standard_decode),
        CASE(an_escape_ends_at_delimiters_of_its_vr),
        CASE(bytes_of_kanji_are_no_delimiters),
        CASE(additions_of_vendors_to_kanji_are_read_and_not_written),
        CASE(a_set_that_stands_over_delimiters_is_read_when_asked),
        CASE(ascii_is_borrowed),
        CASE(the_scan_for_ascii_misses_no_byte),
        CASE(bytes_outside_the_set_are_refused_with_their_offset),
        CASE(misspelt_terms_are_read),
        CASE(a_term_that_means_nothing_is_named),
        CASE(odd_combinations_keep_their_sense),
        CASE(names_are_written_as_the_standard_shows),
        CASE(a_character_that_the_set_lacks_is_named),
        CASE(values_split_at_true_backslashes_only),
        CASE(detection_claims_only_what_is_sure),
        CASE(utf8_is_checked_strictly),
        CASE(a_long_value_outgrows_its_first_room),
        CASE(threads_share_a_charset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
