#include "dicom/dict.h"
#include "dicom/syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void a_tag_is_found_with_its_keyword_vr_and_vm(void **state)
{
    (void)state;
    const dv_dict_entry *e = dv_dict_by_tag(DV_PatientID);
    assert_non_null(e);
    assert_string_equal(e->keyword, "PatientID");
    assert_int_equal(e->vr, DV_VR_LO);
    assert_int_equal(e->vm_min, 1);
    assert_int_equal(e->vm_max, 1);
    assert_false(e->retired);
    e = dv_dict_by_tag(DV_ImageType);
    assert_int_equal(e->vm_min, 2);
    assert_int_equal(e->vm_max, 255);
    assert_null(dv_dict_by_tag(DV_TAG(0x0010, 0x0FFF)));
    assert_null(dv_dict_by_tag(DV_TAG(0xFFFF, 0xFFFF)));
}

static void every_entry_is_found_by_its_tag_and_every_keyword_finds_an_entry(void **state)
{
    (void)state;
    assert_true(dv_dict_count() > 4500);
    for (size_t i = 0; i < dv_dict_count(); i++) {
        const dv_dict_entry *e = dv_dict_at(i);
        assert_ptr_equal(dv_dict_by_tag(e->tag), e);
        const dv_dict_entry *named = dv_dict_by_keyword(dv_text_of(e->keyword));
        assert_non_null(named);
        assert_string_equal(named->keyword, e->keyword);
        assert_non_null(dv_vr_lookup(e->vr));
    }
    assert_null(dv_dict_at(dv_dict_count()));
}

static void keywords_match_whole_and_with_case(void **state)
{
    (void)state;
    assert_int_equal(dv_dict_by_keyword(DV_TEXT("StudyInstanceUID"))->tag, DV_StudyInstanceUID);
    assert_null(dv_dict_by_keyword(DV_TEXT("StudyInstanceUI")));
    assert_null(dv_dict_by_keyword(DV_TEXT("StudyInstanceUIDs")));
    assert_null(dv_dict_by_keyword(DV_TEXT("studyinstanceuid")));
    assert_null(dv_dict_by_keyword(DV_TEXT("")));
}

static void a_misspelt_keyword_has_a_nearest_one(void **state)
{
    (void)state;
    assert_string_equal(dv_dict_nearest(DV_TEXT("PatientsName")), "PatientName");
    assert_string_equal(dv_dict_nearest(DV_TEXT("AcessionNumber")), "AccessionNumber");
    assert_string_equal(dv_dict_nearest(DV_TEXT("patientid")), "PatientID");
    assert_null(dv_dict_nearest(DV_TEXT("CompletelyDifferentThing")));
}

static void repeating_groups_are_found_by_any_of_their_groups(void **state)
{
    (void)state;
    assert_string_equal(dv_dict_by_tag(DV_TAG(0x6002, 0x0010))->keyword, "OverlayRows");
    assert_string_equal(dv_dict_by_tag(DV_TAG(0x60FE, 0x3000))->keyword, "OverlayData");
    assert_null(dv_dict_by_tag(DV_TAG(0x6003, 0x0010)));
    assert_null(dv_dict_by_tag(DV_TAG(0x6100, 0x0010)));
}

static void private_elements_are_found_by_creator_in_any_block(void **state)
{
    (void)state;
    const dv_dict_entry *e = dv_dict_private(DV_TEXT("SIEMENS CSA HEADER"), DV_TAG(0x0029, 0x1010));
    assert_non_null(e);
    assert_int_equal(e->vr, DV_VR_OB);
    assert_ptr_equal(dv_dict_private(DV_TEXT("SIEMENS CSA HEADER"), DV_TAG(0x0029, 0x4210)), e);
    assert_null(dv_dict_private(DV_TEXT("SIEMENS CSA HEADERS"), DV_TAG(0x0029, 0x1010)));
    assert_null(dv_dict_private(DV_TEXT(""), DV_TAG(0x0029, 0x1010)));
}

static void implicit_vr_is_the_dictionarys_and_un_where_it_says_nothing(void **state)
{
    (void)state;
    assert_int_equal(dv_dict_vr(DV_PatientName), DV_VR_PN);
    assert_int_equal(dv_dict_vr(DV_TAG(0x0010, 0x0000)), DV_VR_UL);
    assert_int_equal(dv_dict_vr(DV_TAG(0x0011, 0x0000)), DV_VR_UL);
    assert_int_equal(dv_dict_vr(DV_TAG(0x0011, 0x0010)), DV_VR_LO);
    assert_int_equal(dv_dict_vr(DV_TAG(0x0011, 0x1001)), DV_VR_UN);
    assert_int_equal(dv_dict_vr(DV_TAG(0x0010, 0x0FFF)), DV_VR_UN);
    assert_int_equal(dv_dict_vr(DV_PixelData), DV_VR_OW);
    assert_int_equal(dv_dict_vr(DV_SmallestImagePixelValue), DV_VR_US);
}

static void odd_groups_but_a_few_are_private(void **state)
{
    (void)state;
    char buf[12];
    assert_true(dv_tag_is_private(DV_TAG(0x0009, 0x1001)));
    assert_false(dv_tag_is_private(DV_TAG(0x0007, 0x0001)));
    assert_false(dv_tag_is_private(DV_TAG(0xFFFF, 0x0001)));
    assert_true(dv_tag_is_creator(DV_TAG(0x0009, 0x0010)));
    assert_false(dv_tag_is_creator(DV_TAG(0x0009, 0x0100)));
    assert_string_equal(dv_tag_print(DV_PixelData, buf), "(7FE0,0010)");
}

static void each_of_the_34_vrs_is_known_and_no_other(void **state)
{
    (void)state;
    unsigned known = 0;
    for (unsigned a = 'A'; a <= 'Z'; a++)
        for (unsigned b = 'A'; b <= 'Z'; b++) {
            const dv_vr_info *info = dv_vr_lookup(DV_VR(a, b));
            if (info) {
                known++;
                assert_int_equal(info->name[0], a);
                assert_int_equal(info->name[1], b);
            }
        }
    assert_int_equal(known, 34);
}

static void a_transfer_syntax_says_how_a_dataset_is_laid_out(void **state)
{
    (void)state;
    assert_true(dv_syntax_encoding(DV_TEXT("1.2.840.10008.1.2")).implicit);
    assert_true(dv_syntax_encoding(DV_TEXT("1.2.840.10008.1.2.2")).big_endian);
    assert_true(dv_syntax_encoding(DV_TEXT("1.2.840.10008.1.2.1.99")).deflated);
    assert_true(dv_syntax_encoding(DV_TEXT("1.2.840.10008.1.2.4.91")).encapsulated);
    assert_string_equal(dv_syntax_lookup(DV_TEXT("1.2.840.10008.1.2.4.91"))->name, "JPEG2000");
    assert_true(dv_syntax_encoding(DV_TEXT("1.2.840.113619.5.2")).implicit);
    assert_null(dv_syntax_lookup(DV_TEXT("1.2.3")));
    dv_encoding unknown = dv_syntax_encoding(DV_TEXT("1.2.3"));
    assert_true(unknown.encapsulated && !unknown.implicit && !unknown.big_endian);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_is_found_with_its_keyword_vr_and_vm),
        cmocka_unit_test(every_entry_is_found_by_its_tag_and_every_keyword_finds_an_entry),
        cmocka_unit_test(keywords_match_whole_and_with_case),
        cmocka_unit_test(a_misspelt_keyword_has_a_nearest_one),
        cmocka_unit_test(repeating_groups_are_found_by_any_of_their_groups),
        cmocka_unit_test(private_elements_are_found_by_creator_in_any_block),
        cmocka_unit_test(implicit_vr_is_the_dictionarys_and_un_where_it_says_nothing),
        cmocka_unit_test(odd_groups_but_a_few_are_private),
        cmocka_unit_test(each_of_the_34_vrs_is_known_and_no_other),
        cmocka_unit_test(a_transfer_syntax_says_how_a_dataset_is_laid_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
