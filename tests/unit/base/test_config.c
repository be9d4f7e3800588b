/* base/config: DATA/drover.lua. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/config.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Loads TEXT as drover.lua; ERR is cleared first. */
static bool load(dv_config *c, const char *text, dv_error *err)
{
    char path[] = "/tmp/drover-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    *err = (dv_error){0};
    bool ok = dv_config_load(c, path, err);
    unlink(path);
    return ok;
}

static void the_file_goes_over_the_defaults_and_flags_over_the_file(void **state)
{
    (void)state;
    dv_error err;
    dv_config *c = dv_config_new(), *flags = dv_config_new();
    assert_int_equal(dv_config_int(c, "dimse.port"), 11112);
    assert_true(load(c, "dimse = { port = 104, aet = 'PACS' } rules = { watch = false }", &err));
    assert_int_equal(dv_config_int(c, "dimse.port"), 104);
    assert_string_equal(dv_config_text(c, "dimse.aet"), "PACS");
    assert_false(dv_config_bool(c, "rules.watch"));
    assert_true(dv_config_set(flags, "dimse.port", "0", "command line", &err));
    assert_true(dv_config_overlay(c, flags, &err));
    assert_int_equal(dv_config_int(c, "dimse.port"), 0);
    assert_string_equal(dv_config_from(c, "dimse.port"), "command line");
    assert_string_equal(dv_config_from(c, "dimse.aet"), "drover.lua");
    assert_string_equal(dv_config_from(c, "log.level"), "default");
    dv_config_free(c);
    dv_config_free(flags);
}

static void a_wrong_file_is_refused_naming_what_is_wrong_and_the_nearest_right_name(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"dimse = { prot = 104 }", "did you mean 'dimse.port'"}, {"dimse = { port = 99999 }", "99999"}, {"dimse = { port = 'x' }", "'x'"},
        {"rules = { watch = 'maybe' }", "true or false"},       {"dimse = { aet = '12345678901234567' }", "16"},
        {"dimse = {", "expected"},                              {"os.execute('x')", "os"}, {"while true do end", "too long"},
        {"dimse = { port = function() end }", "dimse.port"},    {"port = 104", "port"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dv_error err;
        dv_config *c = dv_config_new();
        assert_false(load(c, cases[i][0], &err));
        assert_int_equal(err.code, DV_ERR_CONFIG);
        if (!strstr(err.message, cases[i][1]))
            fail_msg("'%s' says: %s", cases[i][0], err.message);
        dv_config_free(c);
    }
}

static void the_template_is_the_defaults(void **state)
{
    (void)state;
    dv_error err;
    dv_buffer text = {0}, live = {0};
    assert_true(dv_config_template(&text));
    dv_config *c = dv_config_new();
    assert_true(load(c, text.at, &err));
    assert_string_equal(dv_config_from(c, "dimse.port"), "default");
    /* With every setting's dashes removed it still loads: the shown defaults are right. */
    for (char *line = text.at; line && *line;) {
        char *end = strchr(line, '\n');
        size_t n = (size_t)(end - line);
        const char *dashes = memmem(line, n, "--", 2);
        bool setting = dashes && dashes[2] != ' ';
        if (dashes && dashes[2] == ' ' && memmem(line, n, " = ", 3) && dashes == line)
            setting = memmem(line, n, "database", 8) != NULL;
        dv_buffer_add(&live, setting ? dashes + 2 : line, setting ? n - (size_t)(dashes + 2 - line) : n);
        dv_buffer_string(&live, "\n");
        line = end + 1;
    }
    if (!load(c, live.at, &err))
        fail_msg("%s\n%s", err.message, live.at);
    assert_string_equal(dv_config_from(c, "dimse.port"), "drover.lua");
    assert_int_equal(dv_config_int(c, "dimse.port"), 11112);
    dv_buffer_free(&text);
    dv_buffer_free(&live);
    dv_config_free(c);
}

/* drover config reference > the table of the page */
static void the_page_of_the_docs_has_every_setting_as_it_is(void **state)
{
    (void)state;
    dv_error err;
    dv_buffer page = {0}, table = {0};
    assert_true(dv_file_read("docs/configuration.md", &page, &err));
    assert_true(dv_config_reference(&table));
    if (!strstr(page.at, table.at))
        fail_msg("docs/configuration.md is not what 'drover config reference' prints:\n%s", table.at);
    dv_buffer_free(&page);
    dv_buffer_free(&table);
}

static void an_absent_file_is_no_error(void **state)
{
    (void)state;
    dv_error err = {0};
    dv_config *c = dv_config_new();
    assert_true(dv_config_load(c, "/tmp/drover-there-is-none", &err));
    dv_config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_goes_over_the_defaults_and_flags_over_the_file),
        cmocka_unit_test(a_wrong_file_is_refused_naming_what_is_wrong_and_the_nearest_right_name),
        cmocka_unit_test(the_template_is_the_defaults),
        cmocka_unit_test(the_page_of_the_docs_has_every_setting_as_it_is),
        cmocka_unit_test(an_absent_file_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
