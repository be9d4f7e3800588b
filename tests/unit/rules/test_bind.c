/* `ds` and `ctx` as code in rules uses them, and what happens when they are used wrongly. */
#include "rules/language.h"

/* BODY runs as a rule over GIVEN (fields of a test); the test of it has OUTCOME (fields too). */
static void code_holds(const char *body, const char *given, const char *outcome)
{
    char rules[4096];
    int n = snprintf(rules, sizeof rules, "mapping \"t\" { run = function(ds, ctx)\n%s\nend,\ntests = { { given = { %s }, %s } } }\n", body, given, outcome);
    assert_true(n > 0 && (size_t)n < sizeof rules);
    rules_hold(rules, false, 1);
}

/* BODY fails over GIVEN with MESSAGE. */
static void code_fails(const char *body, const char *given, const char *message)
{
    char rules[4096];
    dv_error err = {0};
    dv_buffer report = {0};
    int passed, failed;
    int n = snprintf(rules, sizeof rules, "mapping \"t\" { run = function(ds, ctx)\n%s\nend,\ntests = { { given = { %s }, expect = {} } } }\n", body, given);
    assert_true(n > 0 && (size_t)n < sizeof rules);
    dv_state *s = state_of(rules, false, &report, &err);
    if (!s)
        fail_msg("%s", err.message);
    assert_false(dv_harness_test_all(s->L, &report, &passed, &failed));
    if (!strstr(report.at, message))
        fail_msg("it failed with:\n%sbut the message should have: %s", report.at, message);
    dv_state_free(s);
    dv_buffer_free(&report);
}

static void absent_is_nil_and_empty_is_empty(void **state)
{
    (void)state;
    code_holds("ds.StudyID = tostring(ds.PatientID == nil) .. tostring(ds.AccessionNumber == \"\")", "AccessionNumber = \"\"",
               "expect = { StudyID = \"truetrue\" }");
}

static void an_unknown_keyword_is_an_error_that_names_the_nearest(void **state)
{
    (void)state;
    code_fails("local x = ds.PatientNam", "PatientID = \"1\"", "rules/test.lua:2: no attribute is called 'PatientNam'; did you mean PatientName?");
    code_fails("ds.PatientNam = 5", "PatientID = \"1\"", "did you mean PatientName?");
    code_fails("ds:itemz 'X'", "PatientID = \"1\"", "a dataset has no 'itemz'");
    code_fails("local x = ctx.found.PatientNam", "PatientID = \"1\"", "did you mean PatientName?");
}

static void numbers_lists_and_nil_are_written_as_dicom_wants_them(void **state)
{
    (void)state;
    code_holds("ds.InstanceNumber = 7; ds.SliceThickness = 2.0; ds.PixelSpacing = { 0.5, 1 }; ds.ImageType = { 'A', 'B' }; ds.StudyID = nil",
               "StudyID = \"1\"",
               "expect = { InstanceNumber = \"7\", SliceThickness = \"2\", PixelSpacing = \"0.5\\\\1\", ImageType = \"A\\\\B\" }, absent = { \"StudyID\" }");
    code_fails("ds.PatientID = true", "PatientID = \"1\"", "PatientID cannot be set to a boolean");
    code_fails("ds.PatientID = { {} }", "PatientID = \"1\"", "value 1 of the list for PatientID is a table");
}

static void binary_numbers_read_and_write_as_decimal_text(void **state)
{
    (void)state;
    code_holds("ds.Rows = tonumber(ds.Columns) + 1", "Columns = \"511\"", "expect = { Rows = \"512\" }");
}

static void values_and_items_walk_what_is_there(void **state)
{
    (void)state;
    code_holds("local v = ds:values 'ImageType'; ds.StudyID = #v .. v[2]", "ImageType = \"A\\\\B\\\\C\"", "expect = { StudyID = \"3B\" }");
    code_holds("ds.StudyID = tostring(#ds:values 'ImageType')", "PatientID = \"1\"", "expect = { StudyID = \"0\" }");
    code_holds("local n = 0 for item, i in ds:items 'RequestAttributesSequence' do n = n + i end ds.StudyID = tostring(n)",
               "[\"RequestAttributesSequence[1].AccessionNumber\"] = \"A\", [\"RequestAttributesSequence[2].AccessionNumber\"] = \"B\"",
               "expect = { StudyID = \"3\" }");
    code_holds("for item in ds:items 'RequestAttributesSequence' do error 'none' end", "PatientID = \"1\"", "expect = {}");
    code_fails("for item in ds:items 'PatientID' do end", "PatientID = \"1\"", "PatientID is no sequence");
    code_fails("for item in ds:items 'RequestAttributesSequence[1]' do end", "PatientID = \"1\"", "takes the name of one sequence");
}

static void items_are_written_and_nest(void **state)
{
    (void)state;
    code_holds("for item in ds:items 'RequestAttributesSequence' do\n"
               "  for code in item:items 'ScheduledProtocolCodeSequence' do code.CodeMeaning = code.CodeValue .. '!' end\n"
               "  item.AccessionNumber = nil\n"
               "end",
               "[\"RequestAttributesSequence[1].AccessionNumber\"] = \"A\", [\"RequestAttributesSequence[1].ScheduledProtocolCodeSequence[1].CodeValue\"] = \"C\"",
               "expect = { [\"RequestAttributesSequence[1].ScheduledProtocolCodeSequence[1].CodeMeaning\"] = \"C!\" }, "
               "absent = { \"RequestAttributesSequence[1].AccessionNumber\" }");
}

static void each_walks_a_vr_or_a_path_at_every_depth(void **state)
{
    (void)state;
    code_holds("for path, v in ds:each 'DA' do ds[path] = (date(v) + 1) end",
               "StudyDate = \"20240101\", [\"ReferencedStudySequence[1].StudyDate\"] = \"20231231\"",
               "expect = { StudyDate = \"20240102\", [\"ReferencedStudySequence[1].StudyDate\"] = \"20240101\" }");
    code_holds("local n = 0 for path, v in ds:each '**.PatientID' do n = n + 1 end ds.StudyID = n",
               "PatientID = \"1\", [\"ReferencedPatientSequence[1].PatientID\"] = \"2\"", "expect = { StudyID = \"2\" }");
    code_holds("for item in ds:items 'ReferencedStudySequence' do for path, v in item:each 'DA' do item[path] = '20200101' end end",
               "StudyDate = \"20240101\", [\"ReferencedStudySequence[1].StudyDate\"] = \"20231231\"",
               "expect = { [\"ReferencedStudySequence[1].StudyDate\"] = \"20200101\" }");
    code_fails("for p in ds:each 'OW' do end", "PatientID = \"1\"", "'OW' is no VR that holds text");
}

static void what_was_received_stays_readable_and_cannot_be_written(void **state)
{
    (void)state;
    code_holds("ds.PatientID = 'new' ds.StudyID = ds.received.PatientID", "PatientID = \"old\"", "expect = { PatientID = \"new\", StudyID = \"old\" }");
    code_fails("ds.received.PatientID = 'x'", "PatientID = \"1\"", "what was received cannot be changed; write ds.PatientID instead");
}

static void a_sequence_read_as_a_value_says_what_to_use(void **state)
{
    (void)state;
    code_fails("local x = ds.RequestAttributesSequence", "[\"RequestAttributesSequence[1].AccessionNumber\"] = \"A\"", "walk them with ds:items, or ask ds:has");
}

static void text_outside_the_character_set_says_the_way_out(void **state)
{
    (void)state;
    code_fails("ds.PatientName = 'M\xC3\xBCller'", "PatientID = \"1\"", "ds:transcode \"ISO_IR 192\" first");
    code_holds("ds:transcode 'ISO_IR 192' ds.PatientName = 'M\xC3\xBCller'", "PatientID = \"1\"",
               "expect = { SpecificCharacterSet = \"ISO_IR 192\", PatientName = \"M\xC3\xBCller\" }");
}

static void the_context_is_read_only_and_knows_its_fields(void **state)
{
    (void)state;
    code_fails("local x = ctx.origin.pear", "PatientID = \"1\"", "ctx.origin has no 'pear'; it has peer, calling, called, address, channel");
    code_fails("ctx.seed = 'x'", "PatientID = \"1\"", "ctx is read-only");
    code_holds("ds.StudyID = tostring(ctx.found.PatientID) .. ctx.seed .. ctx.job.batch", "PatientID = \"1\"", "expect = { StudyID = \"nil\" }");
}

static void a_dataset_kept_from_an_earlier_run_is_dead(void **state)
{
    (void)state;
    dv_error err = {0};
    dv_buffer report = {0};
    int passed, failed;
    dv_state *s = state_of("local kept\n"
                           "mapping \"t\" { run = function(ds, ctx)\n"
                           "  if kept then local x = kept.PatientID end\n"
                           "  kept = ds\n"
                           "end, tests = { { given = { PatientID = \"1\" }, expect = {} }, { given = { PatientID = \"2\" }, expect = {} } } }\n",
                           false, &report, &err);
    assert_non_null(s);
    assert_false(dv_harness_test_all(s->L, &report, &passed, &failed));
    assert_int_equal(passed, 0); /* the first one because it keeps something */
    assert_non_null(strstr(report.at, "this dataset is gone"));
    dv_state_free(s);
    dv_buffer_free(&report);
}

static void a_verdict_must_be_returned(void **state)
{
    (void)state;
    code_fails("reject 'bad'", "PatientID = \"1\"", "reject \"bad\" was made but not returned");
    code_fails("return 5", "PatientID = \"1\"", "the rule returned 5; it may return nothing, or reject, hold, exclude");
    code_fails("return hold()", "PatientID = \"1\"", "hold needs a reason");
    code_holds("if ds.PatientID == '1' then return hold 'because' end", "PatientID = \"1\"", "verdict = \"hold\", reason = \"because\"");
    code_holds("flag('odd', 'PatientID') warn 'and'", "PatientID = \"1\"", "flagged = { \"mapping/t\" }, warned = { \"mapping/t\" }");
}

static void dates_times_and_names_read_back(void **state)
{
    (void)state;
    code_holds("local d = date(ds.StudyDate) ds.StudyID = d.year .. '/' .. d.month .. '/' .. d.day", "StudyDate = \"20090304\"", "expect = { StudyID = \"2009/3/4\" }");
    code_holds("ds.SeriesDate = date(2024, 2, 28) + 2 ds.StudyID = date '20240301' - date '20240228'", "PatientID = \"1\"",
               "expect = { SeriesDate = \"20240301\", StudyID = \"2\" }");
    code_holds("ds.StudyID = tostring(date '2009.03.04') .. tostring(date '') .. tostring(date(nil))", "PatientID = \"1\"", "expect = { StudyID = \"nilnilnil\" }");
    code_holds("ds.SeriesTime = time(ds.StudyTime) ds.StudyID = tostring(time '1000' < time '1001')", "StudyTime = \"101112.5\"",
               "expect = { SeriesTime = \"101112.500000\", StudyID = \"true\" }");
    code_holds("local n = name(ds.PatientName) n.family = n.family:upper() ds.PatientName = n", "PatientName = \"Doe^John^^Dr\"",
               "expect = { PatientName = \"DOE^John^^Dr\" }");
    code_fails("date(5)", "PatientID = \"1\"", "date() takes a text such as");
    /* every day of some years there and back */
    code_holds("local d, n = date '18991231', 0 while d < date '19040301' do d = d + 1 n = n + 1 end ds.StudyID = tostring(d) .. ' ' .. n", "PatientID = \"1\"",
               "expect = { StudyID = \"19040301 1521\" }");
}

static void a_rule_cannot_fill_memory_through_the_dataset(void **state)
{
    (void)state;
    code_fails("local s = ('x'):rep(60000) for i = 1, 100000 do ds.PatientComments = s .. i end", "PatientID = \"1\"", "the rules of this dataset wrote more than 32 MB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_is_nil_and_empty_is_empty),
        cmocka_unit_test(an_unknown_keyword_is_an_error_that_names_the_nearest),
        cmocka_unit_test(numbers_lists_and_nil_are_written_as_dicom_wants_them),
        cmocka_unit_test(binary_numbers_read_and_write_as_decimal_text),
        cmocka_unit_test(values_and_items_walk_what_is_there),
        cmocka_unit_test(items_are_written_and_nest),
        cmocka_unit_test(each_walks_a_vr_or_a_path_at_every_depth),
        cmocka_unit_test(what_was_received_stays_readable_and_cannot_be_written),
        cmocka_unit_test(a_sequence_read_as_a_value_says_what_to_use),
        cmocka_unit_test(text_outside_the_character_set_says_the_way_out),
        cmocka_unit_test(the_context_is_read_only_and_knows_its_fields),
        cmocka_unit_test(a_dataset_kept_from_an_earlier_run_is_dead),
        cmocka_unit_test(a_verdict_must_be_returned),
        cmocka_unit_test(dates_times_and_names_read_back),
        cmocka_unit_test(a_rule_cannot_fill_memory_through_the_dataset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
