/* Studies by every key, paging, and that each search goes by an index. */
#include "catalog/catalog_fixture.h"
#include "catalog/query_internal.h"

/* A patient a study: name, patient ID, accession (as received, when another), date, modality. */
static void fill(void)
{
    static const struct {
        const char *name, *id, *received_id, *accession, *date, *modality, *source;
    } rows[] = {
        {"M\xc3\xbcller^Hans", "N-1", "1", "A100", "20240131", "CT", "GE"},
        {"MUELLER^Eva", "N-2", "2", "A101", "20230630", "MR", "GE"},
        {"Muller^Zo\xc3\xab", "N-3", "3", "B100", "20200101", "CT", "PHILIPS"},
        {"100%_safe^X", "N_4", "4", "100%", "", "US", "GE"},
        {"Yamada^Tarou=\xe5\xb1\xb1\xe7\x94\xb0^\xe5\xa4\xaa\xe9\x83\x8e", "N-5", "5", "C1", "20240201", "CR", "GE"}};
    for (int i = 0; i < 5; i++) {
        dv_instance row = instance(i + 1, 1, 1);
        row.patient_name = dv_text_of(rows[i].name);
        row.patient_id = dv_text_of(rows[i].id);
        row.received_patient_id = dv_text_of(rows[i].received_id);
        row.accession = row.received_accession = dv_text_of(rows[i].accession);
        row.study_date = dv_text_of(rows[i].date);
        row.modality = dv_text_of(rows[i].modality);
        row.source = dv_text_of(rows[i].source);
        dv_audit_finding flag = {.kind = DV_TEXT("flag"), .message = DV_TEXT("odd")};
        if (i == 2)
            row.findings = &flag;
        add(&row);
        row = instance(i + 1, 2, 1);
        row.patient_id = dv_text_of(rows[i].id);
        row.modality = DV_TEXT("SR");
        row.received_study_uid = i == 4 ? DV_TEXT("1.2.500") : row.received_study_uid;
        add(&row);
    }
}

typedef struct found {
    char uids[200];
    int count, stop;
    int64_t last;
} found;

static bool gather(void *user, const dv_study_row *row)
{
    found *f = user;
    size_t n = strlen(f->uids);
    snprintf(f->uids + n, sizeof f->uids - n, "%s%.*s", n ? " " : "", DV_ARG(row->study_uid));
    f->last = row->id;
    return ++f->count != f->stop;
}

static void check(dv_study_query q, const char *wanted)
{
    found f = {0};
    if (!dv_query_studies(dv_catalog_reader(cat, &err), &q, gather, &f, &err))
        fail_msg("%s", err.message);
    assert_string_equal(f.uids, wanted);
}

#define BY(field, value)                                                                                               \
    (dv_study_query)                                                                                                   \
    {                                                                                                                  \
        .field = dv_text_of(value)                                                                                     \
    }

static void studies_are_found_by_every_key_newest_first(void **state)
{
    (void)state;
    fill();
    check((dv_study_query){0}, "1.2.5 1.2.4 1.2.3 1.2.2 1.2.1");
    check(BY(patient_id, "n-2"), "1.2.2");
    check(BY(patient_id, "2"), "1.2.2"); /* as received */
    check(BY(patient_id, "N-*"), "1.2.5 1.2.3 1.2.2 1.2.1");
    check(BY(patient_name, "muller*"), "1.2.3 1.2.1");
    check(BY(patient_name, "M\xc3\x9cLLER^HANS"), "1.2.1");
    check(BY(patient_name, "m?ller*"), "1.2.3 1.2.1");
    check(BY(patient_name, "*zoe"), "1.2.3");
    check(BY(patient_name, "*\xe5\xb1\xb1\xe7\x94\xb0*"), "1.2.5");
    check(BY(patient_name, "muller"), "");
    check(BY(accession, "a10?"), "1.2.2 1.2.1");
    check(BY(accession, "*100"), "1.2.3 1.2.1");
    check(BY(study_date, "20240131"), "1.2.1");
    check(BY(study_date, "20230101-20241231"), "1.2.5 1.2.2 1.2.1");
    check(BY(study_date, "20240101-"), "1.2.5 1.2.1");
    check(BY(study_date, "-20230630"), "1.2.3 1.2.2"); /* no date is no early date */
    check(BY(modality, "CT"), "1.2.3 1.2.1");
    check(BY(modality, "SR"), "1.2.5 1.2.4 1.2.3 1.2.2 1.2.1");
    check(BY(study_uid, "1.2.4"), "1.2.4");
    check(BY(source, "PHILIPS"), "1.2.3");
    check((dv_study_query){.flagged = true}, "1.2.3");
    check((dv_study_query){.patient_name = DV_TEXT("m*"),
                           .modality = DV_TEXT("MR"),
                           .study_date = DV_TEXT("2023"
                                                 "0101-")},
          "1.2.2");
    check(BY(patient_id, "*"), "1.2.5 1.2.4 1.2.3 1.2.2 1.2.1");
}

static void what_like_takes_for_wildcards_is_plain_text(void **state)
{
    (void)state;
    fill();
    check(BY(patient_name, "100%_s*"), "1.2.4");
    check(BY(accession, "?00%"), "1.2.4");
    check(BY(accession, "%"), "");
    check(BY(patient_id, "N_*"), "1.2.4");
    check(BY(patient_id, "?_?"), "1.2.4");
    check(BY(accession, "'; DROP TABLE studies; --"), "");
    check(BY(patient_name, "\\*"), "");
}

static void a_page_begins_behind_the_one_before(void **state)
{
    (void)state;
    fill();
    check((dv_study_query){.limit = 2}, "1.2.5 1.2.4");
    found f = {0};
    dv_study_query q = {.limit = 2};
    assert_true(dv_query_studies(dv_catalog_reader(cat, &err), &q, gather, &f, &err));
    q.after = f.last;
    check(q, "1.2.3 1.2.2");
    q.patient_name = DV_TEXT("m*");
    q.modality = DV_TEXT("CT");
    check(q, "1.2.3 1.2.1");
    f = (found){.stop = 1};
    q = (dv_study_query){0};
    assert_true(dv_query_studies(dv_catalog_reader(cat, &err), &q, gather, &f, &err));
    assert_int_equal(f.count, 1);
}

static void a_date_that_is_none_is_named(void **state)
{
    (void)state;
    static const char *const wrong[] = {"2024",    "31.01.2024", "20240101-2024", "-", "20240101-20240201-20240301",
                                        "2024010a"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        dv_study_query q = BY(study_date, wrong[i]);
        found f = {0};
        assert_false(dv_query_studies(dv_catalog_reader(cat, &err), &q, gather, &f, &err));
        assert_int_equal(err.code, DV_ERR_VALUE);
        assert_non_null(strstr(err.message, wrong[i]));
    }
}

/* ---- every search goes by an index ---- */

static const char *scan(void)
{
    return on_postgres() ? "Seq Scan" : "SCAN";
}

static void plan_of(const char *sql, const dv_value *values, size_t count, char *plan, size_t size)
{
    char text[2048];
    plan[0] = '\0';
    snprintf(text, sizeof text, "%s %s", on_postgres() ? "EXPLAIN (COSTS OFF)" : "EXPLAIN QUERY PLAN", sql);
    if (on_postgres()) /* small tables are read whole where an index would do */
        assert_true(dv_db_script(dv_catalog_reader(cat, &err), "SET enable_seqscan TO off", &err));
    dv_rows *r = dv_db_query_values(dv_catalog_reader(cat, &err), &err, text, values, count);
    if (!r)
        fail_msg("%s", err.message);
    while (dv_rows_next(r)) {
        size_t n = strlen(plan);
        snprintf(plan + n, size - n, "%.*s; ", DV_ARG(dv_rows_text(r, on_postgres() ? 0 : 3)));
    }
    assert_true(dv_rows_close(r, &err));
}

/* Probe NUMBER of Q goes by INDEX, and nothing is sorted. */
static void check_probe(dv_study_query q, int number, const char *index)
{
    char plan[4096];
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_sql sql = {.arena = &arena};
    assert_true(dv_probe_sql(&q, number, &sql, &err));
    assert_true(sql.text.len);
    plan_of(sql.text.at, sql.values, sql.count, plan, sizeof plan);
    if (!strstr(plan, index) || strstr(plan, "TEMP B-TREE") || strstr(plan, "Sort"))
        fail_msg("not by %s: %s\n%s", index, plan, sql.text.at);
    dv_buffer_free(&sql.text);
    dv_arena_free(&arena);
}

static void every_key_has_its_index(void **state)
{
    (void)state;
    check_probe(BY(study_uid, "1.2"), 0, on_postgres() ? "studies_study_uid_key" : "study_uid=?");
    check_probe(BY(study_uid, "1.2"), 1, "studies_received");
    check_probe(BY(accession, "a1"), 2, "studies_accession_key");
    check_probe(BY(accession, "a*"), 3, "studies_received_accession_key");
    check_probe(BY(patient_id, "p?1*"), 4, "studies_patient_key");
    check_probe(BY(patient_id, "p1"), 5, "studies_received_patient_key");
    check_probe(BY(patient_name, "muller*"), 6, "studies_name_key");
    check_probe(BY(study_date, "20240101"), 7, "studies_date");
    check_probe(BY(study_date, "20240101-"), 7, "studies_date");
    check_probe((dv_study_query){.flagged = true}, 8, "studies_flagged");
    check_probe(BY(modality, "CT"), 9, on_postgres() ? "study_modalities_pkey" : "modality=?");
}

/* Whatever is asked, the ids choose the way, and give the order. */
static void a_part_is_read_by_its_ids_alone(void **state)
{
    (void)state;
    static const int64_t ids[] = {9, 5, 3};
    const dv_study_part parts[] = {{.ids = ids, .count = 3}, {.low = 100, .high = 200}};
    dv_study_query q = {.patient_id = DV_TEXT("p1"),      .patient_name = DV_TEXT("muller*"), .accession = DV_TEXT("a"),
                        .study_date = DV_TEXT("2024"
                                              "0101-"),
                        .modality = DV_TEXT("CT"),        .study_uid = DV_TEXT("1.2"),        .source = DV_TEXT("GE"),
                        .flagged = true};
    for (int i = 0; i < 2; i++) {
        char plan[4096];
        dv_arena arena;
        dv_arena_init(&arena, 0);
        dv_sql sql = {.arena = &arena};
        assert_true(dv_study_sql(&q, &parts[i], 10, &sql, &err));
        plan_of(sql.text.at, sql.values, sql.count, plan, sizeof plan);
        if (!strstr(plan, on_postgres() ? "studies_pkey" : "PRIMARY KEY (rowid") || strstr(plan, scan()) ||
            strstr(plan, "studies_name") || strstr(plan, "studies_patient") || strstr(plan, "TEMP B-TREE"))
            fail_msg("%s\n%s", plan, sql.text.at);
        dv_buffer_free(&sql.text);
        dv_arena_free(&arena);
    }
}

/* ---- instances ---- */

typedef struct listed {
    char uids[400];
    int count;
} listed;

static bool list(void *user, const dv_instance_row *row)
{
    listed *l = user;
    size_t n = strlen(l->uids);
    snprintf(l->uids + n, sizeof l->uids - n, "%s%.*s", n ? " " : "", DV_ARG(row->sop_uid));
    assert_int_equal(row->body_hash.len, 32);
    assert_true(row->series_id && row->study_id && row->study_uid.len && row->received_study_uid.len && row->path.len);
    l->count++;
    return true;
}

static void check_instances(const char *uid, const char *wanted)
{
    listed l = {0};
    assert_true(dv_query_instances(dv_catalog_reader(cat, &err), dv_text_of(uid), 0, list, &l, &err));
    assert_string_equal(l.uids, wanted);
}

static void instances_are_found_by_uids_of_each_level_stored_or_received(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    row.received_sop_uid = DV_TEXT("9.1.1.1");
    row.received_series_uid = DV_TEXT("9.1.1");
    row.received_study_uid = DV_TEXT("9.1");
    add(&row);
    row = instance(1, 2, 1);
    add(&row);
    row = instance(2, 1, 1);
    add(&row);
    check_instances("1.2.1.1.1", "1.2.1.1.1");
    check_instances("9.1.1.1", "1.2.1.1.1");
    check_instances("9.1.1", "1.2.1.1.1");
    check_instances("9.1", "1.2.1.1.1");
    check_instances("1.2.1.2", "1.2.1.2.1");
    check_instances("1.2.1", "1.2.1.1.1 1.2.1.2.1");
    check_instances("", "1.2.1.1.1 1.2.1.2.1 1.2.2.1.1");
    check_instances("7.7", "");
}

static void more_than_a_page_of_instances_comes_whole_and_once(void **state)
{
    (void)state;
    for (int i = 0; i < 600; i++) {
        dv_instance row = instance(1, 1, i);
        add(&row);
    }
    listed l = {0};
    assert_true(dv_query_instances(dv_catalog_reader(cat, &err), DV_TEXT("1.2.1"), 0, list, &l, &err));
    assert_int_equal(l.count, 600);
    l.count = 0;
    assert_true(dv_query_instances(dv_catalog_reader(cat, &err), DV_TEXT(""), 0, list, &l, &err));
    assert_int_equal(l.count, 600);
}

static void an_instance_is_searched_by_indexes_only(void **state)
{
    (void)state;
    char plan[8192];
    dv_value v[] = {{.type = 't', .t = DV_TEXT("1.2")}, {.type = 'i'}, {.type = 'i', .i = 10}};
    /* the text of query.c, shortened to what chooses the way */
    plan_of("SELECT i.id FROM instances i JOIN series se ON se.id = i.series JOIN studies st ON st.id = se.study JOIN "
            "origins o ON o.id = i.origin"
            " WHERE +i.id > $2 AND " DV_INSTANCE_BY_UID
            " ORDER BY +i.id LIMIT $3",
            v, 3, plan, sizeof plan);
    if (strstr(plan, scan()) || !strstr(plan, "instances_sop") || !strstr(plan, "instances_received") ||
        !strstr(plan, "instances_series") || !strstr(plan, "instances_origin"))
        fail_msg("%s", plan);
}

static bool count_pair(void *user, dv_text series, dv_text sop)
{
    assert_true(series.len && sop.len);
    return ++*(int *)user < 100;
}

static void a_study_as_received_is_listed_even_when_rules_merged_it(void **state)
{
    (void)state;
    fill();
    int n = 0;
    assert_true(dv_query_received_study(dv_catalog_reader(cat, &err), DV_TEXT("1.2.1"), count_pair, &n, &err));
    assert_int_equal(n, 2);
    n = 0;
    assert_true(dv_query_received_study(dv_catalog_reader(cat, &err), DV_TEXT("1.2.500"), count_pair, &n, &err));
    assert_int_equal(n, 1);
    n = 0;
    assert_true(dv_query_received_study(dv_catalog_reader(cat, &err), DV_TEXT("1.2.501"), count_pair, &n, &err));
    assert_int_equal(n, 0);
}

/* ---- audit and quarantine ---- */

static bool see_edit(void *user, const dv_audit_edit *e)
{
    int *n = user;
    if (++*n == 1) {
        assert_true(dv_text_is(e->path, "PatientSex") && dv_text_is(e->after, "M"));
        assert_null(e->before.at);
    }
    return true;
}

static bool see_finding(void *user, const dv_audit_finding *f)
{
    ++*(int *)user;
    assert_true(dv_text_is(f->message, "odd"));
    return true;
}

static void edits_and_findings_come_back(void **state)
{
    (void)state;
    dv_audit_edit b = {.path = DV_TEXT("A"), .kind = DV_TEXT("removed")},
                  a = {.path = DV_TEXT("PatientSex"), .after = DV_TEXT("M"), .next = &b};
    dv_audit_finding f = {.message = DV_TEXT("odd")};
    dv_instance row = instance(1, 1, 1);
    row.edits = &a;
    row.findings = &f;
    int64_t id = add(&row).id;
    int n = 0;
    assert_true(dv_query_edits(dv_catalog_reader(cat, &err), id, see_edit, &n, &err));
    assert_int_equal(n, 2);
    n = 0;
    assert_true(dv_query_findings(dv_catalog_reader(cat, &err), id, see_finding, &n, &err));
    assert_int_equal(n, 1);
}

static bool keep(dv_db *db, void *user, dv_error *e)
{
    int64_t id;
    bool duplicate;
    return dv_catalog_add_quarantined(db, user, &id, &duplicate, e);
}

static bool count_quarantined(void *user, const dv_quarantine_row *row)
{
    assert_true(row->id > 0 && row->path.len);
    ++*(int *)user;
    return true;
}

static int quarantined(dv_quarantine_query q)
{
    int n = 0;
    assert_true(dv_query_quarantine(dv_catalog_reader(cat, &err), &q, count_quarantined, &n, &err));
    return n;
}

static void quarantine_is_listed_by_state_rule_and_study(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        dv_quarantined row = {.state = i % 3 ? DV_TEXT("held") : DV_TEXT("rejected"),
                              .rule = i % 2 ? DV_TEXT("gate/a") : DV_TEXT("gate/b"),
                              .path = DV_TEXT("quarantine/x"),
                              .received_study_uid = DV_TEXT("1.2")};
        assert_true(dv_catalog_write(cat, false, keep, &row, &err));
    }
    assert_int_equal(quarantined((dv_quarantine_query){0}), 300);
    assert_int_equal(quarantined((dv_quarantine_query){.state = DV_TEXT("rejected")}), 100);
    assert_int_equal(quarantined((dv_quarantine_query){.rule = DV_TEXT("gate/a")}), 150);
    assert_int_equal(quarantined((dv_quarantine_query){.received_study_uid = DV_TEXT("1.3")}), 0);
    assert_int_equal(quarantined((dv_quarantine_query){.id = 7}), 1);
    assert_int_equal(quarantined((dv_quarantine_query){.limit = 280}), 280);
    assert_int_equal(quarantined((dv_quarantine_query){.before = 11}), 10);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_catalog, close_catalog)
    const struct CMUnitTest tests[] = {
        T(studies_are_found_by_every_key_newest_first),
        T(what_like_takes_for_wildcards_is_plain_text),
        T(a_page_begins_behind_the_one_before),
        T(a_date_that_is_none_is_named),
        T(every_key_has_its_index),
        T(a_part_is_read_by_its_ids_alone),
        T(instances_are_found_by_uids_of_each_level_stored_or_received),
        T(more_than_a_page_of_instances_comes_whole_and_once),
        T(an_instance_is_searched_by_indexes_only),
        T(a_study_as_received_is_listed_even_when_rules_merged_it),
        T(edits_and_findings_come_back),
        T(quarantine_is_listed_by_state_rule_and_study),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
