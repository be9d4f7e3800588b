/* language.h: what the tests of the rule language share: a rule set from the shipped scripts and a few lines of rules. */
#ifndef TEST_RULES_LANGUAGE_H
#define TEST_RULES_LANGUAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "rules/bind.h"
#include "rules/generation.h"
#include "rules/harness.h"

/* The scripts of the source tree (tests run at its top), the shipped rules too when SHIPPED, and RULES as the site's rules/test.lua. NULL with
 * ERR and REPORT when it does not load. */
static inline dv_state *state_of(const char *rules, bool shipped, dv_buffer *report, dv_error *err)
{
    dv_rule_set *read = dv_rule_set_read(".", NULL, err), *set = dv_rule_set_new();
    assert_non_null(read);
    assert_non_null(set);
    for (size_t i = 0; i < read->count; i++)
        if (shipped || read->files[i].origin == DV_RULE_SCRIPT)
            assert_true(dv_rule_set_add(set, read->files[i].path, read->files[i].text, err));
    if (rules)
        assert_true(dv_rule_set_add(set, "rules/test.lua", dv_text_of(rules), err));
    assert_true(dv_rule_set_seal(set, err));
    dv_state *state = dv_state_new(set, NULL, report, err);
    dv_rule_set_free(set);
    dv_rule_set_free(read);
    return state;
}

/* All tests of RULES pass; what fails is printed. */
static inline void rules_hold(const char *rules, bool shipped, int at_least)
{
    dv_error err = {0};
    dv_buffer report = {0};
    int passed = 0, failed = 0;
    dv_state *state = state_of(rules, shipped, &report, &err);
    if (!state)
        fail_msg("%s\n%s", err.message, report.at ? report.at : "");
    if (!dv_harness_test_all(state->L, &report, &passed, &failed))
        fail_msg("%d failed:\n%s", failed, report.at ? report.at : "");
    assert_true(passed >= at_least);
    dv_state_free(state);
    dv_buffer_free(&report);
}

/* RULES are refused, and the report has MESSAGE. */
static inline void refused(const char *rules, const char *message)
{
    dv_error err = {0};
    dv_buffer report = {0};
    dv_state *state = state_of(rules, false, &report, &err);
    if (state)
        fail_msg("it loads, but should be refused with: %s", message);
    if (!report.at || !strstr(report.at, message))
        fail_msg("refused with:\n%sbut the message should have: %s", report.at ? report.at : err.message, message);
    dv_buffer_free(&report);
}

#endif
