/* The harness: reports, explain, bench, list; and the cookbook of tests/rules. */
#include "rules/language.h"

#include "dicom/write.h"

static const char *const two_tests =
    "mapping \"good\" { actions = { { \"StudyID\", \"set\", \"1\" } }, tests = { { name = \"it sets\", given = {}, expect = { StudyID = \"1\" } } } }\n"
    "mapping \"wrong\" { run = function(ds) log(\"the ID is\", ds.PatientID) ds.PatientID = \"2\" ds.PatientSex = nil ds.StudyID = \"4\" end,\n"
    "  tests = { { name = \"all <wrong> #1\", given = { PatientID = \"1\", PatientSex = \"M\" }, expect = { PatientID = \"3\", StudyDate = \"20200101\" },\n"
    "    verdict = \"hold\", flagged = { \"mapping/good\" } } } }\n";

typedef struct fixture {
    dv_state *state;
    dv_arena arena;
    dv_harness_report report;
    dv_buffer out;
} fixture;

static void open_fixture(fixture *f, const char *rules, const char *only)
{
    dv_error err = {0};
    *f = (fixture){0};
    dv_arena_init(&f->arena, 0);
    f->state = state_of(rules, false, NULL, &err);
    if (!f->state)
        fail_msg("%s", err.message);
    if (!dv_harness_run(f->state->L, only, &f->arena, &f->report, &err))
        fail_msg("%s", err.message);
}

static void close_fixture(fixture *f)
{
    dv_state_free(f->state);
    dv_arena_free(&f->arena);
    dv_buffer_free(&f->out);
}

static void expect_text(const fixture *f, const char *text)
{
    if (!f->out.at || !strstr(f->out.at, text))
        fail_msg("the output lacks: %s\nit is:\n%s", text, f->out.at ? f->out.at : "");
}

static void the_cookbook_holds(void **state)
{
    (void)state;
    dv_error err = {0};
    dv_buffer text = {0};
    assert_true(dv_file_read("tests/rules/cookbook.lua", &text, &err));
    rules_hold(text.at, false, 15);
    rules_hold(text.at, true, 100);
    dv_buffer_free(&text);
}

/* The set that benches run. */
static void the_sixty_are_sixty(void **state)
{
    (void)state;
    dv_error err = {0};
    dv_buffer text = {0}, report = {0};
    fixture f = {0};
    assert_true(dv_file_read("tests/rules/sixty/sixty.lua", &text, &err));
    f.state = state_of(text.at, false, &report, &err);
    if (!f.state)
        fail_msg("%s", report.at);
    assert_true(dv_harness_list(f.state->L, false, &f.out, &err));
    expect_text(&f, "60 rules, 0 of them off");
    dv_buffer_free(&text);
    dv_buffer_free(&report);
    close_fixture(&f);
}

static void a_failed_test_says_everything_that_differs(void **state)
{
    (void)state;
    fixture f;
    dv_error err;
    open_fixture(&f, two_tests, NULL);
    assert_int_equal(f.report.passed, 1);
    assert_int_equal(f.report.failed, 1);
    assert_true(dv_harness_print(&f.report, DV_HARNESS_TEXT, &f.out, &err));
    expect_text(&f, "FAIL  mapping/wrong: all <wrong> #1  (rules/test.lua:2)");
    expect_text(&f, "the verdict is store, expected hold");
    expect_text(&f, "PatientID became \"2\", expected \"3\"");
    expect_text(&f, "StudyID changed from absent to \"4\", which the test does not expect");
    expect_text(&f, "PatientSex changed from \"M\" to absent, which the test does not expect");
    expect_text(&f, "StudyDate did not change, expected \"20200101\"");
    expect_text(&f, "mapping/good did not flag, expected it to");
    expect_text(&f, "log: the ID is 1");
    expect_text(&f, "1 passed, 1 failed");
    close_fixture(&f);
}

static void json_junit_and_tap_say_the_same(void **state)
{
    (void)state;
    fixture f;
    dv_error err;
    open_fixture(&f, two_tests, NULL);
    assert_true(dv_harness_print(&f.report, DV_HARNESS_JSON, &f.out, &err));
    expect_text(&f, "{\"passed\":1,\"failed\":1,\"rules\":2,\"untested\":0,\"tests\":[");
    expect_text(&f, "\"rule\":\"mapping/wrong\",\"name\":\"all <wrong> #1\",\"file\":\"rules/test.lua\",\"line\":2,\"passed\":false");
    dv_buffer_clear(&f.out);
    assert_true(dv_harness_print(&f.report, DV_HARNESS_JUNIT, &f.out, &err));
    expect_text(&f, "<testsuite name=\"rules\" tests=\"2\" failures=\"1\">");
    expect_text(&f, "name=\"all &lt;wrong&gt; #1\"");
    expect_text(&f, "<failure message=\"the verdict is store, expected hold&#10;");
    dv_buffer_clear(&f.out);
    assert_true(dv_harness_print(&f.report, DV_HARNESS_TAP, &f.out, &err));
    expect_text(&f, "TAP version 13\n1..2\nok 1 - mapping/good: it sets\nnot ok 2 - mapping/wrong: all <wrong>  1\n# the verdict is store");
    close_fixture(&f);
}

static void one_rule_is_named_with_or_without_its_verb(void **state)
{
    (void)state;
    fixture f;
    dv_error err = {0};
    open_fixture(&f, two_tests, "mapping/good");
    assert_int_equal(f.report.count, 1);
    assert_true(dv_harness_run(f.state->L, "wrong", &f.arena, &f.report, &err));
    assert_int_equal(f.report.count, 1);
    assert_false(dv_harness_run(f.state->L, "mapping/none", &f.arena, &f.report, &err));
    assert_int_equal(err.code, DV_ERR_NOT_FOUND);
    close_fixture(&f);
}

static void a_rule_that_runs_away_fails_its_test_by_counted_instructions(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "mapping \"loop\" { run = function() while true do end end, tests = { { given = {}, expect = {} } } }\n"
                     "mapping \"fine\" { run = function() end, tests = { { given = {}, expect = {} } } }\n", NULL);
    assert_int_equal(f.report.failed, 1);
    assert_int_equal(f.report.passed, 1);
    assert_non_null(strstr(f.report.cases[1].why, "instructions"));
    close_fixture(&f);
}

static void a_rule_that_remembers_fails_its_test(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "local n, list, text = 0, {}, { \"A\" }\n"
                     "local function count() n = n + 1 end\n"
                     "mapping \"a\" { run = function() count() end, tests = { { given = {}, expect = {} } } }\n"
                     "mapping \"b\" { run = function() list[#list + 1] = 1 end, tests = { { given = {}, expect = {} } } }\n"
                     "mapping \"c\" { run = function(ds) ds.StudyID = text[1] end, tests = { { given = {}, expect = { StudyID = \"A\" } } } }\n", NULL);
    assert_int_equal(f.report.passed, 1);
    assert_non_null(strstr(f.report.cases[0].why, "keeps state from one dataset to the next, in the local 'count'"));
    assert_non_null(strstr(f.report.cases[1].why, "in the local 'list'"));
    close_fixture(&f);
}

static dv_dataset *sample(dv_arena *arena)
{
    dv_error err = {0};
    dv_dataset *ds = dv_dataset_new(arena, (dv_encoding){0}, &err);
    assert_non_null(ds);
    assert_true(dv_dataset_put(ds, DV_PatientID, DV_TEXT("42"), &err));
    assert_true(dv_dataset_put(ds, DV_PatientSex, DV_TEXT("male"), &err));
    return ds;
}

static void explain_says_what_matched_what_changed_and_why_not(void **state)
{
    (void)state;
    fixture f;
    dv_error err = {0};
    dv_context ctx = {0};
    open_fixture(&f,
                 "validation \"sex\" { tag = \"PatientSex\", rule_type = \"enum\", valid_values = { \"M\" }, correction_map = { MALE = \"M\" }, on_fail = \"Correct\" }\n"
                 "mapping \"a\" { conditions = { { \"PatientID\", \"starts_with\", \"4\" }, { \"StudyID\", \"equals\", \"7\" } }, actions = { { \"StudyID\", \"clear\" } } }\n"
                 "mapping \"b\" { source = \"GE\", actions = { { \"StudyID\", \"clear\" } } }\n"
                 "mapping \"c\" { enabled = false }\n"
                 "mapping \"d\" { run = function(ds) flag \"seen\" if ds.PatientSex == \"M\" then return hold \"enough\" end end }\n"
                 "mapping \"e\" { run = function() end }\n", NULL);
    if (!dv_harness_explain(f.state->L, sample(&f.arena), &ctx, &f.arena, false, &f.out, &err))
        fail_msg("%s", err.message);
    expect_text(&f, "changed\n      PatientSex: \"male\" -> \"M\"");
    expect_text(&f, "no match: StudyID equals \"7\": it is absent");
    expect_text(&f, "no match: source is GE: it is \"\"");
    expect_text(&f, "mapping/c                          off");
    expect_text(&f, "hold: enough\n      flag: seen\nverdict: hold");
    assert_null(strstr(f.out.at, "mapping/e"));
    dv_buffer_clear(&f.out);
    assert_true(dv_harness_explain(f.state->L, sample(&f.arena), &ctx, &f.arena, true, &f.out, &err));
    expect_text(&f, "\"outcome\":\"hold\"");
    expect_text(&f, "\"changes\":[[\"PatientSex\",\"male\",\"M\",\"validation/sex\"]]");
    close_fixture(&f);
}

static void explain_shows_the_rule_that_fails(void **state)
{
    (void)state;
    fixture f;
    dv_error err = {0};
    dv_context ctx = {0};
    open_fixture(&f, "mapping \"a\" { run = function(ds) ds.StudyID = ds.PatientName .. 1 end }\n", NULL);
    assert_true(dv_harness_explain(f.state->L, sample(&f.arena), &ctx, &f.arena, false, &f.out, &err));
    expect_text(&f, "fault: rules/test.lua:1: attempt to concatenate a nil value");
    expect_text(&f, "verdict: hold (the rule failed)");
    close_fixture(&f);
}

static void bench_prints_each_rule_and_the_whole(void **state)
{
    (void)state;
    fixture f;
    dv_error err = {0};
    dv_context ctx = {0};
    dv_text bytes;
    open_fixture(&f, "mapping \"a\" { actions = { { \"StudyID\", \"set\", \"1\" } } }\nmapping \"b\" { actions = { { \"PatientID\", \"prepend\", \"1\" } } }\n", NULL);
    assert_true(dv_write_bytes(sample(&f.arena), &bytes, &err));
    if (!dv_harness_bench(f.state->L, bytes, (dv_encoding){0}, &ctx, 20, false, &f.out, &err))
        fail_msg("%s", err.message);
    expect_text(&f, "ns  mapping/a\n");
    expect_text(&f, "ns  mapping/b\n");
    expect_text(&f, "a dataset, all rules: p50 ");
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cookbook_holds),
        cmocka_unit_test(the_sixty_are_sixty),
        cmocka_unit_test(a_failed_test_says_everything_that_differs),
        cmocka_unit_test(json_junit_and_tap_say_the_same),
        cmocka_unit_test(one_rule_is_named_with_or_without_its_verb),
        cmocka_unit_test(a_rule_that_runs_away_fails_its_test_by_counted_instructions),
        cmocka_unit_test(a_rule_that_remembers_fails_its_test),
        cmocka_unit_test(explain_says_what_matched_what_changed_and_why_not),
        cmocka_unit_test(explain_shows_the_rule_that_fails),
        cmocka_unit_test(bench_prints_each_rule_and_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
