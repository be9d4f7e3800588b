#include "migrate/fake_source.h"

static dv_batch_made made;

static bool submit_values(const char *const *accessions, size_t n)
{
    dv_batch_request q = {.source = "old", .accessions = {accessions, n}};
    return dv_batch_submit(fake.m, &q, &made, &err);
}

static int start(void **state)
{
    int rc = set_up(state);
    if (rc == 0)
        start_engine(0);
    return rc;
}

static void seeds_are_trimmed_and_doubles_and_blanks_dropped_and_counted(void **state)
{
    (void)state;
    const char *seeds[] = {" B2 ", "A1", "", "B2", "\tA1\n", "  "};
    assert_true(submit_values(seeds, 6));
    assert_int_equal(made.entries, 2);
    assert_int_equal(made.duplicates, 2);
    assert_int_equal(made.blank, 2);
    assert_string_equal(all_text(0, "SELECT value FROM entries ORDER BY id"), "B2,A1");
}

static void a_wildcard_in_a_seed_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[] = {"A*", "A?1", "A\\B"};
    for (int i = 0; i < 3; i++) {
        assert_false(submit_values(&bad[i], 1));
        assert_int_equal(err.code, DV_ERR_VALUE);
        assert_non_null(strstr(err.message, bad[i]));
    }
    assert_int_equal(one_int("SELECT count(*) FROM batches"), 0);
}

static void a_study_uid_must_look_like_one(void **state)
{
    (void)state;
    const char *uid = "1.2.x";
    dv_batch_request q = {.source = "old", .study_uids = {&uid, 1}};
    assert_false(dv_batch_submit(fake.m, &q, &made, &err));
    assert_int_equal(err.code, DV_ERR_VALUE);
    uid = " 1.2.3 ";
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
}

static void a_batch_that_asks_for_nothing_is_refused(void **state)
{
    (void)state;
    const char *blank = " ";
    assert_false(submit_values(&blank, 1));
    assert_int_equal(err.code, DV_ERR_VALUE);
}

static void unknown_disabled_and_destination_peers_are_no_sources(void **state)
{
    (void)state;
    const char *a = "A1";
    dv_batch_request q = {.accessions = {&a, 1}, .source = "nobody"};
    assert_false(dv_batch_submit(fake.m, &q, &made, &err));
    assert_int_equal(err.code, DV_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "nobody"));
    q.source = "gone";
    assert_false(dv_batch_submit(fake.m, &q, &made, &err));
    assert_int_equal(err.code, DV_ERR_CONFIG);
    q.source = "sink";
    assert_false(dv_batch_submit(fake.m, &q, &made, &err));
    assert_int_equal(err.code, DV_ERR_CONFIG);
    q.source = NULL;
    assert_false(dv_batch_submit(fake.m, &q, &made, &err));
}

static void the_same_external_id_gives_the_batch_of_the_first_time(void **state)
{
    (void)state;
    const char *a = "A1";
    dv_batch_request q = {.source = "old", .accessions = {&a, 1}, .external_id = "X7", .channel = "webhook"};
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    int64_t first = made.id;
    assert_false(made.existed);
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    assert_true(made.existed);
    assert_int_equal(made.id, first);
    q.channel = "fhir";
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    assert_int_not_equal(made.id, first);
    q.external_id = "";
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    int64_t third = made.id;
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    assert_int_not_equal(made.id, third);
}

static void a_patient_alone_is_a_seed_and_beside_accessions_a_condition(void **state)
{
    (void)state;
    const char *a = "A1";
    dv_batch_request q = {.source = "old", .patient_id = " P1 "};
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    assert_string_equal(one_text(0, "SELECT kind || ':' || value || ':' || patient FROM entries"), "patient_id:P1:");
    q.accessions = (dv_seeds){&a, 1};
    assert_true(dv_batch_submit(fake.m, &q, &made, &err));
    assert_string_equal(one_text(0, "SELECT kind || ':' || value || ':' || patient FROM entries ORDER BY id DESC LIMIT 1"), "accession:A1:P1");
}

static cJSON *submit_json(const char *text)
{
    cJSON *seed = cJSON_Parse(text);
    assert_non_null(seed);
    cJSON *out = dv_batch_submit_json(fake.m, seed, &err);
    cJSON_Delete(seed);
    return out;
}

static void a_batch_comes_as_json_too(void **state)
{
    (void)state;
    cJSON *out = submit_json("{\"batch_name\":\"night\",\"source\":\"old\",\"accession_numbers\":[\"A1\",\"A2\",\"A1\"],"
                             "\"study_instance_uids\":[\"1.2.3\"],\"priority\":7,\"force_full_repull\":true}");
    assert_non_null(out);
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(out, "entries")), 3);
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(out, "duplicates")), 1);
    cJSON_Delete(out);
    assert_string_equal(one_text(0, "SELECT name || priority || full_repull FROM batches"), "night71");
}

static void a_misspelt_field_is_refused_with_the_nearest(void **state)
{
    (void)state;
    assert_null(submit_json("{\"source\":\"old\",\"accesion_numbers\":[\"A1\"]}"));
    assert_int_equal(err.code, DV_ERR_VALUE);
    assert_non_null(strstr(err.message, "accession_numbers"));
    assert_null(submit_json("{\"source\":\"old\",\"accession_numbers\":\"A1\"}"));
    assert_non_null(strstr(err.message, "list"));
    assert_null(submit_json("{\"source\":\"old\",\"accession_numbers\":[7]}"));
    assert_null(submit_json("[]"));
}

static void lists_of_batches_have_their_counts(void **state)
{
    (void)state;
    const char *seeds[] = {"A1", "A2"};
    assert_true(submit_values(seeds, 2));
    cJSON *list = dv_batch_list_json(db(), 0, 0, &err);
    assert_non_null(list);
    assert_int_equal(cJSON_GetArraySize(list), 1);
    const cJSON *b = cJSON_GetArrayItem(list, 0);
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetObjectItem(b, "entries"), "waiting")), 2);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(b, "state")), "running");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(b, "ended_at")));
    cJSON_Delete(list);
    assert_null(dv_batch_json(db(), 99, &err));
    assert_int_equal(err.code, DV_ERR_NOT_FOUND);
    assert_null(dv_job_json(db(), 99, &err));
    assert_int_equal(err.code, DV_ERR_NOT_FOUND);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, tear_down)
    const struct CMUnitTest tests[] = {
        T(seeds_are_trimmed_and_doubles_and_blanks_dropped_and_counted),
        T(a_wildcard_in_a_seed_is_refused_by_name),
        T(a_study_uid_must_look_like_one),
        T(a_batch_that_asks_for_nothing_is_refused),
        T(unknown_disabled_and_destination_peers_are_no_sources),
        T(the_same_external_id_gives_the_batch_of_the_first_time),
        T(a_patient_alone_is_a_seed_and_beside_accessions_a_condition),
        T(a_batch_comes_as_json_too),
        T(a_misspelt_field_is_refused_with_the_nearest),
        T(lists_of_batches_have_their_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
