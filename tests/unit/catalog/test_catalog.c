/* The writer: groups, members that fail, what a stop leaves. Readers. */
#include "catalog/catalog_fixture.h"
#include "base/clock.h"
#include "catalog/schema.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

static bool put(dv_db *db, void *user, dv_error *e)
{
    return dv_db_exec(db, e, "INSERT INTO settings (name, value) VALUES ($1, 'x')", "s", (const char *)user);
}

static bool put_and_fail(dv_db *db, void *user, dv_error *e)
{
    return put(db, user, e) && dv_fail(e, DV_ERR_RULE, "no, thank you");
}

static bool write_one(const char *name)
{
    return dv_catalog_write(cat, false, put, (void *)(uintptr_t)name, &err);
}

static void a_new_catalog_has_the_schema_and_asks_for_objects_of_one_that_is_gone(void **state)
{
    (void)state;
    assert_true(dv_catalog_was_unclean(cat));
    assert_int_equal(ask("SELECT CAST(value AS BIGINT) FROM site WHERE name = 'schema'"), dv_schema_version);
    assert_int_equal(ask("SELECT count(*) FROM instances"), 0);
    assert_int_equal(ask("SELECT CAST(value AS BIGINT) FROM site WHERE name = 'clean_stop'"), 0);
}

static void what_is_written_is_there_when_the_call_returns(void **state)
{
    (void)state;
    assert_true(write_one("a"));
    assert_int_equal(ask("SELECT count(*) FROM settings"), 1);
}

static void a_member_that_fails_leaves_nothing_and_says_why(void **state)
{
    (void)state;
    assert_false(dv_catalog_write(cat, false, put_and_fail, "a", &err));
    assert_int_equal(err.code, DV_ERR_RULE);
    assert_string_equal(err.message, "no, thank you");
    assert_int_equal(ask("SELECT count(*) FROM settings"), 0);
    assert_true(write_one("a"));
    assert_false(write_one("a"));
    assert_int_equal(err.code, DV_ERR_EXISTS);
    assert_false(dv_catalog_write(cat, false, put_and_fail, "b", NULL));
    assert_int_equal(ask("SELECT count(*) FROM settings"), 1);
}

static bool write_inside(dv_db *db, void *user, dv_error *e)
{
    (void)db;
    return dv_catalog_write(cat, false, put, user, e);
}

static void a_write_inside_a_write_is_refused_not_a_deadlock(void **state)
{
    (void)state;
    assert_false(dv_catalog_write(cat, false, write_inside, "a", &err));
    assert_int_equal(err.code, DV_ERR_INTERNAL);
}

static bool look_full(dv_db *db, void *user, dv_error *e)
{
    return dv_db_int(db, -1, user, e,
                     on_postgres() ? "SELECT CASE current_setting('synchronous_commit') WHEN 'on' THEN 2 ELSE 1 END"
                                   : "PRAGMA synchronous",
                     "");
}

static void full_is_in_force_for_who_asks_it(void **state)
{
    (void)state;
    int64_t level = 0;
    assert_true(dv_catalog_write(cat, true, look_full, &level, &err));
    assert_int_equal(level, 2);
    assert_true(dv_catalog_write(cat, false, look_full, &level, &err));
    assert_int_equal(level, 1);
}

/* ---- many threads ---- */

enum { THREADS = 8, EACH = 200 };
static atomic_int failures;

static void *many_writes(void *user)
{
    int thread = *(int *)user;
    for (int i = 0; i < EACH; i++) {
        char name[32];
        dv_error e;
        snprintf(name, sizeof name, "%d-%d", thread, i);
        bool wanted = i % 5 != 4;
        if (dv_catalog_write(cat, i % 50 == 0, wanted ? put : put_and_fail, name, &e) != wanted)
            atomic_fetch_add(&failures, 1);
        dv_db *db = dv_catalog_reader(cat, &e);
        int64_t n = -1;
        if (!db || !dv_db_int(db, -1, &n, &e, "SELECT count(*) FROM settings WHERE name = $1", "s", name) ||
            n != wanted)
            atomic_fetch_add(&failures, 1); /* written means seen by this thread's next read */
    }
    return NULL;
}

static void threads_share_groups_and_each_gets_its_own_answer(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int numbers[THREADS];
    atomic_store(&failures, 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, many_writes, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
    assert_int_equal(ask("SELECT count(*) FROM settings"), THREADS * EACH * 4 / 5);
    int64_t groups, members;
    dv_catalog_groups(cat, &groups, &members);
    assert_in_range(members, THREADS * EACH * 4 / 5, THREADS * EACH); /* one that fails alone has no group */
    assert_true(on_postgres() || groups < members);                   /* they did share */
}

static pthread_barrier_t in_group;

static bool wait_then_put(dv_db *db, void *user, dv_error *e)
{
    pthread_barrier_wait(&in_group); /* the group has begun ... */
    pthread_barrier_wait(&in_group); /* ... and goes on when all others stand in the queue */
    return put(db, user, e);
}

static void *slow_write(void *user)
{
    dv_error e;
    if (!dv_catalog_write(cat, false, wait_then_put, user, &e))
        atomic_fetch_add(&failures, 1);
    return NULL;
}

/* On PostgreSQL only those share that wait for the disk. */
static void *quick_write(void *user)
{
    dv_error e;
    if (!dv_catalog_write(cat, on_postgres(), put, user, &e))
        atomic_fetch_add(&failures, 1);
    return NULL;
}

static void what_waits_while_a_group_commits_is_one_group(void **state)
{
    (void)state;
    static char names[20][16];
    pthread_t slow, quick[20];
    pthread_barrier_init(&in_group, NULL, 2);
    atomic_store(&failures, 0);
    pthread_create(&slow, NULL, slow_write, "slow");
    pthread_barrier_wait(&in_group);
    for (int i = 0; i < 20; i++) {
        snprintf(names[i], sizeof names[i], "q%d", i);
        pthread_create(&quick[i], NULL, quick_write, names[i]);
    }
    for (int i = 0; i < 20; i++) { /* asleep on its semaphore: it stands in the queue */
        clockid_t clock;
        struct timespec before, after = {0};
        assert_int_equal(pthread_getcpuclockid(quick[i], &clock), 0);
        do {
            before = after;
            usleep(2000);
            clock_gettime(clock, &after);
        } while (before.tv_nsec != after.tv_nsec || after.tv_nsec == 0);
    }
    int64_t groups, members, later;
    dv_catalog_groups(cat, &groups, &members);
    pthread_barrier_wait(&in_group);
    pthread_join(slow, NULL);
    for (int i = 0; i < 20; i++)
        pthread_join(quick[i], NULL);
    dv_catalog_groups(cat, &later, &members);
    assert_int_equal(atomic_load(&failures), 0);
    assert_int_equal(members, 21);
    assert_true(later - groups <= 3); /* the slow one and, but for a straggler, one for the twenty */
    pthread_barrier_destroy(&in_group);
}

static void *read_once(void *user)
{
    dv_error e;
    int64_t n = -1;
    dv_db *db = dv_catalog_reader(cat, &e);
    if (!db || db != dv_catalog_reader(cat, &e) || !dv_db_int(db, -1, &n, &e, "SELECT count(*) FROM settings", ""))
        atomic_fetch_add(&failures, 1);
    *(dv_db **)user = db;
    return NULL;
}

static void a_thread_has_one_reader_that_goes_with_it(void **state)
{
    (void)state;
    atomic_store(&failures, 0);
    for (int i = 0; i < 200; i++) { /* under the sanitizer's eye: nothing is left of them */
        pthread_t t;
        dv_db *db = NULL;
        pthread_create(&t, NULL, read_once, &db);
        pthread_join(t, NULL);
        assert_non_null(db);
    }
    assert_int_equal(atomic_load(&failures), 0);
}

/* ---- stops ---- */

static bool site(const char *name, int64_t *out)
{
    dv_db *db = dv_db_open(path, DV_DB_READ, &err);
    bool ok = db && dv_db_int(db, -1, out, &err, "SELECT CAST(value AS BIGINT) FROM site WHERE name = $1", "s", name);
    dv_db_close(db);
    return ok;
}

static void a_clean_stop_is_known_at_the_next_start(void **state)
{
    (void)state;
    int64_t before = dv_wall_us();
    assert_true(write_one("a"));
    dv_catalog_close(cat);
    cat = NULL;
    char wal[DSN_SIZE + 8];
    snprintf(wal, sizeof wal, "%s-wal", path);
    assert_int_equal(access(wal, F_OK), -1);
    int64_t clean = -1;
    assert_true(site("clean_stop", &clean));
    assert_int_equal(clean, 1);
    cat = dv_catalog_open(path, &err);
    assert_non_null(cat);
    assert_false(dv_catalog_was_unclean(cat));
    assert_true(dv_catalog_recovered_through(cat) >= before);
    assert_int_equal(ask("SELECT count(*) FROM settings"), 1);
}

/* Fail points are read once a process, so a story runs in a process of its own: this program again, with the story's
 * name in DV_STORY. Gives its wait status. */
static int tell(const char *story, const char *fail)
{
    dv_catalog_close(cat);
    cat = NULL;
    pid_t child = fork();
    if (child == 0) {
        setenv("DV_STORY", story, 1);
        setenv("DV_PATH", path, 1);
        if (fail)
            setenv("DROVER_FAIL", fail, 1);
        execl("/proc/self/exe", "story", (char *)NULL);
        _exit(99);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void killed_in(const char *fail, const char *story)
{
    int status = tell(story, fail);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    cat = dv_catalog_open(path, &err);
    assert_non_null(cat);
}

static void write_b(void)
{
    if (!write_one("b"))
        _exit(2);
}

static void a_killed_process_is_an_unclean_stop_until_recovery_is_done(void **state)
{
    (void)state;
    killed_in(NULL, "write_b");
    assert_true(dv_catalog_was_unclean(cat));
    assert_int_equal(ask("SELECT count(*) FROM settings WHERE name = 'b'"), 1);
    dv_catalog_close(cat); /* nobody recovered */
    cat = dv_catalog_open(path, &err);
    assert_true(dv_catalog_was_unclean(cat));
    dv_catalog_recovered(cat);
    dv_catalog_close(cat);
    cat = dv_catalog_open(path, &err);
    assert_false(dv_catalog_was_unclean(cat));
}

static void a_kill_before_the_commit_leaves_nothing_and_one_behind_it_everything(void **state)
{
    (void)state;
#ifndef DROVER_FAULTS
    skip();
#endif
    killed_in("catalog.before_commit:kill", "write_b");
    assert_int_equal(ask("SELECT count(*) FROM settings WHERE name = 'b'"), 0);
    dv_catalog_recovered(cat);
    killed_in("catalog.committed:kill", "write_b");
    assert_int_equal(ask("SELECT count(*) FROM settings WHERE name = 'b'"), 1);
}

static void write_until_moved_on(void)
{
    int64_t start = 0, now = 0;
    site("recovered_through", &start);
    int64_t deadline = dv_mono_ms() + 20000;
    for (int i = 0; now <= start && dv_mono_ms() < deadline;
         i++) { /* quiet, a checkpoint, and the next group writes it down */
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        if (!write_one(name))
            _exit(2);
        usleep(600000);
        site("recovered_through", &now);
    }
    if (now <= start)
        _exit(3);
}

static void a_checkpoint_moves_the_mark_of_recovery_on(void **state)
{
    (void)state;
    dv_catalog_close(cat);
    dv_db *db = dv_db_open(path, DV_DB_WRITE, &err);
    assert_true(dv_db_exec(db, &err, "UPDATE site SET value = '1000' WHERE name = 'recovered_through'", ""));
    dv_db_close(db);
    cat = NULL;
    killed_in(NULL, "write_until_moved_on");
    int64_t minutes = (dv_wall_us() - dv_catalog_recovered_through(cat)) / 60000000;
    assert_true(minutes >= 9 && minutes <= 11);
}

/* The n-th statement fails, for every n until none does: a write that answers yes is there, one that answers no is not.
 */
static void write_ten_and_check(void)
{
    int there = 0;
    dv_catalog_recovered(cat);
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        there += write_one(name);
    }
    dv_catalog_close(cat);
    dv_db *db = dv_db_open(path, DV_DB_WRITE, &err);
    int64_t n = -1;
    if (!db || !dv_db_int(db, -1, &n, &err, "SELECT count(*) FROM settings", "") || n != there)
        _exit(4);
    if (!dv_db_exec(db, &err, "DELETE FROM settings", ""))
        _exit(5);
    dv_db_close(db);
    _exit(there == 10 ? 0 : 1);
}

static void a_failing_statement_never_makes_an_answer_a_lie(void **state)
{
    (void)state;
#ifndef DROVER_FAULTS
    skip();
#endif
    int clean = 0;
    for (int n = 6; n < 200 && clean < 2; n++) {
        char fail[32];
        snprintf(fail, sizeof fail, "sql:fail:%d", n);
        int status = tell("write_ten_and_check", fail);
        assert_true(WIFEXITED(status));
        assert_in_range(WEXITSTATUS(status), 0, 1);
        clean = WEXITSTATUS(status) == 0 ? clean + 1 : 0;
    }
    assert_true(clean >= 2);
    cat = dv_catalog_open(path, &err);
}

static void a_newer_schema_is_refused_by_its_number(void **state)
{
    (void)state;
    dv_catalog_close(cat);
    dv_db *db = dv_db_open(path, DV_DB_WRITE, &err);
    assert_true(dv_db_exec(db, &err, "UPDATE site SET value = '999' WHERE name = 'schema'", ""));
    dv_db_close(db);
    cat = dv_catalog_open(path, &err);
    assert_null(cat);
    assert_int_equal(err.code, DV_ERR_CONFIG);
    assert_non_null(strstr(err.message, "999"));
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    assert_null(dv_catalog_open("/nonexistent/catalog.db", &err));
    assert_non_null(strstr(err.message, "/nonexistent/catalog.db"));
}

static int story(const char *name)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } stories[] = {{"write_b", write_b},
                   {"write_until_moved_on", write_until_moved_on},
                   {"write_ten_and_check", write_ten_and_check}};
    snprintf(path, sizeof path, "%s", getenv("DV_PATH"));
    cat = dv_catalog_open(path, &err);
    if (!cat)
        return 1; /* it failed in the opening */
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++)
        if (strcmp(stories[i].name, name) == 0)
            stories[i].run();
    raise(SIGKILL);
    return 99;
}

int main(void)
{
    if (getenv("DV_STORY"))
        return story(getenv("DV_STORY"));
#define T(name) cmocka_unit_test_setup_teardown(name, open_catalog, close_catalog)
    const struct CMUnitTest tests[] = {
        T(a_new_catalog_has_the_schema_and_asks_for_objects_of_one_that_is_gone),
        T(what_is_written_is_there_when_the_call_returns),
        T(a_member_that_fails_leaves_nothing_and_says_why),
        T(a_write_inside_a_write_is_refused_not_a_deadlock),
        T(full_is_in_force_for_who_asks_it),
        T(threads_share_groups_and_each_gets_its_own_answer),
        T(what_waits_while_a_group_commits_is_one_group),
        T(a_thread_has_one_reader_that_goes_with_it),
        T(a_clean_stop_is_known_at_the_next_start),
        T(a_killed_process_is_an_unclean_stop_until_recovery_is_done),
        T(a_kill_before_the_commit_leaves_nothing_and_one_behind_it_everything),
        T(a_checkpoint_moves_the_mark_of_recovery_on),
        T(a_failing_statement_never_makes_an_answer_a_lie),
        T(a_newer_schema_is_refused_by_its_number),
        T(a_folder_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
