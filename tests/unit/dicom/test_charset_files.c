/* Every file of charset/ in the real data: its name is the known one, and what is written there DCMTK reads the same.
 */
#include "base/file.h"
#include "dicom/part10.h"
#include "dicom/write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct row {
    const char *file, *path, *name, *added;
    bool dcmtk; /* dcm2json has the character set; of this system's iconv it lacks the Japanese ones */
    bool exact; /* the same name written again gives the same bytes */
} row;

/* ADDED is written as the name in place of it: letters of the same set, in all groups. */
static const row rows[] = {
    {"chrArab", "PatientName", "قباني^لنزار", "لنزار^قباني", true, true},
    {"chrFren", "PatientName", "Buc^Jérôme", "Ésôp^Ça", true, true},
    {"chrFrenMulti", "PatientName", "Buc^Jérôme", "Ésôp^Ça", true, true},
    {"chrGerm", "PatientName", "Äneas^Rüdiger", "Größe^Ö", true, true},
    {"chrGreek", "PatientName", "Διονυσιος", "Σωκράτης", true, true},
    {"chrH31", "PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう", "Tanaka=田中^花子=たなか^はなこ", false, true},
    {"chrH32", "PatientName", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", "ﾀﾅｶ=田中^花子=たなか^はなこ", false, true},
    {"chrHbrw", "PatientName", "שרון^דבורה", "דבורה^שרון", true, true},
    {"chrI2", "PatientName", "Hong^Gildong=洪^吉洞=홍^길동", "Kim^A=金^吉=김^희중", true, true},
    {"chrJapMulti", "PatientName", "やまだ^たろう", "たろう^やまだ", false, true},
    {"chrJapMultiExplicitIR6", "PatientName", "やまだ^たろう", "たろう^やまだ", false, true},
    {"chrKoreanMulti", "PatientName", "김희중", "홍길동", true,
     false}, /* it ends with an escape to ASCII that nothing needs */
    {"chrRuss", "PatientName", "Люкceмбypг", "Йюль^Ёж", true, true},
    /* DCMTK does not convert items that have a character set of their own; in both its escapes go to ASCII in place of
       Roman */
    {"chrSQEncoding", "RequestedProcedureCodeSequence[1].PatientName", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", "ﾀﾅｶ=田中",
     false, false},
    {"chrSQEncoding1", "RequestedProcedureCodeSequence[1].PatientName", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", "ﾀﾅｶ=田中",
     false, false},
    {"chrX1", "PatientName", "Wang^XiaoDong=王^小東=", "Li=李^小東=", true, true},
    {"chrX2", "PatientName", "Wang^XiaoDong=王^小东=", "Li=李^小东=", true, true},
};

typedef struct file {
    dv_arena arena;
    dv_map map;
    dv_file_meta meta;
    dv_dataset *ds;
    const dv_path *path;
    dv_error err;
} file;

static const char *data_dir(void)
{
    const char *given = getenv("DROVER_DATA");
    return given && *given ? given : "../shared/data";
}

static void open_file(file *f, const row *r)
{
    char path[4096];
    *f = (file){0};
    snprintf(path, sizeof path, "%s/dicom/charset/%s.dcm", data_dir(), r->file);
    dv_arena_init(&f->arena, 0);
    if (!dv_map_open(&f->map, path, &f->err))
        fail_msg("%s", f->err.message);
    f->ds = dv_part10_open(f->map.bytes, f->map.len, &f->arena, &f->meta, &f->err);
    if (!f->ds || !dv_path_compile(&f->arena, dv_text_of(r->path), &f->path, &f->err))
        fail_msg("%s: %s", r->file, f->err.message);
}

static void close_file(file *f)
{
    dv_arena_free(&f->arena);
    dv_map_close(&f->map);
}

static void has(file *f, dv_dataset *ds, const row *r, const char *name)
{
    dv_text out;
    if (!dv_dataset_get(ds, f->path, &out, &f->err))
        fail_msg("%s: %s", r->file, f->err.message);
    if (!dv_text_is(out, name))
        fail_msg("%s: '%.*s' is not '%s'", r->file, DV_ARG(out), name);
}

static void set(file *f, const row *r, const char *name)
{
    if (!dv_dataset_set(f->ds, f->path, dv_text_of(name), NULL, &f->err))
        fail_msg("%s: %s", r->file, f->err.message);
}

/* The dataset as edited, in the arena. The files have no Pixel Data that an edit would touch. */
static dv_text written(file *f, const row *r)
{
    dv_text out;
    if (!dv_write_bytes(f->ds, &out, &f->err))
        fail_msg("%s: %s", r->file, f->err.message);
    return out;
}

static bool skipped(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/dicom/charset", data_dir());
    if (access(path, R_OK) == 0)
        return false;
    const char *must = getenv("DROVER_REQUIRE_DATA");
    if (must && strcmp(must, "1") == 0)
        fail_msg("%s is not there", path);
    print_message("skipped: %s is not there\n", path);
    return true;
}

static void every_name_is_the_known_one(void **state)
{
    (void)state;
    if (skipped())
        skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        file f;
        open_file(&f, &rows[i]);
        has(&f, f.ds, &rows[i], rows[i].name);
        close_file(&f);
    }
}

static void an_edited_name_is_read_back(void **state)
{
    (void)state;
    if (skipped())
        skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        file f;
        open_file(&f, &rows[i]);
        set(&f, &rows[i], rows[i].added);
        dv_text bytes = written(&f, &rows[i]);
        dv_index *ix = dv_arena_zalloc(&f.arena, 1, sizeof *ix);
        assert_true(
            dv_index_all(ix, &f.arena, dv_dataset_index(f.ds)->encoding, (const uint8_t *)bytes.at, bytes.len, &f.err));
        dv_dataset *again = dv_dataset_open(&f.arena, ix, &f.err);
        has(&f, again, &rows[i], rows[i].added);
        close_file(&f);
    }
}

/* The bytes of PS3.5's annexes, escapes and all, are what we write. */
static void the_known_name_written_again_gives_the_same_bytes(void **state)
{
    (void)state;
    if (skipped())
        skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        file f;
        if (!rows[i].exact)
            continue;
        open_file(&f, &rows[i]);
        set(&f, &rows[i], "x");
        set(&f, &rows[i], rows[i].name);
        dv_text bytes = written(&f, &rows[i]);
        size_t was = f.map.len - f.meta.dataset;
        if (bytes.len != was || memcmp(bytes.at, f.map.bytes + f.meta.dataset, was) != 0)
            fail_msg("%s: other bytes", rows[i].file);
        close_file(&f);
    }
}

static void dcmtk_reads_an_edited_name_the_same(void **state)
{
    (void)state;
    if (skipped())
        skip();
    if (system("command -v dcm2json > /dev/null") != 0) {
        print_message("skipped: dcm2json is not installed\n");
        skip();
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        file f;
        char name[] = "/tmp/drover-charset-XXXXXX", command[128], key[128];
        dv_text head;
        if (!rows[i].dcmtk)
            continue;
        open_file(&f, &rows[i]);
        set(&f, &rows[i], rows[i].added);
        dv_text bytes = written(&f, &rows[i]);
        assert_true(dv_part10_write(&f.meta, &f.arena, &head, NULL, &f.err));
        int fd = mkstemp(name);
        assert_true(fd >= 0);
        assert_true(dv_write_all(fd, head.at, head.len, name, &f.err) &&
                    dv_write_all(fd, bytes.at, bytes.len, name, &f.err));
        close(fd);
        snprintf(command, sizeof command, "dcm2json -q -fc %s", name);
        FILE *p = popen(command, "r");
        assert_non_null(p);
        static char json[1 << 20];
        size_t n = fread(json, 1, sizeof json - 1, p);
        json[n] = '\0';
        assert_int_equal(pclose(p), 0);
        unlink(name);
        static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
        dv_text rest = dv_text_of(rows[i].added);
        for (size_t g = 0; g < 3 && rest.at; g++) {
            dv_text group = dv_text_split(rest, '=', &rest);
            if (group.len == 0)
                continue;
            snprintf(key, sizeof key, "\"%s\":\"%.*s\"", groups[g], DV_ARG(group));
            if (!strstr(json, key))
                fail_msg("%s: dcm2json does not have %s", rows[i].file, key);
        }
        close_file(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_the_known_one),
        cmocka_unit_test(an_edited_name_is_read_back),
        cmocka_unit_test(the_known_name_written_again_gives_the_same_bytes),
        cmocka_unit_test(dcmtk_reads_an_edited_name_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
