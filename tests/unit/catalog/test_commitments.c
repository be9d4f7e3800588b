/* Storage commitment transactions: their way through the states, on both engines. */
#include "catalog/catalog_fixture.h"
#include "catalog/commitments.h"

static dv_commit_instance two[] = {{DV_TEXT("1.2.840.10008.5.1.4.1.1.2"), DV_TEXT("1.2.3"), -1},
                                   {DV_TEXT("1.2.840.10008.5.1.4.1.1.4"), DV_TEXT("1.2.4"), -1}};

static dv_commit_row request(const char *role)
{
    return (dv_commit_row){.role = dv_text_of(role),
                           .transaction = DV_TEXT("9.9.1"),
                           .peer = DV_TEXT("pacs"),
                           .aet = DV_TEXT("PACS"),
                           .called = DV_TEXT("DROVER"),
                           .address = DV_TEXT("10.0.0.1"),
                           .instances = 2};
}

typedef struct step {
    const dv_commit_row *row;
    int64_t id, at;
    bool open;
    enum { ADD, DECIDE, AGAIN, END, CLEAN } what;
} step;

static bool work(dv_db *db, void *user, dv_error *e)
{
    step *s = user;
    switch (s->what) {
    case ADD:
        return dv_commit_add(db, s->row, &s->id, &s->open, e) &&
               (s->open || (dv_commit_add_instances(db, s->id, 0, two, 2, e) && dv_commit_asked(db, s->id, e)));
    case DECIDE:
        return dv_commit_decide(db, s->id, "decided", false, two, 2, e);
    case AGAIN:
        return dv_commit_again(db, s->id, s->at, DV_TEXT("nobody there"), e);
    case END:
        return dv_commit_end(db, s->id, "reported", DV_TEXT(""), e);
    case CLEAN:
    default:
        return dv_commit_clean(db, s->at, e);
    }
}

static step run(int what, const dv_commit_row *row, int64_t id, int64_t at)
{
    step s = {.row = row, .id = id, .at = at, .what = what};
    if (!dv_catalog_write(cat, true, work, &s, &err))
        fail_msg("%s", err.message);
    return s;
}

static bool next(const char *state, int64_t now, dv_arena *arena, dv_commit_row *out)
{
    bool found = false;
    dv_db *db = dv_catalog_reader(cat, &err);
    if (!db || !dv_commit_next(db, "scp", state, now, 0, arena, out, &found, &err))
        fail_msg("%s", err.message);
    return found;
}

static void a_request_is_asked_decided_tried_again_and_reported(void **state)
{
    (void)state;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_commit_row row = request("scp"), got;
    dv_commit_instance *list;
    size_t count;
    step s = run(ADD, &row, 0, 0);
    assert_false(s.open);
    assert_true(next("asked", INT64_MAX, &arena, &got));
    assert_int_equal(got.id, s.id);
    assert_true(dv_text_is(got.address, "10.0.0.1"));

    two[0].reason = 0;
    two[1].reason = 0x0112;
    run(DECIDE, NULL, s.id, 0);
    assert_false(next("asked", INT64_MAX, &arena, &got));
    assert_true(next("decided", 1, &arena, &got));
    assert_int_equal(got.failed, 1);
    dv_db *db = dv_catalog_reader(cat, &err);
    assert_true(dv_commit_instances(db, s.id, &arena, &list, &count, &err));
    assert_int_equal(count, 2);
    assert_int_equal(list[0].reason, 0);
    assert_int_equal(list[1].reason, 0x0112);
    assert_true(dv_text_is(list[1].sop_uid, "1.2.4"));

    run(AGAIN, NULL, s.id, 1000);
    assert_false(next("decided", 999, &arena, &got));
    assert_true(next("decided", 1000, &arena, &got));
    assert_int_equal(got.tries, 1);
    assert_true(dv_text_is(got.error, "nobody there"));
    run(END, NULL, s.id, 0);
    assert_false(next("decided", INT64_MAX, &arena, &got));
    assert_int_equal(ask("SELECT count(*) FROM commitments WHERE state = 'reported' AND ended_at > 0"), 1);
    dv_arena_free(&arena);
}

static void a_transaction_under_way_is_not_added_again_and_one_at_an_end_is_replaced(void **state)
{
    (void)state;
    dv_commit_row row = request("scp"), other = request("scu");
    step first = run(ADD, &row, 0, 0), again = run(ADD, &row, 0, 0), ours = run(ADD, &other, 0, 0);
    assert_true(again.open);
    assert_int_equal(again.id, first.id);
    assert_false(ours.open); /* the same number in the other role is another one */
    run(END, NULL, first.id, 0);
    assert_false(run(ADD, &row, 0, 0).open);
    assert_int_equal(ask("SELECT count(*) FROM commitments"), 2);
    assert_int_equal(ask("SELECT count(*) FROM commitment_instances"), 4);
}

static void what_ended_long_ago_goes_and_what_is_open_stays(void **state)
{
    (void)state;
    dv_commit_row row = request("scp"), other = request("scu");
    step s = run(ADD, &row, 0, 0);
    run(ADD, &other, 0, 0);
    run(END, NULL, s.id, 0);
    run(CLEAN, NULL, 0, 1000);
    assert_int_equal(ask("SELECT count(*) FROM commitments"), 2);
    run(CLEAN, NULL, 0, INT64_MAX);
    assert_int_equal(ask("SELECT count(*) FROM commitments"), 1);
    assert_int_equal(ask("SELECT count(*) FROM commitment_instances"), 2);
}

static void they_are_listed_newest_first_by_state_and_page(void **state)
{
    (void)state;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_commit_row row = request("scp"), other = request("scu"), *rows;
    size_t count;
    step a = run(ADD, &row, 0, 0), b = run(ADD, &other, 0, 0);
    run(END, NULL, a.id, 0);
    dv_db *db = dv_catalog_reader(cat, &err);
    assert_true(dv_commit_list(db, NULL, 0, 10, &arena, &rows, &count, &err));
    assert_int_equal(count, 2);
    assert_int_equal(rows[0].id, b.id);
    assert_true(dv_commit_list(db, "reported", 0, 10, &arena, &rows, &count, &err));
    assert_int_equal(count, 1);
    assert_true(dv_commit_list(db, NULL, b.id, 10, &arena, &rows, &count, &err));
    assert_int_equal(count, 1);
    assert_int_equal(rows[0].id, a.id);
    dv_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_is_asked_decided_tried_again_and_reported, open_catalog,
                                        close_catalog),
        cmocka_unit_test_setup_teardown(a_transaction_under_way_is_not_added_again_and_one_at_an_end_is_replaced,
                                        open_catalog, close_catalog),
        cmocka_unit_test_setup_teardown(what_ended_long_ago_goes_and_what_is_open_stays, open_catalog, close_catalog),
        cmocka_unit_test_setup_teardown(they_are_listed_newest_first_by_state_and_page, open_catalog, close_catalog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
