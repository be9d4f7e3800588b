--- Rules as they are declared: the fields that every stage has, and the checking of a declaration.
-- A stage's `fields` table is the only list of its fields: the loader checks by it, `drover rules reference`, the form and the API are
-- made from it. What is wrong is collected, not raised, so that one look shows everything; each problem has file, line, rule, the wrong
-- word, the nearest right one and what is allowed.
local words = script "words"
local condition = script "condition"

local M = {}

--- Fields of every rule, in the order that the reference shows.
M.common = {
  { "name", type = "text", help = "A label for people. The rule itself is known by its verb and id." },
  { "description", type = "text", help = "Why the rule exists: which device, which archive, which ticket." },
  { "enabled", type = "bool", default = true, help = "`false` switches the rule off; such a rule needs no other field." },
  { "priority", type = "int", default = 100, help = "Lower runs earlier. Rules of equal priority run in the order of their ids." },
  { "source", type = "texts", help = "Only for data of this peer (its slug), or of one of these." },
  { "modality", type = "texts", form = "^[A-Z0-9_ ]+$", form_help = "a Modality as DICOM writes it, such as \"CT\"", help = "Only for datasets whose Modality is this, or one of these." },
  { "sop_class", type = "texts", form = "^[0-9.]+$", form_help = "a UID, such as \"1.2.840.10008.5.1.4.1.1.2\"", help = "Only for this SOP Class UID, or one of these." },
  { "batch", type = "texts", help = "Only for data that this batch asked for." },
  { "conditions", type = "conditions", help = "All must hold; `any = { ... }` holds when one of its conditions does, `all = { ... }` nests." },
  { "run", type = "function", help = "The rule as code: `function(ds, ctx) ... end`. It may change `ds`, `flag`, `warn`, and return a verdict. (Validation has `check` instead.)" },
  { "tests", type = "tests", help = "What the rule does to sample data; `drover rules test` runs them, and while `rules.require_tests` is on a set whose tests fail is not published." },
}

--- Fields of a test.
M.test_fields = {
  { "name", type = "text", help = "What the test shows." },
  { "given", type = "values", required = true, help = "The dataset: path -> value. What is not given is absent." },
  { "expect", type = "values", help = "Exactly these change, to these values. Any other change fails the test." },
  { "absent", type = "texts", help = "Paths that the rule removes." },
  { "verdict", type = "enum", values = { "reject", "hold", "exclude" }, help = "The verdict; without it the dataset must be stored." },
  { "reason", type = "text", help = "A part of the verdict's reason." },
  { "flagged", type = "texts", help = "The rules that flag; without it none may." },
  { "warned", type = "texts", help = "The rules that warn; without it none may." },
  { "ctx", type = "context", help = "`ctx.origin`, `ctx.job`, `ctx.seed`, `ctx.found`, `ctx.info`, and `now` as \"YYYYMMDDHHMMSS\"; `ctx.origin.peer` is the rule's `source` unless set." },
  { "sent_as", type = "text", help = "The character set in which the bytes really are, whatever SpecificCharacterSet in `given` declares." },
  { "vr", type = "values", help = "Path -> VR, for elements that were sent with a wrong one." },
}

-- How each type is checked: returns the value in normal form, or nil and what is wrong.
local check = {}
M.check = check

function check.text(v)
  if type(v) == "string" then return v end
  return nil, "must be text in quotes, not " .. words.a(type(v))
end

function check.bool(v)
  if type(v) == "boolean" then return v end
  return nil, "must be true or false, not " .. words.quote(v)
end

function check.int(v, field)
  if math.type(v) == "integer" and v >= (field.min or -1000000) and v <= (field.max or 1000000) then return v end
  return nil, ("must be a whole number from %d to %d, not %s"):format(field.min or -1000000, field.max or 1000000, words.quote(v))
end

function check.enum(v, field)
  for _, allowed in ipairs(field.values) do
    if v == allowed then return v end
  end
  local text = type(v) == "string" and v or tostring(v)
  for _, allowed in ipairs(field.values) do
    if native.fold(text) == native.fold(allowed) then
      return nil, ("must be '%s', not '%s': upper and lower case count"):format(allowed, text)
    end
  end
  if field.later and field.later[v] then return nil, ("'%s' is not built yet: it comes with %s"):format(v, field.later[v]) end
  return nil, "is '" .. text .. "'" .. words.hint(text, field.values)
end

function check.tag(v)
  if type(v) ~= "string" then return nil, "must be a tag such as \"PatientID\", not " .. words.a(type(v)) end
  local ok, handle = pcall(native.path, v)
  if not ok then return nil, handle end
  return v
end

check["function"] = function(v)
  if type(v) == "function" then return v end
  return nil, "must be a function: function(ds, ctx) ... end"
end

function check.texts(v, field)
  if type(v) == "string" then v = { v } end
  if not words.is_list(v) then return nil, "must be a text or a list of texts: { \"A\", \"B\" }" end
  for i, each in ipairs(v) do
    if type(each) ~= "string" then return nil, ("value %d is %s, not a text"):format(i, words.a(type(each))) end
    -- What no dataset can ever have would switch the rule off without a word.
    if field.form and not each:match(field.form) then return nil, ("'%s' matches nothing: it must be %s"):format(each, field.form_help) end
  end
  return v
end

function check.map(v)
  if type(v) ~= "table" then return nil, "must be a table: { wrong = \"right\" }" end
  for key, value in pairs(v) do
    if type(key) ~= "string" or type(value) ~= "string" then
      return nil, "maps texts to texts: { [\"MALE\"] = \"M\" }; " .. words.quote(key) .. " does not"
    end
  end
  return v
end

--- A value that goes into a dataset, as text.
local function as_value(v)
  if type(v) == "string" then return v end
  if math.type(v) == "integer" then return tostring(v) end
  if type(v) == "number" then return ("%.14g"):format(v) end
  if words.is_list(v) then
    local parts = {}
    for i, each in ipairs(v) do parts[i] = as_value(each) end
    return table.concat(parts, "\\")
  end
  return nil
end
M.as_value = as_value

function check.values(v)
  if type(v) ~= "table" then return nil, "must be a table of paths and values: { PatientID = \"42\" }" end
  local out = {}
  for path, value in pairs(v) do
    local ok, why = check.tag(path)
    if not ok then return nil, why end
    out[path] = as_value(value)
    if out[path] == nil then return nil, ("%s must be a text, a number or a list, not %s"):format(path, words.a(type(value))) end
  end
  return out
end

local context_fields = {
  origin = { "peer", "calling", "called", "address", "channel" },
  job = { "batch", "attempt" },
  info = { "transfer_syntax", "sop_class", "header_bytes", "body_bytes" },
}

function check.context(v)
  if type(v) ~= "table" then return nil, "must be a table: { origin = { peer = \"GE_MAIN\" } }" end
  for key, value in pairs(v) do
    if key == "found" then
      local ok, why = check.values(value)
      if not ok then return nil, "found: " .. why end
    elseif context_fields[key] then
      if type(value) ~= "table" then return nil, key .. " must be a table" end
      for inner in pairs(value) do
        if not words.set(context_fields[key])[inner] then
          return nil, ("%s has no '%s'%s"):format(key, tostring(inner), words.hint(tostring(inner), context_fields[key]))
        end
      end
    elseif key ~= "seed" and key ~= "now" then
      return nil, ("has no '%s'%s"):format(key, words.hint(tostring(key), { "origin", "job", "seed", "found", "info", "now" }))
    end
  end
  return v
end

function check.conditions(v)
  return condition.check(v)
end

function check.params(v)
  if type(v) ~= "table" then return nil, "must be a table: { day_first = true }" end
  return v
end

--- Lists of fields made ready for check_table.
function M.schema(...)
  local known, names = {}, {}
  for _, list in ipairs { ... } do
    for _, field in ipairs(list) do
      known[field[1]] = field
      names[#names + 1] = field[1]
    end
  end
  return { known = known, names = names }
end

--- Checks the table T by a SCHEMA; calls REFUSE(field name or nil, message) for each thing that is wrong.
-- LENIENT: a missing required field is no problem. Returns the table in normal form, defaults filled in.
function M.check_table(t, schema, refuse, lenient)
  local known, names, out = schema.known, schema.names, {}
  for key, value in pairs(t) do
    local field = known[key]
    if type(key) ~= "string" then
      refuse(nil, ("a value without a name (%s): write field = value"):format(words.quote(value)))
    elseif not field then
      refuse(key, "there is no field '" .. key .. "'" .. words.hint(key, names))
    else
      local good, why = check[field.type](value, field)
      if good == nil then
        refuse(key, key .. (why:find("^%[") and "" or ": ") .. why)
      else
        out[key] = good
      end
    end
  end
  for _, name in ipairs(names) do
    local field = known[name]
    if out[name] == nil and t[name] == nil then
      if field.required and not lenient then refuse(nil, "the field '" .. name .. "' is missing: " .. field.help) end
      out[name] = field.default
    end
  end
  return out
end

local test_schema = M.schema(M.test_fields)
local stage_schemas = {}

local function check_test(test, number, rule, refuse)
  local function wrong(field, message)
    refuse(field or "tests", ("test %d: %s"):format(number, message))
  end
  if type(test) ~= "table" then
    wrong(nil, "must be a table: { given = { ... }, expect = { ... } }")
    return nil
  end
  local out = M.check_table(test, test_schema, wrong)
  for _, path in ipairs(out.absent or {}) do
    local ok, why = check.tag(path)
    if not ok then wrong("absent", "absent: " .. why) end
  end
  if not (out.expect or out.absent or out.verdict or out.flagged or out.warned) then
    wrong(nil, "says nothing about the outcome: give expect (`expect = {}` when nothing changes), absent, verdict or flagged")
  end
  out.rule = rule
  out.number = number
  return out
end

function check.tests(v)
  if not words.is_list(v) then return nil, "must be a list: { { given = { ... }, expect = { ... } }, ... }" end
  return v
end

local function scope_guards(rule)
  local guards = {}
  local function one_of(list)
    local set = {}
    for _, each in ipairs(list) do set[each] = true end
    return set, table.concat(list, " or ")
  end
  local function origin_guard(field, key)
    if not rule[field] then return end
    local set, text = one_of(rule[field])
    guards[#guards + 1] = {
      test = function() return set[native.origin(key)] end,
      text = field .. " is " .. text,
      value = function() return native.origin(key) end,
    }
  end
  local function tag_guard(field, keyword)
    if not rule[field] then return end
    local set, text = one_of(rule[field])
    local path, get = native.path(keyword), native.get
    guards[#guards + 1] = {
      test = function() return set[get(path)] end,
      text = keyword .. " is " .. text,
      value = function() return get(path) end,
    }
  end
  origin_guard("source", "peer")
  origin_guard("batch", "batch")
  tag_guard("modality", "Modality")
  tag_guard("sop_class", "SOPClassUID")
  return guards
end

--- BODY behind GUARDS: the first that does not hold ends it. Few guards are the common case and cost no loop.
local function guarded(guards, body)
  local n = #guards
  if n == 0 then return body end
  local a, b = guards[1].test, n > 1 and guards[2].test
  if n == 1 then
    return function(ds, ctx)
      if a() then return body(ds, ctx) end
    end
  elseif n == 2 then
    return function(ds, ctx)
      if a() and b() then return body(ds, ctx) end
    end
  end
  return function(ds, ctx)
    for i = 1, n do
      if not guards[i].test() then return nil end
    end
    return body(ds, ctx)
  end
end

--- Checks and compiles one declaration. AT is { file, line, origin }, STAGE a stage's module. REFUSE(field or nil, message).
-- Returns the rule, or nil when something was wrong.
function M.declare(stage, id, declaration, at, refuse)
  local wrong = false
  local function refuse_rule(field, message)
    wrong = true
    refuse(field, stage.verb .. "/" .. id .. ": " .. message)
  end
  local off = declaration.enabled == false
  stage_schemas[stage] = stage_schemas[stage] or M.schema(M.common, stage.fields)
  local rule = M.check_table(declaration, stage_schemas[stage], refuse_rule, off)
  rule.stage, rule.id, rule.short = stage.verb, stage.verb .. "/" .. id, id
  rule.file, rule.line, rule.origin = at.file, at.line, at.origin
  local tests = {}
  for i, test in ipairs(rule.tests or {}) do
    tests[i] = check_test(test, i, rule, refuse_rule) or { rule = rule, number = i }
  end
  rule.tests = tests
  if wrong then return nil end
  local body = stage.compile(rule, refuse_rule, off)
  if wrong then return nil end
  rule.body = body or function() end
  rule.guards = scope_guards(rule)
  for _, guard in ipairs(rule.conditions and condition.compile(rule.conditions) or {}) do
    rule.guards[#rule.guards + 1] = guard
  end
  rule.apply = guarded(rule.guards, rule.body)
  rule.actor = native.actor(rule.stage, rule.id, rule.file, rule.line)
  return rule
end

return M
