--- Tag mapping: when its conditions hold, a rule's actions are done in order, or its code runs.
local action = script "action"
local rules = script "rule"
local verdict = script "verdict"

local M = { verb = "mapping", title = "Tag mapping", brief = "When its conditions hold, does actions: set, copy, prepend, append, regex, clear, or code." }

M.help = "When all `conditions` hold, the `actions` are done in the order written. For what actions cannot say a rule has code instead: "
  .. "`run = function(ds, ctx) ... end`."

--- The fields of a rule: the loader checks by them, form and reference are made from them.
M.fields = {
  { "actions", type = "actions", help = "What is done, each `{ tag, action_type, value, value2 }`." },
}
M.actions = action.actions
rules.check.actions = action.check

M.example = [[
mapping "accession-from-request" {
  description = "GE Centricity keeps the order's number in the request sequence",
  conditions = {
    { "AccessionNumber", "is_blank" },
    { "RequestAttributesSequence[1].AccessionNumber", "is_not_blank" },
  },
  actions = {
    { "AccessionNumber", "copy", "RequestAttributesSequence[1].AccessionNumber" },
  },
  tests = {
    { given  = { ["RequestAttributesSequence[1].AccessionNumber"] = "A77" },
      expect = { AccessionNumber = "A77" } },
    { given  = { AccessionNumber = "A1" }, expect = {} },
    { given  = {}, expect = {} },
  },
}]]

function M.compile(rule, refuse, off)
  if rule.run and rule.actions then
    refuse("run", "has code and actions: give either `actions` or `run`")
    return nil
  end
  if rule.run then return verdict.body(rule.run) end
  if rule.actions then return action.compile(rule.actions) end
  if not off then refuse(nil, "says nothing to do: give `actions` or `run`") end
  return nil
end

return M
