/* Pauses, cancels, retries, and what a kill leaves. */
#include "migrate/fake_source.h"

static int start(void **state)
{
    int rc = set_up(state);
    if (rc == 0)
        start_engine(0);
    return rc;
}

static bool order(const char *word, int64_t batch, const char *source, int64_t *count)
{
    dv_control what;
    assert_true(dv_control_of(word, &what));
    return dv_migrate_control(fake.m, what, batch, source, count, &err);
}

static bool runs(void)
{
    bool entry = false, job = false;
    assert_true(dv_worker_entry(&fake.m->workers[0], &entry));
    assert_true(dv_worker_job(&fake.m->workers[0], &job));
    return entry || job;
}

/* The process ends as a kill would end it: no row is put right. Then a new one starts. */
static void kill_and_restart(void)
{
    dv_migrate_stop(fake.m);
    fake.m = NULL;
    dv_catalog_close(fake.catalog);
    fake.catalog = dv_catalog_open(path, &err);
    assert_non_null(fake.catalog);
    start_engine(0);
}

static void a_misspelt_order_is_none(void **state)
{
    (void)state;
    dv_control what;
    assert_false(dv_control_of("stop", &what));
}

static void a_paused_batch_rests_and_others_go_on(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 1);
    add_study("1.2", "A2", 1, 1);
    int64_t first = submit("A1"), count = 0;
    submit("A2");
    assert_true(order("pause", first, NULL, &count));
    assert_int_equal(count, 1);
    while (runs())
        ;
    assert_int_equal(fake.studies[0].moves, 0);
    assert_int_equal(fake.studies[1].moves, 1);
    assert_true(order("resume", first, NULL, NULL));
    run_all();
    assert_int_equal(fake.studies[0].moves, 1);
}

static void a_pause_of_all_or_of_a_source_outlives_the_process(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 1);
    submit("A1");
    assert_true(order("pause", 0, NULL, NULL));
    assert_false(runs());
    kill_and_restart();
    assert_false(runs());
    assert_true(order("resume", 0, NULL, NULL));
    assert_true(order("pause", 0, "old", NULL));
    assert_false(runs());
    kill_and_restart();
    assert_false(runs());
    assert_true(order("resume", 0, "old", NULL));
    run_all();
    assert_string_equal(job_state(), "complete");
}

static void orders_for_what_is_not_there_are_refused(void **state)
{
    (void)state;
    assert_false(order("pause", 99, NULL, NULL));
    assert_int_equal(err.code, DV_ERR_NOT_FOUND);
    assert_false(order("cancel", 0, "nobody", NULL));
    assert_int_equal(err.code, DV_ERR_NOT_FOUND);
}

static void a_cancelled_batch_ends_and_a_retry_begins_it_anew(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 1);
    const char *seeds[] = {"A1", "A2"};
    dv_batch_request q = {.source = "old", .accessions = {seeds, 2}};
    dv_batch_made made;
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    assert_true(dv_worker_entry(&fake.m->workers[0], &(bool){0}));
    int64_t count = 0;
    assert_true(order("cancel", made.id, NULL, &count));
    assert_int_equal(count, 2); /* a job and a seed */
    assert_string_equal(job_state(), "cancelled");
    assert_false(runs());
    assert_int_equal(one_int("SELECT count(*) FROM batches WHERE ended_at > 0 AND cancelled = 1"), 1);
    assert_false(order("resume", made.id, NULL, NULL));
    assert_int_equal(err.code, DV_ERR_VALUE);
    assert_true(order("retry", made.id, NULL, &count));
    assert_int_equal(count, 2);
    run_all();
    assert_string_equal(job_state(), "complete");
}

static int64_t cancelled_batch;
static void cancel_now(void)
{
    assert_true(order("cancel", cancelled_batch, NULL, NULL));
}

static void a_job_that_is_cancelled_while_it_runs_stays_cancelled(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 3);
    cancelled_batch = submit("A1");
    fake.in_move = cancel_now;
    while (runs())
        ;
    assert_string_equal(job_state(), "cancelled");
    assert_string_equal(one_text(0, "SELECT status FROM attempts"), "cancelled");
    assert_int_equal(one_int("SELECT count(*) FROM attempts WHERE ended_at = 0"), 0);
    assert_int_equal(one_int("SELECT count(*) FROM batches WHERE ended_at = 0"), 0);
}

static void a_retry_asks_again_for_what_failed_only(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 2);
    add_study("1.2", "A2", 1, 2);
    const char *seeds[] = {"A1", "A2"};
    dv_batch_request q = {.source = "old", .accessions = {seeds, 2}};
    dv_batch_made made;
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    fake.studies[0].lost = 2;
    run_all();
    assert_string_equal(one_text(0, "SELECT state FROM jobs WHERE study_uid = '1.1'"), "failed");
    assert_string_equal(one_text(0, "SELECT state FROM jobs WHERE study_uid = '1.2'"), "complete");
    fake.studies[0].lost = 0;
    int64_t count = 0;
    assert_true(order("retry", made.id, NULL, &count));
    assert_int_equal(count, 1);
    assert_int_equal(one_int("SELECT count(*) FROM batches WHERE ended_at = 0"), 1);
    run_all();
    assert_int_equal(one_int("SELECT count(*) FROM jobs WHERE state = 'complete'"), 2);
    assert_int_equal(fake.studies[1].moves, 1);
}

/* ---- kills: the rows as they stand at that moment, then a new process ---- */

typedef struct killed {
    const char *state;
} killed;

static bool write_killed(dv_db *d, void *user, dv_error *e)
{
    const killed *k = user;
    return dv_db_exec(d, e, "UPDATE jobs SET state = $1, lease_owner = 'host:1:dead', lease_until = 9000000000000000, ended_at = 0", "s", k->state) &&
           dv_db_exec(d, e, "UPDATE attempts SET ended_at = 0, status = 'open'", "") &&
           dv_db_exec(d, e, "UPDATE batches SET ended_at = 0, report = ''", "");
}

static void a_kill_in_any_running_state_repeats_nothing_that_came(void **state)
{
    (void)state;
    static const char *const states[] = {"preflight", "retrieving", "verifying"};
    fake_study *s = add_study("1.1", "A1", 2, 2);
    submit("A1");
    run_all();
    for (int i = 0; i < 3; i++) {
        killed k = {states[i]};
        assert_true(dv_catalog_write(fake.catalog, true, write_killed, &k, &err));
        kill_and_restart();
        assert_string_equal(job_state(), "queued");
        assert_int_equal(one_int("SELECT count(*) FROM jobs WHERE lease_owner <> ''"), 0);
        assert_int_equal(one_int("SELECT count(*) FROM attempts WHERE ended_at = 0"), 0);
        assert_string_equal(one_text(0, "SELECT status FROM attempts ORDER BY id DESC LIMIT 1"), "interrupted");
        run_all();
        assert_string_equal(job_state(), "complete");
        assert_int_equal(s->moves, 1);
    }
}

static void a_kill_while_half_is_here_asks_for_the_other_half(void **state)
{
    (void)state;
    fake_study *s = add_study("1.1", "A1", 2, 4);
    submit("A1");
    s->lost = 4; /* the first series never came */
    assert_true(dv_worker_entry(&fake.m->workers[0], &(bool){0}));
    assert_true(dv_worker_job(&fake.m->workers[0], &(bool){0}));
    s->lost = 0;
    killed k = {"retrieving"};
    assert_true(dv_catalog_write(fake.catalog, true, write_killed, &k, &err));
    kill_and_restart();
    run_all();
    assert_string_equal(job_state(), "complete");
    assert_int_equal(s->sent, 8);
    assert_int_equal(fake.fine_moves, 1);
}

static bool write_leased_entry(dv_db *d, void *user, dv_error *e)
{
    (void)user;
    return dv_db_exec(d, e, "UPDATE entries SET state = 'waiting', lease_owner = 'host:1:dead', lease_until = 9000000000000000", "") &&
           dv_db_exec(d, e, "UPDATE batches SET ended_at = 0, report = ''", "");
}

static void a_kill_while_a_seed_is_expanded_makes_no_study_twice(void **state)
{
    (void)state;
    fake_study *s = add_study("1.1", "A1", 1, 1);
    submit("A1");
    run_all();
    assert_true(dv_catalog_write(fake.catalog, true, write_leased_entry, NULL, &err));
    add_study("1.2", "A1", 1, 1);
    kill_and_restart();
    run_all();
    assert_int_equal(one_int("SELECT count(*) FROM jobs WHERE state = 'complete'"), 2);
    assert_int_equal(one_int("SELECT count(*) FROM job_answers"), 0);
    assert_int_equal(s->moves, 1);
}

static void stop_soon(void)
{
    pthread_mutex_lock(&fake.m->lock);
    fake.m->stopping = true;
    pthread_mutex_unlock(&fake.m->lock);
}

static void a_stop_puts_the_running_job_back_without_costing_a_try(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 3)->lost = 3;
    submit("A1");
    fake.in_move = stop_soon;
    assert_true(dv_worker_entry(&fake.m->workers[0], &(bool){0}));
    assert_true(dv_worker_job(&fake.m->workers[0], &(bool){0}));
    assert_string_equal(job_state(), "queued");
    assert_int_equal(one_int("SELECT tries FROM jobs"), 0);
    assert_string_equal(one_text(0, "SELECT status FROM attempts"), "interrupted");
}

static void who_watches_is_woken_by_a_change_and_by_the_end_of_patience(void **state)
{
    (void)state;
    uint64_t version = 0;
    assert_true(dv_migrate_wait_change(fake.m, &version, 10000));
    assert_false(dv_migrate_wait_change(fake.m, &version, 1));
    submit("A1");
    assert_true(dv_migrate_wait_change(fake.m, &version, 10000));
}

static void progress_of_all_says_what_is_waited_for(void **state)
{
    (void)state;
    fake.down = -1;
    submit("A1");
    assert_true(dv_worker_entry(&fake.m->workers[0], &(bool){0}));
    cJSON *p = dv_migrate_progress_json(fake.m, 0, &err);
    assert_non_null(p);
    const cJSON *w = cJSON_GetArrayItem(cJSON_GetObjectItem(p, "waiting_for"), 0);
    assert_non_null(strstr(cJSON_GetStringValue(cJSON_GetObjectItem(w, "error")), "127.0.0.1:104"));
    assert_false(cJSON_IsTrue(cJSON_GetObjectItem(p, "ended")));
    cJSON_Delete(p);
}

static void progress_of_a_batch_says_nothing_of_another_source(void **state)
{
    (void)state;
    submit("A1");
    dv_error down = {0};
    (void)dv_fail(&down, DV_ERR_NETWORK, "it is down");
    dv_gate_is_down(fake.m, DV_TEXT("other"), &down);
    for (int64_t batch = 0; batch <= 1; batch++) {
        cJSON *p = dv_migrate_progress_json(fake.m, batch, &err);
        assert_non_null(p);
        assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(p, "waiting_for")), batch ? 0 : 1);
        cJSON_Delete(p);
    }
}

static void progress_of_a_batch_names_the_seeds_that_have_a_problem(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 2)->lost = 1;
    const char *seeds[] = {"A1", "A9"};
    dv_batch_request q = {.source = "old", .accessions = {seeds, 2}};
    dv_batch_made made;
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    run_all();
    cJSON *p = dv_migrate_progress_json(fake.m, made.id, &err);
    assert_non_null(p);
    const cJSON *problems = cJSON_GetObjectItem(p, "problems");
    assert_int_equal(cJSON_GetArraySize(problems), 2);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetArrayItem(problems, 0), "seed")), "A9");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetArrayItem(problems, 1), "study_uid")), "1.1");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(p, "ended")));
    cJSON_Delete(p);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_misspelt_order_is_none),
        T(a_paused_batch_rests_and_others_go_on),
        T(a_pause_of_all_or_of_a_source_outlives_the_process),
        T(orders_for_what_is_not_there_are_refused),
        T(a_cancelled_batch_ends_and_a_retry_begins_it_anew),
        T(a_job_that_is_cancelled_while_it_runs_stays_cancelled),
        T(a_retry_asks_again_for_what_failed_only),
        T(a_kill_in_any_running_state_repeats_nothing_that_came),
        T(a_kill_while_half_is_here_asks_for_the_other_half),
        T(a_kill_while_a_seed_is_expanded_makes_no_study_twice),
        T(a_stop_puts_the_running_job_back_without_costing_a_try),
        T(who_watches_is_woken_by_a_change_and_by_the_end_of_patience),
        T(progress_of_all_says_what_is_waited_for),
        T(progress_of_a_batch_says_nothing_of_another_source),
        T(progress_of_a_batch_names_the_seeds_that_have_a_problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
