-- sixty.lua: the rules of the pipeline bench: 60 that look at every CT header, of which a few act. Shipped rules run besides.

local formats = {
  StudyDate = "DA", SeriesDate = "DA", AcquisitionDate = "DA", ContentDate = "DA", PatientBirthDate = "DA", StudyTime = "TM",
  SeriesTime = "TM", AcquisitionTime = "TM", ContentTime = "TM", PatientAge = "AS", SeriesNumber = "IS", InstanceNumber = "IS",
  SliceThickness = "DS", KVP = "DS", SliceLocation = "DS", StudyInstanceUID = "UI", SeriesInstanceUID = "UI", FrameOfReferenceUID = "UI",
  PatientName = "PN", ReferringPhysicianName = "PN",
}
for tag, vr in pairs(formats) do -- 20
  validation("bench-format-" .. tag) { tag = tag, rule_type = "format", format = vr, on_fail = "Flag" }
end

local codes = {
  PatientSex = { "M", "F", "O" }, Modality = { "CT", "MR", "CR", "DX", "US", "MG" }, RotationDirection = { "CW", "CC" },
  PatientPosition = { "HFS", "FFS", "HFP", "FFP" }, BodyPartExamined = { "CHEST", "ABDOMEN", "HEAD", "PELVIS" },
}
for tag, valid in pairs(codes) do -- 5
  validation("bench-code-" .. tag) { tag = tag, rule_type = "enum", valid_values = valid, on_fail = "Correct" }
end

local lengths = { PatientID = 64, AccessionNumber = 16, StudyID = 16, StationName = 16, InstitutionName = 64 }
for tag, most in pairs(lengths) do -- 5
  validation("bench-length-" .. tag) { tag = tag, rule_type = "length", max_length = most, on_fail = "Warn" }
end

local patterns = {
  PatientID = "^[A-Z0-9-]+$", AccessionNumber = "^[A-Z]?[0-9]+$", StudyDescription = "^[ -~]*$", ProtocolName = "^[ -~]*$",
  SeriesDescription = "^[ -~]*$",
}
for tag, pattern in pairs(patterns) do -- 5
  validation("bench-pattern-" .. tag) { tag = tag, rule_type = "regex", pattern = pattern, on_fail = "Flag" }
end

-- What a site has for each of its old names: conditions that do not hold here.
for i = 1, 20 do
  mapping("bench-station-" .. i) {
    conditions = { { "StationName", "equals", "OLD" .. i }, { "Modality", "equals", "CT" } },
    actions = { { "StationName", "set", "NEW" .. i } },
  }
end

mapping "bench-prefix" {
  conditions = { { "PatientID", "is_not_blank" }, { "PatientID", "not_equals", "0" } },
  actions = { { "PatientID", "prepend", "N-" } },
}
mapping "bench-institution" { actions = { { "InstitutionName", "set", "NEW HOSPITAL" } } }
mapping "bench-accession" {
  conditions = { { "AccessionNumber", "is_blank" }, { "RequestAttributesSequence[1].AccessionNumber", "is_not_blank" } },
  actions = { { "AccessionNumber", "copy", "RequestAttributesSequence[1].AccessionNumber" } },
}
mapping "bench-zeros" { actions = { { "AccessionNumber", "regex", "^0+", "" } } }
mapping "bench-code" {
  run = function(ds, ctx)
    if blank(ds.PatientID) then return hold "no patient ID" end
    if ds.Modality == "CT" then ds.StudyDescription = "CT " .. (ds.BodyPartExamined or "") end
  end,
}
