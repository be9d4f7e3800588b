/* The rule language as rule writers meet it: what is refused and with which words, what rules do. */
#include "rules/language.h"

#define TESTED(...) "tests = { " __VA_ARGS__ " },\n"

/* ---- what is refused, at load ---- */

static void a_misspelt_field_is_refused_with_its_line_and_the_nearest_right_one(void **state)
{
    (void)state;
    refused("mapping \"x\" {\n  description = \"d\",\n  prority = 3,\n  run = function() end,\n}\n",
            "rules/test.lua:3: mapping/x: there is no field 'prority'; did you mean 'priority'?");
}

static void a_field_of_another_name_is_refused_with_what_is_allowed(void **state)
{
    (void)state;
    refused("mapping \"x\" { zzzzzz = 3, run = function() end }\n", "there is no field 'zzzzzz'; allowed: name, description, enabled, priority, source");
}

static void a_misspelt_verb_is_refused_with_the_nearest_right_one(void **state)
{
    (void)state;
    refused("valdation \"x\" {}\n", "rules/test.lua:1: there is no 'valdation'; did you mean 'validation'?");
}

static void a_verb_that_is_not_built_yet_says_what_it_comes_with(void **state)
{
    (void)state;
    refused("gate \"x\" {}\n", "'gate' is not built yet: it comes with quality gates (M16)");
    refused("missing \"x\" {}\n", "'missing' is not built yet: it comes with missing data (M12)");
}

static void a_misspelt_keyword_is_refused_with_the_nearest_right_one(void **state)
{
    (void)state;
    refused("mapping \"x\" {\n  conditions = { { \"PatientNam\", \"is_blank\" } },\n  actions = { { \"PatientID\", \"clear\" } },\n}\n",
            "rules/test.lua:2: mapping/x: conditions[1]: no attribute is called 'PatientNam'; did you mean PatientName?");
    refused("mapping \"x\" { actions = { { \"PatientIDD\", \"clear\" } } }\n", "did you mean PatientID?");
    refused("mapping \"x\" { actions = { { \"PatientID\", \"copy\", \"StudyId\" } } }\n", "did you mean StudyID?");
    refused("validation \"x\" { tag = \"PatientSexx\", rule_type = \"format\", format = \"DA\" }\n", "did you mean PatientSex?");
    refused("mapping \"x\" { run = function() end, tests = { { given = { PatientIDD = \"1\" }, expect = {} } } }\n", "did you mean PatientID?");
}

/* What people bring from other languages: the refusal names the word of this one. */
static void a_word_of_another_language_is_refused_with_the_right_one(void **state)
{
    (void)state;
    static const struct {
        const char *operator, *right;
    } operators[] = {{"is_empty", "write 'is_blank'"},       {"exists", "write 'is_not_blank'"},  {"!=", "write 'not_equals'"},
                     {"~=", "write 'not_equals'"},           {"==", "write 'equals'"},            {"regex", "string.find"},
                     {"StartsWith", "write 'starts_with'"}, {"like", "write 'matches_wildcard'"}, {"in", "any = {"}};
    static const struct {
        const char *action, *right;
    } actions[] = {{"remove", "ds.PatientComments = nil"}, {"delete", "ds.PatientComments = nil"}, {"replace", "'regex' for a part"},
                   {"add", "write 'set'"},                 {"move", "copy it first"}};
    char text[300];
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        snprintf(text, sizeof text, "mapping \"x\" { conditions = { { \"PatientID\", \"%s\", \"1\" } }, actions = { { \"PatientID\", \"clear\" } } }\n",
                 operators[i].operator);
        refused(text, operators[i].right);
    }
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        snprintf(text, sizeof text, "mapping \"x\" { actions = { { \"PatientID\", \"%s\", \"1\" } } }\n", actions[i].action);
        refused(text, actions[i].right);
    }
}

static void a_misspelt_operator_or_action_is_refused(void **state)
{
    (void)state;
    refused("mapping \"x\" { conditions = { { \"PatientID\", \"is_blnk\" } }, actions = { { \"PatientID\", \"clear\" } } }\n",
            "there is no operator 'is_blnk'; did you mean 'is_blank'?");
    refused("mapping \"x\" { actions = { { \"PatientID\", \"appendd\", \"x\" } } }\n", "there is no action 'appendd'; did you mean 'append'?");
}

static void a_scope_that_no_dataset_can_have_is_refused(void **state)
{
    (void)state;
    refused("mapping \"x\" { sop_class = \"CTImageStorage\", run = function() end }\n",
            "sop_class: 'CTImageStorage' matches nothing: it must be a UID, such as \"1.2.840.10008.5.1.4.1.1.2\"");
    refused("mapping \"x\" { modality = { \"MR\", \"ct\" }, run = function() end }\n",
            "modality: 'ct' matches nothing: it must be a Modality as DICOM writes it");
}

static void a_value_for_a_sequence_is_refused_at_load(void **state)
{
    (void)state;
    refused("mapping \"x\" { actions = { { \"RequestAttributesSequence\", \"set\", \"1\" } } }\n",
            "actions[1]: RequestAttributesSequence is a sequence, which has items and no value");
}

static void lookup_says_that_it_comes_with_crosswalks(void **state)
{
    (void)state;
    refused("mapping \"x\" { actions = { { \"PatientID\", \"lookup\", \"t\" } } }\n",
            "the action 'lookup' is not built yet: it comes with crosswalk tables (M15)");
}

static void a_wrong_type_or_word_is_named_with_what_is_allowed(void **state)
{
    (void)state;
    refused("mapping \"x\" { priority = \"high\", run = function() end }\n", "priority: must be a whole number from");
    refused("mapping \"x\" { enabled = 1, run = function() end }\n", "enabled: must be true or false, not 1");
    refused("mapping \"x\" { run = 5 }\n", "run: must be a function");
    refused("mapping \"x\" { source = { 1 }, run = function() end }\n", "source: value 1 is a number, not a text");
    refused("validation \"x\" { tag = \"PatientSex\", rule_type = \"enumm\" }\n", "rule_type: is 'enumm'; did you mean 'enum'?");
    refused("validation \"x\" { tag = \"PatientSex\", rule_type = \"enum\", valid_values = { \"M\" }, on_fail = \"correct\" }\n",
            "on_fail: must be 'Correct', not 'correct': upper and lower case count");
}

static void what_belongs_to_another_rule_type_is_refused(void **state)
{
    (void)state;
    refused("validation \"x\" { tag = \"PatientSex\", rule_type = \"enum\", valid_values = { \"M\" }, max_length = 3 }\n",
            "max_length belongs to rule_type \"length\", this rule's is \"enum\"");
    refused("validation \"x\" { tag = \"PatientSex\", rule_type = \"enum\" }\n", "rule_type \"enum\" needs the field 'valid_values'");
    refused("validation \"x\" { tag = \"PatientSex\", rule_type = \"length\" }\n", "needs min_length or max_length");
    refused("validation \"x\" { rule_type = \"length\", min_length = 1 }\n", "the field 'tag' is missing");
}

static void a_pattern_that_does_not_compile_is_refused(void **state)
{
    (void)state;
    refused("validation \"x\" { tag = \"PatientSex\", rule_type = \"regex\", pattern = \"(\" }\n", "the pattern \"(\" does not compile");
    refused("mapping \"x\" { actions = { { \"PatientID\", \"regex\", \"[\", \"\" } } }\n", "the pattern \"[\" does not compile");
}

static void twofold_ids_are_refused_with_both_places(void **state)
{
    (void)state;
    refused("mapping \"x\" { run = function() end }\n\nmapping \"x\" { run = function() end }\n",
            "rules/test.lua:3: mapping/x is declared twice: also at rules/test.lua:1");
}

static void the_same_id_under_two_verbs_is_two_rules(void **state)
{
    (void)state;
    rules_hold("mapping \"x\" { run = function() end }\nnormalization \"x\" { run = function() end }\n", false, 0);
}

static void a_rule_without_a_table_is_refused(void **state)
{
    (void)state;
    refused("mapping \"x\"\n", "mapping/x has no table");
    refused("mapping \"x\" \"y\"\n", "a rule is a table");
    refused("mapping \"not good\" {}\n", "the id \"not good\" must be letters");
    refused("mapping \"x\" {}\n", "mapping/x: says nothing to do: give `actions` or `run`");
    refused("mapping \"x\" { run = function() end, actions = { { \"PatientID\", \"clear\" } } }\n", "has code and actions");
}

static void an_undeclared_global_is_refused(void **state)
{
    (void)state;
    refused("\nhelper = 5\n", "rules/test.lua:2: 'helper' is not declared: write local helper = ...");
}

static void a_policy_and_its_params_are_checked(void **state)
{
    (void)state;
    refused("normalization \"x\" { policy = \"date\" }\n", "policy: is 'date'; did you mean 'dates'?");
    refused("normalization \"x\" { policy = \"dates\", params = { dayfirst = true } }\n", "params of dates: there is no field 'dayfirst'; did you mean 'day_first'?");
}

static void a_test_is_checked_too(void **state)
{
    (void)state;
    refused("mapping \"x\" { run = function() end, tests = { { given = {} } } }\n", "test 1: says nothing about the outcome");
    refused("mapping \"x\" { run = function() end, tests = { { givn = {}, expect = {} } } }\n", "there is no field 'givn'; did you mean 'given'?");
    refused("mapping \"x\" { run = function() end, tests = { { given = {}, verdict = \"holdd\" } } }\n", "is 'holdd'; did you mean 'hold'?");
    refused("mapping \"x\" { run = function() end, tests = { { given = {}, flagged = { \"mapping/y\" } } } }\n", "there is no rule 'mapping/y'");
    refused("mapping \"x\" { run = function() end, tests = { { given = {}, expect = {}, ctx = { origin = { pear = \"\" } } } } }\n",
            "origin has no 'pear'; did you mean 'peer'?");
}

static void every_fault_of_a_file_is_said_at_once(void **state)
{
    (void)state;
    dv_error err = {0};
    dv_buffer report = {0};
    (void)state;
    assert_null(state_of("mapping \"x\" { prority = 1, run = 4 }\nmapping \"y\" {}\n", false, &report, &err));
    assert_non_null(strstr(report.at, "prority"));
    assert_non_null(strstr(report.at, "run: must be a function"));
    assert_non_null(strstr(report.at, "mapping/y: says nothing to do"));
    dv_buffer_free(&report);
}

static void a_rule_that_is_off_needs_nothing_else(void **state)
{
    (void)state;
    rules_hold("mapping \"x\" { enabled = false }\nvalidation \"x\" { enabled = false }\nnormalization \"x\" { enabled = false }\n"
               "validation \"y\" { enabled = false, tag = \"PatientSex\", rule_type = \"enum\" }\n",
               false, 0);
}

static void a_sites_rule_replaces_the_shipped_one_whole(void **state)
{
    (void)state;
    dv_error err = {0};
    dv_buffer out = {0};
    dv_state *s = state_of("mapping \"accession-from-request\" { enabled = false }\n", true, NULL, &err);
    assert_non_null(s);
    assert_true(dv_harness_list(s->L, false, &out, &err));
    assert_non_null(strstr(out.at, "rules/test.lua:1 (replaces share/rules/mapping.lua:"));
    dv_state_free(s);
    dv_buffer_free(&out);
}

/* ---- what rules do ---- */

static void every_operator_compares_as_it_says(void **state)
{
    static const char *const holds[][3] = {
        /* condition without tag, value that holds, value that does not */
        {"\"equals\", \"AB\"", "AB", "ab"},
        {"\"not_equals\", \"AB\"", "ab", "AB"},
        {"\"contains\", \"B.\"", "AB.C", "ABC"},
        {"\"not_contains\", \"B.\"", "ABC", "AB.C"},
        {"\"starts_with\", \"A\"", "AB", "BA"},
        {"\"ends_with\", \"B\"", "AB", "BA"},
        {"\"matches_wildcard\", \"A*D?\"", "ABCDE", "ABCD"},
        {"\"is_not_blank\"", "x", ""},
        {"\"is_blank\"", "", "x"},
        {"operator = \"equals\", value = \"ab\", case_insensitive = true", "AB", "AC"},
        {"operator = \"contains\", value = \"\xC3\xBC\", case_insensitive = true", "M\xC3\x9CLLER", "MULLER"},
    };
    char rules[8192] = "";
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < sizeof holds / sizeof *holds; i++) {
        bool named = strncmp(holds[i][0], "operator", 8) == 0;
        n += (size_t)snprintf(rules + n, sizeof rules - n,
                              "mapping \"o%zu\" { conditions = { { %s\"StudyDescription\", %s } }, actions = { { \"StudyID\", \"set\", \"1\" } }, " TESTED(
                                  "{ given = { SpecificCharacterSet = \"ISO_IR 192\", StudyDescription = \"%s\" }, expect = { StudyID = \"1\" } }, "
                                  "{ given = { SpecificCharacterSet = \"ISO_IR 192\", StudyDescription = \"%s\" }, expect = {} } ") "}\n",
                              i, named ? "tag = " : "", holds[i][0], holds[i][1], holds[i][2]);
        assert_true(n < sizeof rules);
    }
    rules_hold(rules, false, 22);
}

static void an_absent_attribute_compares_as_empty_text(void **state)
{
    (void)state;
    rules_hold("mapping \"a\" { conditions = { { \"StationName\", \"not_equals\", \"X\" } }, actions = { { \"StudyID\", \"set\", \"1\" } }, "
               TESTED("{ given = {}, expect = { StudyID = \"1\" } }") "}\n"
               "mapping \"b\" { conditions = { { \"StationName\", \"matches_wildcard\", \"*\" } }, actions = { { \"StudyID\", \"set\", \"1\" } }, "
               TESTED("{ given = {}, expect = { StudyID = \"1\" } }") "}\n"
               "mapping \"c\" { conditions = { { \"StationName\", \"equals\", \"X\" } }, actions = { { \"StudyID\", \"set\", \"1\" } }, "
               TESTED("{ given = {}, expect = {} }") "}\n",
               false, 3);
}

static void any_and_all_nest(void **state)
{
    (void)state;
    rules_hold("mapping \"a\" { conditions = { { any = { { \"Modality\", \"equals\", \"CT\" }, { all = { { \"Modality\", \"equals\", \"MR\" }, "
               "{ \"StudyID\", \"is_blank\" } } } } } }, actions = { { \"StationName\", \"set\", \"1\" } }, "
               TESTED("{ given = { Modality = \"CT\" }, expect = { StationName = \"1\" } }, { given = { Modality = \"MR\" }, expect = { StationName = \"1\" } }, "
                      "{ given = { Modality = \"MR\", StudyID = \"1\" }, expect = {} }, { given = {}, expect = {} }") "}\n",
               false, 4);
}

static void a_path_with_many_places_holds_when_one_does(void **state)
{
    (void)state;
    rules_hold("mapping \"a\" { conditions = { { \"RequestAttributesSequence[*].AccessionNumber\", \"equals\", \"B\" } }, actions = { { \"StudyID\", \"set\", \"1\" } }, "
               TESTED("{ given = { [\"RequestAttributesSequence[1].AccessionNumber\"] = \"A\", [\"RequestAttributesSequence[2].AccessionNumber\"] = \"B\" }, "
                      "expect = { StudyID = \"1\" } }, { given = { [\"RequestAttributesSequence[1].AccessionNumber\"] = \"A\" }, expect = {} }, { given = {}, expect = {} }") "}\n"
               "mapping \"b\" { conditions = { { \"RequestAttributesSequence[*].AccessionNumber\", \"not_equals\", \"B\" } }, actions = { { \"StudyID\", \"set\", \"1\" } }, "
               TESTED("{ given = { [\"RequestAttributesSequence[1].AccessionNumber\"] = \"A\", [\"RequestAttributesSequence[2].AccessionNumber\"] = \"B\" }, expect = {} }, "
                      "{ given = { [\"RequestAttributesSequence[1].AccessionNumber\"] = \"A\" }, expect = { StudyID = \"1\" } }") "}\n",
               false, 5);
}

static void conditions_nest_only_so_deep(void **state)
{
    (void)state;
    char rules[1024] = "mapping \"x\" { actions = { { \"StudyID\", \"clear\" } }, conditions = { ";
    for (int i = 0; i < 12; i++)
        strcat(rules, "{ any = { ");
    strcat(rules, "{ \"StudyID\", \"is_blank\" }");
    for (int i = 0; i < 12; i++)
        strcat(rules, " } }");
    strcat(rules, " } }\n");
    refused(rules, "nests deeper than 8");
    refused("mapping \"x\" { conditions = {}, actions = { { \"StudyID\", \"clear\" } } }\n", "conditions: is empty: leave it out");
    refused("mapping \"x\" { conditions = { { \"StudyID\", \"is_blank\", \"y\" } }, actions = { { \"StudyID\", \"clear\" } } }\n", "is_blank takes no value");
    refused("mapping \"x\" { conditions = { { \"StudyID\", \"equals\", \"\" } }, actions = { { \"StudyID\", \"clear\" } } }\n", "write is_blank or is_not_blank");
}

/* 1000 rules compile in a moment: a state is made for each thread that runs rules. */
static void a_thousand_rules_load(void **state)
{
    (void)state;
    dv_error err = {0};
    dv_buffer rules = {0};
    for (int i = 0; i < 1000; i++)
        dv_buffer_printf(&rules, "mapping \"r%d\" { conditions = { { \"PatientID\", \"equals\", \"%d\" } }, actions = { { \"StudyID\", \"set\", \"%d\" } } }\n", i, i, i);
    dv_state *s = state_of(rules.at, false, NULL, &err);
    if (!s)
        fail_msg("%s", err.message);
    dv_state_free(s);
    dv_buffer_free(&rules);
}

static void a_sequence_is_blank_or_not(void **state)
{
    (void)state;
    rules_hold("mapping \"a\" { conditions = { { \"RequestAttributesSequence\", \"is_not_blank\" } }, actions = { { \"StudyID\", \"set\", \"1\" } }, "
               TESTED("{ given = { [\"RequestAttributesSequence[1].AccessionNumber\"] = \"A\" }, expect = { StudyID = \"1\" } }, { given = {}, expect = {} }") "}\n",
               false, 2);
    refused("mapping \"x\" { conditions = { { \"RequestAttributesSequence\", \"equals\", \"x\" } }, actions = { { \"StudyID\", \"clear\" } } }\n",
            "RequestAttributesSequence is a sequence");
}

static void every_action_does_what_it_says(void **state)
{
    (void)state;
    rules_hold("mapping \"set\" { actions = { { \"StationName\", \"set\", \"S\" } }, " TESTED("{ given = {}, expect = { StationName = \"S\" } }") "}\n"
               "mapping \"copy\" { actions = { { \"StationName\", \"copy\", \"StudyID\" } }, "
               TESTED("{ given = { StudyID = \"1\" }, expect = { StationName = \"1\" } }, { given = { StationName = \"x\", StudyID = \"\" }, expect = {} }, { given = {}, expect = {} }") "}\n"
               "mapping \"prepend\" { actions = { { \"PatientID\", \"prepend\", \"N-\" } }, "
               TESTED("{ given = { PatientID = \"1\" }, expect = { PatientID = \"N-1\" } }, { given = { PatientID = \"\" }, expect = {} }, { given = {}, expect = {} }") "}\n"
               "mapping \"append\" { actions = { { tag = \"PatientID\", action_type = \"append\", value = \"-N\" } }, "
               TESTED("{ given = { PatientID = \"1\" }, expect = { PatientID = \"1-N\" } }, { given = {}, expect = {} }") "}\n"
               "mapping \"regex\" { actions = { { \"PatientID\", \"regex\", \"^0*(\\\\d+)-(\\\\w+)$\", \"$2$1\" } }, "
               TESTED("{ given = { PatientID = \"0012-AB\" }, expect = { PatientID = \"AB12\" } }, { given = { PatientID = \"x\" }, expect = {} }, { given = {}, expect = {} }") "}\n"
               "mapping \"clear\" { actions = { { \"PatientID\", \"clear\" } }, "
               TESTED("{ given = { PatientID = \"1\" }, expect = { PatientID = \"\" } }, { given = {}, expect = {} }") "}\n"
               "mapping \"many\" { actions = { { \"**.PatientID\", \"prepend\", \"N-\" } }, "
               TESTED("{ given = { PatientID = \"1\", [\"ReferencedPatientSequence[1].PatientID\"] = \"2\" }, "
                      "expect = { PatientID = \"N-1\", [\"ReferencedPatientSequence[1].PatientID\"] = \"N-2\" } }") "}\n"
               "mapping \"order\" { actions = { { \"StudyID\", \"set\", \"1\" }, { \"StudyID\", \"append\", \"2\" }, { \"StationName\", \"copy\", \"StudyID\" } }, "
               TESTED("{ given = {}, expect = { StudyID = \"12\", StationName = \"12\" } }") "}\n"
               "mapping \"item\" { actions = { { \"RequestAttributesSequence[1].AccessionNumber\", \"set\", \"A\" } }, "
               TESTED("{ given = { [\"RequestAttributesSequence[1].AccessionNumber\"] = \"B\" }, expect = { [\"RequestAttributesSequence[1].AccessionNumber\"] = \"A\" } }") "}\n",
               false, 17);
}

static void private_elements_are_named_by_their_creator(void **state)
{
    (void)state;
    static const char *const rules =
        "local path = '(0009,\"GEMS_IDEN_01\",01)'\n"
        "mapping \"clear\" { actions = { { path, \"clear\" } }, tests = {\n"
        "  { given = { [path] = \"abcd\" }, expect = { [path] = \"\" } },\n"
        "  { given = { [path] = \"abcd\" }, vr = { [path] = \"UN\" }, expect = { [path] = \"\" } },\n"
        "  { given = { [ '(0009,\"OTHER\",01)' ] = \"\" }, expect = {} } } }\n"
        "mapping \"set\" { actions = { { path, \"set\", \"new\" } }, tests = {\n"
        "  { given = { [path] = \"abcd\" }, expect = { [path] = \"new\" } },\n"
        "  { name = \"its creator comes with it\", given = {}, expect = { [path] = \"new\" } } } }\n"
        "mapping \"un-is-not-blank\" { conditions = { { path, \"is_not_blank\" } }, actions = { { \"StudyID\", \"set\", \"1\" } }, tests = {\n"
        "  { given = { [path] = \"abcd\" }, vr = { [path] = \"UN\" }, expect = { StudyID = \"1\" } }, { given = {}, expect = {} } } }\n"
        "mapping \"remove\" { run = function(ds) ds[path] = nil end, tests = { { given = { [path] = \"abcd\" }, absent = { path } } } }\n";
    rules_hold(rules, false, 8);
}

static void the_scope_of_a_rule_is_kept(void **state)
{
    (void)state;
    rules_hold("mapping \"s\" { source = { \"GE\", \"SIEMENS\" }, modality = \"CT\", batch = \"b1\", sop_class = \"1.2\", actions = { { \"StudyID\", \"set\", \"1\" } }, "
               TESTED("{ given = { Modality = \"CT\", SOPClassUID = \"1.2\" }, expect = { StudyID = \"1\" } }, "
                      "{ given = { Modality = \"MR\", SOPClassUID = \"1.2\" }, expect = {} }, "
                      "{ given = { Modality = \"CT\", SOPClassUID = \"1.3\" }, expect = {} }, "
                      "{ given = { Modality = \"CT\", SOPClassUID = \"1.2\" }, ctx = { origin = { peer = \"AGFA\" } }, expect = {} }, "
                      "{ given = { Modality = \"CT\", SOPClassUID = \"1.2\" }, ctx = { origin = { peer = \"SIEMENS\" } }, expect = { StudyID = \"1\" } }, "
                      "{ given = { Modality = \"CT\", SOPClassUID = \"1.2\" }, ctx = { job = { batch = \"b2\" } }, expect = {} }") "}\n",
               false, 6);
}

static void every_example_of_the_api_runs(void **state)
{
    (void)state;
    dv_error err = {0};
    dv_buffer examples = {0};
    dv_state *s = state_of(NULL, false, NULL, &err);
    assert_non_null(s);
    if (!dv_harness_text(s->L, "examples", &examples, &err))
        fail_msg("%s", err.message);
    dv_state_free(s);
    rules_hold(examples.at, false, 28);
    dv_buffer_free(&examples);
}

/* It is made anew by: drover rules reference > docs/rules.md */
static void the_reference_in_docs_is_what_the_tables_say(void **state)
{
    (void)state;
    dv_error err = {0};
    dv_buffer now = {0}, committed = {0};
    dv_state *s = state_of(NULL, false, NULL, &err);
    assert_non_null(s);
    if (!dv_harness_text(s->L, "reference", &now, &err))
        fail_msg("%s", err.message);
    assert_true(dv_file_read("docs/rules.md", &committed, &err));
    if (!dv_text_equal(dv_buffer_as_text(&now), dv_buffer_as_text(&committed)))
        fail_msg("docs/rules.md is not up to date: drover rules reference > docs/rules.md");
    dv_state_free(s);
    dv_buffer_free(&now);
    dv_buffer_free(&committed);
}

/* One list for loader, form, API and reference. */
static void the_description_has_every_stage_and_its_fields(void **state)
{
    (void)state;
    dv_error err = {0};
    dv_buffer json = {0};
    dv_state *s = state_of(NULL, false, NULL, &err);
    assert_non_null(s);
    assert_true(dv_harness_text(s->L, "describe", &json, &err));
    static const char *const has[] = {"\"verb\":\"normalization\"", "\"verb\":\"validation\"", "\"verb\":\"mapping\"", "\"name\":\"correction_map\"",
                                      "\"name\":\"day_first\"", "\"name\":\"prepend\"", "\"name\":\"ends_with\""};
    for (size_t i = 0; i < sizeof has / sizeof *has; i++)
        if (!strstr(json.at, has[i]))
            fail_msg("the description lacks %s", has[i]);
    dv_state_free(s);
    dv_buffer_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_misspelt_field_is_refused_with_its_line_and_the_nearest_right_one),
        cmocka_unit_test(a_field_of_another_name_is_refused_with_what_is_allowed),
        cmocka_unit_test(a_misspelt_verb_is_refused_with_the_nearest_right_one),
        cmocka_unit_test(a_verb_that_is_not_built_yet_says_what_it_comes_with),
        cmocka_unit_test(a_misspelt_keyword_is_refused_with_the_nearest_right_one),
        cmocka_unit_test(a_misspelt_operator_or_action_is_refused),
        cmocka_unit_test(a_word_of_another_language_is_refused_with_the_right_one),
        cmocka_unit_test(a_scope_that_no_dataset_can_have_is_refused),
        cmocka_unit_test(a_value_for_a_sequence_is_refused_at_load),
        cmocka_unit_test(lookup_says_that_it_comes_with_crosswalks),
        cmocka_unit_test(a_wrong_type_or_word_is_named_with_what_is_allowed),
        cmocka_unit_test(what_belongs_to_another_rule_type_is_refused),
        cmocka_unit_test(a_pattern_that_does_not_compile_is_refused),
        cmocka_unit_test(twofold_ids_are_refused_with_both_places),
        cmocka_unit_test(the_same_id_under_two_verbs_is_two_rules),
        cmocka_unit_test(a_rule_without_a_table_is_refused),
        cmocka_unit_test(an_undeclared_global_is_refused),
        cmocka_unit_test(a_policy_and_its_params_are_checked),
        cmocka_unit_test(a_test_is_checked_too),
        cmocka_unit_test(every_fault_of_a_file_is_said_at_once),
        cmocka_unit_test(a_rule_that_is_off_needs_nothing_else),
        cmocka_unit_test(a_sites_rule_replaces_the_shipped_one_whole),
        cmocka_unit_test(every_operator_compares_as_it_says),
        cmocka_unit_test(an_absent_attribute_compares_as_empty_text),
        cmocka_unit_test(any_and_all_nest),
        cmocka_unit_test(a_path_with_many_places_holds_when_one_does),
        cmocka_unit_test(conditions_nest_only_so_deep),
        cmocka_unit_test(a_thousand_rules_load),
        cmocka_unit_test(a_sequence_is_blank_or_not),
        cmocka_unit_test(every_action_does_what_it_says),
        cmocka_unit_test(private_elements_are_named_by_their_creator),
        cmocka_unit_test(the_scope_of_a_rule_is_kept),
        cmocka_unit_test(every_example_of_the_api_runs),
        cmocka_unit_test(the_reference_in_docs_is_what_the_tables_say),
        cmocka_unit_test(the_description_has_every_stage_and_its_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
