/* The shipped rules by their own tests, and what the tests in rule files cannot say. */
#include "rules/language.h"

static void the_shipped_rules_pass_their_tests(void **state)
{
    (void)state;
    rules_hold(NULL, true, 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shipped_rules_pass_their_tests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
