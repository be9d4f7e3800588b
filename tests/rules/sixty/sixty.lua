-- sixty.lua: sixty enabled data rules of the kinds that sites have, for benches: drover rules bench --site tests/rules/sixty FILE.
-- On an ordinary CT header a third of them look and leave, a third write, a third only check.

local texts = { "InstitutionName", "StationName", "Manufacturer", "StudyDescription", "SeriesDescription", "ProtocolName", "BodyPartExamined",
  "ReferringPhysicianName", "PatientName", "PatientID" }

for i, keyword in ipairs(texts) do -- 10: what is missing gets a word
  mapping("default-" .. i) {
    conditions = { { keyword, "is_blank" } },
    actions = { { keyword, "set", "UNKNOWN" } },
  }
end

for i, keyword in ipairs(texts) do -- 10: words of one modality replaced
  mapping("words-" .. i) {
    modality = "CT",
    conditions = { { keyword, "contains", "MEDICAL" } },
    actions = { { keyword, "regex", "MEDICAL\\s+", "MED " } },
  }
end

for i, keyword in ipairs(texts) do -- 10: of a source that this is not
  mapping("source-" .. i) {
    source = "GE_MAIN",
    actions = { { keyword, "prepend", "GE-" } },
  }
end

for i, keyword in ipairs { "PatientComments", "StudyComments", "RequestedProcedureDescription", "InstitutionalDepartmentName", "OperatorsName" } do -- 5
  mapping("copy-" .. i) {
    conditions = { { any = { { keyword, "is_blank" }, { keyword, "equals", "NONE" } } } },
    actions = { { keyword, "copy", "InstitutionName" } },
  }
end

mapping "accession-prefix" {
  conditions = { { "AccessionNumber", "is_not_blank" }, { "AccessionNumber", "not_contains", "-" } },
  actions = { { "AccessionNumber", "prepend", "N-" } },
}
mapping "patient-id-prefix" {
  conditions = { { "PatientID", "matches_wildcard", "*CT*" } },
  actions = { { "PatientID", "append", "-N" } },
}
mapping "no-comments" { actions = { { "ImageComments", "clear" } } }
mapping "accession-from-request" {
  conditions = { { "AccessionNumber", "is_blank" }, { "RequestAttributesSequence[1].AccessionNumber", "is_not_blank" } },
  actions = { { "AccessionNumber", "copy", "RequestAttributesSequence[1].AccessionNumber" } },
}
mapping "issuer" {
  conditions = { { "PatientID", "is_not_blank" }, { "IssuerOfPatientID", "is_blank" } },
  actions = { { "IssuerOfPatientID", "set", "NORTH" } },
}

for i, keyword in ipairs(texts) do -- 10: lengths
  validation("length-" .. i) { tag = keyword, rule_type = "length", max_length = 64, on_fail = "Flag" }
end

for i, keyword in ipairs { "StudyDate", "SeriesDate", "ContentDate", "PatientBirthDate" } do -- 4
  validation("date-" .. i) { tag = keyword, rule_type = "format", format = "DA", on_fail = "Correct" }
end

for i, keyword in ipairs { "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID" } do -- 3
  validation("uid-" .. i) { tag = keyword, rule_type = "format", format = "UI", on_fail = "Flag" }
end

validation "sex" { tag = "PatientSex", rule_type = "enum", valid_values = { "M", "F", "O" }, correction_map = { MALE = "M", FEMALE = "F" }, on_fail = "Correct" }
validation "modality" { tag = "Modality", rule_type = "derived", derivation_method = "sop_to_modality", on_fail = "Correct" }
validation "patient-id" { tag = "PatientID", rule_type = "regex", pattern = "^[A-Za-z0-9._-]+$", on_fail = "Flag" }
