--- The one table of what a rule's code may call. docs/rules.md is made from it, and a test runs every example.
-- An entry: name, signature, text, and an example: the body of `run = function(ds, ctx) ... end`, with what is GIVEN and what the test
-- EXPECTs of it. STAGES says where it may be used; everything that is built so far may be used in every stage.
local values = script "values"
local verdict = script "verdict"

local M = {}

--- The functions that a rule file sees besides the verbs and the safe library.
M.globals = {
  blank = values.blank, date = values.date, time = values.time, name = values.name, age = values.age, now = values.now,
  matches = values.matches, replace = values.replace, uid_from = values.uid_from,
  reject = verdict.reject, hold = verdict.hold, exclude = verdict.exclude,
  flag = verdict.flag, warn = verdict.warn, log = verdict.log,
}

M.groups = {
  { "dataset", "The dataset", "`ds` is the dataset as it is now. Attributes are named by keyword or path; values are text in UTF-8 without padding, "
    .. "several joined by `\\`; `tonumber(ds.Rows)` where a number is wanted. An unknown keyword is an error that names the nearest right one, never nil." },
  { "context", "The context", "`ctx` says where the dataset comes from. It is read-only; a field that does not exist is an error." },
  { "value", "Values", "Parsed values read back as DICOM writes them when they are assigned to an attribute or joined with `..`." },
  { "verdict", "Verdicts and findings", "A verdict is given with `return`; without one the dataset is stored." },
}

M.entries = {
  { name = "ds.Keyword", group = "dataset", signature = "ds.Keyword -> text or nil", stages = "all",
    text = "The attribute's value. nil is absent, \"\" is empty. Sequences are read by `ds:items` or a path; bulk data cannot be read.",
    example = [[if ds.Modality == "CT" then ds.StationName = "CT1" end]],
    given = { Modality = "CT" }, expect = { StationName = "CT1" } },
  { name = 'ds["path"]', group = "dataset", signature = 'ds["path"] -> text or nil', stages = "all",
    text = "The same by path: `(0010,0020)`, `(0019,\"ACME_CT_01\",20)`, `Seq[1].Keyword`, `ImageType[3]`. With `[*]` or `**` the first place is read.",
    example = [[ds.AccessionNumber = ds["RequestAttributesSequence[1].AccessionNumber"] ]],
    given = { ["RequestAttributesSequence[1].AccessionNumber"] = "A77" }, expect = { AccessionNumber = "A77" } },
  { name = "ds.Keyword = value", group = "dataset", signature = "ds.Keyword = text | number | list | date | time | name | nil", stages = "all",
    text = "Writes the attribute; \"\" empties it, nil removes it. A list is joined by `\\`. A path with `[*]` or `**` writes at every place it names; "
      .. "missing items are made when the path names the next one. Text that does not fit the dataset's character set is a fault: `ds:transcode` first.",
    example = [[ds.PatientID = "N-" .. ds.PatientID
ds.OtherPatientIDs = nil]],
    given = { PatientID = "42", OtherPatientIDs = "old" }, expect = { PatientID = "N-42" }, absent = { "OtherPatientIDs" } },
  { name = "ds:values", group = "dataset", signature = "ds:values(path) -> list of texts", stages = "all",
    text = "The values of a multi-valued attribute; an empty list when there are none.",
    example = [[local kinds = ds:values "ImageType"
if kinds[1] == "DERIVED" then ds.DerivationDescription = "from " .. #kinds .. " values" end]],
    given = { ImageType = "DERIVED\\SECONDARY" }, expect = { DerivationDescription = "from 2 values" } },
  { name = "ds:items", group = "dataset", signature = "for item, number in ds:items(sequence) do ... end", stages = "all",
    text = "Walks the items of a sequence. An item is used like `ds`: `item.Keyword`, `item:items`. Items are not added while walking.",
    example = [[for item in ds:items "RequestAttributesSequence" do
  if blank(item.AccessionNumber) then item.AccessionNumber = ds.AccessionNumber end
end]],
    given = { AccessionNumber = "A1", ["RequestAttributesSequence[1].AccessionNumber"] = "",
      ["RequestAttributesSequence[2].AccessionNumber"] = "A2" },
    expect = { ["RequestAttributesSequence[1].AccessionNumber"] = "A1" } },
  { name = "ds:each", group = "dataset", signature = "for path, value in ds:each(vr or path) do ... end", stages = "all",
    text = "Walks every attribute of a VR at every depth, or every place that a path with `[*]` or `**` names. `ds[path]` writes there.",
    example = [[for path, value in ds:each "PN" do
  ds[path] = value:upper()
end]],
    given = { PatientName = "Doe^John", ReferringPhysicianName = "ROE^JANE" }, expect = { PatientName = "DOE^JOHN" } },
  { name = "ds:has", group = "dataset", signature = "ds:has(path) -> true or false", stages = "all",
    text = "Whether the element is there at all: also for sequences and for what cannot be read.",
    example = [[if not ds:has "RequestAttributesSequence" then flag "no request" end]],
    given = { PatientID = "42" }, flagged = true },
  { name = "ds.received", group = "dataset", signature = "ds.received.Keyword -> text or nil", stages = "all",
    text = "What came, whatever rules have written since. Read-only.",
    example = [[ds.PatientID = "N-1"
ds.OtherPatientIDs = ds.received.PatientID]],
    given = { PatientID = "42" }, expect = { PatientID = "N-1", OtherPatientIDs = "42" } },
  { name = "ds:set_vr", group = "dataset", signature = "ds:set_vr(path, vr)", stages = "all",
    text = "Changes the VR of an element; its bytes stay. For elements that were sent as UN.",
    example = [[ds:set_vr("PatientComments", "LT")
ds.PatientID = ds.PatientComments]],
    given = { PatientComments = "abc", PatientID = "1" }, expect = { PatientID = "abc" } },
  { name = "ds:transcode", group = "dataset", signature = "ds:transcode(term)", stages = "all",
    text = "Encodes all text anew in the character set TERM, and declares it. After `ds:transcode \"ISO_IR 192\"` any text fits.",
    example = [[ds:transcode "ISO_IR 192"
ds.InstitutionName = "Spital Zürich"]],
    given = { InstitutionName = "Zuerich" }, expect = { SpecificCharacterSet = "ISO_IR 192", InstitutionName = "Spital Zürich" } },

  { name = "ctx.origin", group = "context", signature = "ctx.origin.peer | calling | called | address | channel -> text", stages = "all",
    text = "Who sent it: the peer's slug, the AE titles, the address, and the channel (dimse, file, ...). Unknown is \"\".",
    example = [[ds.SourceApplicationEntityTitle = nil
ds.InstitutionalDepartmentName = ctx.origin.peer]],
    given = { PatientID = "1" }, ctx = { origin = { peer = "GE_MAIN" } }, expect = { InstitutionalDepartmentName = "GE_MAIN" } },
  { name = "ctx.job", group = "context", signature = "ctx.job.batch -> text, ctx.job.attempt -> number", stages = "all",
    text = "The batch that asked for it, \"\" for what came by itself, and the number of the attempt.",
    example = [[if ctx.job.attempt > 1 then warn("attempt " .. ctx.job.attempt) end]],
    given = { PatientID = "1" }, ctx = { job = { batch = "first", attempt = 2 } }, warned = true },
  { name = "ctx.seed", group = "context", signature = "ctx.seed -> text", stages = "all",
    text = "The accession number or UID that was asked for; \"\" for what came by itself.",
    example = [[if blank(ds.AccessionNumber) then ds.AccessionNumber = ctx.seed end]],
    given = { AccessionNumber = "" }, ctx = { seed = "A9" }, expect = { AccessionNumber = "A9" } },
  { name = "ctx.found", group = "context", signature = "ctx.found.Keyword -> text or nil", stages = "all",
    text = "The source's C-FIND answer for this study: what its database says, where that differs from its files. Without an answer every attribute is nil.",
    example = [[if not blank(ctx.found.PatientID) and ctx.found.PatientID ~= ds.PatientID then
  flag("the source's database says " .. ctx.found.PatientID, "PatientID")
end]],
    given = { PatientID = "42" }, ctx = { found = { PatientID = "43" } }, flagged = true },
  { name = "ctx.info", group = "context", signature = "ctx.info.transfer_syntax | sop_class -> text, header_bytes | body_bytes -> number", stages = "all",
    text = "How it came. body_bytes is 0 while the length of the pixel data is not known.",
    example = [[if ctx.info.transfer_syntax == "1.2.840.10008.1.2.4.50" then ds.LossyImageCompression = "01" end]],
    given = { PatientID = "1" }, ctx = { info = { transfer_syntax = "1.2.840.10008.1.2.4.50" } }, expect = { LossyImageCompression = "01" } },

  { name = "blank", group = "value", signature = "blank(value) -> true or false", stages = "all",
    text = "True for nil and for \"\".",
    example = [[if blank(ds.StudyID) then ds.StudyID = "1" end]],
    given = { StudyID = "" }, expect = { StudyID = "1" } },
  { name = "date", group = "value", signature = "date(text) or date(year, month, day) -> date or nil", stages = "all",
    text = "A date with `.year`, `.month`, `.day`. `date + 7` and `date - 7` are dates, `date - date` is days, dates compare with `<`. nil for what is blank or no date.",
    example = [[local day = date(ds.StudyDate)
if day and day > date(1980, 1, 1) then ds.SeriesDate = day + 1 end]],
    given = { StudyDate = "20240228" }, expect = { SeriesDate = "20240229" } },
  { name = "time", group = "value", signature = "time(text) -> time or nil", stages = "all",
    text = "A time with `.hour`, `.minute`, `.second`, `.micro`. `time - time` is seconds; times compare with `<`. nil for what is blank or no time.",
    example = [[local at = time(ds.StudyTime)
if at and at.hour < 6 then ds.StudyComments = "at night, " .. at end]],
    given = { StudyTime = "0230" }, expect = { StudyComments = "at night, 0230" } },
  { name = "name", group = "value", signature = "name(text) -> name or nil", stages = "all",
    text = "A person name with `.family`, `.given`, `.middle`, `.prefix`, `.suffix`, and `.ideographic` and `.phonetic` with the same parts. Parts may be "
      .. "changed; absent ones are \"\". nil for what is blank or no name.",
    example = [[local n = name(ds.PatientName)
if n then
  n.given, n.middle = n.middle, n.given
  ds.PatientName = n
end]],
    given = { PatientName = "DOE^J^JOHN" }, expect = { PatientName = "DOE^JOHN^J" } },
  { name = "age", group = "value", signature = "age(birth, day) -> text or nil", stages = "all",
    text = "The age on a day as PatientAge wants it: `003D`, `011W`, `018M`, `045Y`. nil when either is blank or no date.",
    example = [[ds.PatientAge = age(ds.PatientBirthDate, ds.StudyDate)]],
    given = { PatientBirthDate = "19700101", StudyDate = "20200101" }, expect = { PatientAge = "050Y" } },
  { name = "now", group = "value", signature = "now() -> moment", stages = "all",
    text = "When the instance arrived, in UTC: `.date` and `.time`; as text `YYYYMMDDHHMMSS`. It is the same for all rules of one instance.",
    example = [[ds.InstanceCreationDate = now().date]],
    given = { PatientID = "1" }, ctx = { now = "20261124221216" }, expect = { InstanceCreationDate = "20261124" } },
  { name = "matches", group = "value", signature = "matches(text, pattern) -> true or false", stages = "all",
    text = "Whether a PCRE2 pattern (UTF mode) occurs in TEXT; anchor it with `^` and `$` to mean all of it. `text:match` and its kin take Lua patterns.",
    example = [[if matches(ds.PatientID, "^[0-9]{7}$") then ds.IssuerOfPatientID = "NORTH" end]],
    given = { PatientID = "1234567" }, expect = { IssuerOfPatientID = "NORTH" } },
  { name = "replace", group = "value", signature = "replace(text, pattern, replacement) -> text", stages = "all",
    text = "TEXT with every match of the PCRE2 pattern replaced; `$1` is the first group. nil stays nil.",
    example = [[ds.AccessionNumber = replace(ds.AccessionNumber, "^0+", "")]],
    given = { AccessionNumber = "000A0" }, expect = { AccessionNumber = "A0" } },
  { name = "uid_from", group = "value", signature = "uid_from(text) -> UID", stages = "all",
    text = "A UID below 2.25, always the same for the same text.",
    example = [[if not matches(ds.StudyInstanceUID, "^[0-9.]+$") then ds.StudyInstanceUID = uid_from(ds.StudyInstanceUID) end]],
    given = { StudyInstanceUID = "ABC" }, expect = { StudyInstanceUID = "2.25.241691122609291230100433031405755769642" } },

  { name = "reject", group = "verdict", signature = "return reject(reason)", stages = "all",
    text = "Bad data: the dataset goes to the rejection queue, bytes, reason and rule with it. No rule behind this one runs.",
    example = [[if blank(ds.PatientID) then return reject "no patient ID" end]],
    given = { PatientID = "" }, verdict = "reject" },
  { name = "hold", group = "verdict", signature = "return hold(reason)", stages = "all",
    text = "A person must look: the dataset waits for a release.",
    example = [[if ds.PatientName == "UNKNOWN" then return hold "unknown patient" end]],
    given = { PatientName = "UNKNOWN" }, verdict = "hold" },
  { name = "exclude", group = "verdict", signature = "return exclude(reason)", stages = "all",
    text = "Not wanted: the dataset is not stored, and counted as excluded, never as lost.",
    example = [[if ds.Modality == "TG" then return exclude "topograms stay behind" end]],
    given = { Modality = "TG" }, verdict = "exclude" },
  { name = "flag", group = "verdict", signature = "flag(message, path)", stages = "all",
    text = "Stores the dataset, with a finding that marks its study. PATH, which may be left out, is the attribute meant.",
    example = [[if ds.PatientSex == "X" then flag("a code that nobody knows", "PatientSex") end]],
    given = { PatientSex = "X" }, flagged = true },
  { name = "warn", group = "verdict", signature = "warn(message, path)", stages = "all",
    text = "Stores the dataset, with a finding that marks nothing.",
    example = [[if blank(ds.Laterality) then warn "no laterality" end]],
    given = { PatientID = "1" }, warned = true },
  { name = "log", group = "verdict", signature = "log(...)", stages = "all",
    text = "Prints its arguments in `drover rules test` and `drover rules explain`. In normal running nothing is written, because patients' data do not enter the log.",
    example = [[log("the ID is", ds.PatientID)]],
    given = { PatientID = "42" }, expect = {} },
}

return M
