/* catalog/versions.c: what came again takes the place of what was, or stands beside it, and all counts stay right. */
#include "catalog_fixture.h"

#include "catalog/query.h"
#include "catalog/versions.h"

static const char new_path[] = "objects/2024/01/31/103/x/z.dcm";

typedef struct step {
    const dv_instance *row;
    dv_standing standing;
    dv_replaced replaced;
    int64_t id;
    bool known;
} step;

static bool replace_work(dv_db *db, void *user, dv_error *e)
{
    step *s = user;
    return dv_catalog_stands(db, s->row, &s->standing, e) &&
           dv_catalog_replace(db, s->row, &s->standing, 1700000000000009, &s->replaced, e);
}

static bool beside_work(dv_db *db, void *user, dv_error *e)
{
    step *s = user;
    return dv_catalog_add_version(db, s->row, DV_SEEN_HEADER, 1700000000000009, true, &s->id, &s->known, e);
}

static step run(bool (*work)(dv_db *, void *, dv_error *), const dv_instance *row)
{
    step s = {.row = row};
    if (!dv_catalog_write(cat, false, work, &s, &err))
        fail_msg("%s", err.message);
    return s;
}

/* What the counters say is what the tables hold. */
static void assert_counts_are_right(void)
{
    dv_totals t;
    assert_true(dv_query_totals(dv_catalog_reader(cat, &err), &t, &err));
    assert_int_equal(t.patients, ask("SELECT count(*) FROM patients"));
    assert_int_equal(t.studies, ask("SELECT count(*) FROM studies"));
    assert_int_equal(t.series, ask("SELECT count(*) FROM series"));
    assert_int_equal(t.instances, ask("SELECT count(*) FROM instances"));
    assert_int_equal(t.bytes, ask("SELECT SUM(bytes) FROM instances"));
    assert_int_equal(ask("SELECT coalesce(SUM(value), 0) FROM counters WHERE name = 'versions'"), ask("SELECT count(*) FROM versions"));
    assert_int_equal(ask("SELECT count(*) FROM studies s WHERE s.instance_count <> (SELECT count(*) FROM instances i JOIN "
                         "series e ON e.id = i.series WHERE e.study = s.id) OR s.series_count <> (SELECT count(*) FROM "
                         "series e WHERE e.study = s.id) OR s.bytes <> (SELECT SUM(i.bytes) FROM instances i JOIN "
                         "series e ON e.id = i.series WHERE e.study = s.id) OR s.finding_count <> (SELECT count(*) FROM "
                         "findings f JOIN instances i ON i.id = f.instance JOIN series e ON e.id = i.series WHERE "
                         "e.study = s.id)"),
                     0);
    assert_int_equal(ask("SELECT count(*) FROM series e WHERE e.instance_count <> (SELECT count(*) FROM instances i WHERE "
                         "i.series = e.id)"),
                     0);
}

static void a_changed_header_takes_the_place_and_the_old_row_is_a_version(void **state)
{
    (void)state;
    dv_audit_edit edit = {.path = DV_TEXT("PatientSex"), .kind = DV_TEXT("changed"), .stage = DV_TEXT("mapping"), .rule = DV_TEXT("mapping/x")};
    dv_audit_finding finding = {.kind = DV_TEXT("flag"), .rule = DV_TEXT("validation/y"), .message = DV_TEXT("odd")};
    dv_instance row = instance(1, 1, 1);
    row.edits = &edit;
    row.findings = &finding;
    int64_t id = add(&row).id;
    row.edits = NULL;
    row.findings = NULL;
    row.received_hash = hash_b;
    row.patient_name = DV_TEXT("Corrected^Name");
    row.accession = DV_TEXT("ACC9");
    row.path = dv_text_of(new_path);
    row.bytes = 1500;
    step s = run(replace_work, &row);
    assert_true(s.replaced.done);
    assert_int_equal(s.standing.seen, DV_SEEN_HEADER);
    assert_int_equal(s.replaced.number, 2);
    assert_int_equal(ask("SELECT count(*) FROM instances WHERE version = 2 AND bytes = 1500"), 1);
    assert_int_equal(ask("SELECT id FROM instances"), id); /* whoever holds it finds the one in force */
    assert_int_equal(ask("SELECT count(*) FROM versions WHERE number = 1 AND replaced_by = 2 AND settled = 0 AND class = "
                         "'header changed'"),
                     1);
    assert_int_equal(ask("SELECT count(*) FROM edits e JOIN versions v ON e.instance = -v.id"), 1);
    assert_int_equal(ask("SELECT count(*) FROM findings f JOIN versions v ON f.instance = -v.id"), 1);
    assert_int_equal(ask("SELECT count(*) FROM studies WHERE name_key = 'corrected name' AND accession = 'ACC9'"), 1);
    assert_int_equal(ask("SELECT count(*) FROM patients WHERE name_key = 'corrected name'"), 1);
    assert_counts_are_right();
    /* And the same again is known. */
    row.path = DV_TEXT("objects/2024/01/31/104/x/z.dcm");
    assert_int_equal(add(&row).seen, DV_SEEN_IDENTICAL);
}

static void what_moved_meanwhile_is_not_replaced(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    add(&row);
    row.received_hash = hash_b;
    step s = {.row = &row};
    s.standing.id = 1;
    snprintf(s.standing.path, sizeof s.standing.path, "objects/another");
    dv_db *db = dv_db_open(path, DV_DB_WRITE, &err);
    assert_non_null(db);
    assert_true(dv_db_begin(db, false, &err) && dv_catalog_replace(db, &row, &s.standing, 1, &s.replaced, &err));
    assert_false(s.replaced.done);
    dv_db_rollback(db);
    dv_db_close(db);
    assert_int_equal(ask("SELECT count(*) FROM versions"), 0);
}

static void another_transfer_syntax_is_re_encoded_and_another_patient_a_conflict(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    add(&row);
    row.transfer_syntax = DV_TEXT("1.2.840.10008.1.2.4.70");
    row.received_hash = hash_b;
    row.body_hash = hash_a;
    assert_int_equal(add(&row).seen, DV_SEEN_RECODED);
    row.received_patient_id = DV_TEXT("OTHER");
    adding a = add(&row);
    assert_int_equal(a.seen, DV_SEEN_CONFLICT);
    assert_non_null(strstr(a.why, "another patient"));
}

/* The source had filed it in the wrong study; a person takes the newcomer. */
static void an_instance_that_is_taken_from_another_study_leaves_nothing_empty_behind(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    add(&row);
    row = instance(2, 1, 1);
    row.received_sop_uid = row.sop_uid = DV_TEXT("1.2.1.1.1");
    row.received_hash = hash_b;
    row.modality = DV_TEXT("MR");
    row.clash = DV_CLASH_TAKE;
    row.path = dv_text_of(new_path);
    step s = run(replace_work, &row);
    assert_true(s.replaced.done);
    assert_int_equal(s.standing.seen, DV_SEEN_CONFLICT);
    assert_int_equal(ask("SELECT count(*) FROM studies"), 1);
    assert_int_equal(ask("SELECT count(*) FROM studies WHERE study_uid = '1.2.2' AND modalities = 'MR'"), 1);
    assert_int_equal(ask("SELECT count(*) FROM patients WHERE patient_id = 'P2'"), 1);
    assert_int_equal(ask("SELECT count(*) FROM study_modalities"), 1);
    assert_counts_are_right();
}

static void a_study_that_a_person_gives_to_another_patient_goes_there(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    add(&row);
    row = instance(1, 1, 2);
    row.patient_id = row.received_patient_id = DV_TEXT("MERGED");
    assert_int_equal(add(&row).seen, DV_SEEN_CONFLICT);
    row.clash = DV_CLASH_TAKE;
    assert_int_equal(add(&row).seen, DV_SEEN_NEW);
    assert_int_equal(ask("SELECT count(*) FROM patients WHERE patient_id = 'MERGED'"), 1);
    assert_int_equal(ask("SELECT count(*) FROM studies WHERE patient_key = 'merged' AND instance_count = 2"), 1);
    assert_counts_are_right();
    /* The one that stood there comes again for the patient it has now. */
    row = instance(1, 1, 1);
    row.patient_id = row.received_patient_id = DV_TEXT("MERGED");
    row.received_hash = hash_b;
    row.clash = DV_CLASH_TAKE;
    row.path = dv_text_of(new_path);
    assert_true(run(replace_work, &row).replaced.done);
    assert_counts_are_right();
}

static void a_newcomer_beside_the_first_is_counted_when_it_comes_again(void **state)
{
    (void)state;
    dv_instance row = instance(1, 1, 1);
    add(&row);
    row.received_hash = hash_b;
    row.received_at++;
    row.path = DV_TEXT("versions/2024/01/31/103/x/z.dcm");
    step s = run(beside_work, &row);
    assert_false(s.known);
    assert_false(run(beside_work, &row).known); /* its own file: nothing is needless */
    row.path = DV_TEXT("versions/2024/01/31/104/x/z.dcm");
    assert_true(run(beside_work, &row).known);
    assert_int_equal(ask("SELECT count(*) FROM versions WHERE number = 2 AND replaced_by = 0 AND settled = 1 AND repeats = 1"), 1);
    assert_int_equal(ask("SELECT version FROM instances"), 1);
    /* One that is older than what is in force was replaced by it: so it is told when the catalog is made again. */
    row.received_hash = hash_c;
    row.received_at -= 10;
    run(beside_work, &row);
    assert_int_equal(ask("SELECT count(*) FROM versions WHERE number = 1 AND replaced_by = 3"), 1);
    assert_int_equal(ask("SELECT version FROM instances"), 3);
    assert_counts_are_right();
}

static bool remove_work(dv_db *db, void *user, dv_error *e)
{
    return dv_catalog_remove_version(db, *(int64_t *)user, e);
}

static void a_version_that_is_removed_takes_its_audit_along(void **state)
{
    (void)state;
    dv_audit_finding finding = {.kind = DV_TEXT("flag"), .rule = DV_TEXT("validation/y"), .message = DV_TEXT("odd")};
    dv_instance row = instance(1, 1, 1);
    row.findings = &finding;
    add(&row);
    row.received_hash = hash_b;
    row.path = dv_text_of(new_path);
    int64_t id = run(replace_work, &row).replaced.version;
    assert_true(dv_catalog_write(cat, false, remove_work, &id, &err));
    assert_int_equal(ask("SELECT count(*) FROM versions"), 0);
    assert_int_equal(ask("SELECT count(*) FROM findings WHERE instance < 0"), 0);
    assert_counts_are_right();
    assert_true(dv_catalog_write(cat, false, remove_work, &id, &err)); /* again: nothing, and nothing is counted */
    assert_counts_are_right();
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, open_catalog, close_catalog)
    const struct CMUnitTest tests[] = {
        CASE(a_changed_header_takes_the_place_and_the_old_row_is_a_version),
        CASE(what_moved_meanwhile_is_not_replaced),
        CASE(another_transfer_syntax_is_re_encoded_and_another_patient_a_conflict),
        CASE(an_instance_that_is_taken_from_another_study_leaves_nothing_empty_behind),
        CASE(a_study_that_a_person_gives_to_another_patient_goes_there),
        CASE(a_newcomer_beside_the_first_is_counted_when_it_comes_again),
        CASE(a_version_that_is_removed_takes_its_audit_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
