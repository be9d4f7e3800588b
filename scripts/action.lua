--- Actions of tag mapping: { tag, action_type, value, value2 }, done in the order written.
--
--   { "InstitutionName", "set", "St. Mary" }
--   { "AccessionNumber", "copy", "RequestAttributesSequence[1].AccessionNumber" }
--   { "PatientID", "regex", "^0+", "" }
--
-- copy, prepend, append and regex need a value to work on: where there is none they leave the attribute as it is.
local words = script "words"

local M = {}

--- The actions, in the order that the reference shows.
M.actions = {
  { "set", value = "text", help = "Writes `value`, whether the attribute was there or not." },
  { "copy", value = "tag", help = "Writes the value of the attribute that `value` names, if that one is not blank." },
  { "prepend", value = "text", help = "Puts `value` before what is there; a blank attribute stays as it is." },
  { "append", value = "text", help = "Puts `value` behind what is there; a blank attribute stays as it is." },
  { "regex", value = "pattern", value2 = "text", help = "Replaces every match of the pattern `value` (PCRE2) by `value2` (`$1` is the first group)." },
  { "clear", help = "Empties the attribute where it is present. To remove it, assign nil in a rule's `run`." },
}
M.later = { lookup = "crosswalk tables (M15)" }

-- What people write who come from other languages and products.
local removes = "'clear' empties it; to remove it write code: run = function(ds) ds.PatientComments = nil end"
local means = {
  ["remove"] = removes, ["delete"] = removes, ["drop"] = removes, ["unset"] = removes,
  ["empty"] = "clear", ["blank"] = "clear", ["null"] = "clear",
  ["replace"] = "write 'set' for the whole value, 'regex' for a part of it", ["substitute"] = "regex", ["sub"] = "regex", ["gsub"] = "regex",
  ["add"] = "set", ["put"] = "set", ["assign"] = "set", ["write"] = "set", ["insert"] = "set", ["prefix"] = "prepend", ["suffix"] = "append",
  ["move"] = "copy it first, then clear where it came from", ["rename"] = "copy it first, then clear where it came from", ["copy_from"] = "copy",
  ["upper"] = "write code: run = function(ds) ds.PatientID = string.upper(ds.PatientID or \"\") end",
  ["lower"] = "write code: run = function(ds) ds.PatientID = string.lower(ds.PatientID or \"\") end",
}

local names, by_name = {}, {}
for i, action in ipairs(M.actions) do
  names[i] = action[1]
  by_name[action[1]] = action
end

local field_names = { "tag", "action_type", "value", "value2" }
local known_field = words.set(field_names)

local function check_one(a, where)
  if type(a) ~= "table" then return nil, where .. " must be a table: { \"PatientID\", \"set\", \"42\" }" end
  local out = {}
  for key, value in pairs(a) do
    local name = math.type(key) == "integer" and field_names[key] or key
    if type(name) ~= "string" then return nil, where .. " has too many values: it is { tag, action_type, value, value2 }" end
    if not known_field[name] then
      if name == "lookup_table" then return nil, where .. ": lookup_table is not built yet: it comes with " .. M.later.lookup end
      return nil, where .. " has no field '" .. name .. "'" .. words.hint(name, field_names)
    end
    if out[name] ~= nil then return nil, where .. " gives '" .. name .. "' twice" end
    if math.type(value) == "integer" then value = tostring(value) end
    if type(value) ~= "string" then return nil, where .. ": " .. name .. " must be a text, not " .. words.a(type(value)) end
    out[name] = value
  end
  if not out.tag then return nil, where .. " has no tag: it is { tag, action_type, value, value2 }" end
  local ok, why = pcall(native.path, out.tag)
  if not ok then return nil, where .. ": " .. why end
  local _, vr = native.path_info(why)
  local action = by_name[out.action_type]
  if not action then
    local word = tostring(out.action_type)
    if M.later[word] then return nil, where .. ": the action '" .. word .. "' is not built yet: it comes with " .. M.later[word] end
    return nil, where .. ": there is no action '" .. word .. "'" .. words.hint(word, names, means)
  end
  for _, field in ipairs { "value", "value2" } do
    if action[field] and not out[field] then return nil, ("%s: %s needs %s"):format(where, action[1], field) end
    if not action[field] and out[field] then return nil, ("%s: %s takes no %s"):format(where, action[1], field) end
  end
  if vr == "SQ" and action.value then
    return nil, ("%s: %s is a sequence, which has items and no value: name an attribute in it, as %s[1].CodeValue"):format(where, out.tag, out.tag)
  end
  if action.value == "tag" then
    ok, why = pcall(native.path, out.value)
    if not ok then return nil, where .. ": " .. why end
  elseif action.value == "pattern" then
    local re
    re, why = native.regex_compile(out.value)
    if not re then return nil, ("%s: the pattern %s does not compile: %s"):format(where, words.quote(out.value), why) end
  end
  return out
end

--- The list in normal form, or nil and what is wrong.
function M.check(list)
  if not words.is_list(list) then return nil, "must be a list: { { tag, action_type, value }, ... }" end
  if #list == 0 then return nil, "is empty: say what the rule does" end
  if type(list[1]) == "string" then return nil, "must be a list of actions: put one more pair of braces around it" end
  local out = {}
  for i, a in ipairs(list) do
    local good, why = check_one(a, "[" .. i .. "]")
    if not good then return nil, why end
    out[i] = good
  end
  return out
end

local get, set, has, places = native.get, native.set, native.has, native.places

--- CHANGE(value) -> new value, at every place of PATH that is not blank.
local function at_values(path, many, change)
  local function at(place)
    local v = get(place)
    if v and v ~= "" then
      local new = change(v)
      if new ~= v then set(place, new) end
    end
  end
  if not many then return function() at(path) end end
  return function()
    for _, place in ipairs(places(path) or {}) do at(place) end
  end
end

local builders = {}

function builders.set(path, _, value)
  return function() set(path, value) end
end

function builders.copy(path, _, value)
  local from = native.path(value)
  return function()
    local v = get(from)
    if v and v ~= "" then set(path, v) end
  end
end

function builders.prepend(path, many, value)
  return at_values(path, many, function(v) return value .. v end)
end

function builders.append(path, many, value)
  return at_values(path, many, function(v) return v .. value end)
end

function builders.regex(path, many, value, value2)
  local re, replace = native.regex_compile(value), native.regex_replace
  return at_values(path, many, function(v)
    local new = replace(re, v, value2)
    return new
  end)
end

function builders.clear(path, many)
  if not many then
    return function()
      if has(path) then set(path, "") end
    end
  end
  return function()
    for _, place in ipairs(places(path) or {}) do set(place, "") end
  end
end

--- One function that does the whole list.
function M.compile(list)
  local steps = {}
  for i, a in ipairs(list) do
    local path = native.path(a.tag)
    local _, _, many = native.path_info(path)
    steps[i] = builders[a.action_type](path, many, a.value, a.value2)
  end
  if #steps == 1 then
    local only = steps[1]
    return function() only() end
  end
  return function()
    for i = 1, #steps do steps[i]() end
  end
end

return M
