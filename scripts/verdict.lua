--- Verdicts and findings: the words reject, hold, exclude, flag, warn, log.
-- A verdict word makes a verdict, `return` gives it: `return hold "no patient ID"`. One that is made and not returned is a fault, because
-- the dataset would be stored against the rule's will.
local words = script "words"

local M = {}

local verdict_type = {} -- metatable that marks a verdict
local pending           -- the last one made and not yet returned, during one call of a rule

local function maker(verdict)
  return function(reason)
    if type(reason) ~= "string" or reason == "" then
      error(("%s needs a reason: return %s \"no patient ID\""):format(verdict, verdict), 2)
    end
    pending = setmetatable({ verdict = verdict, reason = reason }, verdict_type)
    return pending
  end
end

M.reject, M.hold, M.exclude = maker "reject", maker "hold", maker "exclude"

local function finder(kind)
  return function(message, path)
    if type(message) ~= "string" then error(("%s needs a message: %s \"over 16 characters\""):format(kind, kind), 2) end
    if path ~= nil and type(path) ~= "string" then error(("%s: the path must be a text, as \"PatientID\""):format(kind), 2) end
    native.finding(kind, path, message)
  end
end

M.flag, M.warn = finder "flag", finder "warn"

--- log(...): for `drover rules test` and `explain`. In normal running nothing is written: it may hold a patient's data.
function M.log(...)
  local parts = { ... }
  for i = 1, select("#", ...) do parts[i] = tostring(parts[i]) end
  native.log(table.concat(parts, " "))
end

--- FN, a rule's own code, as a body: its result is nil or a verdict, anything else is a fault.
function M.body(fn)
  return function(ds, ctx)
    pending = nil
    local result = fn(ds, ctx)
    if result == nil then
      if pending then
        error(("%s \"%s\" was made but not returned: write `return %s \"...\"`"):format(pending.verdict, pending.reason, pending.verdict), 0)
      end
      return nil
    end
    if getmetatable(result) ~= verdict_type then
      error(("the rule returned %s; it may return nothing, or reject, hold, exclude"):format(words.quote(result)), 0)
    end
    return result
  end
end

--- A verdict made by a stage, not by a rule's code.
function M.make(verdict, reason)
  return { verdict = verdict, reason = reason }
end

return M
