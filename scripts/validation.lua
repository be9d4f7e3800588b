--- Validation, the second stage: is the value of one attribute what it should be.
-- A blank attribute is right for every type but `derived` and `custom`: what is missing is the missing-data stage's concern.
-- Each value of a multi-valued attribute is looked at. What fails is corrected where the right value is known, else on_fail decides.
local repair = script "repair"
local sop = script "sop"
local values = script "values"
local verdict = script "verdict"
local words = script "words"

local M = { verb = "validation", title = "Validation", brief = "Checks the value of one attribute; corrects, flags or rejects." }

M.help = "Checks the value of one attribute. `on_fail = \"Correct\"` writes the right value where it is known (by `correction_map`, by case, by the "
  .. "form of the VR, by derivation) and flags where it is not."

-- What `format` may be: the string VRs of PS3.5 6.2.
local formats = { "AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT" }

--- The fields of a rule: the loader checks by them, form and reference are made from them.
M.fields = {
  { "tag", type = "tag", required = true, help = "The attribute to check." },
  { "rule_type", type = "enum", required = true, values = { "format", "enum", "length", "regex", "derived", "custom" }, help = "How it is checked." },
  { "on_fail", type = "enum", default = "Flag", values = { "Correct", "Flag", "Reject", "Warn", "Ignore" },
    help = "Correct: writes the right value, flags when it is not known. Flag: stores, with a finding that marks the study. Reject: the dataset goes "
      .. "to the rejection queue. Warn: stores, with a finding. Ignore: nothing." },
  { "format", type = "enum", values = formats, of = "format", help = "The VR whose form the value must have." },
  { "valid_values", type = "texts", of = "enum", help = "What the value may be. A difference in case only is corrected." },
  { "correction_map", type = "map", help = "Wrong value -> right value, for `Correct`; upper and lower case are the same." },
  { "pattern", type = "text", of = "regex", help = "A PCRE2 pattern that occurs in the value; anchor it with ^ and $ to mean all of it." },
  { "min_length", type = "int", min = 0, of = "length", help = "The fewest characters." },
  { "max_length", type = "int", min = 0, of = "length", help = "The most characters." },
  { "derivation_method", type = "enum", values = { "compute_age", "sop_to_modality" }, of = "derived",
    help = "compute_age: from PatientBirthDate to StudyDate. sop_to_modality: what the SOP class says. Where nothing can be derived the rule does nothing." },
  { "derivation_source", type = "tag", of = "derived", help = "Derives from this attribute instead of PatientBirthDate or SOPClassUID." },
  { "check", type = "function", of = "custom",
    help = "`function(value, ds, ctx)`: returns true when VALUE (nil when absent) is right, else false, the reason, and the right value where it is known." },
}

M.example = [[
validation "patient-sex-code" {
  tag = "PatientSex", rule_type = "enum", valid_values = { "M", "F", "O" },
  correction_map = { MALE = "M", FEMALE = "F" }, on_fail = "Correct",
  tests = {
    { given = { PatientSex = "male" }, expect = { PatientSex = "M" } },
    { given = { PatientSex = "X" }, expect = {}, flagged = { "validation/patient-sex-code" } },
    { given = {}, expect = {} },
  },
}]]

-- Each type gives check(value) -> nil when right, else why, and the right value when it is known.
local types = {}

function types.format(rule)
  local vr, fix, wrong = rule.format, repair.by_vr[rule.format], native.check
  return function(v)
    local why = wrong(vr, v)
    if not why then return nil end
    local good = fix and fix(v)
    if good and wrong(vr, good) then good = nil end -- better, but not yet right
    return words.quote(v) .. ": " .. why, good
  end
end

function types.enum(rule)
  local valid, folded = {}, {}
  for _, value in ipairs(rule.valid_values) do
    valid[value] = true
    folded[native.fold(value)] = value
  end
  local allowed = table.concat(rule.valid_values, ", ")
  return function(v)
    if valid[v] then return nil end
    return words.quote(v) .. " is none of " .. allowed, folded[native.fold(v)]
  end
end

function types.length(rule)
  local least, most = rule.min_length or 0, rule.max_length or math.maxinteger
  return function(v)
    local n = native.length(v)
    if n >= least and n <= most then return nil end
    return ("%s has %d characters, %s"):format(words.quote(v), n, n < least and "fewer than " .. least or "more than " .. most)
  end
end

function types.regex(rule)
  local re, test = native.regex_compile(rule.pattern), native.regex_test
  return function(v)
    if test(re, v) then return nil end
    return words.quote(v) .. " does not match " .. rule.pattern
  end
end

local get, set, finding = native.get, native.set, native.finding

--- What a failure comes to: FIX is the right value or nil.
local function on_failure(rule)
  local mode, tag = rule.on_fail, rule.tag
  if mode == "Reject" then
    return function(_, why) return verdict.make("reject", tag .. ": " .. why) end
  elseif mode == "Ignore" then
    return function() end
  elseif mode == "Correct" then
    return function(place, why, fix)
      if fix then set(place, fix) else finding("flag", tag, why) end
    end
  end
  local kind = mode == "Warn" and "warn" or "flag"
  return function(_, why) finding(kind, tag, why) end
end

-- The values of one place: what is wrong with them, and the whole text put right when all of it can be.
local function judge(text, check, map)
  local reason, fixed, complete, n = nil, {}, true, 0
  for v in (text .. "\\"):gmatch("([^\\]*)\\") do
    local why, fix = nil, nil
    if v ~= "" then why, fix = check(v) end
    n = n + 1
    fixed[n] = v
    if why then
      fix = map and map[native.fold(v)] or fix
      reason = reason or why
      fixed[n] = fix or v
      complete = complete and fix ~= nil
    end
  end
  return reason, reason and complete and table.concat(fixed, "\\") or nil
end

local function body_of_values(rule)
  local check, fail = types[rule.rule_type](rule), on_failure(rule)
  local path = native.path(rule.tag)
  local _, vr, many = native.path_info(path)
  local one = vr == "ST" or vr == "LT" or vr == "UT" or vr == "UR" -- a backslash in them divides nothing
  local map
  for wrong, right in pairs(rule.correction_map or {}) do
    map = map or {}
    map[native.fold(wrong)] = right
  end
  local function at(place)
    local v, several = get(place)
    if v == nil or v == "" then return nil end
    if one or not several then -- one value: no table
      local why, fix = check(v)
      if not why then return nil end
      return fail(place, why, map and map[native.fold(v)] or fix)
    end
    local why, fix = judge(v, check, map)
    if why then return fail(place, why, fix) end
  end
  if not many then return function() return at(path) end end
  return function()
    for _, place in ipairs(native.places(path) or {}) do
      local result = at(place)
      if result then return result end
    end
  end
end

local derivations = {}

function derivations.compute_age(rule)
  local birth, study = native.path(rule.derivation_source or "PatientBirthDate"), native.path("StudyDate")
  return function()
    local from, to = get(birth), get(study)
    return from and to and from ~= "" and to ~= "" and native.age(from, to) or nil
  end
end

function derivations.sop_to_modality(rule)
  local class = native.path(rule.derivation_source or "SOPClassUID")
  return function() return sop.modality[get(class) or ""] end
end

local function body_of_derived(rule)
  local derive, fail, path = derivations[rule.derivation_method](rule), on_failure(rule), native.path(rule.tag)
  return function()
    local right = derive()
    if not right then return nil end
    local v = get(path)
    if v == right then return nil end
    return fail(path, ("%s should be %s"):format(words.quote(v), words.quote(right)), right)
  end
end

local function body_of_custom(rule)
  local check, fail, path = rule.check, on_failure(rule), native.path(rule.tag)
  return function(ds, ctx)
    local good, why, fix = check(get(path), ds, ctx)
    if good == true then return nil end
    if good ~= false then error("check must return true, or false and the reason; it returned " .. words.quote(good), 0) end
    if why ~= nil and type(why) ~= "string" then error("check: the reason must be a text, not " .. words.a(type(why)), 0) end
    return fail(path, why or words.quote(get(path)) .. " is not right", fix ~= nil and tostring(fix) or nil)
  end
end

-- Which fields a type needs, and that no field of another type is given.
local function check_fields(rule, refuse)
  local before = true
  for _, field in ipairs(M.fields) do
    if field.of and rule[field[1]] ~= nil and field.of ~= rule.rule_type then
      refuse(field[1], ("%s belongs to rule_type \"%s\", this rule's is \"%s\""):format(field[1], field.of, rule.rule_type))
      before = false
    end
  end
  local needed = { format = "format", enum = "valid_values", regex = "pattern", derived = "derivation_method", custom = "check" }
  local field = needed[rule.rule_type]
  if field and rule[field] == nil then
    refuse(nil, ("rule_type \"%s\" needs the field '%s'"):format(rule.rule_type, field))
    before = false
  end
  if rule.rule_type == "length" and not (rule.min_length or rule.max_length) then
    refuse(nil, "rule_type \"length\" needs min_length or max_length")
    before = false
  end
  if rule.pattern then
    local re, why = native.regex_compile(rule.pattern)
    if not re then
      refuse("pattern", ("the pattern %s does not compile: %s"):format(words.quote(rule.pattern), why))
      before = false
    end
  end
  return before
end

function M.compile(rule, refuse, off)
  if rule.run then
    refuse("run", "validation rules have no `run`: use rule_type = \"custom\" with check = function(value, ds, ctx)")
    return nil
  end
  if not rule.rule_type or not rule.tag then return nil end
  if off and not rule[({ format = "format", enum = "valid_values", regex = "pattern", derived = "derivation_method", custom = "check" })[rule.rule_type] or "tag"] then
    return nil
  end
  if not check_fields(rule, refuse) then return nil end
  if rule.rule_type == "derived" then return body_of_derived(rule) end
  if rule.rule_type == "custom" then return body_of_custom(rule) end
  return body_of_values(rule)
end

return M
