--- Normalization, the first stage: brings legacy data into the shape that PS3.5 wants.
-- A rule switches one policy on and sets its parameters; several rules may use one policy, each for its own source.
local policies = script "policies"
local rules = script "rule"
local verdict = script "verdict"
local words = script "words"

local M = { verb = "normalization", title = "Normalization", brief = "Brings legacy data into the shape that PS3.5 wants: dates, names, character sets, VRs." }

local names, by_name = {}, {}
for i, policy in ipairs(policies) do
  names[i] = policy.name
  by_name[policy.name] = policy
end
M.policies = policies

M.help = "Runs first. A rule names a `policy` and its `params`, or has code (`run`). Policies repair what has one right reading and report the rest; "
  .. "they look at every element of their kind, in items of sequences too."

--- The fields of a rule: the loader checks by them, form and reference are made from them.
M.fields = {
  { "policy", type = "enum", values = names, help = "What to put right; the policies are listed below." },
  { "params", type = "params", help = "Parameters of the policy." },
}

M.example = [[
normalization "dates-of-acme" {
  source = "ACME_RIS", policy = "dates", params = { day_first = true },
  tests = { { given = { StudyDate = "04/03/2009" }, expect = { StudyDate = "20090304" } } },
}]]

function M.compile(rule, refuse, off)
  if rule.run then
    if rule.policy or rule.params then
      refuse("run", "has code and a policy: give either `policy` or `run`")
      return nil
    end
    return verdict.body(rule.run)
  end
  local policy = by_name[rule.policy]
  if not policy then
    if not off then refuse(nil, "says nothing to do: give a `policy`" .. words.hint("", names) .. " or `run`") end
    return nil
  end
  local params = rules.check_table(rule.params or {}, rules.schema(policy.params), function(field, message)
    refuse(field, "params of " .. policy.name .. ": " .. message)
  end)
  return policy.run(params)
end

return M
