-- cookbook.lua: what a site writes, in the shapes that docs and the design show. Loaded and tested by tests/unit/rules/test_harness.c;
-- a good place to copy from.

mapping "accession-from-request" {
  priority = 20,
  description = "GE Centricity keeps the order's number in the request sequence",
  source = "GE_MAIN",
  conditions = {
    { "AccessionNumber", "is_blank" },
    { "RequestAttributesSequence[1].AccessionNumber", "is_not_blank" },
  },
  actions = {
    { "AccessionNumber", "copy", "RequestAttributesSequence[1].AccessionNumber" },
    { '(0019,"ACME_CT_01",20)', "clear" },
  },
  tests = {
    { name   = "taken from the request",
      given  = { ["RequestAttributesSequence[1].AccessionNumber"] = "A77" },
      expect = { AccessionNumber = "A77" } },
    { given = { AccessionNumber = "A1" }, expect = {} },
    { name  = "of another source", ctx = { origin = { peer = "AGFA" } },
      given = { ["RequestAttributesSequence[1].AccessionNumber"] = "A77" }, expect = {} },
  },
}

-- The same id as a shipped rule would replace it; this one stands beside it.
validation "patient-sex-words" {
  tag = "PatientSex", rule_type = "enum", valid_values = { "M", "F", "O" },
  correction_map = { MALE = "M", FEMALE = "F" }, on_fail = "Correct",
  tests = {
    { given = { PatientSex = "male" }, expect = { PatientSex = "M" } },
    { given = { PatientSex = "X" }, expect = {}, flagged = { "validation/patient-sex-words" } },
    { given = {}, expect = {} },
  },
}

mapping "site-prefix" {
  run = function(ds, ctx)
    if blank(ds.PatientID) then return hold "no patient ID" end
    if not blank(ctx.found.PatientID) and ctx.found.PatientID ~= ds.PatientID then
      flag("the source's database says " .. ctx.found.PatientID, "PatientID")
    end
    ds.PatientID = "N-" .. ds.PatientID
  end,
  tests = {
    { given = { PatientID = "42" }, expect = { PatientID = "N-42" } },
    { given = { PatientID = "42" }, ctx = { found = { PatientID = "43" } }, expect = { PatientID = "N-42" }, flagged = { "mapping/site-prefix" } },
    { given = {}, verdict = "hold", reason = "no patient ID" },
  },
}

mapping "no-topograms" {
  description = "Scout views stay behind",
  modality = "CT",
  run = function(ds)
    if matches(ds.ImageType, "\\bLOCALIZER\\b") then return exclude "a scout view" end
  end,
  tests = {
    { given = { Modality = "CT", ImageType = "ORIGINAL\\PRIMARY\\LOCALIZER" }, verdict = "exclude" },
    { given = { Modality = "CT", ImageType = "ORIGINAL\\PRIMARY\\AXIAL" }, expect = {} },
    { given = { Modality = "CT" }, expect = {} },
  },
}

mapping "names-of-clinic-2" {
  description = "Clinic 2 writes given name first, in lower case",
  source = "CLINIC_2",
  run = function(ds)
    local n = name(ds.PatientName)
    if not n then return end
    n.family, n.given = n.given:upper(), n.family:upper()
    ds.PatientName = n
  end,
  tests = {
    { given = { PatientName = "john^doe" }, expect = { PatientName = "DOE^JOHN" } },
    { given = { PatientName = "" }, expect = {} },
    { given = {}, expect = {} },
  },
}
