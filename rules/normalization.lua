-- normalization.lua: the policies that are on by default. Each repairs what has one right reading and reports the rest.
-- To change one write a rule of the same id into the site's rules; { enabled = false } switches it off.
-- VRs and the character set come first: what follows reads text.

normalization "unknown-vr" {
  priority = 5,
  description = "Known attributes sent as UN get their VR, so that rules and the archive can read them",
  policy = "unknown_vr",
  tests = {
    { given = { PatientID = "42" }, vr = { PatientID = "UN" }, expect = { PatientID = "42" } },
    { given = { PatientID = "42" }, expect = {} },
  },
}

normalization "character-set" {
  priority = 10,
  description = "Misspelt terms become defined ones; a declared set that the text disproves is replaced",
  policy = "character_set",
  tests = {
    { name = "a misspelt term", given = { SpecificCharacterSet = "ISO-IR 100", PatientName = "DOE^JOHN" },
      expect = { SpecificCharacterSet = "ISO_IR 100" } },
    { name = "UTF-8 sent, Latin-1 declared", sent_as = "ISO_IR 192",
      given = { SpecificCharacterSet = "ISO_IR 100", PatientName = "Müller^Jörg" },
      expect = { SpecificCharacterSet = "ISO_IR 192" } },
    { name = "UTF-8 sent, nothing declared", sent_as = "ISO_IR 192", given = { PatientName = "山田^太郎" },
      expect = { SpecificCharacterSet = "ISO_IR 192" } },
    { name = "Latin-1 sent, nothing declared: the last resort, reported", sent_as = "ISO_IR 100", given = { PatientName = "Müller^Jörg" },
      expect = { SpecificCharacterSet = "ISO_IR 100" }, flagged = { "normalization/character-set" } },
    { name = "right as it is", given = { SpecificCharacterSet = "ISO_IR 100", PatientName = "Müller^Jörg" }, expect = {} },
    { name = "plain ASCII without a set", given = { PatientName = "DOE^JOHN" }, expect = {} },
  },
}

normalization "foreign-groups" {
  priority = 20,
  description = "DICOMDIR fields, File Meta and command elements inside the dataset",
  policy = "foreign_groups",
  tests = {
    { given = { ["(0004,1130)"] = "DISC1", PatientID = "42" }, absent = { "(0004,1130)" }, warned = { "normalization/foreign-groups" } },
    { given = { PatientID = "42" }, expect = {} },
  },
}

normalization "structure" {
  priority = 30,
  description = "Faults of encoding are reported; the bytes stay",
  policy = "structure",
  tests = { { given = { PatientID = "42" }, expect = {} } },
}

normalization "dates" {
  description = "ACR-NEMA dots, dashes, slashes, month names, zeros",
  policy = "dates",
  tests = {
    { name = "ACR-NEMA", given = { StudyDate = "2009.03.04" }, expect = { StudyDate = "20090304" } },
    { name = "in an item", given = { ["ReferencedStudySequence[1].StudyDate"] = "2009-03-04" },
      expect = { ["ReferencedStudySequence[1].StudyDate"] = "20090304" } },
    { name = "one reading only", given = { PatientBirthDate = "13/03/1950" }, expect = { PatientBirthDate = "19500313" } },
    { name = "all zeros", given = { PatientBirthDate = "00000000" }, expect = { PatientBirthDate = "" } },
    { name = "two readings", given = { StudyDate = "04/03/2009" }, expect = {}, flagged = { "normalization/dates" } },
    { name = "no such day", given = { StudyDate = "20090231" }, expect = {}, flagged = { "normalization/dates" } },
    { name = "right as it is", given = { StudyDate = "20090304", SeriesDate = "" }, expect = {} },
    { name = "absent", given = { PatientID = "42" }, expect = {} },
  },
}

normalization "times" {
  description = "Colons, AM and PM, too many decimals",
  policy = "times",
  tests = {
    { given = { StudyTime = "10:11:12" }, expect = { StudyTime = "101112" } },
    { given = { StudyTime = "101112.1234567" }, expect = { StudyTime = "101112.123456" } },
    { given = { StudyTime = "1:05:00 PM" }, expect = { StudyTime = "130500" } },
    { given = { StudyTime = "240000" }, expect = {}, flagged = { "normalization/times" } },
    { given = { StudyTime = "101112.5" }, expect = {} },
    { given = { PatientID = "42" }, expect = {} },
  },
}

normalization "ages" {
  description = "Ages become nnnD, nnnW, nnnM or nnnY",
  policy = "ages",
  tests = {
    { given = { PatientAge = "69Y" }, expect = { PatientAge = "069Y" } },
    { given = { PatientAge = "69" }, expect = { PatientAge = "069Y" } },
    { given = { PatientAge = "069y" }, expect = { PatientAge = "069Y" } },
    { given = { PatientAge = "0.5Y" }, expect = { PatientAge = "006M" } },
    { given = { PatientAge = "old" }, expect = {}, flagged = { "normalization/ages" } },
    { given = { PatientAge = "069Y" }, expect = {} },
    { given = { PatientID = "42" }, expect = {} },
  },
}

normalization "names" {
  description = "Trailing carets and doubled blanks; the comma form is warned of, because in one archive it is a name and in another two",
  policy = "names",
  tests = {
    { given = { PatientName = "DOE^JOHN^^^" }, expect = { PatientName = "DOE^JOHN" } },
    { given = { PatientName = "VAN  DYKE ^ JAN" }, expect = { PatientName = "VAN DYKE^JAN" } },
    { given = { PatientName = "Yamada^Tarou=山田^太郎=", SpecificCharacterSet = "ISO_IR 192" }, expect = { PatientName = "Yamada^Tarou=山田^太郎" } },
    { given = { PatientName = "DOE, JOHN" }, expect = {}, warned = { "normalization/names" } },
    { name = "a stray control character is reported and stays", given = { PatientName = "DOE^JO\7HN^^" }, expect = {},
      flagged = { "normalization/names" } },
    { given = { PatientName = "DOE^JOHN" }, expect = {} },
    { given = { PatientID = "42" }, expect = {} },
  },
}

normalization "codes" {
  description = "Code strings in upper case; what is no code is reported",
  policy = "codes",
  params = { report = "warn" },
  tests = {
    { given = { Modality = "ct" }, expect = { Modality = "CT" } },
    { given = { ImageType = "ORIGINAL\\primary\\AXIAL" }, expect = { ImageType = "ORIGINAL\\PRIMARY\\AXIAL" } },
    { given = { BodyPartExamined = "CHEST, ABDOMEN" }, expect = {}, warned = { "normalization/codes" } },
    { given = { Modality = "CT" }, expect = {} },
    { given = { PatientID = "42" }, expect = {} },
  },
}

normalization "uids" {
  description = "Dots at the end of UIDs; invalid ones are reported, never changed",
  policy = "uids",
  tests = {
    { given = { StudyInstanceUID = "1.2.3." }, expect = { StudyInstanceUID = "1.2.3" } },
    { given = { StudyInstanceUID = "1.2.03" }, expect = {}, flagged = { "normalization/uids" } },
    { given = { StudyInstanceUID = "1.2.3" }, expect = {} },
    { given = { PatientID = "42" }, expect = {} },
  },
}

normalization "numbers" {
  description = "Integer and decimal strings",
  policy = "numbers",
  params = { report = "warn" },
  tests = {
    { given = { SliceThickness = "1.23456789012345678" }, expect = { SliceThickness = "1.23456789012346" } },
    { given = { SliceThickness = "12,5" }, expect = {}, warned = { "normalization/numbers" } },
    { given = { InstanceNumber = "1A" }, expect = {}, warned = { "normalization/numbers" } },
    { given = { SliceThickness = "1.5", InstanceNumber = "1" }, expect = {} },
    { given = { PatientID = "42" }, expect = {} },
  },
}

normalization "modality" {
  description = "From the SOP class where it says one",
  policy = "modality",
  tests = {
    { given = { SOPClassUID = "1.2.840.10008.5.1.4.1.1.2" }, expect = { Modality = "CT" } },
    { given = { SOPClassUID = "1.2.840.10008.5.1.4.1.1.7", Modality = "XRAY" }, expect = {}, flagged = { "normalization/modality" } },
    { given = { SOPClassUID = "1.2.840.10008.5.1.4.1.1.7", Modality = "OT" }, expect = {} },
  },
}

normalization "time-zone" {
  description = "Offsets such as +9:00",
  policy = "time_zone",
  tests = {
    { given = { TimezoneOffsetFromUTC = "+9:00" }, expect = { TimezoneOffsetFromUTC = "+0900" } },
    { given = { TimezoneOffsetFromUTC = "CET" }, expect = {}, flagged = { "normalization/time-zone" } },
    { given = { TimezoneOffsetFromUTC = "+0900" }, expect = {} },
    { given = { PatientID = "42" }, expect = {} },
  },
}
