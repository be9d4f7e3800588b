/* The watch on the site's folder: every way to save a file is seen, none publishes half of one. */
#include "rules_fixture.h"

#include <fcntl.h>

/* Waits, with a deadline, until the rules say WANTED. */
static bool becomes(dv_rules *rules, const char *wanted)
{
    for (int64_t give_up = dv_mono_ms() + 10000; dv_mono_ms() < give_up;) {
        if (strcmp(run(rules).reason.at, wanted) == 0)
            return true;
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    return false;
}

static bool is_refused(dv_rules *rules, const char *part)
{
    for (int64_t give_up = dv_mono_ms() + 10000; dv_mono_ms() < give_up;) {
        if (strstr(refusal(rules), part))
            return true;
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    return false;
}

static dv_rules *open_watched(void)
{
    dv_rules *rules = open_rules();
    if (!dv_rules_watch(rules, &err))
        fail_msg("%s", err.message);
    return rules;
}

static void a_save_by_rename_is_published(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'one' end)");
    dv_rules *rules = open_watched();
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'two' end)"); /* a temporary file and a rename */
    assert_true(becomes(rules, "two"));
    assert_int_equal(dv_rules_current(rules), 2);
    dv_rules_close(rules);
}

static void a_write_in_place_is_published_when_it_is_closed(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'one' end)");
    dv_rules *rules = open_watched();
    char path[200];
    snprintf(path, sizeof path, "%s/a.lua", site);
    int fd = open(path, O_WRONLY | O_TRUNC);
    static const char first[] = "rule 'a' (function() return 'hold', 'half' end)\n",
                      second[] = "rule 'a' (function() return 'hold', 'whole' end)\n";
    assert_true(write(fd, first, sizeof first - 1) > 0);
    /* longer than the quiet time: the text so far would load, but somebody still writes */
    for (int64_t until = dv_mono_ms() + 600; dv_mono_ms() < until;)
        assert_string_equal(run(rules).reason.at, "one");
    assert_true(write(fd, second, sizeof second - 1) > 0);
    close(fd);
    assert_true(becomes(rules, "whole"));
    assert_int_equal(dv_rules_current(rules), 2); /* nothing was published in between */
    dv_rules_close(rules);
}

static void many_changes_at_once_are_one_generation(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'one' end)");
    dv_rules *rules = open_watched();
    for (int i = 0; i < 20; i++) {
        char name[20];
        snprintf(name, sizeof name, "many%d.lua", i);
        put(site, name, "-- one of many");
    }
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'last' end)");
    assert_true(becomes(rules, "last"));
    assert_int_equal(dv_rules_current(rules), 2);
    for (int i = 0; i < 20; i++) {
        char name[20];
        snprintf(name, sizeof name, "many%d.lua", i);
        drop(site, name);
    }
    dv_rules_close(rules);
}

static void a_broken_edit_is_refused_and_its_repair_taken(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'good' end)");
    dv_rules *rules = open_watched();
    put(site, "a.lua", "\n\nrule 'a' (function( return end)");
    assert_true(is_refused(rules, "rules/a.lua:3:"));
    assert_string_equal(run(rules).reason.at, "good");
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'better' end)");
    assert_true(becomes(rules, "better"));
    assert_string_equal(refusal(rules), "");
    dv_rules_close(rules);
}

static void a_deleted_file_takes_its_rules_with_it(void **state)
{
    (void)state;
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'a' end)");
    put(site, "b.lua", "rule 'b' (function() return 'hold', 'b' end)");
    dv_rules *rules = open_watched();
    drop(site, "a.lua");
    assert_true(becomes(rules, "b"));
    drop(site, "b.lua");
    assert_true(becomes(rules, ""));
    dv_rules_close(rules);
}

static void the_folder_may_be_absent_and_may_come_back(void **state)
{
    (void)state;
    assert_true(dv_remove_tree(site, &err));
    dv_rules *rules = open_watched(); /* makes it */
    assert_int_equal(access(site, W_OK), 0);
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'here' end)");
    assert_true(becomes(rules, "here"));
    assert_true(dv_remove_tree(site, &err));
    assert_true(becomes(rules, ""));
    assert_true(dv_mkdirs(site, 0755, &err));
    put(site, "a.lua", "rule 'a' (function() return 'hold', 'again' end)");
    assert_true(becomes(rules, "again"));
    dv_rules_close(rules);
}

static void a_folder_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    char path[120];
    snprintf(path, sizeof path, "%s/file", root);
    put(root, "file", "x");
    dv_rules *rules = dv_rules_open(&(dv_rules_options){.share = share, .site = NULL}, &err);
    assert_non_null(rules);
    assert_true(dv_rules_watch(rules, &err)); /* nothing to watch */
    dv_rules_close(rules);
    snprintf(path, sizeof path, "%s/file/rules", root);
    rules = dv_rules_open(&(dv_rules_options){.share = share, .site = path}, &err);
    if (rules) {
        assert_false(dv_rules_watch(rules, &err));
        dv_rules_close(rules);
    }
    assert_non_null(strstr(err.message, "/file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_save_by_rename_is_published),
        cmocka_unit_test(a_write_in_place_is_published_when_it_is_closed),
        cmocka_unit_test(many_changes_at_once_are_one_generation),
        cmocka_unit_test(a_broken_edit_is_refused_and_its_repair_taken),
        cmocka_unit_test(a_deleted_file_takes_its_rules_with_it),
        cmocka_unit_test(the_folder_may_be_absent_and_may_come_back),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
