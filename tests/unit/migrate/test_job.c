#include "migrate/fake_source.h"

static void names_lead_to_states_and_back(void **state)
{
    (void)state;
    for (int s = 0; s < DV_JOB_STATES; s++)
        assert_int_equal(dv_job_state_of(dv_text_of(dv_job_state_name((dv_job_state)s))), s);
    assert_int_equal(dv_job_state_of(DV_TEXT("finished")), DV_JOB_STATES);
}

static void what_is_complete_or_skipped_never_moves_again(void **state)
{
    (void)state;
    for (int s = 0; s < DV_JOB_STATES; s++) {
        assert_false(dv_job_may(DV_JOB_COMPLETE, (dv_job_state)s));
        assert_false(dv_job_may(DV_JOB_SKIPPED, (dv_job_state)s));
        assert_false(dv_job_may((dv_job_state)s, DV_JOB_MISMATCH));
    }
}

static void everything_open_can_be_cancelled_and_put_back(void **state)
{
    (void)state;
    for (int s = 0; s < DV_JOB_STATES; s++) {
        bool final = dv_job_state_is_final((dv_job_state)s);
        assert_int_equal(dv_job_may((dv_job_state)s, DV_JOB_CANCELLED), !final);
    }
    assert_true(dv_job_may(DV_JOB_PREFLIGHT, DV_JOB_QUEUED));
    assert_true(dv_job_may(DV_JOB_RETRIEVING, DV_JOB_QUEUED));
    assert_true(dv_job_may(DV_JOB_VERIFYING, DV_JOB_QUEUED));
}

/* ---- rows ---- */

typedef struct change {
    int64_t job;
    dv_job_state from, to;
} change;

static bool write_change(dv_db *d, void *user, dv_error *e)
{
    const change *c = user;
    return dv_job_set_state(d, c->job, c->from, c->to, NULL, "me", 5, e);
}

static bool set_state(int64_t job, dv_job_state from, dv_job_state to)
{
    change c = {job, from, to};
    return dv_catalog_write(fake.catalog, true, write_change, &c, &err);
}

/* Jobs: study 1.1 of 2020 and 1.2 of 2024 in batch A at priority 0; 1.3 of 2010 in batch B at priority 5. */
static void three_jobs(void)
{
    start_engine(0);
    add_study("1.1", "A1", 1, 1)->date = "20200101";
    add_study("1.2", "A2", 1, 1)->date = "20240101";
    add_study("1.3", "A3", 1, 1)->date = "20100101";
    const char *low[] = {"A1", "A2"}, *high[] = {"A3"};
    dv_batch_request q = {.source = "old", .accessions = {low, 2}};
    dv_batch_made made;
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    q = (dv_batch_request){.source = "old", .accessions = {high, 1}, .priority = 5};
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    for (bool did = true; did;)
        assert_true(dv_worker_entry(&fake.m->workers[0], &did));
    assert_int_equal(one_int("SELECT count(*) FROM jobs WHERE state = 'queued'"), 3);
}

typedef struct claiming {
    dv_arena *arena;
    dv_job job;
    bool found;
    const char *blocked;
} claiming;

static bool write_claim(dv_db *d, void *user, dv_error *e)
{
    claiming *c = user;
    return dv_job_claim(d, "me", c->blocked, dv_wall_us(), c->arena, &c->job, &c->found, e);
}

/* The UID of the claimed study, "" when there is none. */
static const char *claim_with(const char *blocked)
{
    static char uid[65];
    dv_arena a;
    dv_arena_init(&a, 0);
    claiming c = {.arena = &a, .blocked = blocked};
    if (!dv_catalog_write(fake.catalog, true, write_claim, &c, &err))
        fail_msg("%s", err.message);
    dv_text_copy(c.found ? c.job.study_uid : DV_TEXT(""), uid, sizeof uid);
    dv_arena_free(&a);
    return uid;
}

static void the_highest_priority_comes_first_then_the_newest_study(void **state)
{
    (void)state;
    three_jobs();
    assert_string_equal(claim_with("|"), "1.3");
    assert_string_equal(claim_with("|"), "1.2");
    assert_string_equal(claim_with("|"), "1.1");
    assert_string_equal(claim_with("|"), "");
}

static void a_claim_leases_the_job_and_opens_an_attempt(void **state)
{
    (void)state;
    three_jobs();
    claim_with("|");
    assert_string_equal(one_text(0, "SELECT lease_owner FROM jobs WHERE state = 'preflight'"), "me");
    assert_int_equal(one_int("SELECT count(*) FROM attempts WHERE ended_at = 0 AND number = 1 AND status = 'open'"), 1);
}

static void jobs_of_a_blocked_source_are_not_claimed(void **state)
{
    (void)state;
    three_jobs();
    assert_string_equal(claim_with("|other|old|"), "");
    assert_string_equal(claim_with("|older|ol|"), "1.3");
}

static void a_study_that_runs_for_one_batch_is_not_begun_for_another(void **state)
{
    (void)state;
    three_jobs();
    submit("A3");
    for (bool did = true; did;)
        assert_true(dv_worker_entry(&fake.m->workers[0], &did));
    assert_string_equal(claim_with("|"), "1.3");
    assert_string_equal(claim_with("|"), "1.2");
    assert_string_equal(claim_with("|"), "1.1");
    assert_string_equal(claim_with("|"), "");
    assert_true(set_state(one_int("SELECT id FROM jobs WHERE study_uid = '1.3' AND state = 'preflight'"), DV_JOB_PREFLIGHT, DV_JOB_SKIPPED));
    assert_string_equal(claim_with("|"), "1.3");
}

static void a_state_is_written_only_over_the_one_expected(void **state)
{
    (void)state;
    three_jobs();
    int64_t job = one_int("SELECT min(id) FROM jobs");
    assert_true(set_state(job, DV_JOB_QUEUED, DV_JOB_CANCELLED));
    assert_false(set_state(job, DV_JOB_QUEUED, DV_JOB_PREFLIGHT));
    assert_int_equal(err.code, DV_ERR_CANCELLED);
    assert_int_equal(one_int("SELECT count(*) FROM jobs WHERE state = 'cancelled' AND ended_at = 5"), 1);
}

static void a_line_that_the_drawing_lacks_is_refused(void **state)
{
    (void)state;
    three_jobs();
    assert_false(set_state(one_int("SELECT min(id) FROM jobs"), DV_JOB_QUEUED, DV_JOB_COMPLETE));
    assert_int_equal(err.code, DV_ERR_INTERNAL);
}

/* A claim must not walk the queue: it is asked for each study of millions. */
static void a_claim_goes_by_the_index_of_ready_jobs(void **state)
{
    (void)state;
    bool hit = false;
#define CLAIM                                                                                                                                \
    " SELECT q.id FROM jobs q WHERE q.batch = 1 AND q.state IN ('queued', 'staging') AND q.next_at <= 5"                                     \
    " ORDER BY q.priority DESC, q.study_date DESC, q.id LIMIT 1"
    if (on_postgres()) /* small tables are read whole where an index would do */
        assert_true(dv_db_script(db(), "SET enable_seqscan TO off", &err));
    dv_rows *r = dv_db_query(db(), &err, on_postgres() ? "EXPLAIN (COSTS OFF)" CLAIM : "EXPLAIN QUERY PLAN" CLAIM, "");
    while (dv_rows_next(r)) {
        char line[256];
        dv_text_copy(dv_rows_text(r, on_postgres() ? 0 : 3), line, sizeof line);
        hit = hit || strstr(line, "jobs_ready");
        assert_null(strstr(line, "TEMP B-TREE"));
        assert_null(strstr(line, "Sort"));
    }
    assert_true(dv_rows_close(r, &err));
    assert_true(hit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_to_states_and_back),
        cmocka_unit_test(what_is_complete_or_skipped_never_moves_again),
        cmocka_unit_test(everything_open_can_be_cancelled_and_put_back),
        cmocka_unit_test_setup_teardown(the_highest_priority_comes_first_then_the_newest_study, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_claim_leases_the_job_and_opens_an_attempt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(jobs_of_a_blocked_source_are_not_claimed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_study_that_runs_for_one_batch_is_not_begun_for_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_state_is_written_only_over_the_one_expected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_that_the_drawing_lacks_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_claim_goes_by_the_index_of_ready_jobs, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
