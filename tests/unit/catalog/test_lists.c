/* The lists of studies: what they find is what a walk over all rows finds, whatever happened since. */
#include "catalog/catalog_fixture.h"
#include "catalog/lists.h"
#include "catalog/query_internal.h"

enum { STUDIES = 20000 };

/* Names with rare and common parts, dates over ten years and some that are none, a patient of 40 studies, one study in 50 with findings. */
static const char made[] =
    "INSERT INTO studies (patient, study_uid, received_study_uid, patient_id, patient_key, received_patient_id,"
    " received_patient_key, received_issuer, patient_name, name_key, birth_date, sex, accession, accession_key,"
    " received_accession, received_accession_key, study_id, study_date, study_time, description, referring_physician,"
    " modalities, source, series_count, instance_count, bytes, first_received, last_received, generation_first,"
    " generation_last, finding_count)"
    " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    " SELECT 1, '1.2.' || i, '1.9.' || i, 'P', 'p' || (i * 7919 % 100003), 'R', 'r' || (i / 40), '', 'N',"
    " CASE i % 4 WHEN 0 THEN 'smith' WHEN 1 THEN 'jones' WHEN 2 THEN 'иванов' ELSE 'zeta' END || ' ' ||"
    " CASE WHEN i % 4999 = 0 THEN 'xylo' ELSE 'ann' END || (i % 97), '', '', 'A', 'a' || (i * 104729 % 1000003), 'A',"
    " CASE WHEN i % 2 = 0 THEN 'a' || (i * 104729 % 1000003) ELSE 'q' || i END, '',"
    " CASE WHEN i % 501 = 0 THEN '' WHEN i % 503 = 0 THEN '2020' ELSE CAST(20100000 + i * 31 % 10 * 10000 + (1 + i % "
    "12)"
    " * 100 + 1 + i % 28 AS TEXT) END, '', '', '', CASE WHEN i % 100 = 0 THEN 'PT\\CT' ELSE 'CR' END,"
    " CASE WHEN i % 3 = 0 THEN 'ge' ELSE 'philips' END, 1, 1, 1, 1, 1, 1, 1, CASE WHEN i % 50 = 0 THEN 1 ELSE 0 END "
    "FROM n";

static bool make(dv_db *db, void *user, dv_error *e)
{
    (void)user;
    return dv_db_exec(db, e, made, "") &&
           dv_db_exec(db, e,
                      "INSERT INTO study_modalities (modality, study) SELECT 'CR', id FROM studies WHERE modalities = "
                      "'CR' ON CONFLICT DO NOTHING",
                      "") &&
           dv_db_exec(db, e,
                      "INSERT INTO study_modalities (modality, study) SELECT 'CT', id FROM studies WHERE modalities <> "
                      "'CR' ON CONFLICT DO NOTHING",
                      "") &&
           dv_db_exec(db, e,
                      "INSERT INTO study_modalities (modality, study) SELECT 'PT', id FROM studies WHERE modalities <> "
                      "'CR' ON CONFLICT DO NOTHING",
                      "");
}

static void put(bool (*work)(dv_db *db, void *user, dv_error *e), void *user)
{
    if (!dv_catalog_write(cat, false, work, user, &err))
        fail_msg("%s", err.message);
}

static bool run(dv_db *db, void *user, dv_error *e)
{
    return dv_db_exec(db, e, (const char *)user, "");
}

static void sql(const char *text)
{
    put(run, (void *)(uintptr_t)text);
}

static void list_all(void)
{
    for (bool done = false; !done;)
        if (!dv_lists_work(cat, &done, &err) && err.code != DV_ERR_LOCKED) /* autovacuum; the keeper tries again too */
            fail_msg("%s", err.message);
}

static void fill(void)
{
    put(make, NULL);
    list_all();
    assert_int_equal(ask("SELECT count(*) FROM search_chunks WHERE state = 2"), STUDIES / DV_CHUNK);
}

typedef struct ids {
    int64_t id[300];
    int count;
} ids;

static bool gather(void *user, const dv_study_row *row)
{
    ids *f = user;
    f->id[f->count++] = row->id;
    return true;
}

static void search(const dv_study_query *q, ids *found)
{
    found->count = 0;
    if (!dv_query_studies(dv_catalog_reader(cat, &err), q, gather, found, &err))
        fail_msg("%s", err.message);
}

/* The same by one statement over all rows. */
static void walk(const dv_study_query *q, int limit, ids *found)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_sql text = {.arena = &arena};
    dv_study_part all = {.low = 0, .high = q->after ? q->after : INT64_MAX};
    found->count = 0;
    assert_true(dv_study_sql(q, &all, limit, &text, &err));
    dv_rows *r = dv_db_query_values(dv_catalog_reader(cat, &err), &err, text.text.at, text.values, text.count);
    while (dv_rows_next(r))
        found->id[found->count++] = dv_rows_int(r, 0);
    assert_true(dv_rows_close(r, &err));
    dv_buffer_free(&text.text);
    dv_arena_free(&arena);
}

static void same(const dv_study_query *q, const char *what)
{
    ids by_lists, by_walk;
    search(q, &by_lists);
    walk(q, q->limit, &by_walk);
    if (by_lists.count != by_walk.count ||
        memcmp(by_lists.id, by_walk.id, sizeof(int64_t) * (size_t)by_walk.count) != 0)
        fail_msg("%s, after %lld: %d found, %d are there; the first %lld, %lld", what, (long long)q->after,
                 by_lists.count, by_walk.count, (long long)by_lists.id[0], (long long)by_walk.id[0]);
}

#define Q(...)                                                                                                         \
    {                                                                                                                  \
#__VA_ARGS__,                                                                                                  \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
static const struct {
    const char *words;
    dv_study_query q;
} questions[] = {
    Q(.patient_name = DV_TEXT("smith*")),
    Q(.patient_name = DV_TEXT("s*")),
    Q(.patient_name = DV_TEXT("*z*")),
    Q(.patient_name = DV_TEXT("*zz*")),
    Q(.patient_name = DV_TEXT("*th*")),
    Q(.patient_name = DV_TEXT("*xyl*")),
    Q(.patient_name = DV_TEXT("*xylo1?")),
    Q(.patient_name = DV_TEXT("*nn96")),
    Q(.patient_name = DV_TEXT("*6")),
    Q(.patient_name = DV_TEXT("s?ith ann?")),
    Q(.patient_name = DV_TEXT("*mit*nn*7")),
    Q(.patient_name = DV_TEXT("Иван*")),
    Q(.patient_name = DV_TEXT("*ано?*")),
    Q(.patient_name = DV_TEXT("?")),
    Q(.patient_name = DV_TEXT("zeta xylo*")),
    Q(.patient_name = DV_TEXT("*ta xylo*")),
    Q(.patient_id = DV_TEXT("p1*")),
    Q(.patient_id = DV_TEXT("p12*")),
    Q(.patient_id = DV_TEXT("*99*")),
    Q(.patient_id = DV_TEXT("r77")),
    Q(.patient_id = DV_TEXT("?77")),
    Q(.accession = DV_TEXT("a*")),
    Q(.accession = DV_TEXT("q12345")),
    Q(.accession = DV_TEXT("*4567*")),
    Q(.study_date = DV_TEXT("20120101-20151231")),
    Q(.study_date = DV_TEXT("20121115-20130203")),
    Q(.study_date = DV_TEXT("20121115-20121203")),
    Q(.study_date = DV_TEXT("20121103-20121107")),
    Q(.study_date = DV_TEXT("20121115-")),
    Q(.study_date = DV_TEXT("-20121115")),
    Q(.study_date = DV_TEXT("20190704")),
    Q(.study_date = DV_TEXT("20120301-20120331")),
    Q(.study_date = DV_TEXT("20120301-20120330")),
    Q(.study_date = DV_TEXT("20120302-20120331")),
    Q(.study_date = DV_TEXT("20120229-20120430")),
    Q(.study_date = DV_TEXT("20120101-20121231")),
    Q(.study_date = DV_TEXT("20120102-20121231")),
    Q(.study_date = DV_TEXT("20120201-20130131")),
    Q(.study_date = DV_TEXT("20111231-20130101")),
    Q(.study_date = DV_TEXT("20120401-20121130")),
    Q(.study_date = DV_TEXT("20121231-20130101")),
    Q(.study_date = DV_TEXT("20120115-20110115")),
    Q(.study_date = DV_TEXT("20121301-20121399")),
    Q(.study_date = DV_TEXT("00000000-99999999")),
    Q(.modality = DV_TEXT("CT")),
    Q(.modality = DV_TEXT("XA")),
    Q(.source = DV_TEXT("ge")),
    Q(.source = DV_TEXT("nobody")),
    Q(.flagged = true),
    Q(.flagged = true, .patient_name = DV_TEXT("*nn1*"), .source = DV_TEXT("philips")),
    Q(.modality = DV_TEXT("CR"), .patient_name = DV_TEXT("*nn1*"),
      .study_date = DV_TEXT("2015"
                            "0101-20170615")),
    Q(.patient_name = DV_TEXT("s*"), .accession = DV_TEXT("*9*"), .patient_id = DV_TEXT("p*3"),
      .source = DV_TEXT("ge")),
    Q(.study_uid = DV_TEXT("1.9.777")),
    Q(.patient_name = DV_TEXT("*")),
};

static void every_question_is_answered_as_by_a_walk_on_each_page(void **state)
{
    (void)state;
    fill();
    static const int64_t after[] = {0, STUDIES - 100, 16385, 16384, 12000, 8193, 8192, 8191, 300, 2};
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        for (size_t k = 0; k < sizeof after / sizeof *after; k++) {
            dv_study_query q = questions[i].q;
            q.after = after[k];
            q.limit = k == 0 ? 250 : 20;
            same(&q, questions[i].words);
        }
}

static void what_many_match_is_not_walked(void **state)
{
    (void)state;
    fill();
    static const char *const names[] = {"s*", "*ann*", "*z*", "*6"};
    for (size_t i = 0; i < 4; i++) {
        dv_study_query q = {.patient_name = dv_text_of(names[i])};
        dv_arena arena;
        dv_arena_init(&arena, 0);
        dv_parts *p = dv_parts_open(dv_catalog_reader(cat, &err), &q, 16384, &arena, &err);
        assert_non_null(p);
        for (int parts = 0;; parts++) {
            dv_study_part part;
            bool end;
            assert_true(dv_parts_next(p, &part, &end, &err));
            if (end) {
                assert_int_equal(parts, 2);
                break;
            }
            assert_non_null(part.ids);
            assert_in_range(part.count, 1, 8192);
        }
        dv_arena_free(&arena);
    }
}

static bool rename_it(dv_db *db, void *user, dv_error *e)
{
    (void)user;
    return dv_db_exec(db, e, "UPDATE studies SET name_key = 'qwerty', modalities = 'CR\\MG' WHERE id = 77", "") &&
           dv_lists_touch(db, 77, e) && dv_lists_touch(db, STUDIES, e);
}

static void a_study_that_changed_is_found_at_once_and_listed_later(void **state)
{
    (void)state;
    fill();
    dv_study_query q = {.patient_name = DV_TEXT("*wert*"),
                        .source = DV_TEXT("philips"),
                        .study_date = DV_TEXT("1900"
                                              "0101-")};
    ids found;
    put(rename_it, NULL);
    search(&q, &found);
    assert_int_equal(found.count, 1);
    list_all();
    assert_int_equal(ask("SELECT count(*) FROM search_changed"),
                     0); /* nor does it stand there when its chunk is not listed */
    search(&q, &found);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.id[0], 77);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        q = questions[i].q;
        q.limit = 200;
        same(&q, questions[i].words);
    }
}

/* A structured report comes months later. */
static void a_modality_that_comes_late_is_found(void **state)
{
    (void)state;
    dv_instance row = instance(30000, 1, 1);
    add(&row);
    fill();
    row = instance(30000, 2, 1);
    row.modality = DV_TEXT("SR");
    add(&row);
    dv_study_query q = {.modality = DV_TEXT("SR"), .patient_name = DV_TEXT("*ller*"), .source = DV_TEXT("GE_MAIN")};
    for (int i = 0; i < 2; i++) {
        ids found;
        search(&q, &found);
        assert_int_equal(found.count, 1);
        list_all();
    }
}

static void a_chunk_that_a_kill_left_half_listed_is_walked_then_listed(void **state)
{
    (void)state;
    fill();
    sql("UPDATE search_chunks SET state = 1 WHERE chunk = 1");
    sql("DELETE FROM search_lists WHERE id & 1048575 = 1");
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < sizeof questions / sizeof *questions; k++) {
            dv_study_query q = questions[k].q;
            q.limit = 200;
            same(&q, questions[k].words);
        }
        list_all();
        assert_int_equal(ask("SELECT count(*) FROM search_chunks WHERE state = 2"), 2);
    }
}

static bool one_more(dv_db *db, void *user, dv_error *e)
{
    int64_t id = *(int64_t *)user;
    return dv_db_exec(db, e, "DELETE FROM studies WHERE id = $1", "i", id) &&
           dv_db_exec(db, e, "UPDATE studies SET id = $1, name_key = 'late riser' WHERE id = 20000", "i", id) &&
           dv_lists_touch(db, id, e);
}

/* PostgreSQL gives a number before the transaction commits; another host may have listed its chunk meanwhile. */
static void a_study_that_comes_into_a_listed_chunk_is_found(void **state)
{
    (void)state;
    fill();
    int64_t id = 4000;
    put(one_more, &id);
    dv_study_query q = {.patient_name = DV_TEXT("*riser"), .study_date = DV_TEXT("19000101-")};
    for (int i = 0; i < 2; i++) {
        ids found;
        search(&q, &found);
        assert_int_equal(found.count, 1);
        assert_int_equal(found.id[0], 4000);
        list_all();
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_catalog, close_catalog)
    const struct CMUnitTest tests[] = {
        T(every_question_is_answered_as_by_a_walk_on_each_page),
        T(what_many_match_is_not_walked),
        T(a_study_that_changed_is_found_at_once_and_listed_later),
        T(a_modality_that_comes_late_is_found),
        T(a_chunk_that_a_kill_left_half_listed_is_walked_then_listed),
        T(a_study_that_comes_into_a_listed_chunk_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
