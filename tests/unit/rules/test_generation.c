/* Generations: what is loaded, refused, numbered, kept on record; and that running goes on meanwhile. */
#include "rules_fixture.h"
#include "rules/generation.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1 /* signals come late there: no endless loops */
#else
#define UNDER_TSAN 0
#endif

static void a_rule_gives_its_verdict_with_the_generation(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (function(ds) return 'reject', 'because' end)");
    dv_rules *rules = open_rules();
    dv_outcome out = run(rules);
    assert_int_equal(out.verdict, DV_VERDICT_REJECT);
    assert_string_equal(out.rule.at, "mapping/a");
    assert_string_equal(out.reason.at, "because");
    assert_false(out.fault);
    assert_int_equal(out.generation, 1);
    assert_int_equal(dv_rules_current(rules), 1);
    dv_rules_close(rules);
}

static void without_a_verdict_the_dataset_is_stored(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (function(ds) end)");
    dv_rules *rules = open_rules();
    dv_outcome out = run(rules);
    assert_int_equal(out.verdict, DV_VERDICT_STORE);
    assert_int_equal(out.reason.len + out.rule.len, 0);
    dv_rules_close(rules);
}

static void shipped_rules_come_first_then_the_sites_by_name(void **state)
{
    (void)state;
    char shipped[100];
    snprintf(shipped, sizeof shipped, "%s/rules", share);
    put(shipped, "z.lua", "rule 'both' (function() return 'hold', 'shipped' end)");
    dv_rules *rules = open_rules();
    assert_string_equal(run(rules).reason.at, "shipped");
    put(site, "b.lua", "rule 'both' (function() return 'hold', 'site b' end)");
    put(site, "a.lua", "rule 'both' (function() return 'hold', 'site a' end)");
    put(site, "a.txt", "this is no rule");
    put(site, ".a.lua", "nor is this");
    int64_t number;
    assert_true(dv_rules_publish(rules, "test", &number, &err));
    assert_string_equal(run(rules).reason.at, "site b");
    dv_rules_close(rules);
    drop(shipped, "z.lua");
    drop(site, "b.lua");
    drop(site, "a.txt");
    drop(site, ".a.lua");
}

static void a_rule_that_errs_holds_and_names_file_and_line(void **state)
{
    (void)state;
    put(site, "a.lua", "\n\nrule 'a' (function(ds)\n  local x = nil\n  return x.y\nend)");
    dv_rules *rules = open_rules();
    dv_outcome out = run(rules);
    assert_int_equal(out.verdict, DV_VERDICT_HOLD);
    assert_true(out.fault);
    assert_string_equal(out.file.at, "rules/a.lua");
    assert_int_equal(out.line, 5);
    assert_string_equal(out.reason.at, "rules/a.lua:5: attempt to index a nil value (local 'x')");
    put(site, "a.lua", "rule 'a' (function() return 'nonsense' end)");
    int64_t number;
    assert_true(dv_rules_publish(rules, "test", &number, &err));
    out = run(rules);
    assert_true(out.fault && out.verdict == DV_VERDICT_HOLD);
    assert_non_null(strstr(out.reason.at, "none of store, reject, hold, exclude"));
    dv_rules_close(rules);
}

static void a_refused_set_leaves_the_last_good_one_in_force(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"\nlocal = 3", "rules/a.lua:2: "},
        {"\n\nos.execute 'true'", "rules/a.lua:3: attempt to index a nil value"},
        {"undeclared = 1", "rules/a.lua:1: undeclared global 'undeclared'"},
        {"rule 'wrong' (function() end)", "rules/a.lua:7: a wrong rule"},
        {"local s = ('x'):rep(1 << 29)", "rules/a.lua:1: needs more than 32 MB"},
        {"\xff", "rules/a.lua:1: the file is no UTF-8"},
        {"error {}", "rules/a.lua:1: raised a table"},
        {"while true do end", "rules/a.lua:1: ran longer than 2000 ms"},
    };
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'good' end)");
    dv_rules *rules = open_rules();
    for (size_t i = 0; i < sizeof bad / sizeof *bad - UNDER_TSAN; i++) {
        int64_t number = -1;
        put(site, "a.lua", bad[i].text);
        if (dv_rules_publish(rules, "test", &number, &err) || err.code != DV_ERR_RULE_LOAD ||
            strncmp(err.message, bad[i].why, strlen(bad[i].why)) != 0)
            fail_msg("%s\n  gives %s", bad[i].text, err.message);
        assert_non_null(strstr(refusal(rules), bad[i].why));
        assert_string_equal(run(rules).reason.at, "good");
        assert_int_equal(dv_rules_current(rules), 1);
    }
    int64_t number;
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'good' end)");
    assert_true(dv_rules_publish(rules, "test", &number, &err)); /* back to the text in force */
    assert_int_equal(number, 1);
    assert_string_equal(refusal(rules), "");
    dv_rules_close(rules);
}

static void every_wrong_file_is_reported(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'good' end)");
    dv_rules *rules = open_rules();
    int64_t number;
    put(site, "a.lua", "x = 1");
    put(site, "b.lua", "\ny = 1");
    assert_false(dv_rules_publish(rules, "test", &number, &err));
    assert_non_null(strstr(err.message, "(and 1 more)"));
    assert_non_null(strstr(refusal(rules), "rules/a.lua:1:"));
    assert_non_null(strstr(refusal(rules), "rules/b.lua:2:"));
    dv_rules_close(rules);
    drop(site, "b.lua");
}

static void a_file_that_is_open_for_writing_waits(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'good' end)");
    dv_rules *rules = open_rules();
    char path[200];
    int64_t number;
    snprintf(path, sizeof path, "%s/a.lua", site);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0 && write(fd, "-- half", 7) == 7);
    assert_false(dv_rules_publish(rules, "test", &number, &err));
    assert_int_equal(err.code, DV_ERR_LOCKED);
    assert_string_equal(refusal(rules), ""); /* it is no refusal: it comes when it is saved */
    close(fd);
    assert_true(dv_rules_publish(rules, "test", &number, &err));
    assert_int_equal(number, 2);
    dv_rules_close(rules);
}

static void the_same_text_has_the_same_number(void **state)
{
    (void)state;
    int64_t number;
    put(site, "a.lua", "-- one");
    dv_rules *rules = open_rules();
    put(site, "a.lua", "-- two");
    assert_true(dv_rules_publish(rules, "test", &number, &err) && number == 2);
    assert_true(dv_rules_publish(rules, "test", &number, &err) && number == 2);
    put(site, "a.lua", "-- three");
    assert_true(dv_rules_publish(rules, "test", &number, &err) && number == 3);
    put(site, "a.lua", "-- one");
    assert_true(dv_rules_publish(rules, "test", &number, &err) && number == 1);
    put(site, "a.lua", "-- two");
    assert_true(dv_rules_publish(rules, "test", &number, &err) && number == 2);
    dv_rules_close(rules);
}

static void the_catalog_keeps_texts_and_numbers(void **state)
{
    (void)state;
    char path[100];
    int64_t number;
    snprintf(path, sizeof path, "%s/catalog.db", root);
    dv_catalog *cat = dv_catalog_open(path, &err);
    if (!cat)
        fail_msg("%s", err.message);
    dv_rules_options options = {.share = share, .site = site, .catalog = cat, .states = 1};
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'one' end)");
    dv_rules *rules = dv_rules_open(&options, &err);
    assert_non_null(rules);
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'two' end)");
    assert_true(dv_rules_publish(rules, "test", &number, &err));
    assert_int_equal(number, 2);
    dv_rules_close(rules);

    rules = dv_rules_open(&options, &err); /* the same folders: the same number */
    assert_non_null(rules);
    assert_int_equal(dv_rules_current(rules), 2);
    dv_rules_close(rules);

    put(site, "a.lua", "rule 'a' ("); /* broken at start: what is on record goes on */
    rules = dv_rules_open(&options, &err);
    assert_non_null(rules);
    assert_int_equal(dv_rules_current(rules), 2);
    assert_string_equal(run(rules).reason.at, "two");
    assert_non_null(strstr(refusal(rules), "rules/a.lua:1:"));
    dv_rules_close(rules);

    dv_db *db = dv_catalog_reader(cat, &err);
    int64_t n;
    assert_true(dv_db_int(db, 0, &n, &err, "SELECT COUNT(*) FROM generation_files WHERE generation = 2", "") && n == 2);
    assert_true(dv_db_int(db, 0, &n, &err, "SELECT COUNT(*) FROM texts", "") && n == 3); /* main.lua once */
    dv_catalog_close(cat);
}

static void a_set_that_does_not_load_at_the_first_start_is_an_error(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (");
    assert_null(dv_rules_open(&(dv_rules_options){.share = share, .site = site}, &err));
    assert_int_equal(err.code, DV_ERR_RULE_LOAD);
    assert_non_null(strstr(err.message, "rules/a.lua:1:"));
    assert_null(dv_rules_open(&(dv_rules_options){.share = "/nonexistent", .site = site}, &err));
    assert_non_null(strstr(err.message, "/nonexistent"));
}

static void a_set_whose_tests_fail_is_refused_without_their_values(void **state)
{
    (void)state;
    put(site, "a.lua",
        "mapping 'x' { actions = { { 'PatientID', 'set', 'A' } }, tests = { { given = { PatientID = 'SECRET-B' }, expect = { "
        "PatientID = 'SECRET-C' } } } }");
    dv_rules_options options = {.share = ".", .site = site, .states = 1, .require_tests = true}; /* the shipped ones */
    assert_null(dv_rules_open(&options, &err));
    assert_int_equal(err.code, DV_ERR_RULE_LOAD);
    /* Seen: the log had the values of the test; the error is logged. */
    if (!strstr(err.message, "rules/a.lua:1: mapping/x;") || strstr(err.message, "SECRET"))
        fail_msg("%s", err.message);
    put(site, "a.lua",
        "mapping 'x' { actions = { { 'PatientID', 'set', 'A' } }, tests = { { given = { PatientID = 'B' }, expect = { "
        "PatientID = 'A' } } } }");
    dv_rules *rules = dv_rules_open(&options, &err);
    if (!rules)
        fail_msg("%s", err.message);
    dv_rules_close(rules);
}

static void a_rule_that_runs_away_in_the_language_is_named(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip();
    static const struct {
        const char *code, *reason;
    } bad[] = {
        {"while true do end", "mapping/bomb: rules/a.lua:2: ran longer than 100 ms"},
        {"while true do pcall(function() while true do end end) end",
         "mapping/bomb: rules/a.lua:2: ran longer than 100 ms"},
        {"return ('x'):rep(1 << 29)", "mapping/bomb: rules/a.lua:2: needs more than 32 MB of memory"},
        {"os.execute 'true'", "mapping/bomb: rules/a.lua:2: "},
        {"return ('a'):rep(300):find(('.-'):rep(8) .. 'b')",
         "mapping/bomb: rules/a.lua:2: the pattern takes too many steps"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[300];
        snprintf(text, sizeof text, "mapping 'bomb' { run = function(ds)\n %s\nend }", bad[i].code);
        put(site, "a.lua", text);
        dv_rules *rules = dv_rules_open(&(dv_rules_options){.share = ".", .site = site, .states = 1}, &err);
        if (!rules)
            fail_msg("%s", err.message);
        dv_outcome out = run(rules);
        if (!out.fault || strncmp(out.reason.at, bad[i].reason, strlen(bad[i].reason)) != 0)
            fail_msg("%s\n  gives %s", bad[i].code, out.reason.at);
        assert_string_equal(out.rule.at, "mapping/bomb");
        dv_rules_close(rules);
    }
}

static void a_thousand_bombs_are_held_and_leave_memory_flat(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip();
    put(site, "a.lua",
        "local n = 0\nlocal kept = {}\n"
        "rule 'a' (function(ds) n = n + 1\n"
        "  if n % 4 == 0 then while true do pcall(function() while true do end end) end end\n"
        "  if n % 4 == 1 then local s = 'x' while true do s = s .. s end end\n"
        "  if n % 4 == 2 then local function f() return 1 + f() end return f() end\n"
        "  kept[#kept + 1] = ('x'):rep(100000) error {}\n"
        "end)");
    dv_rules *rules = dv_rules_open(
        &(dv_rules_options){.share = share, .site = site, .states = 2, .time_limit_ms = 3, .memory_limit = 1 << 20},
        &err);
    assert_non_null(rules);
    size_t early = 0;
    for (int i = 0; i < 1000; i++) {
        dv_outcome out = run(rules);
        assert_int_equal(out.verdict, DV_VERDICT_HOLD);
        assert_true(out.fault);
        assert_string_equal(out.file.at, "rules/a.lua");
        assert_in_range(out.line, 3, 8);
        if (i == 200)
            early = mallinfo2().uordblks;
    }
#ifndef __SANITIZE_ADDRESS__ /* its allocator is not asked */
    if (mallinfo2().uordblks > early + (4u << 20))
        fail_msg("%zu bytes after 200, %zu after 1000", early, mallinfo2().uordblks);
#else
    (void)early;
#endif
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'alive' end)");
    int64_t number;
    assert_true(dv_rules_publish(rules, "test", &number, &err));
    assert_string_equal(run(rules).reason.at, "alive");
    dv_rules_close(rules);
}

static void garbage_is_collected_between_runs(void **state)
{
    (void)state;
    put(site, "a.lua",
        "rule 'a' (function() local t = {} for i = 1, 200 do t[i] = ('x'):rep(1000) .. i end return 'hold', 'fine' "
        "end)");
    dv_rules *rules =
        dv_rules_open(&(dv_rules_options){.share = share, .site = site, .states = 1, .time_limit_ms = 5000}, &err);
    for (int i = 0; i < 300; i++)
        assert_string_equal(run(rules).reason.at, "fine");
    dv_rules_close(rules);
}

/* ---- many threads ---- */

static atomic_bool over;
static atomic_int runs;

static void *run_until_over(void *user)
{
    int64_t last = 0;
    while (!atomic_load(&over)) {
        dv_outcome out = run(user);
        char wanted[40];
        snprintf(wanted, sizeof wanted, "generation %lld", (long long)out.generation);
        if (out.verdict != DV_VERDICT_HOLD || out.fault || strcmp(out.reason.at, wanted) != 0)
            return strdup(out.reason.at); /* a generation's number and its text belong together */
        if (out.generation < last)
            return "an older generation after a newer one";
        last = out.generation;
        atomic_fetch_add(&runs, 1);
    }
    return NULL;
}

static void publishing_while_threads_run_drops_nothing(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'generation 1' end)");
    dv_rules *rules = open_rules();
    atomic_store(&over, false);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_until_over, rules), 0);
    for (int n = 2; n <= 20; n++) {
        char text[100];
        int64_t number;
        snprintf(text, sizeof text, "rule 'a' (function() return 'hold', 'generation %d' end)", n);
        put(site, "a.lua", text);
        assert_true(dv_rules_publish(rules, "test", &number, &err));
        assert_int_equal(number, n);
        int seen = atomic_load(&runs); /* some run under it before the next */
        for (int64_t give_up = dv_mono_ms() + 10000; atomic_load(&runs) < seen + 20 && dv_mono_ms() < give_up;)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    atomic_store(&over, true);
    for (size_t i = 0; i < 4; i++) {
        void *why;
        pthread_join(threads[i], &why);
        if (why)
            fail_msg("%s", (char *)why);
    }
    assert_true(atomic_load(&runs) >= 19 * 20);
    dv_rules_close(rules);
}

static void *run_ten(void *user)
{
    for (int i = 0; i < 10; i++)
        if (run(user).verdict != DV_VERDICT_HOLD)
            return "not held";
    return NULL;
}

static void more_threads_than_states_all_get_their_turn(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (function() for i = 1, 1e5 do end return 'hold' end)");
    dv_rules *rules =
        dv_rules_open(&(dv_rules_options){.share = share, .site = site, .states = 1, .time_limit_ms = 5000}, &err);
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_ten, rules), 0);
    for (size_t i = 0; i < 8; i++) {
        void *why;
        pthread_join(threads[i], &why);
        assert_null(why);
    }
    dv_rules_close(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_gives_its_verdict_with_the_generation),
        cmocka_unit_test(without_a_verdict_the_dataset_is_stored),
        cmocka_unit_test(shipped_rules_come_first_then_the_sites_by_name),
        cmocka_unit_test(a_rule_that_errs_holds_and_names_file_and_line),
        cmocka_unit_test(a_refused_set_leaves_the_last_good_one_in_force),
        cmocka_unit_test(every_wrong_file_is_reported),
        cmocka_unit_test(a_file_that_is_open_for_writing_waits),
        cmocka_unit_test(the_same_text_has_the_same_number),
        cmocka_unit_test(the_catalog_keeps_texts_and_numbers),
        cmocka_unit_test(a_set_that_does_not_load_at_the_first_start_is_an_error),
        cmocka_unit_test(a_set_whose_tests_fail_is_refused_without_their_values),
        cmocka_unit_test(a_rule_that_runs_away_in_the_language_is_named),
        cmocka_unit_test(a_thousand_bombs_are_held_and_leave_memory_flat),
        cmocka_unit_test(garbage_is_collected_between_runs),
        cmocka_unit_test(publishing_while_threads_run_drops_nothing),
        cmocka_unit_test(more_threads_than_states_all_get_their_turn),
    };
    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
