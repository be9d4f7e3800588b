--- The rule language: what a rule file sees, and how the rules of a generation run over one dataset.
--
--   M.environment(path, origin, text)  the globals of one rule file: verbs, functions of api.lua, the safe library
--   M.finish()                         everything is loaded: nil, or a list of { file, line, column, message }
--   M.run(ds, ctx)                     verdict (nil: store), stage, rule, reason
--   M.tests M.test_input M.test_run    the harness: tests of rules
--   M.explain M.bench                  the harness: one dataset rule by rule
--   M.rules M.describe M.reference     what there is: for people, for forms, for docs/rules.md
--
-- A rule of a site replaces the shipped one of the same verb/id whole. No state is kept between datasets.
local words = script "words"
local rules = script "rule"
local api = script "api"

local M = {}

-- The stages, in the order in which a dataset passes them.
local stages = { script "normalization", script "validation", script "mapping" }

-- Verbs of the language that are not built yet, and what they come with.
local later = {
  missing = "missing data (M12)", patient = "patient reconciliation (M13)", gate = "quality gates (M16)",
  tiebreak = "study locations (M34)", select = "selection (M24)", forward = "forwarding (M36)",
  query_out = "the query hooks (M23)", query_in = "the query hooks (M23)", complete = "the hook for complete studies (M23)",
}

local declared = {}   -- verb/id -> rule
local seen = {}       -- origin verb/id -> where it stands, right or wrong
local order = {}      -- rules in the order declared, replaced ones included
local problems = {}
local open = {}       -- verb/id that was named but not yet given its table
local sources = {}    -- file -> its lines, to find the line of a field
local sealed = false

local function problem(file, line, message)
  problems[#problems + 1] = { file = file, line = line, column = 0, message = message }
end

-- The line of FIELD in a declaration that begins at LINE: the source is looked through, because Lua keeps no line for a field.
local function line_of_field(file, line, field)
  local lines = sources[file]
  if not lines or not field then return line end
  local pattern = "%f[%w_]" .. field:gsub("%W", "%%%0") .. "%f[^%w_]%s*=[^=]"
  for n = line, math.min(#lines, line + 400) do
    if n > line and lines[n]:find("^%l[%w_]*%s*[\"']") then break end -- the next rule
    local code = lines[n]:gsub("%-%-.*$", "") .. " "
    if code:find(pattern) then return n end
  end
  return line
end

local function check_id(id)
  return type(id) == "string" and #id <= 64 and id:find("^[%w][%w._-]*$") ~= nil
end

local function add(stage, id, declaration, at)
  local key = stage.verb .. "/" .. id
  open[key .. "@" .. at.file .. ":" .. at.line] = nil
  if type(declaration) ~= "table" then
    problem(at.file, at.line, key .. ": a rule is a table: " .. stage.verb .. " \"" .. id .. "\" { ... }, not " .. words.a(type(declaration)))
    return
  end
  local rule = rules.declare(stage, id, declaration, at, function(field, message)
    problem(at.file, line_of_field(at.file, at.line, field), message)
  end)
  local before, place = declared[key], seen[at.origin .. " " .. key]
  if place then
    problem(at.file, at.line, ("%s is declared twice: also at %s:%d"):format(key, place.file, place.line))
    return
  end
  seen[at.origin .. " " .. key] = at
  if not rule then return end
  if before then
    before.replaced_by = rule
    rule.replaces = before
  end
  declared[key] = rule
  order[#order + 1] = rule
end

local function verb_of(stage, file, origin)
  return function(id)
    if sealed then error("rules are declared when their file is loaded, not while one runs", 2) end
    local _, line = native.where()
    local at = { file = file, line = line or 0, origin = origin }
    if not check_id(id) then
      problem(file, at.line, ("%s: the id %s must be letters, digits, '-', '_' or '.', at most 64, as %s \"fix-umlauts\" { ... }"):format(
        stage.verb, words.quote(id), stage.verb))
      return function() end
    end
    open[stage.verb .. "/" .. id .. "@" .. file .. ":" .. at.line] = at
    return function(declaration)
      if sealed then error("rules are declared when their file is loaded, not while one runs", 2) end
      return add(stage, id, declaration, at)
    end
  end
end

local function unknown_global(names)
  return function(_, name)
    local text = tostring(name)
    if later[text] then error(("'%s' is not built yet: it comes with %s"):format(text, later[text]), 2) end
    local near = words.nearest(text, names)
    error(("there is no '%s'%s"):format(text, near and "; did you mean '" .. near .. "'?" or "; a name of your own is declared with local"), 2)
  end
end

local function no_global(_, name)
  error(("'%s' is not declared: write local %s = ..."):format(tostring(name), tostring(name)), 2)
end

function M.environment(path, origin, text)
  if text then
    local lines = {}
    for line in (text .. "\n"):gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
    sources[path] = lines
  end
  local env = {}
  for name, value in pairs(safe) do env[name] = value end
  for name, value in pairs(api.globals) do env[name] = value end
  for _, stage in ipairs(stages) do env[stage.verb] = verb_of(stage, path, origin) end
  return setmetatable(env, { __index = unknown_global(words.keys(env)), __newindex = no_global, __metatable = false })
end

-- ---- running ----

local actors, applies, plan = {}, {}, {}

local function make_plan()
  plan, actors, applies = {}, {}, {}
  for rank, stage in ipairs(stages) do
    local list = {}
    for _, rule in ipairs(order) do
      if rule.stage == stage.verb and declared[rule.id] == rule then list[#list + 1] = rule end
    end
    table.sort(list, function(a, b)
      if a.priority ~= b.priority then return a.priority < b.priority end
      return a.id < b.id
    end)
    for _, rule in ipairs(list) do
      rule.rank = rank
      plan[#plan + 1] = rule
      if rule.enabled then
        actors[#actors + 1] = rule.actor
        applies[#applies + 1] = rule.apply
      end
    end
  end
end

function M.finish()
  for key, at in pairs(open) do
    problem(at.file, at.line, key:gsub("@.*$", "") .. " has no table: write { ... } behind its id")
  end
  -- a flagged or warned id in a test must be a rule: a misspelt one would never be found otherwise
  local ids = words.keys(declared)
  for _, rule in ipairs(order) do
    for _, test in ipairs(rule.tests) do
      for _, field in ipairs { "flagged", "warned" } do
        for _, id in ipairs(test[field] or {}) do
          if not declared[id] then
            local near = words.nearest(id, ids)
            problem(rule.file, line_of_field(rule.file, rule.line, field), ("%s: test %d: there is no rule '%s'%s"):format(
              rule.id, test.number, id, near and "; did you mean '" .. near .. "'?" or ""))
          end
        end
      end
    end
  end
  open = {}
  make_plan()
  if #problems > 0 then
    table.sort(problems, function(a, b)
      if a.file ~= b.file then return a.file < b.file end
      if a.line ~= b.line then return a.line < b.line end
      return a.message < b.message
    end)
    return problems
  end
  sealed, sources, seen = true, {}, {}
  return nil
end

local enter, leave = native.enter, native.leave

function M.run(ds, ctx)
  for i = 1, #applies do
    enter(actors[i])
    local verdict = applies[i](ds, ctx)
    if verdict then
      for _, rule in ipairs(plan) do
        if rule.actor == actors[i] then return verdict.verdict, rule.stage, rule.id, verdict.reason end
      end
    end
  end
  leave()
  return nil
end

-- ---- for the harness, forms and docs ----

local harness, reference = script "harness", script "reference"

--- Tests of the rule called ID (verb/id, or the id alone), or of all.
function M.tests(id)
  return harness.tests(plan, id)
end
M.test_input, M.test_run = harness.input, harness.run

function M.explain(ds, ctx)
  return harness.explain(plan, ds, ctx)
end

function M.bench(ds, ctx)
  return harness.bench(plan, ds, ctx)
end
M.bench_result = harness.bench_result

--- One table a rule in the order in which they run, replaced ones behind.
function M.rules()
  local list = {}
  local function put(rule, replaced)
    list[#list + 1] = {
      id = rule.id, stage = rule.stage, file = rule.file, line = rule.line, origin = rule.origin, enabled = rule.enabled,
      priority = rule.priority, description = rule.description or rule.name or "", tests = #rule.tests,
      code = rule.run ~= nil or rule.check ~= nil, replaced = replaced,
      replaces = rule.replaces and rule.replaces.file .. ":" .. rule.replaces.line or nil,
    }
  end
  for _, rule in ipairs(plan) do put(rule, false) end
  for _, rule in ipairs(order) do
    if rule.replaced_by then put(rule, true) end
  end
  return list
end

--- Stages and their fields: what forms and the reference are made from.
function M.describe()
  return reference.describe(stages, rules, api)
end

--- docs/rules.md.
function M.reference()
  return reference.markdown(stages, rules, api, later)
end

--- A rule file of all examples of api.lua, with their tests.
function M.examples()
  return reference.examples(api)
end

native.register(M)
return M
