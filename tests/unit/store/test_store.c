/* Objects: what is in the file, under which name, what an equal one does, and what is left of one that failed. */
#include "store/store_fixture.h"
#include "base/clock.h"
#include "dicom/part10.h"
#include "store/seal.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static void an_object_is_a_dicom_file_with_its_seal(void **state)
{
    (void)state;
    static const char other[] = "what came before the rules, and what came before the rules";
    dv_object_note note = plain_note;
    note.received_header = (dv_text){other, sizeof other - 1};
    dv_stored s;
    dv_object *o = written(DV_OBJECTS, &note, BODY, 1000, 7, &err);
    assert_non_null(o);
    assert_int_equal(files(DV_OBJECTS), 0); /* no name before the end */
    assert_true(dv_object_finish(o, DV_TEXT("1.2.3"), DV_TEXT("1.2.3.4"), &s, &err));
    assert_false(s.adopted);

    dv_map map;
    dv_arena a;
    dv_sealed sealed;
    dv_arena_init(&a, 0);
    whole(s.path, &map);
    assert_int_equal(map.len, s.bytes);
    assert_true(dv_store_read_seal(map.bytes, map.len, &a, &sealed, &err));
    assert_true(sealed.sealed);
    assert_int_equal(sealed.dataset_bytes, HEADER + BODY);
    assert_int_equal(sealed.header_bytes, HEADER);
    assert_int_equal(sealed.body_bytes, BODY);
    assert_true(dv_text_is(sealed.json, "{\"source\":\"GE\"}"));
    assert_true(dv_text_is(sealed.received_header, other));
    assert_true(dv_text_is(sealed.meta.sop_instance, "1.2.3.4"));
    assert_true(dv_text_is(sealed.meta.transfer_syntax, "1.2.840.10008.1.2.1"));
    assert_int_equal(map.len - sealed.meta.dataset, HEADER + BODY);
    assert_memory_equal(map.bytes + sealed.meta.dataset, header_bytes, HEADER);
    for (int i = 0; i < BODY; i++)
        assert_int_equal(map.bytes[sealed.meta.dataset + HEADER + i], 7);
    uint8_t hash[32];
    assert_true(dv_sha256_of(header_bytes, HEADER, hash, &err));
    assert_memory_equal(sealed.header_hash, hash, 32);
    assert_memory_equal(s.header_hash, hash, 32);
    assert_true(dv_sha256_of(other, sizeof other - 1, hash, &err));
    assert_memory_equal(s.received_hash, hash, 32);
    assert_true(dv_sha256_of(map.bytes + map.len - BODY, BODY, hash, &err));
    assert_memory_equal(s.body_hash, hash, 32);
    dv_map_close(&map);
    dv_arena_free(&a);
    assert_true(dv_store_verify(store, s.path, &s, &err));
}

static void sizes_and_chunks_make_no_difference(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 6000, 63 * 1024, 64 * 1024, 65 * 1024, 500000},
                        chunks[] = {1, 16384, 40000, 131072};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof chunks / sizeof *chunks; k++) {
            if (sizes[i] > 70000 && chunks[k] == 1)
                continue;
            dv_stored s;
            char sop[32];
            snprintf(sop, sizeof sop, "1.%zu.%zu", i + 1, k + 1);
            dv_object *o = written(DV_OBJECTS, &plain_note, sizes[i], chunks[k], (int)k, &err);
            assert_non_null(o);
            assert_true(dv_object_finish(o, DV_TEXT("1.2.3"), dv_text_of(sop), &s, &err));
            if (!dv_store_verify(store, s.path, &s, &err))
                fail_msg("%zu in %zu: %s", sizes[i], chunks[k], err.message);
        }
}

static void an_object_of_many_megabytes_is_written_back_on_its_way(void **state)
{
    (void)state;
    dv_stored s;
    dv_object *o = written(DV_OBJECTS, &plain_note, (size_t)20 << 20, 131072, 1, &err);
    assert_non_null(o);
    assert_true(dv_object_finish(o, DV_TEXT("1.2.3"), DV_TEXT("1.2.3.4"), &s, &err));
    assert_true(dv_store_verify(store, s.path, &s, &err));
}

static void the_name_says_when_and_what(void **state)
{
    (void)state;
    dv_stored s;
    char wanted[64];
    time_t before = time(NULL) / 600 * 600, after;
    assert_true(stored(10, 1, &s, &err));
    after = time(NULL) / 600 * 600;
    struct tm tm;
    gmtime_r(&before, &tm);
    if (before == after) {
        snprintf(wanted, sizeof wanted, "objects/%04d/%02d/%02d/%02d%d/1.2.3/1.2.3.4.", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min / 10);
        assert_true(strncmp(s.path, wanted, strlen(wanted)) == 0);
        assert_int_equal(strlen(s.path), strlen(wanted) + 16 + 4);
    }
    dv_object *o = written(DV_QUARANTINE, &plain_note, 10, 10, 1, &err);
    assert_true(dv_object_finish(o, DV_TEXT("../../etc"), DV_TEXT(""), &s, &err));
    assert_true(strncmp(s.path, "quarantine/", 11) == 0);
    assert_null(strstr(s.path, ".."));
    assert_non_null(strstr(s.path, "/x")); /* what is no UID becomes a hash */
    assert_int_equal(files(DV_QUARANTINE), 1);
    assert_true(dv_store_verify(store, s.path, &s, &err));
}

static void an_equal_object_is_adopted_and_another_gets_its_own_name(void **state)
{
    (void)state;
    dv_stored first, second, third;
    assert_true(stored(BODY, 1, &first, &err));
    assert_true(stored(BODY, 1, &second, &err));
    if (strncmp(first.path, second.path, 30) != 0)
        skip(); /* ten minutes were over between the two */
    assert_true(second.adopted);
    assert_string_equal(first.path, second.path);
    assert_int_equal(first.bytes, second.bytes);
    assert_true(stored(BODY, 2, &third, &err));
    assert_false(third.adopted);
    assert_string_not_equal(first.path, third.path);
    assert_int_equal(files(DV_OBJECTS), 2);
}

static void a_damaged_file_of_the_same_name_is_not_adopted(void **state)
{
    (void)state;
    dv_stored first, second, third;
    char full[700];
    assert_true(stored(BODY, 1, &first, &err));
    snprintf(full, sizeof full, "%s/%s", folder, first.path);
    int fd = open(full, O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, (off_t)first.bytes - 5), 1);
    close(fd);
    assert_true(stored(BODY, 1, &second, &err));
    if (strncmp(first.path, second.path, 30) != 0)
        skip();
    assert_false(second.adopted);
    assert_non_null(strstr(second.path, "-2.dcm"));
    assert_true(dv_store_verify(store, second.path, &second, &err));
    assert_true(stored(BODY, 1, &third, &err));
    assert_true(third.adopted);
    assert_string_equal(third.path, second.path);
    assert_int_equal(truncate(full, 100), 0);
    assert_true(stored(BODY, 1, &third, &err));
    assert_string_equal(third.path, second.path);
}

/* Waveforms and documents stand before Pixel Data, and their values came before the header was complete. */
static void bulk_values_come_from_the_spool_into_their_place(void **state)
{
    (void)state;
    enum { BULK = 150000 };
    uint8_t *bulk = malloc(2 * BULK);
    for (int i = 0; i < 2 * BULK; i++)
        bulk[i] = (uint8_t)(i * 7 >> 3);
    int spool = dv_store_spool(store, &err);
    assert_true(spool >= 0);
    assert_true(dv_write_all(spool, bulk, 2 * BULK, "spool", &err));
    dv_span span[] = {{(const uint8_t *)"head", 4, 0},
                      {NULL, BULK, 3},
                      {(const uint8_t *)"middle", 6, 0},
                      {NULL, BULK, 5},
                      {(const uint8_t *)"tail", 4, 0}};
    dv_spans spans = {span, 5, 2 * BULK + 14};
    dv_file_meta m = meta();
    uint8_t hash[32], body[2 * 32];
    assert_true(dv_sha256_of("headmiddletail", 14, hash, &err));
    static const uint64_t swapped[] = {BULK,
                                       0}; /* a rule may take elements out: the caller says where each value lies */
    for (int turn = 0; turn < 2; turn++) {
        dv_stored s;
        dv_map map;
        dv_object *o = dv_object_begin(store, DV_OBJECTS, DV_TEXT("1.2.3"), &err);
        assert_true(turn ? dv_object_head_at(o, &m, &plain_note, &spans, spool, swapped, hash, &err)
                         : dv_object_head(o, &m, &plain_note, &spans, spool, hash, &err));
        assert_true(dv_object_body(o, "pixels", 6, &err));
        assert_true(dv_object_body_hash(o, body, &err));
        assert_false(dv_object_body(o, "more", 4, &err));
        assert_true(dv_object_finish(o, DV_TEXT("1.2.3"), turn ? DV_TEXT("1.1") : DV_TEXT("1.2"), &s, &err));
        assert_memory_equal(s.header_hash, hash, 32);
        assert_memory_equal(s.body_hash, body, 32);
        if (!dv_store_verify(store, s.path, &s, &err))
            fail_msg("%s", err.message);
        whole(s.path, &map);
        const uint8_t *ds = map.bytes + map.len - (2 * BULK + 20);
        assert_memory_equal(ds, "head", 4);
        assert_memory_equal(ds + 4, bulk + (turn ? BULK : 0), BULK);
        assert_memory_equal(ds + 4 + BULK, "middle", 6);
        assert_memory_equal(ds + 10 + BULK, bulk + (turn ? 0 : BULK), BULK);
        assert_memory_equal(ds + 10 + 2 * BULK, "tailpixels", 10);
        dv_map_close(&map);
    }
    dv_object *o = dv_object_begin(store, DV_OBJECTS, DV_TEXT("1.2.3"), &err);
    assert_false(dv_object_head(o, &m, &plain_note, &spans, -1, hash, &err));
    dv_object_drop(o);
    close(spool);
    free(bulk);
}

static void a_deflated_dataset_is_all_body(void **state)
{
    (void)state;
    dv_file_meta m = meta();
    dv_stored s;
    uint8_t hash[32];
    m.transfer_syntax = DV_TEXT("1.2.840.10008.1.2.1.99");
    assert_true(dv_sha256_of("the header, inflated", 20, hash, &err));
    dv_object *o = dv_object_begin(store, DV_OBJECTS, DV_TEXT("1.2.3"), &err);
    assert_true(dv_object_head(o, &m, &plain_note, NULL, -1, hash, &err));
    assert_true(dv_object_body(o, "deflated bytes", 14, &err));
    assert_true(dv_object_finish(o, DV_TEXT("1.2.3"), DV_TEXT("1.2.3.4"), &s, &err));
    assert_true(dv_store_verify(store, s.path, &s, &err));
}

static void a_dropped_object_leaves_nothing(void **state)
{
    (void)state;
    dv_object *o = written(DV_OBJECTS, &plain_note, 200000, 9000, 1, &err);
    assert_non_null(o);
    dv_object_drop(o);
    dv_object_drop(NULL);
    o = dv_object_begin(store, DV_OBJECTS, DV_TEXT("1.2.3"), &err);
    dv_stored s;
    assert_false(dv_object_finish(o, DV_TEXT("1.2"), DV_TEXT("1.3"), &s, &err)); /* without a head */
    assert_int_equal(files(DV_OBJECTS), 0);
}

static void a_removed_file_is_gone_and_no_path_leads_outside(void **state)
{
    (void)state;
    dv_stored s;
    assert_true(stored(10, 1, &s, &err));
    assert_true(dv_store_remove(store, s.path, &err));
    assert_false(dv_store_remove(store, s.path, &err));
    assert_int_equal(err.code, DV_ERR_NOT_FOUND);
    static const char *const wrong[] = {"/etc/passwd", "objects/../lock", "objects/", "objects",
                                        "catalog.db",  "objects//etc/x",  ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(dv_store_remove(store, wrong[i], &err));
        assert_int_equal(err.code, DV_ERR_VALUE);
    }
}

static void a_moved_object_has_one_name_in_the_other_area(void **state)
{
    (void)state;
    dv_stored s, moved, again;
    assert_true(stored(BODY, 1, &s, &err));
    moved = s;
    assert_true(dv_store_move(store, s.path, DV_QUARANTINE, &moved, &err));
    assert_true(strncmp(moved.path, "quarantine/", 11) == 0);
    assert_int_equal(files(DV_OBJECTS), 0);
    assert_int_equal(files(DV_QUARANTINE), 1);
    assert_true(dv_store_verify(store, moved.path, &s, &err));
    assert_true(stored(BODY, 1, &s, &err)); /* the same again: it gets a name beside the first */
    again = s;
    assert_true(dv_store_move(store, s.path, DV_QUARANTINE, &again, &err));
    assert_int_equal(files(DV_QUARANTINE), 2);
    assert_true(dv_store_verify(store, again.path, &s, &err));
    assert_false(dv_store_move(store, s.path, DV_QUARANTINE, &again, &err)); /* it is not there any more */
    assert_false(dv_store_move(store, again.path, DV_QUARANTINE, &again, &err));
}

/* A kill between the new name and the end of the old one. */
static void a_move_that_was_broken_off_goes_on_with_the_name_it_had_made(void **state)
{
    (void)state;
    char from[700], to[700];
    dv_stored s, moved, again;
    assert_true(stored(BODY, 1, &s, &err));
    moved = again = s;
    assert_true(dv_store_move(store, s.path, DV_VERSIONS, &moved, &err));
    snprintf(from, sizeof from, "%s/%s", dv_store_folder(store), moved.path);
    snprintf(to, sizeof to, "%s/%s", dv_store_folder(store), s.path);
    assert_int_equal(link(from, to), 0);
    assert_true(dv_store_has(store, s.path));
    assert_true(dv_store_move(store, s.path, DV_VERSIONS, &again, &err));
    assert_string_equal(again.path, moved.path);
    assert_int_equal(files(DV_VERSIONS), 1);
    assert_false(dv_store_has(store, s.path));
}

/* ---- the walk ---- */

static void put_file(const char *relative)
{
    char full[700];
    snprintf(full, sizeof full, "%s/%s", folder, relative);
    char *last = strrchr(full, '/');
    *last = '\0';
    assert_true(dv_mkdirs(full, 0700, &err));
    *last = '/';
    assert_true(dv_file_replace(full, DV_TEXT("x"), 0600, &err));
}

static bool stop_at_two(void *user, const char *path, dv_error *e)
{
    (void)path;
    return ++*(int *)user < 2 || dv_fail(e, DV_ERR_CANCELLED, "enough");
}

static void the_walk_is_in_order_and_skips_old_folders_by_their_names(void **state)
{
    (void)state;
    put_file("objects/2024/01/31/235/1.2/a.dcm");
    put_file("objects/2024/02/01/000/1.2/a.dcm");
    put_file("objects/2024/02/01/000/1.2/b.dcm");
    put_file("objects/2024/02/01/001/1.1/a.dcm");
    put_file("objects/2023/12/31/235/1.2/a.dcm");
    put_file("quarantine/2024/01/31/235/1.2/a.dcm");
    assert_int_equal(files(DV_OBJECTS), 5);
    assert_int_equal(files(DV_QUARANTINE), 1);
    names n = {0};
    int64_t since = (int64_t)1706745600 * 1000000; /* 2024-02-01 00:00 */
    assert_true(dv_store_each(store, DV_OBJECTS, since + 599000000, count_name, &n, &err));
    assert_int_equal(n.count, 3);
    n = (names){0};
    assert_true(dv_store_each(store, DV_OBJECTS, since + 600000000, count_name, &n, &err));
    assert_int_equal(n.count, 1);
    assert_string_equal(n.last, "objects/2024/02/01/001/1.1/a.dcm");
    n = (names){0};
    assert_true(dv_store_each(store, DV_OBJECTS, since - 1, count_name, &n, &err));
    assert_int_equal(n.count, 4);
    int count = 0;
    assert_false(dv_store_each(store, DV_OBJECTS, 0, stop_at_two, &count, &err));
    assert_int_equal(err.code, DV_ERR_CANCELLED);
    assert_int_equal(count, 2);
}

static void no_folder_earlier_than_the_last_one_is_used(void **state)
{
    (void)state;
    dv_stored s;
    int64_t later = time(NULL) + 1800;
    time_t t = (time_t)later;
    struct tm tm;
    char file[128], wanted[64];
    gmtime_r(&t, &tm);
    snprintf(wanted, sizeof wanted, "objects/%04d/%02d/%02d/%02d%d/", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
             tm.tm_hour, tm.tm_min / 10);
    snprintf(file, sizeof file, "%s1.2/a.dcm", wanted);
    put_file(file);
    dv_store_close(store);
    store = dv_store_open(folder, &err); /* the clock was set back between two runs */
    assert_non_null(store);
    assert_true(stored(10, 1, &s, &err));
    assert_true(strncmp(s.path, wanted, strlen(wanted)) == 0);
}

/* ---- doors ---- */

static void a_folder_that_does_not_do_is_refused_by_name(void **state)
{
    (void)state;
    assert_null(dv_store_open("/proc/self/none", &err));
    assert_non_null(strstr(err.message, "/proc/self"));
    char file[200];
    snprintf(file, sizeof file, "%s/file", folder);
    assert_true(dv_file_replace(file, DV_TEXT("x"), 0600, &err));
    assert_null(dv_store_open(file, &err));
    assert_non_null(strstr(err.message, file));
}

static void a_file_system_without_unnamed_files_is_refused_by_its_name(void **state)
{
    (void)state;
    char full[160], target[160];
    snprintf(full, sizeof full, "%s/other", folder);
    assert_true(dv_mkdirs(full, 0700, &err));
    snprintf(target, sizeof target, "%s/other/objects", folder);
    assert_int_equal(symlink("/proc", target), 0);
    assert_null(dv_store_open(full, &err));
    assert_int_equal(err.code, DV_ERR_CONFIG);
    assert_non_null(strstr(err.message, "O_TMPFILE"));
}

static void two_file_systems_are_refused(void **state)
{
    (void)state;
    struct stat a, b;
    char full[160], target[200];
    if (stat("/dev/shm", &a) != 0 || stat(folder, &b) != 0 || a.st_dev == b.st_dev || access("/dev/shm", W_OK) != 0)
        skip();
    snprintf(full, sizeof full, "%s/other", folder);
    assert_true(dv_mkdirs(full, 0700, &err));
    snprintf(target, sizeof target, "%s/other/objects", folder);
    assert_int_equal(symlink("/dev/shm", target), 0);
    assert_null(dv_store_open(full, &err));
    assert_int_equal(err.code, DV_ERR_CONFIG);
    assert_non_null(strstr(err.message, "different file systems"));
}

/* ---- threads ---- */

static void *store_many(void *user)
{
    int thread = *(int *)user;
    for (int i = 0; i < 50; i++) {
        dv_error e;
        dv_stored s;
        char study[24], sop[32];
        snprintf(study, sizeof study, "1.2.%d", i / 10);
        snprintf(sop, sizeof sop, "1.2.3.%d.%d", thread, i % 25); /* each twice: half are adopted */
        dv_object *o = written(DV_OBJECTS, &plain_note, 5000, 2000, thread, &e);
        if (!o || !dv_object_finish(o, dv_text_of(study), dv_text_of(sop), &s, &e) ||
            !dv_store_verify(store, s.path, &s, &e)) {
            fprintf(stderr, "%s\n", e.message);
            return user;
        }
    }
    return NULL;
}

static void threads_share_the_store(void **state)
{
    (void)state;
    pthread_t threads[8];
    int numbers[8];
    for (int i = 0; i < 8; i++) {
        numbers[i] = i + 1;
        pthread_create(&threads[i], NULL, store_many, &numbers[i]);
    }
    for (int i = 0; i < 8; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

/* ---- failures ---- */

/* A process of its own, since fail points are read once a process: this program again with the story's name in
 * DV_STORY. */
static int tell(const char *story, const char *fail)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setenv("DV_STORY", story, 1);
        setenv("DV_FOLDER", folder, 1);
        setenv("DROVER_FAIL", fail, 1);
        execl("/proc/self/exe", "story", (char *)NULL);
        _exit(99);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static bool is_whole(void *user, const char *path, dv_error *e)
{
    ++*(int *)user;
    return dv_store_verify(store, path, NULL, e);
}

static int whole_files(void)
{
    int n = 0;
    if (!dv_store_each(store, DV_OBJECTS, 0, is_whole, &n, &err))
        fail_msg("%s", err.message);
    return n;
}

static int store_one(void)
{
    dv_stored s;
    return stored(200000, 1, &s, &err) ? 0 : 1;
}

static void a_kill_leaves_no_name_without_a_seal(void **state)
{
    (void)state;
#ifndef DROVER_FAULTS
    skip();
#endif
    static const struct {
        const char *point;
        int files;
    } points[] = {{"store.written:kill", 0}, {"store.linked:kill", 1}, {"store.synced:kill", 1}};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        int status = tell("store_one", points[i].point);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        if (i < 2)
            assert_int_equal(whole_files(), points[i].files);
    }
    dv_stored s;
    assert_true(stored(200000, 1, &s, &err)); /* what was linked is found again, and made durable */
    whole_files();
}

/* The 1st, 2nd, 3rd ... call of a kind fails, until none does. Nothing is left of an object that was not stored; after
 * a failed sync nothing is stored any more. Exit: 0 stored, 1 refused, 2 a lie. */
static int store_and_check(void)
{
    dv_stored s;
    dv_error e;
    bool ok = stored(200000, 1, &s, &e);
    int n = 0;
    bool readable = dv_store_each(store, DV_OBJECTS, 0, is_whole, &n, &err);
    if (!readable || n != (ok ? 1 : 0))
        return 2;
    if (!ok && dv_error_lookup(e.code)->dimse_status != 0xA700)
        return 3;
    if (!ok && strstr(getenv("DROVER_FAIL"), "fsync") && (dv_store_ready(store, &e) || stored(10, 2, &s, &e)))
        return 4;
    if (!ok && !strstr(getenv("DROVER_FAIL"), "fsync") && (!dv_store_ready(store, &e) || !stored(10, 2, &s, &e)))
        return 5; /* a full disk has room again */
    return ok ? 0 : 1;
}

static void every_failing_call_is_told_and_leaves_nothing(void **state)
{
    (void)state;
#ifndef DROVER_FAULTS
    skip();
#endif
    static const char *const kinds[] = {"write", "fsync", "link"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        int n = 1, status = 1 << 8;
        for (; n < 100 && status != 0; n++) {
            char fail[32];
            snprintf(fail, sizeof fail, "%s:fail:%d", kinds[k], n);
            status = tell("store_and_check", fail);
            if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
                fail_msg("%s: %d", fail, WEXITSTATUS(status));
            char objects[120];
            snprintf(objects, sizeof objects, "%s/objects", folder);
            assert_true(dv_remove_tree(objects, &err));
            dv_store_close(store);
            store = dv_store_open(folder, &err);
            assert_non_null(store);
        }
        assert_true(n > 2 && n < 100); /* it did fail at least once */
    }
}

static int story(const char *name)
{
    snprintf(folder, sizeof folder, "%s", getenv("DV_FOLDER"));
    store = dv_store_open(folder, &err);
    if (!store)
        return 98;
    int result = strcmp(name, "store_one") == 0 ? store_one() : store_and_check();
    dv_store_close(store);
    return result;
}

int main(void)
{
    if (getenv("DV_STORY"))
        return story(getenv("DV_STORY"));
#define T(name) cmocka_unit_test_setup_teardown(name, open_store, close_store)
    const struct CMUnitTest tests[] = {
        T(an_object_is_a_dicom_file_with_its_seal),
        T(sizes_and_chunks_make_no_difference),
        T(an_object_of_many_megabytes_is_written_back_on_its_way),
        T(the_name_says_when_and_what),
        T(an_equal_object_is_adopted_and_another_gets_its_own_name),
        T(a_damaged_file_of_the_same_name_is_not_adopted),
        T(bulk_values_come_from_the_spool_into_their_place),
        T(a_deflated_dataset_is_all_body),
        T(a_dropped_object_leaves_nothing),
        T(a_removed_file_is_gone_and_no_path_leads_outside),
        T(a_moved_object_has_one_name_in_the_other_area),
        T(a_move_that_was_broken_off_goes_on_with_the_name_it_had_made),
        T(the_walk_is_in_order_and_skips_old_folders_by_their_names),
        T(no_folder_earlier_than_the_last_one_is_used),
        T(a_folder_that_does_not_do_is_refused_by_name),
        T(a_file_system_without_unnamed_files_is_refused_by_its_name),
        T(two_file_systems_are_refused),
        T(threads_share_the_store),
        T(a_kill_leaves_no_name_without_a_seal),
        T(every_failing_call_is_told_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
