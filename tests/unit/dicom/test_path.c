#include "made.h"

static dv_arena arena;

static int fresh(void **state)
{
    (void)state;
    dv_arena_init(&arena, 0);
    return 0;
}

static int gone(void **state)
{
    (void)state;
    dv_arena_free(&arena);
    return 0;
}

static const char *canonical(const char *text)
{
    return dv_arena_string(&arena, path_of(&arena, text)->text);
}

static const char *refused(const char *text)
{
    const dv_path *path;
    static dv_error err;
    err = (dv_error){0};
    assert_false(dv_path_compile(&arena, dv_text_of(text), &path, &err));
    assert_true(err.code == DV_ERR_PATH || err.code == DV_ERR_LIMIT);
    return err.message;
}

static void a_path_has_one_canonical_spelling(void **state)
{
    (void)state;
    assert_string_equal(canonical(" PatientID "), "PatientID");
    assert_string_equal(canonical("(0010,0020)"), "PatientID");
    assert_string_equal(canonical("(0010,0fff)"), "(0010,0FFF)");
    assert_string_equal(canonical("(6002,0010)"), "(6002,0010)");
    assert_string_equal(canonical("(0019,\"ACME_CT_01\",2a)"), "(0019,\"ACME_CT_01\",2A)");
    assert_string_equal(canonical("(0040,0275)[1].(0008,0050)"), "RequestAttributesSequence[1].AccessionNumber");
    assert_string_equal(canonical("ProcedureCodeSequence[(0008,0100)=T-D1100].CodeMeaning"),
                        "ProcedureCodeSequence[CodeValue=T-D1100].CodeMeaning");
    assert_string_equal(canonical("**.PatientID"), "**.PatientID");
    assert_string_equal(canonical("ImageType[3]"), "ImageType[3]");
    assert_string_equal(canonical("ImageType[last]"), "ImageType[last]");
}

static void a_path_says_whether_it_may_name_several(void **state)
{
    (void)state;
    assert_false(path_of(&arena, "PatientID")->many);
    assert_false(path_of(&arena, "ProcedureCodeSequence[last].CodeValue")->many);
    assert_true(path_of(&arena, "ProcedureCodeSequence[*].CodeValue")->many);
    assert_true(path_of(&arena, "ProcedureCodeSequence[CodeValue=A].CodeMeaning")->many);
    assert_true(path_of(&arena, "**.CodeValue")->many);
    assert_int_equal(path_of(&arena, "ProcedureCodeSequence[2].CodeValue")->steps[0].number, 2);
}

static void a_wrong_path_is_refused_with_what_is_wrong(void **state)
{
    (void)state;
    assert_non_null(strstr(refused("PatientsName"), "PatientName"));
    assert_non_null(strstr(refused(""), "empty"));
    assert_non_null(strstr(refused("PatientID.StudyID"), "no sequence"));
    assert_non_null(strstr(refused("RequestAttributesSequence.StudyID"), "which item"));
    assert_non_null(strstr(refused("RequestAttributesSequence[0].StudyID"), "count from 1"));
    assert_non_null(strstr(refused("RequestAttributesSequence[1"), "']'"));
    assert_non_null(strstr(refused("RequestAttributesSequence[1]StudyID"), "'.'"));
    assert_non_null(strstr(refused("(0010,00)"), "(gggg,eeee)"));
    assert_non_null(strstr(refused("(0010,\"ACME\",01)"), "odd groups"));
    assert_non_null(strstr(refused("PatientID[*]"), "values"));
    assert_non_null(strstr(refused("RequestAttributesSequence[1]."), "missing"));
    assert_non_null(strstr(refused("(FFFE,E000)"), "no attributes"));
    refused("RequestAttributesSequence[99999999999999999999].StudyID");
    refused("[1]");
    refused("**.");
    refused("(0019,\"\",01)");
}

static void a_path_is_bounded_in_length_and_depth(void **state)
{
    (void)state;
    char text[1024];
    memset(text, 'A', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_non_null(strstr(refused(text), "the path is longer than"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_path_has_one_canonical_spelling, fresh, gone),
        cmocka_unit_test_setup_teardown(a_path_says_whether_it_may_name_several, fresh, gone),
        cmocka_unit_test_setup_teardown(a_wrong_path_is_refused_with_what_is_wrong, fresh, gone),
        cmocka_unit_test_setup_teardown(a_path_is_bounded_in_length_and_depth, fresh, gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
