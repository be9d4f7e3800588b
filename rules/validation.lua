-- validation.lua: the checks that every archive wants. They run behind normalization, so what fails here could not be put right there.

validation "patient-sex-code" {
  description = "M, F or O (PS3.3 C.7.1.1); words and lower case are put right",
  tag = "PatientSex", rule_type = "enum", valid_values = { "M", "F", "O" },
  correction_map = { MALE = "M", FEMALE = "F", OTHER = "O", MAN = "M", WOMAN = "F" }, on_fail = "Correct",
  tests = {
    { given = { PatientSex = "male" }, expect = { PatientSex = "M" } },
    { given = { PatientSex = "f" }, expect = { PatientSex = "F" } },
    { given = { PatientSex = "X" }, expect = {}, flagged = { "validation/patient-sex-code" } },
    { given = { PatientSex = "O" }, expect = {} },
    { given = {}, expect = {} },
  },
}

validation "patient-birth-date" {
  tag = "PatientBirthDate", rule_type = "format", format = "DA", on_fail = "Flag",
  tests = {
    { given = { PatientBirthDate = "19500230" }, expect = {}, flagged = { "validation/patient-birth-date" } },
    { given = { PatientBirthDate = "19500228" }, expect = {} },
    { given = {}, expect = {} },
  },
}

validation "study-date" {
  tag = "StudyDate", rule_type = "format", format = "DA", on_fail = "Flag",
  tests = {
    { given = { StudyDate = "040309" }, expect = {}, flagged = { "validation/study-date" } },
    { given = { StudyDate = "20090304" }, expect = {} },
    { given = {}, expect = {} },
  },
}

validation "study-time" {
  tag = "StudyTime", rule_type = "format", format = "TM", on_fail = "Flag",
  tests = {
    { given = { StudyTime = "noon" }, expect = {}, flagged = { "validation/study-time" } },
    { given = { StudyTime = "1200" }, expect = {} },
    { given = {}, expect = {} },
  },
}

validation "patient-age" {
  tag = "PatientAge", rule_type = "format", format = "AS", on_fail = "Correct",
  tests = {
    { given = { PatientAge = "45Y" }, expect = { PatientAge = "045Y" } },
    { given = { PatientAge = "old" }, expect = {}, flagged = { "validation/patient-age" } },
    { given = { PatientAge = "045Y" }, expect = {} },
    { given = {}, expect = {} },
  },
}

validation "modality-of-sop-class" {
  description = "A CT image whose modality is not CT: reported, because some archives reuse a modality on purpose",
  tag = "Modality", rule_type = "derived", derivation_method = "sop_to_modality", on_fail = "Warn",
  tests = {
    { given = { SOPClassUID = "1.2.840.10008.5.1.4.1.1.2", Modality = "MR" }, expect = {}, warned = { "validation/modality-of-sop-class" } },
    { given = { SOPClassUID = "1.2.840.10008.5.1.4.1.1.2", Modality = "CT" }, expect = {} },
    { given = { SOPClassUID = "1.2.840.10008.5.1.4.1.1.7", Modality = "CT" }, expect = {} },
    { given = {}, expect = {} },
  },
}

validation "accession-number-length" {
  description = "SH holds 16 characters; a longer number is never cut, because half of one names another order",
  tag = "AccessionNumber", rule_type = "length", max_length = 16, on_fail = "Flag",
  tests = {
    { given = { AccessionNumber = "12345678901234567" }, expect = {}, flagged = { "validation/accession-number-length" } },
    { given = { AccessionNumber = "1234567890123456" }, expect = {} },
    { given = {}, expect = {} },
  },
}

validation "patient-id-is-no-dummy" {
  description = "IDs that old archives give to whom they do not know",
  tag = "PatientID", rule_type = "regex", pattern = "^(?!(?i:0+|unknown|none|null|test|n/?a|x+)$)", on_fail = "Flag",
  tests = {
    { given = { PatientID = "UNKNOWN" }, expect = {}, flagged = { "validation/patient-id-is-no-dummy" } },
    { given = { PatientID = "000" }, expect = {}, flagged = { "validation/patient-id-is-no-dummy" } },
    { given = { PatientID = "100" }, expect = {} },
    { given = {}, expect = {} },
  },
}

for id, keyword in pairs {
  ["study-instance-uid"] = "StudyInstanceUID", ["series-instance-uid"] = "SeriesInstanceUID",
  ["sop-instance-uid"] = "SOPInstanceUID", ["sop-class-uid"] = "SOPClassUID",
} do
  validation(id) {
    description = "A valid UID (PS3.5 9.1)",
    tag = keyword, rule_type = "format", format = "UI", on_fail = "Flag",
    tests = {
      { given = { [keyword] = "1.2.03" }, expect = {}, flagged = { "validation/" .. id } },
      { given = { [keyword] = "1.2.3" }, expect = {} },
      { given = {}, expect = {} },
    },
  }
end
