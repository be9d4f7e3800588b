/* The table of remote AEs: what is taken, what is refused and how. */
#include "catalog/catalog_fixture.h"
#include "catalog/peers.h"

static dv_peer good(void)
{
    return (dv_peer){.slug = DV_TEXT("GE_MAIN"),
                     .label = DV_TEXT("GE Centricity"),
                     .aet = DV_TEXT("GEPACS"),
                     .host = DV_TEXT("10.1.2.3"),
                     .port = 104,
                     .direction = DV_TEXT("SourceOnly"),
                     .enabled = true,
                     .sop_classes = DV_TEXT("1.2.840.10008.5.1.4.1.1.2\\1.2.3"),
                     .max_associations = 4,
                     .settings = DV_TEXT("{\"find_timeout_s\":60}")};
}

typedef struct saving {
    const dv_peer *peer;
    int64_t id;
} saving;

static bool save_work(dv_db *db, void *user, dv_error *e)
{
    saving *s = user;
    return dv_peer_save(db, s->peer, &s->id, e);
}

static bool save(const dv_peer *p, int64_t *id)
{
    saving s = {.peer = p};
    bool ok = dv_catalog_write(cat, true, save_work, &s, &err);
    *id = s.id;
    return ok;
}

static bool remove_work(dv_db *db, void *user, dv_error *e)
{
    return dv_peer_remove(db, dv_text_of(user), e);
}

static void a_peer_comes_back_as_it_was_saved(void **state)
{
    (void)state;
    dv_arena a;
    dv_arena_init(&a, 0);
    dv_peer p = good(), out;
    int64_t id;
    bool found;
    assert_true(save(&p, &id));
    dv_db *db = dv_catalog_reader(cat, &err);
    assert_true(dv_peer_get(db, DV_TEXT("GE_MAIN"), &a, &out, &found, &err));
    assert_true(found);
    assert_int_equal(out.id, id);
    assert_true(dv_text_equal(out.label, p.label) && dv_text_equal(out.aet, p.aet) && dv_text_equal(out.host, p.host));
    assert_true(dv_text_equal(out.sop_classes, p.sop_classes) && dv_text_equal(out.settings, p.settings));
    assert_int_equal(out.port, 104);
    assert_int_equal(out.max_associations, 4);
    assert_true(out.enabled);
    assert_int_equal(out.transfer_syntaxes.len, 0);
    assert_true(dv_peer_get(db, DV_TEXT("ge_main"), &a, &out, &found, &err));
    assert_false(found);
    dv_arena_free(&a);
}

static void a_peer_is_changed_by_id_and_its_name_never(void **state)
{
    (void)state;
    dv_peer p = good();
    int64_t id, same;
    assert_true(save(&p, &id));
    assert_false(save(&p, &same));
    assert_int_equal(err.code, DV_ERR_EXISTS);
    assert_non_null(strstr(err.message, "GE_MAIN"));
    p.id = id;
    p.port = 11112;
    assert_true(save(&p, &same));
    assert_int_equal(same, id);
    assert_int_equal(ask("SELECT port FROM peers"), 11112);
    p.slug = DV_TEXT("OTHER");
    assert_false(save(&p, &same));
    assert_int_equal(err.code, DV_ERR_NOT_FOUND);
}

static void a_wrong_value_is_named_with_the_way_out(void **state)
{
    (void)state;
    int64_t id;
    dv_peer p;
#define WRONG(field, value, text)                                                                                      \
    p = good();                                                                                                        \
    p.field = value;                                                                                                   \
    assert_false(save(&p, &id));                                                                                       \
    assert_int_equal(err.code, DV_ERR_VALUE);                                                                          \
    assert_non_null(strstr(err.message, text))
    WRONG(slug, DV_TEXT(""), "name ''");
    WRONG(slug, DV_TEXT("GE MAIN"), "'GE MAIN'");
    WRONG(slug, DV_TEXT("a23456789012345678901234567890123"), "1 to 32");
    WRONG(aet, DV_TEXT(""), "AE title ''");
    WRONG(aet, DV_TEXT("12345678901234567"), "1 to 16");
    WRONG(aet, DV_TEXT("A\\B"), "backslash");
    WRONG(aet, DV_TEXT(" A"), "' A'");
    WRONG(aet, DV_TEXT("\xc3\x84"), "ASCII");
    WRONG(host, DV_TEXT(""), "host ''");
    WRONG(host, DV_TEXT("a b"), "'a b'");
    WRONG(port, 0, "port 0");
    WRONG(port, 65536, "1 to 65535");
    WRONG(direction, DV_TEXT("both"), "SourceOnly, DestinationOnly or Both");
    WRONG(sop_classes, DV_TEXT("1.2.3\\CT"), "'CT' in the list of SOP classes");
    WRONG(sop_classes, DV_TEXT("1..2"), "'1..2'");
    WRONG(transfer_syntaxes, DV_TEXT("1.2."), "transfer syntaxes");
    WRONG(transfer_syntaxes, DV_TEXT("1.02"), "'1.02'");
    WRONG(settings, DV_TEXT("[1]"), "JSON object");
    WRONG(settings, DV_TEXT("{"), "JSON object");
    WRONG(settings, DV_TEXT("{\"retreive\":\"get\"}"), "no peer setting 'retreive'; there are: retrieve find_timeout_s");
    WRONG(settings, DV_TEXT("{\"retrieve\":\"push\"}"), "one of: move get");
    WRONG(settings, DV_TEXT("{\"retrieve\":\"\"}"), "one of: move get");
    WRONG(settings, DV_TEXT("{\"max_moves\":0}"), "from 1 to 64");
    WRONG(settings, DV_TEXT("{\"max_moves\":1.5}"), "whole number");
    WRONG(settings, DV_TEXT("{\"tls\":1}"), "true or false");
    WRONG(settings, DV_TEXT("{\"tls_ca\":\"\"}"), "PEM file");
    WRONG(max_associations, -1, "-1 associations");
    assert_int_equal(ask("SELECT count(*) FROM peers"), 0);
}

static void the_calling_ae_finds_the_enabled_source(void **state)
{
    (void)state;
    dv_arena a;
    dv_arena_init(&a, 0);
    int64_t id;
    bool found;
    dv_peer p = good(), out;
    p.slug = DV_TEXT("off");
    p.enabled = false;
    assert_true(save(&p, &id));
    p = good();
    p.slug = DV_TEXT("to");
    p.direction = DV_TEXT("DestinationOnly");
    assert_true(save(&p, &id));
    dv_db *db = dv_catalog_reader(cat, &err);
    assert_true(dv_peer_by_aet(db, DV_TEXT("GEPACS"), &a, &out, &found, &err));
    assert_false(found);
    p = good();
    assert_true(save(&p, &id));
    assert_true(dv_peer_by_aet(db, DV_TEXT("GEPACS          "), &a, &out, &found, &err));
    assert_true(found && out.id == id);
    dv_arena_free(&a);
}

static void peers_are_listed_by_name_and_removed(void **state)
{
    (void)state;
    dv_arena a;
    dv_arena_init(&a, 0);
    dv_peer *list;
    size_t count;
    int64_t id;
    static char slugs[40][16];
    for (int i = 39; i >= 0; i--) {
        dv_peer p = good();
        snprintf(slugs[i], sizeof slugs[i], "p%02d", i);
        p.slug = dv_text_of(slugs[i]);
        assert_true(save(&p, &id));
    }
    assert_true(dv_catalog_write(cat, true, remove_work, slugs[3], &err));
    assert_false(dv_catalog_write(cat, true, remove_work, slugs[3], &err));
    assert_int_equal(err.code, DV_ERR_NOT_FOUND);
    assert_true(dv_peer_list(dv_catalog_reader(cat, &err), &a, &list, &count, &err));
    assert_int_equal(count, 39);
    assert_true(dv_text_is(list[0].slug, "p00") && dv_text_is(list[3].slug, "p04"));
    dv_arena_free(&a);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_catalog, close_catalog)
    const struct CMUnitTest tests[] = {
        T(a_peer_comes_back_as_it_was_saved),       T(a_peer_is_changed_by_id_and_its_name_never),
        T(a_wrong_value_is_named_with_the_way_out), T(the_calling_ae_finds_the_enabled_source),
        T(peers_are_listed_by_name_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
