/* Arbitration of what was seen before, the counts that follow, and quarantine. */
#include "catalog/catalog_fixture.h"
#include "base/clock.h"
#include "catalog/query.h"

#include <pthread.h>
#include <time.h>

static void the_first_instance_makes_every_level_and_counts_it(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    adding a = add(&row);
    assert_int_equal(a.seen, DV_SEEN_NEW);
    assert_true(a.id > 0);
    assert_null(a.why);
    row = instance(1, 1, 2);
    row.received_at += 5;
    row.generation = 3;
    add(&row);
    row = instance(1, 2, 1);
    row.modality = DV_TEXT("SR");
    add(&row);
    dv_totals t;
    assert_true(dv_query_totals(dv_catalog_reader(cat, &err), &t, &err));
    assert_int_equal(t.patients, 1);
    assert_int_equal(t.studies, 1);
    assert_int_equal(t.series, 2);
    assert_int_equal(t.instances, 3);
    assert_int_equal(t.bytes, 3000);
    assert_int_equal(t.duplicates, 0);
    assert_int_equal(ask("SELECT instance_count FROM series WHERE series_uid = '1.2.1.1'"), 2);
    assert_int_equal(ask("SELECT count(*) FROM studies WHERE modalities = 'CT\\SR' AND series_count = 2 AND "
                         "instance_count = 3 AND bytes = 3000"
                         " AND generation_first = 1 AND generation_last = 3 AND first_received = 1700000000000000"
                         " AND last_received = 1700000000000005 AND name_key = 'muller hans' AND patient_key = 'p1'"
                         " AND accession_key = 'n-acc1' AND received_accession_key = 'acc 1'"),
                     1);
    assert_int_equal(ask("SELECT count(*) FROM origins"), 2);
}

static void the_same_again_is_identical_and_counted(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    int64_t first = add(&row).id;
    row.path = DV_TEXT("objects/2024/01/31/102/x/y.dcm");
    adding a = add(&row);
    assert_int_equal(a.seen, DV_SEEN_IDENTICAL);
    assert_int_equal(a.id, first);
    assert_int_equal(ask("SELECT repeats FROM instances"), 1);
    assert_int_equal(ask("SELECT value FROM counters WHERE name = 'duplicates'"), 1);
    assert_int_equal(ask("SELECT instance_count FROM studies"), 1);
}

static void another_header_another_body_another_study_are_told_apart(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    int64_t first = add(&row).id;
    row.received_hash = hash_b;
    adding a = add(&row);
    assert_int_equal(a.seen, DV_SEEN_HEADER);
    assert_int_equal(a.id, first);
    row.body_hash = hash_a;
    a = add(&row);
    assert_int_equal(a.seen, DV_SEEN_CONFLICT);
    assert_non_null(strstr(a.why, "another body"));
    row = instance(1, 1, 1);
    row.received_study_uid = DV_TEXT("1.2.99");
    a = add(&row);
    assert_int_equal(a.seen, DV_SEEN_CONFLICT);
    assert_int_equal(a.id, first);
    assert_non_null(strstr(a.why, "another study"));
    assert_int_equal(ask("SELECT count(*) FROM instances"), 1);
    assert_int_equal(ask("SELECT repeats FROM instances"), 0);
    assert_int_equal(ask("SELECT count(*) FROM studies"), 1);
}

static void a_study_of_another_patient_is_a_conflict_that_adds_nothing(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    add(&row);
    row = instance(1, 1, 2);
    row.patient_id = DV_TEXT("P2");
    adding a = add(&row);
    assert_int_equal(a.seen, DV_SEEN_CONFLICT);
    assert_int_equal(a.id, 0);
    assert_non_null(strstr(a.why, "another patient"));
    row = instance(1, 1, 2);
    row.issuer = DV_TEXT("OTHER");
    assert_int_equal(add(&row).seen, DV_SEEN_CONFLICT);
    assert_int_equal(ask("SELECT count(*) FROM patients"), 1);
    assert_int_equal(ask("SELECT count(*) FROM instances"), 1);
    assert_int_equal(ask("SELECT SUM(value) FROM counters WHERE name = 'instances'"), 1);
}

/* Two studies of the source became one by a mapping rule: neither is a conflict, and each is found again as the source
 * knows it. */
static void studies_that_a_rule_merges_keep_where_they_came_from(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    add(&row);
    row = instance(1, 1, 2);
    row.received_study_uid = DV_TEXT("1.2.77");
    assert_int_equal(add(&row).seen, DV_SEEN_NEW);
    row.path = DV_TEXT("");
    assert_int_equal(add(&row).seen, DV_SEEN_IDENTICAL);
    assert_int_equal(ask("SELECT count(*) FROM studies"), 1);
    assert_int_equal(ask("SELECT count(*) FROM origins WHERE received_study_uid = '1.2.77'"), 1);
}

static void absent_fields_are_empty_and_missing_uids_are_refused(void **state)
{
    (void)state;
    dv_instance row = {.received_sop_uid = DV_TEXT("1.1"),
                       .received_study_uid = DV_TEXT("1.2"),
                       .received_series_uid = DV_TEXT("1.3"),
                       .sop_uid = DV_TEXT("1.1"),
                       .study_uid = DV_TEXT("1.2"),
                       .series_uid = DV_TEXT("1.3"),
                       .received_hash = hash_a,
                       .header_hash = hash_a,
                       .body_hash = hash_a};
    assert_int_equal(add(&row).seen, DV_SEEN_NEW);
    assert_int_equal(ask("SELECT count(*) FROM studies WHERE patient_id = '' AND modalities = ''"), 1);
    row.received_sop_uid = DV_TEXT("");
    adding a = {.row = &row};
    assert_false(dv_catalog_write(cat, false, add_work, &a, &err));
    assert_int_equal(err.code, DV_ERR_VALUE);
}

static void edits_and_findings_are_kept_in_order(void **state)
{
    (void)state;
    dv_audit_edit second = {.path = DV_TEXT("PatientName"),
                            .before = DV_TEXT("x"),
                            .stage = DV_TEXT("mapping"),
                            .rule = DV_TEXT("mapping/b"),
                            .kind = DV_TEXT("removed")};
    dv_audit_edit first = {.path = DV_TEXT("PatientSex"),
                           .before = DV_TEXT("m"),
                           .after = DV_TEXT("M"),
                           .stage = DV_TEXT("validation"),
                           .rule = DV_TEXT("validation/a"),
                           .kind = DV_TEXT("changed"),
                           .next = &second};
    dv_audit_finding flag = {.kind = DV_TEXT("flag"),
                             .rule = DV_TEXT("validation/c"),
                             .path = DV_TEXT("StudyDate"),
                             .message = DV_TEXT("in the future")};
    dv_instance row = instance(1, 1, 1);
    row.edits = &first;
    row.findings = &flag;
    add(&row);
    assert_int_equal(ask("SELECT count(*) FROM edits"), 2);
    assert_int_equal(
        ask("SELECT count(*) FROM edits WHERE position = 1 AND path = 'PatientSex' AND before = 'm' AND after = 'M'"),
        1);
    assert_int_equal(ask("SELECT count(*) FROM edits WHERE position = 2 AND after IS NULL AND kind = 'removed'"), 1);
    assert_int_equal(ask("SELECT count(*) FROM findings WHERE message = 'in the future'"), 1);
    assert_int_equal(ask("SELECT finding_count FROM studies"), 1);
}

static void the_quick_answer_agrees_with_the_arbiter(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    add(&row);
    dv_db *db = dv_catalog_reader(cat, &err);
    dv_seen seen;
    assert_true(dv_catalog_seen(db, row.received_sop_uid, hash_a, hash_c, (dv_text){0}, &seen, &err));
    assert_int_equal(seen, DV_SEEN_IDENTICAL);
    assert_true(dv_catalog_seen(db, row.received_sop_uid, hash_b, hash_c, (dv_text){0}, &seen, &err));
    assert_int_equal(seen, DV_SEEN_HEADER);
    assert_true(dv_catalog_seen(db, row.received_sop_uid, hash_a, hash_a, (dv_text){0}, &seen, &err));
    assert_int_equal(seen, DV_SEEN_CONFLICT);
    assert_true(dv_catalog_seen(db, DV_TEXT("9.9"), hash_a, hash_a, (dv_text){0}, &seen, &err));
    assert_int_equal(seen, DV_SEEN_NEW);
}

/* ---- quarantine ---- */

typedef struct keeping {
    const dv_quarantined *row;
    int64_t id;
    bool duplicate;
} keeping;

static bool keep_work(dv_db *db, void *user, dv_error *e)
{
    keeping *k = user;
    return dv_catalog_add_quarantined(db, k->row, &k->id, &k->duplicate, e);
}

/* A recovery that runs beside, or a commit whose answer was lost: who comes second must not throw the one object away. */
static void an_object_whose_row_is_there_already_is_not_its_own_duplicate(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    int64_t first = add(&row).id;
    adding again = add(&row);
    assert_int_equal(again.seen, DV_SEEN_NEW);
    assert_int_equal(again.id, first);
    assert_int_equal(ask("SELECT count(*) FROM instances WHERE repeats = 0"), 1);
    assert_int_equal(ask("SELECT value FROM counters WHERE name = 'instances'"), 1);
}

static keeping keep(const dv_quarantined *row)
{
    keeping k = {.row = row};
    if (!dv_catalog_write(cat, false, keep_work, &k, &err))
        fail_msg("%s", err.message);
    return k;
}

static bool remove_work(dv_db *db, void *user, dv_error *e)
{
    return dv_catalog_remove_quarantined(db, *(int64_t *)user, e);
}

static void what_is_rejected_twice_for_one_reason_is_one_row(void **state)
{
    (void)state;
    dv_audit_finding flag = {.kind = DV_TEXT("flag"), .rule = DV_TEXT("validation/c"), .message = DV_TEXT("a \"b\"")};
    dv_quarantined row = {.state = DV_TEXT("rejected"),
                          .reason = DV_TEXT("no patient"),
                          .stage = DV_TEXT("validation"),
                          .rule = DV_TEXT("validation/x"),
                          .received_sop_uid = DV_TEXT("1.5"),
                          .body_hash = hash_a,
                          .received_hash = hash_b,
                          .path = DV_TEXT("quarantine/x.dcm"),
                          .received_at = 7,
                          .findings = &flag};
    keeping first = keep(&row);
    assert_false(first.duplicate);
    row.received_at = 9;
    row.path = DV_TEXT("quarantine/y.dcm");
    keeping again = keep(&row);
    assert_true(again.duplicate);
    assert_int_equal(again.id, first.id);
    assert_int_equal(ask("SELECT count(*) FROM quarantine WHERE repeats = 1 AND first_at = 7 AND last_at = 9"), 1);
    assert_int_equal(
        ask("SELECT count(*) FROM quarantine WHERE findings ="
            " '[{\"kind\":\"flag\",\"rule\":\"validation/c\",\"path\":\"\",\"message\":\"a \\\"b\\\"\"}]'"),
        1);
    row.path = DV_TEXT("quarantine/x.dcm");
    assert_false(keep(&row).duplicate); /* its own */
    row.rule = DV_TEXT("validation/y");
    assert_false(keep(&row).duplicate);
    row.state = DV_TEXT("held");
    assert_false(keep(&row).duplicate);
    row.body_hash = hash_c;
    assert_false(keep(&row).duplicate);
    dv_totals t;
    assert_true(dv_query_totals(dv_catalog_reader(cat, &err), &t, &err));
    assert_int_equal(t.rejected, 2);
    assert_int_equal(t.held, 2);
    assert_int_equal(t.excluded + t.unreadable, 0);
    assert_true(dv_catalog_write(cat, false, remove_work, &first.id, &err));
    assert_false(dv_catalog_write(cat, false, remove_work, &first.id, &err));
    assert_int_equal(err.code, DV_ERR_NOT_FOUND);
    assert_true(dv_query_totals(dv_catalog_reader(cat, &err), &t, &err));
    assert_int_equal(t.rejected, 1);
}

static void what_cannot_be_read_is_always_kept(void **state)
{
    (void)state;
    dv_quarantined row = {
        .state = DV_TEXT("unreadable"), .reason = DV_TEXT("nesting"), .path = DV_TEXT("quarantine/y.dcm")};
    keep(&row);
    assert_false(keep(&row).duplicate);
    row.state = DV_TEXT("lost");
    keeping k = {.row = &row};
    assert_false(dv_catalog_write(cat, false, keep_work, &k, &err));
    assert_int_equal(ask("SELECT count(*) FROM quarantine"), 2);
}

/* ---- many threads, and the rate when asked ---- */

static int threads_each = 100;

static void *add_many(void *user)
{
    int study = *(int *)user;
    for (int i = 0; i < threads_each; i++) {
        char sop[40], uid[24], series[24], pid[16];
        snprintf(uid, sizeof uid, "1.7.%d", study + i / 50 * 10);
        snprintf(series, sizeof series, "1.7.%d.%d", study + i / 50 * 10, i % 2);
        snprintf(sop, sizeof sop, "%s.%d", series, i);
        snprintf(pid, sizeof pid, "P%d", study);
        dv_instance row = {.received_sop_uid = dv_text_of(sop),
                           .received_study_uid = dv_text_of(uid),
                           .received_series_uid = dv_text_of(series),
                           .sop_uid = dv_text_of(sop),
                           .study_uid = dv_text_of(uid),
                           .series_uid = dv_text_of(series),
                           .patient_id = dv_text_of(pid),
                           .modality = DV_TEXT("CT"),
                           .path = DV_TEXT("objects/2024/01/31/101/1.7/1.7.1.1.0011223344556677.dcm"),
                           .bytes = 500,
                           .received_hash = hash_a,
                           .header_hash = hash_b,
                           .body_hash = hash_c,
                           .source = DV_TEXT("GE")};
        adding a = {.row = &row};
        dv_error e;
        if (!dv_catalog_write(cat, false, add_work, &a, &e) || a.seen != DV_SEEN_NEW)
            return (void *)1;
    }
    return NULL;
}

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void counts_are_right_under_four_threads(void **state)
{
    (void)state;
    const char *bench = getenv("DROVER_BENCH");
    threads_each = bench ? 2500 : 100;
    pthread_t threads[4];
    int numbers[4] = {1, 2, 3, 4};
    int64_t start = dv_mono_ns(), cpu = cpu_us();
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add_many, &numbers[i]);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    int64_t total = 4 * threads_each, us = (dv_mono_ns() - start) / 1000, groups, members;
    dv_catalog_groups(cat, &groups, &members);
    if (bench)
        print_message("%lld adds by 4 threads: %.0f/s, %.1f us of CPU each, %.1f in a group\n", (long long)total,
                      1e6 * (double)total / (double)us, (double)(cpu_us() - cpu) / (double)total,
                      (double)members / (double)groups);
    dv_totals t;
    assert_true(dv_query_totals(dv_catalog_reader(cat, &err), &t, &err));
    assert_int_equal(t.instances, total);
    assert_int_equal(t.instances, ask("SELECT count(*) FROM instances"));
    assert_int_equal(t.series, ask("SELECT count(*) FROM series"));
    assert_int_equal(t.studies, ask("SELECT count(*) FROM studies"));
    assert_int_equal(t.patients, 4);
    assert_int_equal(t.instances, ask("SELECT SUM(instance_count) FROM studies"));
    assert_int_equal(t.series, ask("SELECT SUM(series_count) FROM studies"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_catalog, close_catalog)
    const struct CMUnitTest tests[] = {
        T(the_first_instance_makes_every_level_and_counts_it),
        T(the_same_again_is_identical_and_counted),
        T(another_header_another_body_another_study_are_told_apart),
        T(a_study_of_another_patient_is_a_conflict_that_adds_nothing),
        T(studies_that_a_rule_merges_keep_where_they_came_from),
        T(absent_fields_are_empty_and_missing_uids_are_refused),
        T(edits_and_findings_are_kept_in_order),
        T(the_quick_answer_agrees_with_the_arbiter),
        T(an_object_whose_row_is_there_already_is_not_its_own_duplicate),
        T(what_is_rejected_twice_for_one_reason_is_one_row),
        T(what_cannot_be_read_is_always_kept),
        T(counts_are_right_under_four_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
