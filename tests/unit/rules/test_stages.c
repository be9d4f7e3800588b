/* The three stages: shipped rules by their own tests, switches that are off by default, real files through the whole set. */
#include "rules/language.h"

#include "dicom/made.h"
#include "dicom/part10.h"

#include <unistd.h>

static void the_shipped_rules_pass_their_tests(void **state)
{
    (void)state;
    rules_hold(NULL, true, 100);
}

static void every_shipped_rule_has_a_test(void **state)
{
    (void)state;
    dv_error err = {0};
    dv_arena arena;
    dv_harness_report report;
    dv_arena_init(&arena, 0);
    dv_state *s = state_of(NULL, true, NULL, &err);
    assert_non_null(s);
    assert_true(dv_harness_run(s->L, NULL, &arena, &report, &err));
    assert_int_equal(report.untested, 0);
    assert_true(report.rules > 20);
    dv_state_free(s);
    dv_arena_free(&arena);
}

/* ---- normalization ---- */

static void parameters_decide_what_has_two_readings(void **state)
{
    (void)state;
    rules_hold("normalization \"d\" { policy = \"dates\", params = { day_first = true }, tests = { { given = { StudyDate = \"04/03/2009\" }, expect = { StudyDate = \"20090304\" } } } }\n"
               "normalization \"m\" { policy = \"dates\", params = { day_first = false }, tests = { { given = { StudyDate = \"04/03/2009\" }, expect = { StudyDate = \"20090403\" } } } }\n"
               "normalization \"n\" { policy = \"names\", params = { comma = true }, tests = { { given = { PatientName = \"DOE, JOHN\" }, expect = { PatientName = \"DOE^JOHN\" } } } }\n"
               "normalization \"k\" { policy = \"numbers\", params = { decimal_comma = true }, tests = { { given = { SliceThickness = \"12,5\" }, expect = { SliceThickness = \"12.5\" } } } }\n"
               "normalization \"c\" { policy = \"codes\", params = { map = { MALE = \"M\" } }, tests = { { given = { PatientSex = \"Male\" }, expect = { PatientSex = \"M\" } } } }\n"
               "normalization \"o\" { policy = \"modality\", params = { map = { XRAY = \"CR\" } }, tests = { { given = { Modality = \"XRAY\" }, expect = { Modality = \"CR\" } } } }\n"
               "normalization \"q\" { policy = \"dates\", params = { report = \"nothing\" }, tests = { { given = { StudyDate = \"x\" }, expect = {} } } }\n"
               "normalization \"w\" { policy = \"dates\", params = { report = \"warn\" }, tests = { { given = { StudyDate = \"x\" }, warned = { \"normalization/w\" } } } }\n",
               false, 8);
}

static void the_forms_of_dates_that_archives_send(void **state)
{
    (void)state;
    rules_hold("local function case(from, to) return { given = { StudyDate = from }, expect = { StudyDate = to } } end\n"
               "local function kept(from) return { given = { StudyDate = from }, expect = {}, flagged = { \"normalization/d\" } } end\n"
               "normalization \"d\" { policy = \"dates\", tests = {\n"
               "  case(\"2009.03.04\", \"20090304\"), case(\"2009/3/4\", \"20090304\"), case(\"4 Mar 2009\", \"20090304\"), case(\"Mar 4, 2009\", \"20090304\"),\n"
               "  case(\"20090304101112\", \"20090304\"), case(\"20090304 1011\", \"20090304\"), case(\"2009-03-04 10:11\", \"20090304\"), case(\"03/13/2009\", \"20090313\"),\n"
               "  case(\"05/05/2009\", \"20090505\"), case(\"2009.03.04\\\\20090305\", \"20090304\\\\20090305\"),\n"
               "  kept(\"09.03.04\"), kept(\"20091304\"), kept(\"2009.13.04\"), kept(\"200903\"), kept(\"yesterday\") } }\n",
               false, 15);
}

static void the_forms_of_times_and_ages_that_archives_send(void **state)
{
    (void)state;
    rules_hold("local function case(tag, from, to) return { given = { [tag] = from }, expect = { [tag] = to } } end\n"
               "local function kept(tag, from, rule) return { given = { [tag] = from }, expect = {}, flagged = { \"normalization/\" .. rule } } end\n"
               "normalization \"t\" { policy = \"times\", tests = { case(\"StudyTime\", \"10:11\", \"1011\"), case(\"StudyTime\", \"9:05:07.25\", \"090507.25\"),\n"
               "  case(\"StudyTime\", \"12:00:00 AM\", \"000000\"), case(\"StudyTime\", \"20090304101112\", \"101112\"), kept(\"StudyTime\", \"13:00 PM\", \"t\"),\n"
               "  kept(\"StudyTime\", \"256000\", \"t\"), kept(\"StudyTime\", \"noon\", \"t\") } }\n"
               "normalization \"a\" { policy = \"ages\", tests = { case(\"PatientAge\", \"6 M\", \"006M\"), case(\"PatientAge\", \"69 years\", \"069Y\"), case(\"PatientAge\", \"1.5Y\", \"018M\"),\n"
               "  kept(\"PatientAge\", \"1000Y\", \"a\"), kept(\"PatientAge\", \"69X\", \"a\") } }\n",
               false, 12);
}

static void a_source_may_name_its_character_set(void **state)
{
    (void)state;
    rules_hold("normalization \"c\" { source = \"ATHENS\", policy = \"character_set\", params = { default = \"ISO_IR 126\" }, tests = {\n"
               "  { given = { PatientName = \"\xCE\x94\xCE\xB9\xCE\xBF\xCE\xBD\xCF\x85\" }, sent_as = \"ISO_IR 126\", expect = { SpecificCharacterSet = \"ISO_IR 126\" } },\n"
               "  { given = { PatientName = \"DOE\" }, expect = {} } } }\n"
               "normalization \"u\" { policy = \"character_set\", params = { to_utf8 = true }, tests = {\n"
               "  { given = { SpecificCharacterSet = \"ISO_IR 100\", PatientName = \"M\xC3\xBCller\" }, expect = { SpecificCharacterSet = \"ISO_IR 192\" } } } }\n"
               "normalization \"n\" { policy = \"character_set\", params = { last_resort = \"\" }, tests = {\n"
               "  { given = { PatientName = \"M\xC3\xBCller\" }, sent_as = \"ISO_IR 100\", expect = {}, flagged = { \"normalization/n\" } } } }\n",
               false, 4);
}

/* ---- validation ---- */

static void on_fail_decides_what_becomes_of_it(void **state)
{
    (void)state;
    rules_hold("local function rule(on_fail) return { tag = \"PatientID\", rule_type = \"length\", min_length = 2, max_length = 3, on_fail = on_fail } end\n"
               "local r = rule \"Reject\" r.tests = { { given = { PatientID = \"1\" }, verdict = \"reject\", reason = \"has 1 characters, fewer than 2\" }, { given = { PatientID = \"12\" }, expect = {} } } validation \"r\" (r)\n"
               "local w = rule \"Warn\" w.tests = { { given = { PatientID = \"1234\" }, warned = { \"validation/w\" } } } validation \"w\" (w)\n"
               "local f = rule(nil) f.tests = { { given = { PatientID = \"1234\" }, flagged = { \"validation/f\" } } } validation \"f\" (f)\n"
               "local i = rule \"Ignore\" i.tests = { { given = { PatientID = \"1234\" }, expect = {} } } validation \"i\" (i)\n"
               "local c = rule \"Correct\" c.correction_map = { [\"1234\"] = \"123\" } c.tests = { { given = { PatientID = \"1234\" }, expect = { PatientID = \"123\" } }, "
               "{ given = { PatientID = \"12345\" }, flagged = { \"validation/c\" } } } validation \"c\" (c)\n",
               false, 7);
}

static void every_value_and_every_place_is_looked_at(void **state)
{
    (void)state;
    rules_hold("validation \"v\" { tag = \"ImageType\", rule_type = \"enum\", valid_values = { \"A\", \"B\" }, on_fail = \"Correct\", tests = {\n"
               "  { given = { ImageType = \"A\\\\b\" }, expect = { ImageType = \"A\\\\B\" } }, { given = { ImageType = \"A\\\\C\" }, flagged = { \"validation/v\" } },\n"
               "  { given = { ImageType = \"a\\\\C\" }, flagged = { \"validation/v\" } } } }\n"
               "validation \"p\" { tag = \"**.PatientSex\", rule_type = \"enum\", valid_values = { \"M\", \"F\" }, on_fail = \"Correct\", tests = {\n"
               "  { given = { [\"ReferencedPatientSequence[1].PatientSex\"] = \"m\" }, expect = { [\"ReferencedPatientSequence[1].PatientSex\"] = \"M\" } } } }\n",
               false, 4);
}

static void derived_and_custom_rules_know_the_right_value(void **state)
{
    (void)state;
    rules_hold("validation \"a\" { tag = \"PatientAge\", rule_type = \"derived\", derivation_method = \"compute_age\", on_fail = \"Correct\", tests = {\n"
               "  { given = { PatientBirthDate = \"19700102\", StudyDate = \"20200101\" }, expect = { PatientAge = \"049Y\" } },\n"
               "  { given = { PatientBirthDate = \"19700101\", StudyDate = \"20200101\", PatientAge = \"050Y\" }, expect = {} }, { given = { StudyDate = \"20200101\" }, expect = {} } } }\n"
               "validation \"c\" { tag = \"PatientID\", rule_type = \"custom\", on_fail = \"Correct\", check = function(v, ds, ctx)\n"
               "    if blank(v) then return false, \"no ID\" end\n"
               "    if v:find \"^N%-\" then return true end\n"
               "    return false, \"no prefix\", \"N-\" .. v\n"
               "  end, tests = { { given = { PatientID = \"1\" }, expect = { PatientID = \"N-1\" } }, { given = { PatientID = \"N-1\" }, expect = {} }, { given = {}, flagged = { \"validation/c\" } } } }\n",
               false, 6);
}

/* ---- the whole set ---- */

static dv_rules *whole;
static size_t files_run, files_held;

static void run_file(const char *name, const dv_map *map)
{
    dv_arena arena;
    dv_error err = {0};
    dv_file_meta meta;
    dv_outcome out;
    dv_text bytes;
    dv_arena_init(&arena, 0);
    dv_dataset *ds = dv_part10_open(map->bytes, map->len, &arena, &meta, &err);
    if (ds) {
        dv_context ctx = {.index_findings = dv_dataset_index(ds)->findings};
        if (!dv_rules_run(whole, ds, &ctx, &arena, &out, &err))
            fail_msg("%s: %s", name, err.message);
        if (out.fault)
            fail_msg("%s: %.*s", name, DV_ARG(out.reason));
        for (const dv_change *c = dv_dataset_changes(ds); c; c = c->next)
            if (!c->by.rule || !strchr(c->by.rule, '/') || !c->by.stage || strncmp(c->by.rule, c->by.stage, strlen(c->by.stage)) != 0)
                fail_msg("%s: a change of %.*s by nobody", name, DV_ARG(c->path));
        if (!dv_write_bytes(ds, &bytes, &err))
            fail_msg("%s: what the rules made of it cannot be written: %s", name, err.message);
        dv_encoding encoding = dv_dataset_index(ds)->encoding;
        encoding.deflated = false;
        dv_index ix;
        if (!dv_index_all(&ix, &arena, encoding, (const uint8_t *)bytes.at, bytes.len, &err) || !(ds = dv_dataset_open(&arena, &ix, &err)))
            fail_msg("%s: what the rules made of it cannot be read: %s", name, err.message);
        if (!dv_rules_run(whole, ds, &ctx, &arena, &out, &err))
            fail_msg("%s: %s", name, err.message);
        const dv_change *more = dv_dataset_changes(ds);
        if (more)
            fail_msg("%s: a second run changes %.*s from %.*s to %.*s, by %s", name, DV_ARG(more->path), DV_ARG(more->before),
                     DV_ARG(more->after), more->by.rule);
        files_run++;
        files_held += out.verdict != DV_VERDICT_STORE;
    }
    dv_arena_free(&arena);
}

static void no_rule_fails_on_real_files_and_a_second_run_changes_nothing(void **state)
{
    (void)state;
    char folder[1024];
    dv_error err = {0};
    dv_rules_options options = {.share = ".", .states = 1, .time_limit_ms = 20000}; /* ASan on a busy machine */
    if (!data_folder(folder, sizeof folder))
        skip();
    whole = dv_rules_open(&options, &err);
    if (!whole)
        fail_msg("%s", err.message);
    files_run = files_held = 0;
    each_file(folder, run_file);
    print_message("%zu files, %zu not stored\n", files_run, files_held);
    assert_true(files_run > 100);
    assert_int_equal(files_held, 0); /* no shipped rule rejects or holds */
    dv_rules_close(whole);
}

static void a_fault_holds_and_names_rule_file_and_line(void **state)
{
    (void)state;
    char site[] = "/tmp/drover-rules-XXXXXX", file[64];
    dv_error err = {0};
    dv_arena arena;
    dv_outcome out;
    assert_non_null(mkdtemp(site));
    snprintf(file, sizeof file, "%s/a.lua", site);
    const char *text = "mapping \"bad\" {\n  run = function(ds)\n    ds.PatientID = ds.PatientID .. ds.StudyID\n  end,\n}\n"
                       "mapping \"data\" { priority = 1, conditions = { { \"PixelData\", \"equals\", \"x\" } }, actions = { { \"StudyID\", \"clear\" } } }\n";
    assert_true(dv_file_replace(file, dv_text_of(text), 0600, &err));
    dv_rules_options options = {.share = ".", .site = site, .states = 1};
    dv_rules *rules = dv_rules_open(&options, &err);
    if (!rules)
        fail_msg("%s", err.message);
    dv_arena_init(&arena, 0);
    dv_dataset *ds = dv_dataset_new(&arena, (dv_encoding){0}, &err);
    dv_context ctx = {0};
    assert_true(dv_dataset_put(ds, DV_PatientID, DV_TEXT("1"), &err));
    assert_true(dv_rules_run(rules, ds, &ctx, &arena, &out, &err));
    assert_true(out.fault);
    assert_int_equal(out.verdict, DV_VERDICT_HOLD);
    assert_true(dv_text_is(out.rule, "mapping/bad"));
    assert_true(dv_text_is(out.stage, "mapping"));
    assert_true(dv_text_is(out.file, "rules/a.lua"));
    assert_int_equal(out.line, 3);
    assert_true(dv_text_is(dv_dataset_text(ds, DV_PatientID), "1"));
    dv_rules_close(rules);
    dv_arena_free(&arena);
    unlink(file);
    rmdir(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shipped_rules_pass_their_tests),
        cmocka_unit_test(every_shipped_rule_has_a_test),
        cmocka_unit_test(parameters_decide_what_has_two_readings),
        cmocka_unit_test(the_forms_of_dates_that_archives_send),
        cmocka_unit_test(the_forms_of_times_and_ages_that_archives_send),
        cmocka_unit_test(a_source_may_name_its_character_set),
        cmocka_unit_test(on_fail_decides_what_becomes_of_it),
        cmocka_unit_test(every_value_and_every_place_is_looked_at),
        cmocka_unit_test(derived_and_custom_rules_know_the_right_value),
        cmocka_unit_test(no_rule_fails_on_real_files_and_a_second_run_changes_nothing),
        cmocka_unit_test(a_fault_holds_and_names_rule_file_and_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
