--- docs/rules.md, and the descriptions that forms and the API use. Everything here is read from the tables that do the work: a stage's
-- `fields`, the policies, the operators, the actions, api.lua. What is not in a table is prose in this file.
local condition = script "condition"
local words = script "words"

local M = {}

local type_names = {
  text = "text", bool = "true or false", int = "whole number", enum = "one of", tag = "attribute", texts = "text or list of texts",
  map = "table of texts", ["function"] = "function", conditions = "list", actions = "list", tests = "list", params = "table",
  values = "table: path = value", context = "table",
}

local function field_row(field)
  local kind = type_names[field.type]
  if field.values then
    local quoted = {}
    for i, value in ipairs(field.values) do quoted[i] = "`" .. value .. "`" end
    kind = table.concat(quoted, " ")
  end
  local notes = {}
  if field.required then notes[#notes + 1] = "Required." end
  if field.of then notes[#notes + 1] = "For `" .. field.of .. "`." end
  notes[#notes + 1] = field.help
  if field.default ~= nil and field.default ~= "" then notes[#notes + 1] = "Default: `" .. tostring(field.default) .. "`." end
  return ("| `%s` | %s | %s |"):format(field[1], kind, (table.concat(notes, " "):gsub("|", "\\|")))
end

local function field_table(out, fields)
  out[#out + 1] = "| field | value | meaning |\n|---|---|---|"
  for _, field in ipairs(fields) do out[#out + 1] = field_row(field) end
  out[#out + 1] = ""
end

local function serialize(value, indent)
  if type(value) == "table" then
    if words.is_list(value) and #value > 0 then
      local parts = {}
      for i, each in ipairs(value) do parts[i] = serialize(each, indent) end
      return "{ " .. table.concat(parts, ", ") .. " }"
    end
    local parts = {}
    for _, key in ipairs(words.keys(value)) do
      local name = key:find("^[%a_][%w_]*$") and key or '["' .. key:gsub('[\\"]', '\\%0') .. '"]'
      parts[#parts + 1] = name .. " = " .. serialize(value[key], indent)
    end
    return #parts > 0 and "{ " .. table.concat(parts, ", ") .. " }" or "{}"
  end
  if type(value) == "string" then return '"' .. value:gsub('[\\"]', "\\%0"):gsub("\n", "\\n") .. '"' end
  return tostring(value)
end

local function test_of(entry, id)
  local test = { given = entry.given, expect = entry.expect, absent = entry.absent, verdict = entry.verdict, ctx = entry.ctx }
  if entry.flagged then test.flagged = { id } end
  if entry.warned then test.warned = { id } end
  return test
end

--- A rule file of all examples: one mapping rule an entry, with its test.
function M.examples(api)
  local out = {}
  for i, entry in ipairs(api.entries) do
    local id = ("example-%02d"):format(i)
    out[#out + 1] = ("mapping \"%s\" {\n  description = %s,\n  run = function(ds, ctx)\n%s\n  end,\n  tests = { %s },\n}\n"):format(
      id, serialize(entry.signature), entry.example, serialize(test_of(entry, "mapping/" .. id)))
  end
  return table.concat(out, "\n")
end

local intro = [[
# Rules

This page is made by `drover rules reference` from the tables that the engine itself reads; do not edit it.

A rule file is Lua, but reads like a form. The stage is the verb, the rule's id follows it, and a file may hold rules of several stages:

```lua
@mapping@
```

- Shipped rules lie in `rules/` of the installation, a site's own in `DATA/rules/*.lua`. A site's rule of the same verb and id **replaces the
  shipped one whole**; `{ enabled = false }` alone switches it off.
- A rule is known as verb/id (`mapping/accession-from-request`), unique over all files. Every change that it makes is recorded under that name.
- What is misspelt is refused when the file is loaded, with file, line and the nearest right word; a set with a wrong file never replaces a good one.
- A rule that fails or runs too long while it works on a dataset holds that dataset. Nothing is stored past a rule that did not run.

Work on a rule like this:

```
drover rules check --site DIR            load all files, say what is wrong, list the rules
drover rules test --site DIR             run the tests in them
drover rules explain --site DIR a.dcm    which rule matched, what it changed, and why another did not
drover rules bench --site DIR a.dcm      what each costs
```

## The way of a dataset

Rules run stage by stage, in a stage by `priority`, then by id. The first `reject`, `hold` or `exclude` ends it.

@stages@

## Naming attributes

One spelling everywhere: rules, tests, command line, audit. Items and values count from 1.

| spelling | means |
|---|---|
| `PatientID` | the keyword of PS3.6 |
| `(0010,0020)` | the tag |
| `(0019,"ACME_CT_01",20)` | a private element by its creator, whichever block that has |
| `RequestAttributesSequence[1].AccessionNumber` | in the first item; `[last]` the last, `[*]` every one, `[+]` a new one |
| `ProcedureCodeSequence[CodeValue=T-D1100].CodeMeaning` | in the items whose CodeValue is that |
| `**.PatientID` | at every depth, the top included |
| `ImageType[3]` | the third value |

## Fields of every rule
]]

local tests_text = [[
## Tests

Tests stand in the rule. Each runs **its rule alone**, whether it is enabled or not, over a dataset that holds what `given` says and nothing else; `expect`
lists exactly what changes. Give each rule a hit, a miss and an absent attribute. `drover rules test` runs them, and a set whose tests fail is not
published while `rules.require_tests` is on.
]]

local code_text = [[
## Code

`run` and `check` are Lua functions in a sandbox: `string`, `table`, `math`, `utf8`, `ipairs`, `pairs` (in order of keys), `type`, `tostring`, `tonumber`,
`select`, `error`, `assert`, `pcall`, and what follows. There are no files, no network, no globals and no clock but `now()`. Names of your own are declared
with `local`. A rule keeps nothing from one dataset to the next, because two hosts must agree: one that changes a local of its file fails its test.
]]

local function conditions_section(out)
  out[#out + 1] = "## Conditions\n"
  out[#out + 1] = "A condition is `{ tag, operator, value }`, or with names `{ tag = , operator = , value = , case_insensitive = true }`. All in a list must hold; "
    .. "`{ any = { ... } }` holds when one inside does, `{ all = { ... } }` when all do. An absent attribute is compared as empty text. A path that names "
    .. "many places (`[*]`, `**`) holds when one of them does, in a `not_` form or `is_blank` when none breaks it.\n"
  out[#out + 1] = "| operator | holds when |\n|---|---|"
  for _, operator in ipairs(condition.operators) do out[#out + 1] = ("| `%s` | %s |"):format(operator[1], operator.help) end
  out[#out + 1] = ""
end

local function stage_section(out, stage)
  out[#out + 1] = ("## %s: `%s`\n"):format(stage.title, stage.verb)
  out[#out + 1] = stage.help .. "\n"
  out[#out + 1] = "```lua\n" .. stage.example .. "\n```\n"
  field_table(out, stage.fields)
  if stage.actions then
    out[#out + 1] = "### Actions\n"
    out[#out + 1] = "| action_type | value, value2 | does |\n|---|---|---|"
    for _, action in ipairs(stage.actions) do
      local takes = action.value and action.value .. (action.value2 and ", " .. action.value2 or "") or ""
      out[#out + 1] = ("| `%s` | %s | %s |"):format(action[1], takes, action.help)
    end
    out[#out + 1] = ""
  end
  if stage.policies then
    out[#out + 1] = "### Policies\n"
    for _, policy in ipairs(stage.policies) do
      out[#out + 1] = ("#### `%s`\n\n%s\n"):format(policy.name, policy.help)
      out[#out + 1] = "| param | value | meaning |\n|---|---|---|"
      for _, field in ipairs(policy.params) do out[#out + 1] = field_row(field) end
      out[#out + 1] = ""
    end
  end
end

local function api_section(out, api)
  out[#out + 1] = code_text
  for _, group in ipairs(api.groups) do
    out[#out + 1] = ("### %s\n\n%s\n"):format(group[2], group[3])
    for _, entry in ipairs(api.entries) do
      if entry.group == group[1] then
        out[#out + 1] = ("#### `%s`\n\n%s%s\n"):format(entry.signature, entry.text, entry.stages ~= "all" and " Stages: " .. entry.stages .. "." or "")
        out[#out + 1] = "```lua\n" .. entry.example .. "\n```\n"
        out[#out + 1] = "Test of it: `" .. serialize(test_of(entry, "this rule")) .. "`\n"
      end
    end
  end
end

-- What a rule can call and the table does not have would be a secret: it is an error.
local function check_complete(api)
  local documented = {}
  for _, entry in ipairs(api.entries) do documented[entry.name] = true end
  for _, name in ipairs(words.keys(api.globals)) do
    if not documented[name] then error("api.lua has no entry for " .. name .. "()", 0) end
  end
  for _, name in ipairs(words.keys(native.methods())) do
    if not documented["ds:" .. name] then error("api.lua has no entry for ds:" .. name, 0) end
  end
end

--- The whole page.
function M.markdown(stages, rules, api, later)
  check_complete(api)
  local out, stage_rows, mapping_example = {}, { "| stage | verb | does |\n|---|---|---|" }, ""
  for _, stage in ipairs(stages) do
    stage_rows[#stage_rows + 1] = ("| %s | `%s` | %s |"):format(stage.title, stage.verb, stage.brief)
    if stage.verb == "mapping" then mapping_example = stage.example end
  end
  local page = intro:gsub("@mapping@", (mapping_example:gsub("%%", "%%%%"))):gsub("@stages@", (table.concat(stage_rows, "\n"):gsub("%%", "%%%%")))
  out[#out + 1] = page
  field_table(out, rules.common)
  conditions_section(out)
  for _, stage in ipairs(stages) do stage_section(out, stage) end
  out[#out + 1] = tests_text
  field_table(out, rules.test_fields)
  api_section(out, api)
  out[#out + 1] = "## Not built yet\n\nThese verbs are refused with a message that says what they come with.\n"
  out[#out + 1] = "| verb | comes with |\n|---|---|"
  for _, verb in ipairs(words.keys(later)) do out[#out + 1] = ("| `%s` | %s |"):format(verb, later[verb]) end
  return table.concat(out, "\n") .. "\n"
end

local function describe_fields(list)
  local out = {}
  for i, field in ipairs(list) do
    out[i] = { name = field[1], type = field.type, required = field.required or false, default = field.default, values = field.values,
      of = field.of, help = field.help, min = field.min, max = field.max }
  end
  return out
end

--- { common, tests, stages = { { verb, title, help, fields, policies, actions } }, operators }, plain data.
function M.describe(stages, rules)
  local out = { common = describe_fields(rules.common), tests = describe_fields(rules.test_fields), operators = {}, stages = {} }
  for i, operator in ipairs(condition.operators) do
    out.operators[i] = { name = operator[1], value = operator.value or false, help = operator.help }
  end
  for i, stage in ipairs(stages) do
    local described = { verb = stage.verb, title = stage.title, help = stage.help, fields = describe_fields(stage.fields) }
    if stage.policies then
      described.policies = {}
      for k, policy in ipairs(stage.policies) do
        described.policies[k] = { name = policy.name, help = policy.help, defect = policy.defect, params = describe_fields(policy.params) }
      end
    end
    if stage.actions then
      described.actions = {}
      for k, action in ipairs(stage.actions) do
        described.actions[k] = { name = action[1], value = action.value, value2 = action.value2, help = action.help }
      end
    end
    out.stages[i] = described
  end
  return out
end

return M
