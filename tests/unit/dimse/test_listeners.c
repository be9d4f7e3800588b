/* dimse/listeners.c and the contexts of dimse/tls.c: what an administrator may write, and what is said when it is wrong. */
#include "dimse/scp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static dv_scp_listener out[DV_MAX_LISTENERS];
static size_t count;
static dv_arena arena;
static dv_error err;

static int before(void **state)
{
    (void)state;
    dv_arena_init(&arena, 0);
    memset(&err, 0, sizeof err);
    return 0;
}

static int after(void **state)
{
    (void)state;
    dv_arena_free(&arena);
    return 0;
}

static void a_listener_is_a_port_an_ae_title_and_perhaps_tls(void **state)
{
    const dv_tls *tls = (const dv_tls *)&arena; /* only handed through */

    (void)state;
    assert_true(dv_scp_listeners_of(" 2762 DROVER tls; 10.0.0.5:11113 OLD NAME;[::1]:11114  X ;; ", tls, &arena, out, &count, &err));
    assert_int_equal(count, 3);
    assert_null(out[0].host);
    assert_int_equal(out[0].port, 2762);
    assert_string_equal(out[0].aet, "DROVER");
    assert_ptr_equal(out[0].tls, tls);
    assert_string_equal(out[1].host, "10.0.0.5");
    assert_string_equal(out[1].aet, "OLD NAME");
    assert_null(out[1].tls);
    assert_string_equal(out[2].host, "::1");
    assert_int_equal(out[2].port, 11114);
    assert_string_equal(out[2].aet, "X");
    assert_true(dv_scp_listeners_of("", tls, &arena, out, &count, &err));
    assert_int_equal(count, 0);
}

static void a_wrong_listener_is_named(void **state)
{
    static const char *const wrong[] = {"DROVER", "65536 X", "99999999999999 X", "11112", "11112 tls", ":11112 X", "1x X", "11112 ABCDEFGHIJKLMNOPQ"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(dv_scp_listeners_of(wrong[i], NULL, &arena, out, &count, &err));
        assert_int_equal(err.code, DV_ERR_CONFIG);
        assert_non_null(strstr(err.message, wrong[i]));
    }
}

static void there_is_a_limit_of_listeners(void **state)
{
    char text[400] = "";

    (void)state;
    for (int i = 0; i < DV_MAX_LISTENERS + 1; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%d A;", 1000 + i);
    assert_false(dv_scp_listeners_of(text, NULL, &arena, out, &count, &err));
    assert_int_equal(err.code, DV_ERR_CONFIG);
}

static void tls_is_needed_only_when_a_listener_says_so(void **state)
{
    (void)state;
    assert_true(dv_scp_listeners_need_tls("1 A; 2 B tls"));
    assert_false(dv_scp_listeners_need_tls("1 A; 2 Btls"));
    assert_false(dv_scp_listeners_need_tls(""));
}

static void a_server_context_says_which_file_is_missing_or_wrong(void **state)
{
    dv_tls_clients clients;

    (void)state;
    assert_null(dv_tls_server(&(dv_tls_files){NULL, NULL, NULL}, DV_TLS_IGNORE, &err));
    assert_non_null(strstr(err.message, "dimse.tls_cert"));
    assert_null(dv_tls_server(&(dv_tls_files){"/nowhere.pem", NULL, NULL}, DV_TLS_REQUIRE, &err));
    assert_non_null(strstr(err.message, "dimse.tls_ca"));
    assert_null(dv_tls_server(&(dv_tls_files){"/nowhere.pem", NULL, NULL}, DV_TLS_IGNORE, &err));
    assert_int_equal(err.code, DV_ERR_CONFIG);
    assert_non_null(strstr(err.message, "/nowhere.pem: No such file"));
    assert_null(dv_tls_server(&(dv_tls_files){"CMakeLists.txt", NULL, NULL}, DV_TLS_IGNORE, &err)); /* no PEM */
    assert_null(dv_tls_client(&(dv_tls_files){NULL, NULL, "/nowhere.pem"}, false, &err));
    assert_true(dv_tls_clients_of("check", &clients) && clients == DV_TLS_CHECK);
    assert_false(dv_tls_clients_of("maybe", &clients));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_listener_is_a_port_an_ae_title_and_perhaps_tls, before, after),
        cmocka_unit_test_setup_teardown(a_wrong_listener_is_named, before, after),
        cmocka_unit_test_setup_teardown(there_is_a_limit_of_listeners, before, after),
        cmocka_unit_test_setup_teardown(tls_is_needed_only_when_a_listener_says_so, before, after),
        cmocka_unit_test_setup_teardown(a_server_context_says_which_file_is_missing_or_wrong, before, after),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
