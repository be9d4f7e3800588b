--- The policies of normalization: what old archives get wrong and what the standard lets us put right.
-- A policy is { name, help, defect, params, run }. DEFECT is the row of the defects table in docs/rules.md's source. RUN(params) is called
-- once at load and gives the function of one dataset.
-- The common case costs one pass over the index in C: native.faulty(vr) hands only values that are wrong to Lua.
-- What can be known is repaired; what has two readings, or none, is reported and left.
local words = script "words"
local repair = script "repair"
local sop = script "sop"

local M = {}

local report_param = { "report", type = "enum", values = { "flag", "warn", "nothing" }, default = "flag",
  help = "What becomes of a value that cannot be repaired: a flag on the study, a warning, or nothing." }

local get, set, finding = native.get, native.set, native.finding

local function report(params, path, message, kind)
  if params.report ~= "nothing" then finding(kind or params.report, path, message) end
end

--- Every value of VR that is faulty through FIX(value) -> good value, or nil and why; a third result is the kind of finding.
local function values_of(vr, params, fix)
  local faulty = native.faulty
  return function()
    local list = faulty(vr)
    if not list then return end
    for i = 1, #list, 2 do
      local path, text = list[i], list[i + 1]
      local parts, trouble, kind_of_trouble, n = {}, nil, nil, 0
      for part in (text .. "\\"):gmatch("([^\\]*)\\") do
        local good, why, kind = fix(part)
        n = n + 1
        parts[n] = good or part
        if why and not trouble then trouble, kind_of_trouble = words.quote(part) .. ": " .. why, kind end
      end
      local new = table.concat(parts, "\\")
      if new ~= text then set(path, new) end
      if trouble then report(params, path, trouble, kind_of_trouble) end
    end
  end
end

local function policy(name, defect, help, params, run)
  if name ~= "unknown_vr" then params[#params + 1] = report_param end -- which has nothing to report
  M[#M + 1] = { name = name, defect = defect, help = help, params = params, run = run }
end

-- ---- 5 ----

-- Sets in which a run of valid UTF-8 is no plausible text: Latin ones, and none declared.
local latin = { [""] = true, ["ISO_IR 6"] = true, ["ISO_IR 100"] = true, ["ISO_IR 101"] = true, ["ISO_IR 109"] = true,
  ["ISO_IR 110"] = true, ["ISO_IR 148"] = true, ["ISO_IR 203"] = true }

-- Defined terms that stand alone: what nearly all datasets declare needs no second look.
local defined = {}
for _, term in ipairs { "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 144", "ISO_IR 127", "ISO_IR 126", "ISO_IR 138", "ISO_IR 148",
  "ISO_IR 13", "ISO_IR 166", "ISO_IR 192", "ISO_IR 203", "GB18030", "GBK" } do defined[term] = true end

local function put_terms_right(params, declared)
  local terms, changed = {}, false
  for term in (declared .. "\\"):gmatch("([^\\]*)\\") do
    local right = term ~= "" and native.charset_term(term) or term
    if term ~= "" and not native.charset_term(term) then
      report(params, "SpecificCharacterSet", words.quote(term) .. " is no character set")
    end
    if right ~= term then changed = true end
    terms[#terms + 1] = right
  end
  if not changed then return declared end
  local good = table.concat(terms, "\\")
  set("SpecificCharacterSet", good)
  return good
end

policy("character_set", 5, "Misspelt character set terms (`ISO-IR 100`, `UTF-8`) become the defined ones; a declared set that the text disproves is "
  .. "replaced by the source's (`default`), by UTF-8 where the text is that, or by the last resort.",
  { { "default", type = "text", help = "The set that this source really uses where it declares none or a wrong one; give the rule a `source`." },
    { "last_resort", type = "text", default = "ISO_IR 100", help = "Taken, and reported, when nothing else decodes. Empty: left as it is, and rules that read the text hold the dataset." },
    { "to_utf8", type = "bool", default = false, help = "Encodes all text anew in ISO_IR 192." } },
  function(params)
    local path, scan, fits = native.path("SpecificCharacterSet"), native.charset_scan, native.charset_fits
    local function relabel(term)
      set(path, term)
      return term
    end
    return function()
      local declared = get(path) or ""
      if declared ~= "" and not defined[declared] then declared = put_terms_right(params, declared) end
      local state, utf8, certain, where, why = scan()
      if state ~= "plain" then
        if utf8 and latin[declared] then
          declared = relabel("ISO_IR 192")
        elseif state == "bad" or declared == "" then
          if params.default and fits(params.default) then
            declared = relabel(params.default)
          elseif certain and fits(certain) then
            declared = relabel(certain)
          elseif params.last_resort ~= "" and fits(params.last_resort) then
            report(params, where, ("the text does not fit the declared character set %s; read as %s"):format(words.quote(declared), params.last_resort))
            declared = relabel(params.last_resort)
          else
            report(params, where, why or "the text does not fit the declared character set")
            return
          end
        end
      end
      if params.to_utf8 and declared ~= "ISO_IR 192" then native.transcode("ISO_IR 192") end
    end
  end)

-- ---- 31, 12 ----

policy("foreign_groups", 31, "Elements of groups 0000, 0002 and 0004 do not belong into a dataset: they are dropped.", {},
  function(params)
    local foreign = native.foreign
    return function()
      local list = foreign()
      for _, tag in ipairs(list or {}) do set(tag, nil) end
      if list and params.report ~= "nothing" then finding("warn", list[1], #list .. " elements of foreign groups dropped") end
    end
  end)

policy("unknown_vr", 12, "Elements sent as UN get the VR that the dictionary knows, where their length allows it.", {},
  function()
    local untyped, set_vr = native.untyped, native.set_vr
    return function()
      local list = untyped()
      for i = 1, list and #list or 0, 2 do pcall(set_vr, list[i], list[i + 1]) end
    end
  end)

local structure_faults = {
  { 1, "odd lengths" }, { 2, "VRs that do not exist" }, { 4, "elements out of order" }, { 8, "elements that come twice" },
  { 16, "wrong sequence or item lengths" }, { 32, "bytes behind the dataset" }, { 128, "sequences sent as UN" },
  { 256, "a transfer syntax other than the declared one" },
}

policy("structure", 13, "Faults of encoding that were read past (odd lengths, wrong item lengths, elements twice or out of order) are reported as warnings; "
  .. "the bytes stay as they came.", {},
  function(params)
    local bits_of = native.index_findings
    return function()
      local bits = bits_of()
      if bits == 0 or params.report == "nothing" then return end
      local seen = {}
      for _, fault in ipairs(structure_faults) do
        if bits & fault[1] ~= 0 then seen[#seen + 1] = fault[2] end
      end
      if #seen > 0 then finding("warn", nil, "read past " .. table.concat(seen, ", ")) end
    end
  end)

-- ---- values by VR ----

policy("dates", 1, "Dates in a form other than YYYYMMDD (`2009.03.04`, `2009-03-04`, `13/03/2009`, `4 Mar 2009`, a DT) are written so; "
  .. "all zeros become empty; ambiguous and impossible ones are reported.",
  { { "day_first", type = "bool", help = "How `04/03/2009` is read: true is 4 March, false 3 April. Not set: it is reported." } },
  function(params)
    return values_of("DA", params, function(v) return repair.date(v, params.day_first) end)
  end)

policy("times", 2, "Times in a form other than HHMMSS.FFFFFF (`10:11:12`, AM and PM, more than six decimals, a DT) are written so; impossible ones are reported.", {},
  function(params)
    return values_of("TM", params, repair.time)
  end)

policy("ages", 3, "Ages become three digits and D, W, M or Y: `69Y`, `069y`, `69 years`, `0.5Y`.",
  { { "unit", type = "enum", values = { "D", "W", "M", "Y" }, default = "Y", help = "What a number without unit means." } },
  function(params)
    return values_of("AS", params, function(v) return repair.age(v, params.unit) end)
  end)

policy("names", 4, "Person names: trailing `^` and doubled blanks go, blanks beside `^` too; over-long and broken ones are reported, those with a comma "
  .. "in place of `^` warned of.",
  { { "comma", type = "bool", default = false, help = "`DOE, JOHN` becomes `DOE^JOHN`." } },
  function(params)
    return values_of("PN", params, function(v)
      -- An escape that its character set does not know cannot be written back: bad data, and no fault of this rule.
      if v:find("%c") then return v, "holds control characters" end
      local good, why = repair.name(v, params.comma)
      if not why and good:find("^[^,^=]+,[^,^=]+$") then return good, "a comma may divide family and given name (the parameter comma says so)", "warn" end
      return good, why
    end)
  end)

policy("codes", 6, "Code strings (CS) in upper case and without blanks at their ends; what is still no code is reported.",
  { { "map", type = "map", help = "Words to replace wherever they are the whole value: { MALE = \"M\" }." } },
  function(params)
    return values_of("CS", params, function(v)
      local mapped = params.map and (params.map[v] or params.map[v:upper()])
      if mapped then return mapped end
      return repair.code(v)
    end)
  end)

policy("uids", 8, "Dots and blanks at the ends of UIDs go; invalid ones are reported, never changed.", {},
  function(params)
    return values_of("UI", params, repair.uid)
  end)

policy("numbers", 14, "Integer and decimal strings: blanks inside exponents go, over-long decimals are rounded to 16 characters; what is no number is reported.",
  { { "decimal_comma", type = "bool", default = false, help = "`12,5` is 12.5." } },
  function(params)
    local integers = values_of("IS", params, repair.integer)
    local decimals = values_of("DS", params, function(v) return repair.decimal(v, params.decimal_comma) end)
    return function()
      integers()
      decimals()
    end
  end)

-- ---- 7, 19 ----

policy("modality", 7, "A Modality that is absent, multi-valued or no term gets what the SOP class says, else what `map` says, else it is reported.",
  { { "map", type = "map", help = "Words of this archive: { XRAY = \"CR\" }." } },
  function(params)
    local path, class = native.path("Modality"), native.path("SOPClassUID")
    local known, of_class = sop.known, sop.modality
    return function()
      local v = get(path)
      if v and known[v] then return end
      local right = of_class[get(class) or ""] or params.map and v and params.map[v]
      if right then
        set(path, right)
      elseif v and v ~= "" then
        report(params, "Modality", words.quote(v) .. " is no modality")
      else
        report(params, "Modality", "the modality is missing and the SOP class does not say it")
      end
    end
  end)

policy("time_zone", 19, "TimezoneOffsetFromUTC in a form other than +HHMM (`+9:00`, `Z`) is written so.", {},
  function(params)
    local path, well_formed = native.path("TimezoneOffsetFromUTC"), native.offset
    return function()
      local v = get(path)
      if not v or v == "" or well_formed(v) then return end
      local good, why = repair.timezone(v)
      if good then set(path, good) else report(params, "TimezoneOffsetFromUTC", words.quote(v) .. ": " .. why) end
    end
  end)

return M
