-- mapping.lua: what is harmless everywhere. A site's own mapping lies in its rules folder.

mapping "accession-from-request" {
  priority = 20,
  description = "The order's number stands only in the request",
  conditions = {
    { "AccessionNumber", "is_blank" },
    { "RequestAttributesSequence[1].AccessionNumber", "is_not_blank" },
  },
  actions = {
    { "AccessionNumber", "copy", "RequestAttributesSequence[1].AccessionNumber" },
  },
  tests = {
    { name = "taken from the request", given = { ["RequestAttributesSequence[1].AccessionNumber"] = "A77" }, expect = { AccessionNumber = "A77" } },
    { name = "its own number stays", given = { AccessionNumber = "A1", ["RequestAttributesSequence[1].AccessionNumber"] = "A77" }, expect = {} },
    { name = "nothing anywhere", given = {}, expect = {} },
  },
}

mapping "comma-names" {
  enabled = false,
  description = "DOE, JOHN is DOE^JOHN. Switch it on for archives that write names so, best with a source",
  conditions = {
    { "PatientName", "contains", "," },
    { "PatientName", "not_contains", "^" },
  },
  actions = {
    { "PatientName", "regex", "^\\s*([^,]+?)\\s*,\\s*([^,]+?)\\s*$", "$1^$2" },
  },
  tests = {
    { given = { PatientName = "DOE, JOHN" }, expect = { PatientName = "DOE^JOHN" } },
    { given = { PatientName = "DOE^JOHN, JR" }, expect = {} },
    { given = {}, expect = {} },
  },
}
