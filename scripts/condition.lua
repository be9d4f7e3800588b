--- Conditions: { tag, operator, value }, all of which must hold before a rule acts.
--
--   { "AccessionNumber", "is_blank" }
--   { tag = "StationName", operator = "starts_with", value = "CT", case_insensitive = true }
--   { any = { { "Modality", "equals", "CT" }, { "Modality", "equals", "PT" } } }
--
-- An absent attribute is compared as empty text, so the not_ forms hold for it. What is no text (an UN element) is not blank, and cannot
-- be compared. A path that names many places ([*], **) holds when one of
-- them does; its not_ forms and is_blank hold when none of them breaks it.
-- Each condition becomes a closure over a compiled path: one C call, no table, no string but the value read.
local words = script "words"

local M = {}

--- The operators, in the order that the reference shows. `value` says whether one is needed; `negated` names the positive form.
M.operators = {
  { "is_blank", help = "The attribute is absent or empty." },
  { "is_not_blank", help = "The attribute has a value." },
  { "equals", value = true, help = "The whole value is this text." },
  { "not_equals", value = true, help = "It is not." },
  { "contains", value = true, help = "This text stands somewhere in it." },
  { "not_contains", value = true, help = "It does not." },
  { "starts_with", value = true, help = "The value begins with this text." },
  { "ends_with", value = true, help = "The value ends with this text." },
  { "matches_wildcard", value = true, help = "The whole value matches: `*` is any text, `?` one character." },
}

-- What people write who come from other languages and products.
local means = {
  ["is_empty"] = "is_blank", ["empty"] = "is_blank", ["not_exists"] = "is_blank", ["is_null"] = "is_blank", ["is_nil"] = "is_blank", ["absent"] = "is_blank",
  ["is_absent"] = "is_blank", ["missing"] = "is_blank", ["blank"] = "is_blank",
  ["exists"] = "is_not_blank", ["is_present"] = "is_not_blank", ["present"] = "is_not_blank", ["not_empty"] = "is_not_blank", ["not_blank"] = "is_not_blank",
  ["is_not_empty"] = "is_not_blank", ["is_not_null"] = "is_not_blank",
  ["="] = "equals", ["=="] = "equals", ["eq"] = "equals", ["is"] = "equals", ["equal"] = "equals",
  ["!="] = "not_equals", ["~="] = "not_equals", ["<>"] = "not_equals", ["ne"] = "not_equals", ["is_not"] = "not_equals",
  ["startswith"] = "starts_with", ["begins_with"] = "starts_with", ["prefix"] = "starts_with", ["endswith"] = "ends_with", ["suffix"] = "ends_with",
  ["like"] = "matches_wildcard", ["glob"] = "matches_wildcard", ["wildcard"] = "matches_wildcard", ["includes"] = "contains", ["has"] = "contains",
  ["in"] = "several values are written { any = { { tag, \"equals\", a }, { tag, \"equals\", b } } }",
  ["one_of"] = "several values are written { any = { { tag, \"equals\", a }, { tag, \"equals\", b } } }",
  ["regex"] = "a pattern is tested in code: run = function(ds) if string.find(ds.PatientID or \"\", \"^%d+$\") then ... end end, or by a validation of rule_type regex",
  ["matches"] = "write 'matches_wildcard' for * and ?; a pattern is tested in code: run = function(ds) ... string.find(...) ... end",
  ["<"] = "values are compared in code: run = function(ds) local n = tonumber(ds.InstanceNumber) ... end",
  [">"] = "values are compared in code: run = function(ds) local n = tonumber(ds.InstanceNumber) ... end",
}

local operator_names, needs_value = {}, {}
for i, operator in ipairs(M.operators) do
  operator_names[i] = operator[1]
  needs_value[operator[1]] = operator.value or false
end

local field_names = { "tag", "operator", "value", "case_insensitive", "any", "all" }
local known_field, positions = words.set(field_names), { "tag", "operator", "value" }
local MAX_DEPTH = 8 -- of any and all in each other; nobody can read more

local check_list

local function check_one(c, where, depth)
  if type(c) ~= "table" then return nil, where .. " must be a table: { \"PatientID\", \"is_blank\" }" end
  local out = {}
  for key, value in pairs(c) do
    local name = math.type(key) == "integer" and positions[key] or key
    if name == key and type(key) ~= "string" then
      return nil, where .. " has too many values: it is { tag, operator, value }"
    end
    if not known_field[name] then
      return nil, where .. " has no field '" .. name .. "'" .. words.hint(name, field_names)
    end
    if out[name] ~= nil then return nil, where .. " gives '" .. name .. "' twice" end
    out[name] = value
  end
  for _, group in ipairs { "any", "all" } do
    if out[group] then
      if out.tag or out.operator or out.any and out.all then
        return nil, where .. " is either { any = { ... } }, { all = { ... } } or { tag, operator, value }"
      end
      local inner, why = check_list(out[group], where .. "." .. group, depth + 1)
      return inner and { [group] = inner }, why
    end
  end
  if type(out.tag) ~= "string" then return nil, where .. " has no tag: it is { tag, operator, value }" end
  local ok, why = pcall(native.path, out.tag)
  if not ok then return nil, where .. ": " .. why end
  if type(out.operator) ~= "string" or needs_value[out.operator] == nil then
    local word = tostring(out.operator)
    return nil, where .. ": there is no operator '" .. word .. "'" .. words.hint(word, operator_names, means)
  end
  if needs_value[out.operator] then
    if math.type(out.value) == "integer" then out.value = tostring(out.value) end
    if type(out.value) ~= "string" then return nil, where .. ": " .. out.operator .. " needs a value, a text" end
    if out.value == "" then return nil, where .. ": to compare with an empty text write is_blank or is_not_blank" end
  elseif out.value ~= nil then
    return nil, where .. ": " .. out.operator .. " takes no value"
  end
  local _, vr = native.path_info(native.path(out.tag))
  if vr == "SQ" and out.operator ~= "is_blank" and out.operator ~= "is_not_blank" then
    local _, last = out.tag:match("^(.*)(%[%w+%])$") -- an item is not compared either
    return nil, where .. ": " .. out.tag .. (last and " is an item" or " is a sequence") .. ", it can be is_blank or is_not_blank; name an attribute in it to compare"
  end
  if out.case_insensitive ~= nil and type(out.case_insensitive) ~= "boolean" then
    return nil, where .. ": case_insensitive must be true or false"
  end
  return out
end

function check_list(list, where, depth)
  if depth > MAX_DEPTH then return nil, where .. " nests deeper than " .. MAX_DEPTH end
  if type(list) ~= "table" or not words.is_list(list) then return nil, where .. " must be a list: { { tag, operator, value }, ... }" end
  if #list == 0 then return nil, where .. " is empty: leave it out, or say what must hold" end
  if type(list[1]) == "string" then return nil, where .. " must be a list of conditions: put one more pair of braces around it" end
  local out = {}
  for i, c in ipairs(list) do
    local good, why = check_one(c, where .. "[" .. i .. "]", depth)
    if not good then return nil, why end
    out[i] = good
  end
  return out
end

--- The list in normal form (fields named), or nil and what is wrong.
function M.check(list)
  local good, why = check_list(list, "", 1)
  return good, why and why:gsub("^ ", "")
end

local get, places, fold, glob, count, blank = native.get, native.places, native.fold, native.glob, native.count, native.blank

-- What a positive operator says of a text.
local matchers = {}
function matchers.equals(want)
  return function(v) return v == want end
end
function matchers.contains(want)
  local contains = native.contains
  return function(v) return contains(v, want) end
end
function matchers.starts_with(want)
  local starts = native.starts
  return function(v) return starts(v, want) end
end
function matchers.ends_with(want)
  local ends = native.ends
  return function(v) return ends(v, want) end
end
function matchers.matches_wildcard(want)
  return function(v) return glob(v, want) end
end

local positive = { not_equals = "equals", not_contains = "contains" }

local function blank_test(path, vr, many, wanted)
  if vr == "SQ" then -- a sequence is blank when absent or without items
    return function() return (count(path) == 0) == wanted end
  end
  if many then
    return function()
      for _, place in ipairs(places(path) or {}) do
        if not blank(place) then return not wanted end
      end
      return wanted
    end
  end
  if wanted then return function() return blank(path) end end
  return function() return not blank(path) end
end

local function test_of(c)
  local path = native.path(c.tag)
  local _, vr, many = native.path_info(path)
  if c.operator == "is_blank" or c.operator == "is_not_blank" then return blank_test(path, vr, many, c.operator == "is_blank") end
  local want = c.case_insensitive and fold(c.value) or c.value
  if c.operator == "equals" and not many and not c.case_insensitive then -- the common one without a call between
    return function() return get(path) == want end
  end
  local negated = positive[c.operator] ~= nil
  local matches = matchers[positive[c.operator] or c.operator](want)
  if not many and not c.case_insensitive then
    return function() return matches(get(path) or "") ~= negated end
  end
  local function value_matches(v)
    if c.case_insensitive then v = fold(v) end
    return matches(v)
  end
  if many then
    return function()
      for _, place in ipairs(places(path) or {}) do
        if value_matches(get(place) or "") then return not negated end
      end
      return negated
    end
  end
  return function() return value_matches(get(path) or "") ~= negated end
end

local function text_of(c)
  local group = c.any and "any" or c.all and "all"
  if group then
    local parts = {}
    for i, inner in ipairs(c[group]) do parts[i] = text_of(inner) end
    return group .. " of (" .. table.concat(parts, "; ") .. ")"
  end
  local text = c.tag .. " " .. c.operator
  if c.value then text = text .. " " .. words.quote(c.value) end
  return text
end

local function guard_of(c)
  if c.tag then
    local _, vr = native.path_info(native.path(c.tag))
    return { test = test_of(c), text = text_of(c), value = vr ~= "SQ" and function() return get(c.tag) end or nil }
  end
  local inner, any = {}, c.any ~= nil
  for i, each in ipairs(c.any or c.all) do inner[i] = guard_of(each).test end
  return {
    text = text_of(c),
    test = function()
      for i = 1, #inner do
        if (inner[i]() and true or false) == any then return any end
      end
      return not any
    end,
  }
end

--- A list of { test = function() -> boolean, text = "...", value = function or nil }.
function M.compile(list)
  local guards = {}
  for i, c in ipairs(list) do guards[i] = guard_of(c) end
  return guards
end

return M
