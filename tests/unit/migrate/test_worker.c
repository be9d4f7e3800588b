/* Whole migrations against a source that behaves as legacy peers do (DEFECTS, second table). */
#include "migrate/fake_source.h"

static int start(void **state)
{
    int rc = set_up(state);
    if (rc == 0)
        start_engine(0);
    return rc;
}

static double number_at(const cJSON *o, const char *a, const char *b)
{
    const cJSON *x = cJSON_GetObjectItem(o, a);
    return cJSON_GetNumberValue(b ? cJSON_GetObjectItem(x, b) : x);
}

static cJSON *evidence(void)
{
    cJSON *e = cJSON_Parse(one_text(2, "SELECT evidence FROM jobs ORDER BY id LIMIT 1"));
    assert_non_null(e);
    return e;
}

static void an_accession_becomes_a_complete_study(void **state)
{
    (void)state;
    fake_study *s = add_study("1.1", "A1", 2, 3);
    int64_t batch = submit("A1");
    run_all();
    assert_string_equal(job_state(), "complete");
    assert_int_equal(s->sent, 6);
    assert_int_equal(one_int("SELECT here_instances FROM jobs"), 6);
    assert_int_equal(one_int("SELECT source_series FROM jobs"), 2);
    assert_int_equal(one_int("SELECT bytes FROM jobs"), 60);
    assert_string_equal(one_text(0, "SELECT status || asked || ':' || arrived FROM attempts"), "complete6:6");
    cJSON *e = evidence();
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(e, "stands_on")), "A");
    assert_int_equal(number_at(e, "A", "source"), 6);
    assert_int_equal(number_at(e, "A", "here"), 6);
    assert_int_equal(number_at(e, "B", "equal"), 2);
    assert_int_equal(number_at(e, "C", "source"), 6);
    assert_int_equal(number_at(e, "D", "completed"), 6);
    assert_int_equal(number_at(e, "E", "arrived"), 6);
    cJSON_Delete(e);
    cJSON *b = dv_batch_json(db(), batch, &err);
    assert_non_null(b);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(b, "state")), "ended");
    cJSON_Delete(b);
}

static void an_arriving_instance_knows_job_attempt_seed_batch_and_found(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 1);
    submit("A1");
    run_all();
    assert_int_equal(last_job, one_int("SELECT id FROM jobs"));
    assert_int_equal(last_attempt, 1);
    assert_string_equal(last_seed, "A1");
    assert_string_equal(last_batch, one_text(0, "SELECT name FROM batches"));
    assert_string_equal(last_found, "A1");
    arrive(&fake.studies[0], 5, 5); /* behind the end: nobody's */
    assert_int_equal(last_job, 0);
}

static void one_accession_may_name_several_studies(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 2);
    add_study("1.2", "A1", 1, 2);
    add_study("1.3", "B1", 1, 2);
    submit("A1");
    run_all();
    assert_int_equal(one_int("SELECT count(*) FROM jobs WHERE state = 'complete'"), 2);
    assert_int_equal(fake.studies[2].moves, 0);
}

static void an_accession_without_a_study_is_empty_after_some_tries(void **state)
{
    (void)state;
    int64_t batch = submit("A9");
    run_all();
    assert_string_equal(one_text(0, "SELECT state || tries FROM entries"), "empty3");
    assert_non_null(strstr(one_text(0, "SELECT error FROM entries"), "no study"));
    cJSON *b = dv_batch_json(db(), batch, &err);
    assert_int_equal(number_at(cJSON_GetObjectItem(b, "report"), "seeds_without_a_study", NULL), 1);
    cJSON_Delete(b);
}

/* P13: seen at peers that ignore a key they do not support. */
static void answers_that_were_not_asked_for_are_dropped_and_said(void **state)
{
    (void)state;
    fake.ignores_keys = true;
    add_study("1.1", "A1", 1, 1);
    add_study("1.2", "B1", 1, 1);
    submit("A1");
    for (bool did = true; did;)
        assert_true(dv_worker_entry(&fake.m->workers[0], &did));
    assert_int_equal(one_int("SELECT count(*) FROM jobs"), 1);
    assert_non_null(strstr(one_text(0, "SELECT error FROM entries"), "1 answers dropped"));
}

static void a_study_of_another_patient_is_a_mismatch_and_not_retrieved(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 1)->patient = "Q";
    const char *a = "A1";
    dv_batch_request q = {.source = "old", .accessions = {&a, 1}, .patient_id = "P"};
    dv_batch_made made;
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    run_all();
    assert_string_equal(job_state(), "mismatch");
    assert_int_equal(fake.moves, 0);
}

/* P3 */
static void several_records_of_one_study_are_one_job_and_all_are_kept(void **state)
{
    (void)state;
    fake.answers_twice = true;
    add_study("1.1", "A1", 1, 1);
    submit("A1");
    run_all();
    assert_int_equal(one_int("SELECT count(*) FROM jobs"), 1);
    assert_int_equal(one_int("SELECT count(*) FROM job_answers"), 1);
}

static void everything_and_a_patient_are_seeds_too(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 1);
    add_study("1.2", "A2", 1, 1)->patient = "Q";
    dv_batch_request q = {.source = "old", .patient_id = "Q"};
    dv_batch_made made;
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    run_all();
    assert_int_equal(one_int("SELECT count(*) FROM jobs"), 1);
    q = (dv_batch_request){.source = "old", .all = true};
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    run_all();
    assert_int_equal(one_int("SELECT count(*) FROM jobs"), 3);
    assert_int_equal(one_int("SELECT count(*) FROM jobs WHERE state = 'skipped'"), 1);
}

/* P2: a cap of 3; 20 studies on different days, and 2 on one. */
static void a_source_that_caps_its_answers_is_asked_by_ranges_of_days(void **state)
{
    (void)state;
    static char uids[21][32], dates[21][32];
    fake.cap = 3;
    for (int i = 0; i < 21; i++) {
        snprintf(uids[i], sizeof uids[i], "1.%d", i + 1);
        snprintf(dates[i], sizeof dates[i], "2020%02d%02d", i % 12 + 1, i < 20 ? i + 1 : 20);
        add_study(uids[i], "A", 1, 1)->date = dates[i];
    }
    dv_batch_request q = {.source = "old", .all = true};
    dv_batch_made made;
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    for (bool did = true; did;)
        assert_true(dv_worker_entry(&fake.m->workers[0], &did));
    assert_int_equal(one_int("SELECT count(*) FROM jobs"), 21);
    assert_non_null(strstr(one_text(0, "SELECT error FROM entries"), "without a date"));
}

static void what_is_here_is_skipped_unless_a_full_repull_is_wanted(void **state)
{
    (void)state;
    fake_study *s = add_study("1.1", "A1", 1, 2);
    submit("A1");
    run_all();
    submit("A1");
    run_all();
    assert_int_equal(s->moves, 1);
    assert_string_equal(one_text(0, "SELECT state FROM jobs ORDER BY id DESC LIMIT 1"), "skipped");
    const char *a = "A1";
    dv_batch_request q = {.source = "old", .accessions = {&a, 1}, .full_repull = true};
    dv_batch_made made;
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    run_all();
    assert_int_equal(s->moves, 2);
    assert_string_equal(one_text(0, "SELECT state FROM jobs ORDER BY id DESC LIMIT 1"), "complete");
}

/* P1, P15: success, and not all came. */
static void what_a_successful_move_did_not_bring_is_asked_for_again_by_itself(void **state)
{
    (void)state;
    fake_study *s = add_study("1.1", "A1", 2, 4);
    s->lost = 2;
    submit("A1");
    assert_true(dv_worker_entry(&fake.m->workers[0], &(bool){0}));
    assert_true(dv_worker_job(&fake.m->workers[0], &(bool){0}));
    assert_string_equal(job_state(), "queued");
    assert_non_null(strstr(job_error(), "6 stored, 2 missing of 8"));
    s->lost = 0;
    run_all();
    assert_string_equal(job_state(), "complete");
    assert_int_equal(fake.fine_moves, 1);
    assert_int_equal(s->sent, 8);
    assert_int_equal(one_int("SELECT count(*) FROM attempts"), 2);
    assert_string_equal(one_text(0, "SELECT status || asked FROM attempts ORDER BY id DESC LIMIT 1"), "complete2");
}

static void a_source_that_refuses_fine_moves_is_asked_for_the_study(void **state)
{
    (void)state;
    fake_study *s = add_study("1.1", "A1", 2, 4);
    s->lost = 1;
    fake.no_fine_moves = true;
    submit("A1");
    assert_true(dv_worker_entry(&fake.m->workers[0], &(bool){0}));
    assert_true(dv_worker_job(&fake.m->workers[0], &(bool){0}));
    s->lost = 0;
    run_all();
    assert_string_equal(job_state(), "complete");
    assert_int_equal(s->moves, 2);
}

static void what_never_comes_ends_as_partial_with_its_numbers(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 4)->lost = 1;
    fake.no_fine_moves = true;
    int64_t batch = submit("A1");
    run_all();
    assert_string_equal(job_state(), "partial");
    assert_non_null(strstr(job_error(), "3 stored, 1 missing of 4"));
    assert_int_equal(one_int("SELECT tries FROM jobs"), 3);
    cJSON *e = evidence();
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetObjectItem(e, "A"), "missing"), 0)), "1.1.1.1");
    cJSON_Delete(e);
    cJSON *b = dv_batch_json(db(), batch, &err), *report = cJSON_GetObjectItem(b, "report");
    assert_int_equal(number_at(report, "instances", "inventory"), 4);
    assert_int_equal(number_at(report, "instances", "complete"), 3);
    assert_int_equal(number_at(report, "instances", "open"), 1);
    assert_int_equal(number_at(report, "studies", "open"), 1);
    cJSON_Delete(b);
}

static void a_study_of_which_nothing_comes_fails(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 4);
    fake.no_instances = true;
    submit("A1");
    run_all();
    assert_string_equal(job_state(), "failed");
    assert_int_equal(fake.moves, 2 + 4); /* at the third try each instance is asked for by itself */
}

/* Orthanc 1.10 holds a file whose syntax its DCMTK does not know: it ends the C-MOVE there, and all that stands behind it never came. */
static void one_instance_that_cannot_be_sent_does_not_keep_the_others_back(void **state)
{
    (void)state;
    add_study("1.1", "A1", 2, 3)->unsendable = 2;
    submit("A1");
    run_all();
    assert_string_equal(job_state(), "partial");
    assert_non_null(strstr(job_error(), "5 stored, 1 missing of 6"));
}

static void excluded_instances_do_not_make_a_study_incomplete(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 3)->excluded = true;
    add_study("1.2", "A2", 1, 1)->excluded = true;
    submit("A1");
    submit("A2");
    run_all();
    assert_string_equal(job_state(), "complete");
    assert_int_equal(one_int("SELECT explained FROM jobs WHERE study_uid = '1.1'"), 1);
    assert_string_equal(one_text(0, "SELECT state FROM jobs WHERE study_uid = '1.2'"), "excluded");
}

static void rejected_instances_make_a_study_partial_and_are_not_asked_for_again(void **state)
{
    (void)state;
    fake_study *s = add_study("1.1", "A1", 1, 3);
    s->rejected = true;
    int64_t batch = submit("A1");
    run_all();
    assert_string_equal(job_state(), "partial");
    assert_int_equal(s->moves, 1);
    assert_non_null(strstr(job_error(), "gate/test: not wanted"));
    cJSON *b = dv_batch_json(db(), batch, &err);
    assert_int_equal(number_at(cJSON_GetObjectItem(b, "report"), "studies", "explained"), 1);
    cJSON_Delete(b);
    submit("A1");
    run_all();
    assert_int_equal(s->moves, 1);
}

/* P4 */
static void a_study_without_images_is_empty(void **state)
{
    (void)state;
    add_study("1.1", "A1", 0, 0);
    submit("A1");
    run_all();
    assert_string_equal(job_state(), "empty");
    assert_int_equal(fake.moves, 0);
}

/* P8 */
static void a_wrong_count_of_the_study_does_not_matter_where_instances_are_listed(void **state)
{
    (void)state;
    add_study("1.1", "A1", 2, 2)->counted = 99;
    submit("A1");
    run_all();
    assert_string_equal(job_state(), "complete");
}

static void a_source_without_image_level_is_compared_by_series(void **state)
{
    (void)state;
    add_study("1.1", "A1", 2, 2);
    fake.no_image_level = true;
    submit("A1");
    run_all();
    assert_string_equal(job_state(), "complete");
    cJSON *e = evidence();
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(e, "stands_on")), "B");
    assert_int_equal(number_at(e, "B", "equal"), 2);
    cJSON_Delete(e);
}

static void a_source_without_series_level_is_compared_by_the_studys_count(void **state)
{
    (void)state;
    add_study("1.1", "A1", 2, 2);
    fake.no_series_level = true;
    submit("A1");
    run_all();
    assert_string_equal(job_state(), "complete");
    cJSON *e = evidence();
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(e, "stands_on")), "C");
    cJSON_Delete(e);
}

static void a_source_that_tells_nothing_is_believed_by_what_came(void **state)
{
    (void)state;
    add_study("1.1", "A1", 2, 2)->counted = -2;
    fake.no_series_level = true;
    submit("A1");
    run_all();
    assert_string_equal(job_state(), "complete");
    cJSON *e = evidence();
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(e, "stands_on")), "D");
    cJSON_Delete(e);
}

static void a_destination_that_the_source_does_not_know_says_what_to_enter_there(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 1);
    fake.move_status = 0xA801;
    submit("A1");
    run_all();
    assert_string_equal(job_state(), "failed");
    assert_non_null(strstr(job_error(), "DROVER"));
    assert_non_null(strstr(job_error(), "archive.example"));
    assert_non_null(strstr(job_error(), "11112"));
    assert_int_equal(fake.moves, 1);
}

/* Orthanc 1.10 answers C000 where others say A801. */
static void a_source_that_sends_nothing_and_says_failure_is_not_waited_for_and_the_way_out_is_said(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 1);
    fake.move_status = 0xC000;
    submit("A1");
    run_all();
    assert_string_equal(job_state(), "failed");
    assert_non_null(strstr(job_error(), "AE title DROVER as a destination at host archive.example port 11112"));
    assert_int_equal(fake.moves, 4); /* at the third try the instance, and as that is refused the study */
}

static void a_source_that_is_down_for_a_while_is_waited_for(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 1);
    fake.down = 2;
    submit("A1");
    run_all();
    assert_string_equal(job_state(), "complete");
}

static void a_source_that_stays_down_fails_its_seeds_with_its_address(void **state)
{
    (void)state;
    fake.down = -1;
    submit("A1");
    run_all();
    assert_string_equal(one_text(0, "SELECT state || peer_tries FROM entries"), "failed3");
    assert_non_null(strstr(one_text(0, "SELECT error FROM entries"), "127.0.0.1:104"));
}

static void a_seed_that_is_rejected_for_good_fails_at_once(void **state)
{
    (void)state;
    fake.down = -1;
    fake.down_code = DV_ERR_REJECTED;
    submit("A1");
    run_all();
    assert_int_equal(fake.associations, 1);
    assert_string_equal(one_text(0, "SELECT state FROM entries"), "failed");
}

static void a_retrieve_that_breaks_goes_on_with_what_lacks(void **state)
{
    (void)state;
    fake_study *s = add_study("1.1", "A1", 2, 4);
    fake.die_in_move = true;
    submit("A1");
    run_all();
    assert_string_equal(job_state(), "complete");
    assert_int_equal(s->sent, 8);
    assert_string_equal(all_text(0, "SELECT status FROM attempts ORDER BY id"), "complete"); /* one fault costs no attempt */
}

/* P7 */
static void a_nearline_source_that_has_nothing_yet_is_waited_for_in_staging(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 2);
    fake.no_instances = true;
    submit("A1");
    assert_true(dv_worker_entry(&fake.m->workers[0], &(bool){0}));
    assert_true(dv_worker_job(&fake.m->workers[0], &(bool){0}));
    assert_string_equal(job_state(), "staging");
    assert_true(one_int("SELECT next_at FROM jobs") > dv_wall_us() + 3000 * 1000000LL);
}

static int start_nearline(void **state)
{
    peer_settings = "{\"quiet_ms\": 20, \"nearline_s\": 3600}";
    return start(state);
}

static int set_up_for_four(void **state)
{
    peer_settings = "{\"quiet_ms\": 20, \"max_moves\": 4}";
    return set_up(state);
}

static int start_capped(void **state)
{
    peer_settings = "{\"quiet_ms\": 20, \"find_limit\": 3}";
    return start(state);
}

static void questions_and_retrieves_share_one_association(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 1);
    add_study("1.2", "A2", 1, 1);
    submit("A1");
    submit("A2");
    run_all();
    assert_int_equal(fake.associations, 1);
}

/* A peer that closes idle associations does so just when one is used again. */
static void a_kept_association_that_turns_out_closed_is_opened_anew_and_asked_once_more(void **state)
{
    (void)state;
    add_study("1.1", "A1", 1, 1);
    submit("A1");
    fake.hang_up_on = 2; /* the first C-FIND of the job, over the association of the seed's */
    run_all();
    assert_string_equal(job_state(), "complete");
    assert_int_equal(one_int("SELECT count(*) FROM attempts"), 1);
    assert_int_equal(fake.associations, 2);
}

static bool write_latin_answer(dv_db *d, void *user, dv_error *e)
{
    (void)user;
    return dv_db_exec(d, e, "UPDATE peers SET settings = '{\"quiet_ms\": 20, \"charset\": \"ISO_IR 100\"}'", "");
}

/* P16 */
static void a_found_answer_that_declares_no_character_set_is_read_in_the_peers(void **state)
{
    (void)state;
    assert_true(dv_catalog_write(fake.catalog, true, write_latin_answer, NULL, &err));
    fake.latin = true;
    add_study("1.1", "AX", 1, 1);
    dv_batch_request q = {.source = "old", .all = true};
    dv_batch_made made;
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    run_all();
    assert_string_equal(last_found, "A\xc3\x84");
}

static void threads_carry_many_studies_to_their_end(void **state)
{
    (void)state;
    static char uids[MOST_STUDIES][32];
    for (int i = 0; i < MOST_STUDIES; i++) {
        snprintf(uids[i], sizeof uids[i], "1.%d", i + 1);
        add_study(uids[i], "A", 2, 2);
    }
    start_engine(4);
    dv_batch_request q = {.source = "old", .all = true};
    dv_batch_made made;
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    uint64_t version = 0;
    for (int64_t end = dv_mono_ms() + 60000;;) {
        dv_migrate_wait_change(fake.m, &version, 1000);
        cJSON *p = dv_migrate_progress_json(fake.m, made.id, &err);
        assert_non_null(p);
        bool ended = cJSON_IsTrue(cJSON_GetObjectItem(p, "ended"));
        if (ended) {
            assert_int_equal(number_at(p, "studies", "done"), MOST_STUDIES);
            assert_int_equal(number_at(p, "instances", "here"), 4 * MOST_STUDIES);
            assert_int_equal(number_at(cJSON_GetObjectItem(p, "report"), "studies", "complete"), MOST_STUDIES);
        }
        cJSON_Delete(p);
        if (ended)
            break;
        assert_true(dv_mono_ms() < end);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, tear_down)
    const struct CMUnitTest tests[] = {
        T(an_accession_becomes_a_complete_study),
        T(an_arriving_instance_knows_job_attempt_seed_batch_and_found),
        T(one_accession_may_name_several_studies),
        T(an_accession_without_a_study_is_empty_after_some_tries),
        T(answers_that_were_not_asked_for_are_dropped_and_said),
        T(a_study_of_another_patient_is_a_mismatch_and_not_retrieved),
        T(several_records_of_one_study_are_one_job_and_all_are_kept),
        T(everything_and_a_patient_are_seeds_too),
        cmocka_unit_test_setup_teardown(a_source_that_caps_its_answers_is_asked_by_ranges_of_days, start_capped, tear_down),
        T(what_is_here_is_skipped_unless_a_full_repull_is_wanted),
        T(what_a_successful_move_did_not_bring_is_asked_for_again_by_itself),
        T(a_source_that_refuses_fine_moves_is_asked_for_the_study),
        T(what_never_comes_ends_as_partial_with_its_numbers),
        T(one_instance_that_cannot_be_sent_does_not_keep_the_others_back),
        T(a_study_of_which_nothing_comes_fails),
        T(excluded_instances_do_not_make_a_study_incomplete),
        T(rejected_instances_make_a_study_partial_and_are_not_asked_for_again),
        T(a_study_without_images_is_empty),
        T(a_wrong_count_of_the_study_does_not_matter_where_instances_are_listed),
        T(a_source_without_image_level_is_compared_by_series),
        T(a_source_without_series_level_is_compared_by_the_studys_count),
        T(a_source_that_tells_nothing_is_believed_by_what_came),
        T(a_destination_that_the_source_does_not_know_says_what_to_enter_there),
        T(a_source_that_sends_nothing_and_says_failure_is_not_waited_for_and_the_way_out_is_said),
        T(a_source_that_is_down_for_a_while_is_waited_for),
        T(a_source_that_stays_down_fails_its_seeds_with_its_address),
        T(a_seed_that_is_rejected_for_good_fails_at_once),
        T(a_retrieve_that_breaks_goes_on_with_what_lacks),
        cmocka_unit_test_setup_teardown(a_nearline_source_that_has_nothing_yet_is_waited_for_in_staging, start_nearline, tear_down),
        T(questions_and_retrieves_share_one_association),
        T(a_kept_association_that_turns_out_closed_is_opened_anew_and_asked_once_more),
        T(a_found_answer_that_declares_no_character_set_is_read_in_the_peers),
        cmocka_unit_test_setup_teardown(threads_carry_many_studies_to_their_end, set_up_for_four, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
