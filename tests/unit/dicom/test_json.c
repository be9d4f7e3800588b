#include "dicom/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

typedef struct fixture {
    dv_arena arena;
    dv_buffer data, out;
    dv_encoding encoding;
    dv_error err;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    dv_arena_init(&f->arena, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    dv_arena_free(&f->arena);
    dv_buffer_free(&f->data);
    dv_buffer_free(&f->out);
    free(f);
    return 0;
}

static void number(fixture *f, uint32_t v, int n)
{
    for (int i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)(v >> 8 * (f->encoding.big_endian ? n - 1 - i : i));
        dv_buffer_add(&f->data, &byte, 1);
    }
}

static void head(fixture *f, dv_tag tag, const char *vr, uint32_t length)
{
    number(f, DV_GROUP(tag), 2);
    number(f, DV_ELEMENT(tag), 2);
    if (*vr) {
        dv_buffer_add(&f->data, vr, 2);
        if (strchr("OSU", vr[0]) && strstr("OB OW OF OD OL OV SQ UN UT UC UR SV UV", vr)) {
            number(f, 0, 2);
            number(f, length, 4);
            return;
        }
        number(f, length, 2);
        return;
    }
    number(f, length, 4);
}

static void element(fixture *f, dv_tag tag, const char *vr, dv_text value)
{
    head(f, tag, vr, (uint32_t)value.len);
    dv_buffer_text(&f->data, value);
}

static dv_dataset *dataset(fixture *f)
{
    dv_index *ix = dv_arena_zalloc(&f->arena, 1, sizeof *ix);
    if (!dv_index_all(ix, &f->arena, f->encoding, (const uint8_t *)f->data.at, f->data.len, &f->err))
        fail_msg("%s", f->err.message);
    dv_dataset *ds = dv_dataset_open(&f->arena, ix, &f->err);
    assert_non_null(ds);
    return ds;
}

static void prints(fixture *f, dv_json_options o, const char *json)
{
    dv_buffer_clear(&f->out);
    if (!dv_json_write(dataset(f), NULL, o, &f->out, &f->err))
        fail_msg("%s", f->err.message);
    assert_string_equal(f->out.at, json);
}

#define PLAIN               ((dv_json_options){0})
#define E(tag, vr, literal) element(f, tag, vr, DV_TEXT(literal))

static void text_values_lose_their_padding(void **state)
{
    fixture *f = *state;
    E(0x00080018, "UI", "1.2.3\0");
    E(0x00080020, "DA", "");
    E(0x00080060, "CS", "CT");
    E(0x00081030, "LO", " a b ");
    E(0x00104000, "LT", " a\\b ");
    prints(f, PLAIN,
           "{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"1.2.3\"]},\"00080020\":{\"vr\":\"DA\"},\"00080060\":{\"vr\":"
           "\"CS\",\"Value\":[\"CT\"]},"
           "\"00081030\":{\"vr\":\"LO\",\"Value\":[\"a b\"]},\"00104000\":{\"vr\":\"LT\",\"Value\":[\" a\\\\b\"]}}");
}

static void empty_values_among_others_are_null(void **state)
{
    fixture *f = *state;
    E(0x00080008, "CS", "A\\\\B ");
    E(0x00081030, "LO", "\\ ");
    prints(f, PLAIN, "{\"00080008\":{\"vr\":\"CS\",\"Value\":[\"A\",null,\"B\"]},\"00081030\":{\"vr\":\"LO\"}}");
}

static void decimal_strings_become_valid_json_numbers(void **state)
{
    fixture *f = *state;
    E(0x00180050, "DS", "+1.50\\5.\\.5\\-007E+03\\1e-2\\0\\12,5\\-");
    E(0x00200013, "IS", "+5\\007\\-0\\1.5\\x ");
    prints(f, PLAIN,
           "{\"00180050\":{\"vr\":\"DS\",\"Value\":[1.50,5,0.5,-7e03,1e-2,0,\"12,5\",\"-\"]},"
           "\"00200013\":{\"vr\":\"IS\",\"Value\":[5,7,-0,\"1.5\",\"x\"]}}");
}

static void names_come_in_groups(void **state)
{
    fixture *f = *state;
    E(0x00080005, "CS", "\\ISO 2022 IR 87");
    E(0x00080090, "PN", "^^^^");
    E(0x00081050, "PN", "A^B^^^\\\\=C ");
    E(0x00100010, "PN", "Yamada^Tarou=\033$B;3ED\033(B^\033$BB@O:\033(B");
    prints(f, PLAIN,
           "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},\"00080090\":{\"vr\":\"PN\"},"
           "\"00081050\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"A^B\"},null,{\"Ideographic\":\"C\"}]},"
           "\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Yamada^Tarou\",\"Ideographic\":\"山田^太郎\"}]}}");
}

static void numbers_are_read_in_their_byte_order(void **state)
{
    fixture *f = *state;
    for (int big = 0; big < 2; big++) {
        dv_buffer_clear(&f->data);
        f->encoding.big_endian = big;
        head(f, 0x00189445, "FL", 8);
        number(f, 0x3DCCCCCD, 4); /* 0.1 */
        number(f, 0x7FC00000, 4);
        head(f, 0x00209165, "AT", 4);
        number(f, 0x0010, 2);
        number(f, 0x0020, 2);
        head(f, 0x00280106, "SS", 4);
        number(f, 0xFFFE, 2);
        number(f, 3, 2);
        head(f, 0x00283010, "OW", 4);
        number(f, 0x0102, 2);
        number(f, 0x0304, 2);
        head(f, 0x00283020, "US", 0);
        prints(
            f, PLAIN,
            "{\"00189445\":{\"vr\":\"FL\",\"Value\":[0.1,\"NaN\"]},\"00209165\":{\"vr\":\"AT\",\"Value\":[\"00100020\"]"
            "},"
            "\"00280106\":{\"vr\":\"SS\",\"Value\":[-2,3]},\"00283010\":{\"vr\":\"OW\",\"InlineBinary\":\"AgEEAw==\"},"
            "\"00283020\":{\"vr\":\"US\"}}");
    }
}

static void doubles_print_as_short_as_they_read_back(void **state)
{
    fixture *f = *state;
    double values[] = {0.1, 1e300, 1.0 / 3, -0.0, 1.0 / 0.0};
    head(f, 0x00189602, "FD", sizeof values);
    dv_buffer_add(&f->data, values, sizeof values);
    prints(f, PLAIN, "{\"00189602\":{\"vr\":\"FD\",\"Value\":[0.1,1e+300,0.3333333333333333,-0,\"Infinity\"]}}");
}

static void sequences_nest_and_items_may_be_empty(void **state)
{
    fixture *f = *state;
    head(f, 0x00400275, "SQ", DV_UNDEFINED);
    head(f, DV_ITEM, "", 0);
    head(f, DV_ITEM, "", DV_UNDEFINED);
    E(0x00400007, "LO", "a ");
    head(f, 0x00400008, "SQ", 0);
    head(f, DV_ITEM_END, "", 0);
    head(f, DV_SEQUENCE_END, "", 0);
    prints(f, PLAIN,
           "{\"00400275\":{\"vr\":\"SQ\",\"Value\":[{},{\"00400007\":{\"vr\":\"LO\",\"Value\":[\"a\"]},\"00400008\":{"
           "\"vr\":\"SQ\"}}]}}");
}

static void an_item_has_its_own_character_set(void **state)
{
    fixture *f = *state;
    E(0x00080005, "CS", "ISO_IR 100");
    head(f, 0x00400275, "SQ", DV_UNDEFINED);
    head(f, DV_ITEM, "", DV_UNDEFINED);
    E(0x00080005, "CS", "ISO_IR 144");
    E(0x00400007, "LO", "\xBB\xEE");
    head(f, DV_ITEM_END, "", 0);
    head(f, DV_ITEM, "", DV_UNDEFINED);
    E(0x00400007, "LO", "\xFC ");
    head(f, DV_ITEM_END, "", 0);
    head(f, DV_SEQUENCE_END, "", 0);
    prints(f, PLAIN,
           "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},\"00400275\":{\"vr\":\"SQ\",\"Value\":["
           "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},\"00400007\":{\"vr\":\"LO\",\"Value\":[\"Лю\"]}},"
           "{\"00400007\":{\"vr\":\"LO\",\"Value\":[\"ü\"]}}]}}");
}

static void text_outside_its_set_does_not_stop_the_print(void **state)
{
    fixture *f = *state;
    E(0x00080005, "CS", "NONSENSE");
    E(0x00080070, "LO", "M\xFCller");
    E(0x00080080, "LO", "Müller ");
    prints(f, PLAIN,
           "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR "
           "192\"]},\"00080070\":{\"vr\":\"LO\",\"Value\":[\"M\xEF\xBF\xBDller\"]},"
           "\"00080080\":{\"vr\":\"LO\",\"Value\":[\"Müller\"]}}");
}

static void control_characters_are_escaped(void **state)
{
    fixture *f = *state;
    E(0x00104000, "LT", "a\"\r\n\1");
    prints(f, PLAIN, "{\"00104000\":{\"vr\":\"LT\",\"Value\":[\"a\\\"\\u000d\\u000a\\u0001\"]}}");
}

static void faulty_order_comes_out_sorted_and_once(void **state)
{
    fixture *f = *state;
    E(0x00100020, "LO", "2 ");
    E(0x00080060, "CS", "CT");
    E(0x00100020, "LO", "1 ");
    E(0x00100000, "UL", "\4\0\0\0");
    prints(f, PLAIN,
           "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]},\"00100020\":{\"vr\":\"LO\",\"Value\":[\"1\"]}}");
}

static void a_vr_that_is_none_is_un(void **state)
{
    fixture *f = *state;
    E(0x00091001, "ZZ", "\1\2");
    E(0x00100020, "UN", "abc\0");
    prints(f, PLAIN,
           "{\"00091001\":{\"vr\":\"UN\",\"InlineBinary\":\"AQI=\"},\"00100020\":{\"vr\":\"UN\",\"InlineBinary\":"
           "\"YWJjAA==\"}}");
}

static void pixel_data_is_left_out_when_asked(void **state)
{
    fixture *f = *state;
    E(0x00280010, "US", "\2\0");
    E(0x7FE00010, "OB", "\1\2\3\4");
    E(0xFFFCFFFC, "OB", "\0\0");
    prints(f, PLAIN,
           "{\"00280010\":{\"vr\":\"US\",\"Value\":[2]},\"7FE00010\":{\"vr\":\"OB\",\"InlineBinary\":\"AQIDBA==\"},"
           "\"FFFCFFFC\":{\"vr\":\"OB\",\"InlineBinary\":\"AAA=\"}}");
    prints(f, (dv_json_options){.no_pixel_data = true},
           "{\"00280010\":{\"vr\":\"US\",\"Value\":[2]},\"FFFCFFFC\":{\"vr\":\"OB\",\"InlineBinary\":\"AAA=\"}}");
}

static void pretty_is_indented(void **state)
{
    fixture *f = *state;
    E(0x00080060, "CS", "CT");
    prints(f, (dv_json_options){.pretty = true},
           "{\n  \"00080060\": {\n    \"vr\": \"CS\",\n    \"Value\": [\n      \"CT\"\n    ]\n  }\n}");
}

static void the_meta_group_is_printed_when_asked(void **state)
{
    fixture *f = *state;
    dv_file_meta meta = {
        .sop_class = DV_TEXT("1.2"), .sop_instance = DV_TEXT("1.2.3"), .transfer_syntax = DV_TEXT(DV_UID_EXPLICIT_LE)};
    E(0x00080060, "CS", "CT");
    assert_true(dv_json_write(dataset(f), &meta, (dv_json_options){.meta = true}, &f->out, &f->err));
    const char *begin =
        "{\"00020001\":{\"vr\":\"OB\",\"InlineBinary\":\"AAE=\"},\"00020002\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]},";
    assert_memory_equal(f->out.at, begin, strlen(begin));
    assert_non_null(strstr(f->out.at, "},\"00080060\":{"));
}

static void edits_are_printed(void **state)
{
    fixture *f = *state;
    E(0x00080060, "CS", "CT");
    E(0x7FE00010, "OB", "\1\2");
    dv_dataset *ds = dataset(f);
    assert_true(dv_dataset_put(ds, DV_Modality, DV_TEXT("MR"), &f->err));
    assert_true(dv_dataset_put(ds, DV_PatientID, DV_TEXT("7"), &f->err));
    if (!dv_json_write(ds, NULL, (dv_json_options){.no_pixel_data = true}, &f->out, &f->err))
        fail_msg("%s", f->err.message);
    assert_string_equal(
        f->out.at, "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]},\"00100020\":{\"vr\":\"LO\",\"Value\":[\"7\"]}}");
}

static void the_listing_shows_nesting_and_cuts_what_is_long(void **state)
{
    fixture *f = *state;
    E(0x00080060, "CS", "CT");
    E(0x00081030, "LO", "\033[31m");
    head(f, 0x00400275, "SQ", DV_UNDEFINED);
    head(f, DV_ITEM, "", DV_UNDEFINED);
    E(0x00400007, "LO", "0123456789012345678901234567890123456789012345678901234567890123456789");
    head(f, DV_ITEM_END, "", 0);
    head(f, DV_SEQUENCE_END, "", 0);
    head(f, 0x7FE00010, "OB", DV_UNDEFINED);
    head(f, DV_ITEM, "", 0);
    head(f, DV_ITEM, "", 4);
    dv_buffer_add(&f->data, "\1\2\3\4", 4);
    head(f, DV_SEQUENCE_END, "", 0);
    f->encoding.encapsulated = true;
    assert_true(dv_dump_write(dataset(f), NULL, &f->out, &f->err));
    assert_non_null(strstr(f->out.at, "(0008,0060) CS [CT]"));
    assert_non_null(strstr(f->out.at, "# 2, Modality\n"));
    assert_null(strchr(f->out.at, '\033'));
    assert_non_null(strstr(f->out.at, "(0040,0275) SQ (1 item)"));
    assert_non_null(strstr(f->out.at, "\n  (FFFE,E000)    item 1"));
    assert_non_null(
        strstr(f->out.at,
               "\n    (0040,0007) LO [0123456789012345678901234567890123456789012345678901234567890123...] # 70, "));
    assert_non_null(strstr(f->out.at, "(7FE0,0010) OB (compressed)"));
    assert_non_null(strstr(f->out.at, "offset table"));
    assert_non_null(strstr(f->out.at, "fragment 1"));
    assert_null(strstr(f->out.at, "fragment 2"));
}

typedef struct pieces {
    dv_buffer all;
    size_t most, count, stop_at; /* stop_at: says no at that piece, 0 never */
} pieces;

static bool take(void *user, dv_text piece)
{
    pieces *p = user;
    p->most = piece.len > p->most ? piece.len : p->most;
    return dv_buffer_text(&p->all, piece) && ++p->count != p->stop_at;
}

/* A file of 300 MB took 730 MB to print. */
static void a_large_value_is_printed_in_pieces_that_are_the_whole(void **state)
{
    fixture *f = *state;
    f->encoding.big_endian = true;
    static char bulk[700001], floats[400000];
    for (size_t i = 0; i < sizeof bulk; i++)
        bulk[i] = (char)(i * 7 >> 3);
    E(0x00080018, "UI", "1.2.3\0");
    element(f, 0x00189999, "OW", (dv_text){bulk, 700000});
    head(f, 0x00189998, "UT", sizeof floats);
    memset(floats, 'x', sizeof floats);
    dv_buffer_add(&f->data, floats, sizeof floats);
    element(f, 0x7FE00010, "OW", (dv_text){bulk, 300002});
    assert_true(dv_json_write(dataset(f), NULL, PLAIN, &f->out, &f->err));
    pieces p = {0};
    dv_buffer out = {0};
    assert_true(dv_json_write(dataset(f), NULL, (dv_json_options){.flush = take, .user = &p}, &out, &f->err));
    assert_int_equal(p.all.len, f->out.len);
    assert_memory_equal(p.all.at, f->out.at, f->out.len);
    assert_true(p.count > 10 && p.most < sizeof floats + 200000);
    assert_int_equal(out.len, 0);
    pieces few = {.stop_at = 2};
    assert_false(dv_json_write(dataset(f), NULL, (dv_json_options){.flush = take, .user = &few}, &out, &f->err));
    assert_int_equal(few.count, 2);
    dv_buffer_free(&p.all);
    dv_buffer_free(&few.all);
    dv_buffer_free(&out);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(text_values_lose_their_padding),
        CASE(empty_values_among_others_are_null),
        CASE(decimal_strings_become_valid_json_numbers),
        CASE(names_come_in_groups),
        CASE(numbers_are_read_in_their_byte_order),
        CASE(doubles_print_as_short_as_they_read_back),
        CASE(sequences_nest_and_items_may_be_empty),
        CASE(an_item_has_its_own_character_set),
        CASE(text_outside_its_set_does_not_stop_the_print),
        CASE(control_characters_are_escaped),
        CASE(faulty_order_comes_out_sorted_and_once),
        CASE(a_vr_that_is_none_is_un),
        CASE(pixel_data_is_left_out_when_asked),
        CASE(pretty_is_indented),
        CASE(the_meta_group_is_printed_when_asked),
        CASE(edits_are_printed),
        CASE(a_large_value_is_printed_in_pieces_that_are_the_whole),
        CASE(the_listing_shows_nesting_and_cuts_what_is_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
