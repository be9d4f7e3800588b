#include "dicom/deflate.h"
#include "dicom/part10.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

typedef struct fixture {
    dv_arena arena;
    dv_buffer file;
    dv_file_meta meta;
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
    dv_buffer_free(&f->file);
    free(f);
    return 0;
}

/* ---- files by hand ---- */

#define EXPLICIT_LE                                                                                                    \
    "\x08\0\x05\0CS\x0A\0ISO_IR 100"                                                                                   \
    "\x08\0\x16\0UI\x04\0"                                                                                             \
    "1.2\0"                                                                                                            \
    "\x08\0\x18\0UI\x06\0"                                                                                             \
    "1.2.3\0"                                                                                                          \
    "\x10\0\x10\0PN\x04\0"                                                                                             \
    "A^B "
#define EXPLICIT_BE                                                                                                    \
    "\0\x08\0\x05"                                                                                                     \
    "CS\0\x0AISO_IR 100"                                                                                               \
    "\0\x08\0\x16UI\0\x04"                                                                                             \
    "1.2\0"                                                                                                            \
    "\0\x08\0\x18UI\0\x06"                                                                                             \
    "1.2.3\0"                                                                                                          \
    "\0\x10\0\x10PN\0\x04"                                                                                             \
    "A^B "
#define IMPLICIT_LE                                                                                                    \
    "\x08\0\x05\0\x0A\0\0\0ISO_IR 100"                                                                                 \
    "\x08\0\x16\0\x04\0\0\0"                                                                                           \
    "1.2\0"                                                                                                            \
    "\x08\0\x18\0\x06\0\0\0"                                                                                           \
    "1.2.3\0"                                                                                                          \
    "\x10\0\x10\0\x04\0\0\0"                                                                                           \
    "A^B "
#define PREAMBLE_DICM                                                                                                  \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" \
    "\0\0\0\0\0\0\0\0"                                                                                                 \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" \
    "\0\0\0\0\0\0\0\0"                                                                                                 \
    "DICM"

static void add(fixture *f, dv_text t)
{
    assert_true(dv_buffer_text(&f->file, t));
}
#define ADD(literal) add(f, DV_TEXT(literal))

/* (0002,0010) alone, explicit little endian. */
static void add_syntax(fixture *f, const char *uid)
{
    uint8_t head[8] = {2, 0, 0x10, 0, 'U', 'I', (uint8_t)(strlen(uid) + (strlen(uid) & 1)), 0};
    dv_buffer_add(&f->file, head, 8);
    dv_buffer_add(&f->file, uid, head[6]);
}

static const uint8_t *bytes(fixture *f)
{
    return (const uint8_t *)f->file.at;
}

static void reads(fixture *f, const char *syntax, bool no_preamble, bool no_meta, bool wrong_meta)
{
    if (!dv_part10_read(bytes(f), f->file.len, &f->arena, &f->meta, &f->err))
        fail_msg("%s", f->err.message);
    if (!dv_text_is(f->meta.transfer_syntax, syntax))
        fail_msg("%.*s is not %s", DV_ARG(f->meta.transfer_syntax), syntax);
    assert_int_equal(f->meta.no_preamble, no_preamble);
    assert_int_equal(f->meta.no_meta, no_meta);
    assert_int_equal(f->meta.wrong_meta, wrong_meta);
    assert_true(dv_text_is(f->meta.sop_class, "1.2"));
    assert_true(dv_text_is(f->meta.sop_instance, "1.2.3"));
    dv_dataset *ds = dv_part10_open(bytes(f), f->file.len, &f->arena, NULL, &f->err);
    if (!ds)
        fail_msg("%s", f->err.message);
    assert_true(dv_text_is(dv_dataset_text(ds, DV_PatientName), "A^B"));
}

static void refuses(fixture *f, dv_text file, dv_code code, const char *words)
{
    f->err = (dv_error){0};
    /* at the end of its own allocation, so that a read behind it shows */
    uint8_t *copy = malloc(file.len ? file.len : 1);
    memcpy(copy, file.at, file.len);
    assert_null(dv_part10_open(copy, file.len, &f->arena, &f->meta, &f->err));
    if (f->err.code != code || !strstr(f->err.message, words))
        fail_msg("'%s' is not '%s'", f->err.message, words);
    free(copy);
}

/* ---- tests ---- */

static void a_file_by_the_standard_is_read(void **state)
{
    fixture *f = *state;
    ADD(PREAMBLE_DICM);
    add_syntax(f, DV_UID_EXPLICIT_LE);
    ADD(EXPLICIT_LE);
    reads(f, DV_UID_EXPLICIT_LE, false, false, false);
    assert_int_equal(f->meta.dataset, 132 + 28);
}

static void files_without_preamble_or_meta_are_read_by_trial(void **state)
{
    static const struct {
        dv_text data;
        const char *syntax;
    } rows[] = {{DV_TEXT(EXPLICIT_LE), DV_UID_EXPLICIT_LE},
                {DV_TEXT(EXPLICIT_BE), DV_UID_EXPLICIT_BE},
                {DV_TEXT(IMPLICIT_LE), DV_UID_IMPLICIT_LE}};
    fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dv_buffer_clear(&f->file);
        add(f, rows[i].data);
        reads(f, rows[i].syntax, true, true, false);
        dv_buffer_clear(&f->file);
        ADD("DICM");
        add(f, rows[i].data);
        reads(f, rows[i].syntax, true, true, false);
        dv_buffer_clear(&f->file);
        add_syntax(f, rows[i].syntax);
        add(f, rows[i].data);
        reads(f, rows[i].syntax, true, false, false);
    }
}

static void a_wrong_declared_syntax_is_found_out(void **state)
{
    fixture *f = *state;
    static const char *const declared[] = {DV_UID_EXPLICIT_LE, DV_UID_EXPLICIT_BE, DV_UID_IMPLICIT_LE,
                                           DV_UID_DEFLATED_LE, "1.2.840.10008.1.2.4.50"};
    for (size_t i = 0; i < 5; i++) {
        dv_buffer_clear(&f->file);
        ADD(PREAMBLE_DICM);
        add_syntax(f, declared[i]);
        ADD(IMPLICIT_LE);
        reads(f, DV_UID_IMPLICIT_LE, false, false, i != 2);
        dv_buffer_clear(&f->file);
        ADD(PREAMBLE_DICM);
        add_syntax(f, declared[i]);
        ADD(EXPLICIT_BE);
        reads(f, DV_UID_EXPLICIT_BE, false, false, i != 1);
    }
    /* Explicit data in what says it is implicit: "CS" and "UI" are no lengths. */
    dv_buffer_clear(&f->file);
    ADD(PREAMBLE_DICM);
    add_syntax(f, DV_UID_IMPLICIT_LE);
    ADD(EXPLICIT_LE);
    reads(f, DV_UID_EXPLICIT_LE, false, false, true);
}

static void an_unknown_syntax_that_fits_is_kept(void **state)
{
    fixture *f = *state;
    ADD(PREAMBLE_DICM);
    add_syntax(f, "1.2.3.4.5.6");
    ADD(EXPLICIT_LE);
    reads(f, "1.2.3.4.5.6", false, false, false);
}

static void a_meta_group_in_implicit_or_big_endian_is_read(void **state)
{
    fixture *f = *state;
    ADD(PREAMBLE_DICM "\2\0\x10\0\x12\0\0\0" DV_UID_IMPLICIT_LE "\0");
    ADD(IMPLICIT_LE);
    reads(f, DV_UID_IMPLICIT_LE, false, false, false);
    dv_buffer_clear(&f->file);
    ADD(PREAMBLE_DICM "\0\2\0\x10UI\0\x14" DV_UID_EXPLICIT_BE "\0");
    ADD(EXPLICIT_BE);
    reads(f, DV_UID_EXPLICIT_BE, false, false, false);
}

static void deflated_datasets_are_inflated(void **state)
{
    fixture *f = *state;
    for (int raw = 0; raw < 2; raw++)
        for (int meta = 0; meta < 2; meta++) {
            dv_buffer packed = {0};
            assert_true(dv_deflate(EXPLICIT_LE, sizeof EXPLICIT_LE - 1, raw, 6, &packed, NULL));
            dv_buffer_clear(&f->file);
            if (meta) {
                ADD(PREAMBLE_DICM);
                add_syntax(f, DV_UID_DEFLATED_LE);
            } else {
                ADD("DICM");
            }
            add(f, dv_buffer_as_text(&packed));
            reads(f, DV_UID_DEFLATED_LE, !meta, !meta, false);
            dv_buffer_free(&packed);
        }
}

static void a_cut_deflated_dataset_says_so(void **state)
{
    fixture *f = *state;
    dv_buffer packed = {0};
    char many[20000];
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = (char)(rand() & 0xFF);
    dv_buffer plain = {0};
    dv_buffer_add(&plain, EXPLICIT_LE "\xE0\x7F\x10\0OB\0\0\x20\x4E\0\0", sizeof EXPLICIT_LE - 1 + 12);
    dv_buffer_add(&plain, many, sizeof many);
    assert_true(dv_deflate(plain.at, plain.len, true, 6, &packed, NULL));
    ADD(PREAMBLE_DICM);
    add_syntax(f, DV_UID_DEFLATED_LE);
    dv_buffer_add(&f->file, packed.at, packed.len - 1000);
    refuses(f, dv_buffer_as_text(&f->file), DV_ERR_TRUNCATED, "deflated dataset ends after");
    dv_buffer_free(&packed);
    dv_buffer_free(&plain);
}

static void a_deflate_bomb_ends_at_the_limit(void **state)
{
    fixture *f = *state;
    dv_buffer plain = {0}, packed = {0};
    size_t zeros = 100u << 20;
    const uint8_t head[] = {0xE0, 0x7F, 0x10, 0, 'O', 'B', 0, 0, 0, 0, 0x40, 6};
    dv_buffer_add(&plain, EXPLICIT_LE, sizeof EXPLICIT_LE - 1);
    dv_buffer_add(&plain, head, sizeof head);
    assert_true(dv_buffer_reserve(&plain, zeros));
    memset(plain.at + plain.len, 0, zeros);
    plain.len += zeros;
    assert_true(dv_deflate(plain.at, plain.len, true, 6, &packed, NULL));
    dv_buffer_free(&plain);
    ADD(PREAMBLE_DICM);
    add_syntax(f, DV_UID_DEFLATED_LE);
    add(f, dv_buffer_as_text(&packed));
    dv_buffer_free(&packed);
    refuses(f, dv_buffer_as_text(&f->file), DV_ERR_LIMIT, "limit");
}

static void what_is_no_dicom_is_named(void **state)
{
    fixture *f = *state;
    refuses(f, DV_TEXT(""), DV_ERR_NOT_DICOM, "it is empty");
    refuses(f, DV_TEXT("%PDF-1.4\n%..."), DV_ERR_NOT_DICOM, "a PDF");
    refuses(f, DV_TEXT("\xFF\xD8\xFF\xE0\0\x10JFIF"), DV_ERR_NOT_DICOM, "a JPEG");
    refuses(f, DV_TEXT("\x89PNG\r\n\x1A\n\0\0\0\rIHDR"), DV_ERR_NOT_DICOM, "a PNG");
    refuses(f, DV_TEXT("PK\3\4\x14\0\0\0"), DV_ERR_NOT_DICOM, "a ZIP archive");
    refuses(f, DV_TEXT("\x1F\x8B\x08\0\0\0\0\0"), DV_ERR_NOT_DICOM, "gzip data");
    refuses(f, DV_TEXT("<!DOCTYPE html><html>"), DV_ERR_NOT_DICOM, "an HTML page");
    refuses(f, DV_TEXT("\n<HTML><body>Login"), DV_ERR_NOT_DICOM, "an HTML page");
    refuses(f, DV_TEXT("<?xml version='1.0'?>"), DV_ERR_NOT_DICOM, "XML");
    refuses(f, DV_TEXT("{\"00080005\":{}}"), DV_ERR_NOT_DICOM, "JSON");
    refuses(f, DV_TEXT("The quick brown fox jumps over the lazy dog"), DV_ERR_NOT_DICOM, "text");
    refuses(f, DV_TEXT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), DV_ERR_NOT_DICOM, "nothing but zeros");
    refuses(f, DV_TEXT("\x01\x80\x99\x10\xFE\xED\xFA\xCE\x01\x02\x03\x04"), DV_ERR_NOT_DICOM, "begins with 01809910");
    refuses(f, DV_TEXT("x"), DV_ERR_NOT_DICOM, "text");
}

static void a_file_cut_within_its_meta_group_is_truncated(void **state)
{
    fixture *f = *state;
    refuses(f,
            DV_TEXT(PREAMBLE_DICM "\2\0\x10\0UI\x14\0"
                                  "1.2.84"),
            DV_ERR_TRUNCATED, "(0002,0010)");
}

/* Every prefix of a good file: an error or fewer elements, never a read behind the end. */
static void every_prefix_is_survived(void **state)
{
    fixture *f = *state;
    ADD(PREAMBLE_DICM);
    add_syntax(f, DV_UID_EXPLICIT_LE);
    ADD(EXPLICIT_LE);
    for (size_t n = 0; n < f->file.len; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, f->file.at, n);
        dv_part10_open(copy, n, &f->arena, &f->meta, &f->err);
        dv_arena_reset(&f->arena);
        free(copy);
    }
}

static void a_beginning_of_the_file_is_enough_to_read_the_meta(void **state)
{
    fixture *f = *state;
    ADD(PREAMBLE_DICM);
    add_syntax(f, DV_UID_EXPLICIT_LE);
    ADD(EXPLICIT_LE "\xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\x7F"
                    "abc");
    assert_true(dv_part10_read(bytes(f), f->file.len, &f->arena, &f->meta, &f->err));
    assert_true(dv_text_is(f->meta.sop_instance, "1.2.3"));
    refuses(f, dv_buffer_as_text(&f->file), DV_ERR_TRUNCATED, "(7FE0,0010)");
}

static void what_is_written_is_read_again(void **state)
{
    fixture *f = *state;
    dv_file_meta meta = {.sop_class = DV_TEXT("1.2"),
                         .sop_instance = DV_TEXT("1.2.3"),
                         .transfer_syntax = DV_TEXT(DV_UID_EXPLICIT_LE),
                         .source_aet = DV_TEXT("SOURCE1"),
                         .private_creator = DV_TEXT("2.25.7"),
                         .private_bytes = DV_TEXT("\1seal\0\2")};
    dv_text out, value;
    size_t at = 0, private_at = 0, count = 0;
    assert_true(dv_part10_write(&meta, &f->arena, &out, &private_at, &f->err));
    assert_memory_equal(out.at + private_at, "\1seal\0\2", 7);
    add(f, out);
    ADD(EXPLICIT_LE);
    reads(f, DV_UID_EXPLICIT_LE, false, false, false);
    assert_int_equal(f->meta.dataset, out.len);
    assert_true(dv_text_is(f->meta.source_aet, "SOURCE1"));
    assert_true(dv_text_is(f->meta.private_creator, "2.25.7"));
    assert_int_equal(f->meta.private_bytes.len, 8); /* padded */
    dv_tag tag, before = 0;
    dv_vr vr;
    while (dv_part10_next(f->meta.group, &at, &tag, &vr, &value)) {
        assert_true(count == 0 || tag > before);
        before = tag;
        if (count++ == 0) {
            assert_int_equal(tag, DV_TAG(2, 0));
            uint32_t length = (uint8_t)value.at[0] | (uint32_t)(uint8_t)value.at[1] << 8;
            assert_int_equal(length, out.len - 132 - 12);
        }
        if (tag == DV_TAG(2, 0x0012))
            assert_true(dv_text_is(dv_text_trim(value), DV_IMPLEMENTATION_UID));
    }
    assert_int_equal(count, 10);
    assert_int_equal(at, f->meta.group.len);
    assert_true(strlen(DV_IMPLEMENTATION_UID) <= 64);
}

static void a_meta_without_extras_leaves_them_out(void **state)
{
    fixture *f = *state;
    dv_file_meta meta = {
        .sop_class = DV_TEXT("1.2"), .sop_instance = DV_TEXT("1.2.3"), .transfer_syntax = DV_TEXT(DV_UID_IMPLICIT_LE)};
    dv_text out;
    assert_true(dv_part10_write(&meta, &f->arena, &out, NULL, &f->err));
    add(f, out);
    ADD(IMPLICIT_LE);
    reads(f, DV_UID_IMPLICIT_LE, false, false, false);
    assert_null(f->meta.source_aet.at);
    assert_null(f->meta.private_bytes.at);
    char long_uid[70000];
    memset(long_uid, '1', sizeof long_uid);
    meta.sop_class = (dv_text){long_uid, sizeof long_uid};
    assert_false(dv_part10_write(&meta, &f->arena, &out, NULL, &f->err));
    assert_int_equal(f->err.code, DV_ERR_VALUE);
}

/* dcmdata of 3.6.7 dies of this file by stack overflow. */
static void a_hundred_thousand_nested_items_are_refused(void **state)
{
    fixture *f = *state;
    ADD(PREAMBLE_DICM);
    add_syntax(f, DV_UID_EXPLICIT_LE);
    for (int i = 0; i < 100000; i++)
        ADD("\x40\0\x30\xA7SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF");
    refuses(f, dv_buffer_as_text(&f->file), DV_ERR_LIMIT, "64");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_file_by_the_standard_is_read),
        CASE(files_without_preamble_or_meta_are_read_by_trial),
        CASE(a_wrong_declared_syntax_is_found_out),
        CASE(an_unknown_syntax_that_fits_is_kept),
        CASE(a_meta_group_in_implicit_or_big_endian_is_read),
        CASE(deflated_datasets_are_inflated),
        CASE(a_cut_deflated_dataset_says_so),
        CASE(a_deflate_bomb_ends_at_the_limit),
        CASE(what_is_no_dicom_is_named),
        CASE(a_file_cut_within_its_meta_group_is_truncated),
        CASE(every_prefix_is_survived),
        CASE(a_beginning_of_the_file_is_enough_to_read_the_meta),
        CASE(what_is_written_is_read_again),
        CASE(a_meta_without_extras_leaves_them_out),
        CASE(a_hundred_thousand_nested_items_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
