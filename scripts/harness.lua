--- The harness's side in Lua: tests of rules, one dataset explained rule by rule, time a rule.
-- A test runs one rule alone, its own stage, whether it is enabled or not: tests say what a rule does, not what a set does.
local words = script "words"
local rules = script "rule"

local M = {}

local current = {} -- the tests of the last M.tests

function M.tests(plan, id)
  current = {}
  for _, rule in ipairs(plan) do
    if not id or rule.id == id or rule.short == id then
      for _, test in ipairs(rule.tests) do
        current[#current + 1] = {
          rule = rule, test = test, id = rule.id, file = rule.file, line = rule.line, number = test.number,
          name = test.name or "test " .. test.number,
        }
      end
    end
  end
  return current
end

local function pairs_of(map)
  local list = {}
  for _, path in ipairs(words.keys(map or {})) do
    list[#list + 1] = path
    list[#list + 1] = map[path]
  end
  return list
end

-- "20261124221216" in microseconds since 1970, by native's calendar.
local function moment(text)
  local date, h, m, s = tostring(text):match("^(%d%d%d%d%d%d%d%d)(%d%d)(%d%d)(%d%d)$")
  local _, _, _, days = native.date(date or "")
  return days and (((days * 24 + tonumber(h)) * 60 + tonumber(m)) * 60 + tonumber(s)) * 1000000 or 0
end

--- What test I needs: given, vr, found as flat lists path, value; sent_as; context texts.
function M.input(i)
  local rule, test = current[i].rule, current[i].test
  local ctx = test.ctx or {}
  local origin, job, info = ctx.origin or {}, ctx.job or {}, ctx.info or {}
  local found = {}
  for path, value in pairs(ctx.found or {}) do found[path] = rules.as_value(value) end
  return {
    given = pairs_of(test.given), vr = pairs_of(test.vr), found = ctx.found and pairs_of(found) or nil, sent_as = test.sent_as,
    peer = origin.peer or (rule.source and rule.source[1]) or "", calling = origin.calling or "", called = origin.called or "",
    address = origin.address or "", channel = origin.channel or "", batch = job.batch or (rule.batch and rule.batch[1]) or "",
    attempt = job.attempt or 0, seed = ctx.seed or "", transfer_syntax = info.transfer_syntax or "", sop_class = info.sop_class or "",
    header_bytes = info.header_bytes or 0, body_bytes = info.body_bytes or 0, now = ctx.now and moment(ctx.now) or 0,
  }
end

--- Changes from number FROM on, one a path: { path, before, after }, false for absent; what came back to its old value is left out.
local function net_changes(from)
  local _, list = native.changes(from)
  local by_path, out = {}, {}
  for _, change in ipairs(list) do
    local seen = by_path[change[1]]
    if seen then
      seen[3] = change[3]
    else
      by_path[change[1]] = change
      out[#out + 1] = change
    end
  end
  local kept = {}
  for _, change in ipairs(out) do
    if change[2] ~= change[3] then kept[#kept + 1] = change end
  end
  return kept
end

local function shown(v)
  if v == false or v == nil then return "absent" end
  return words.quote(v)
end

local function canonical(path)
  local text = native.path_info(native.path(path))
  return text
end

local function compare_changes(test, failures)
  local wanted = {}
  for path, value in pairs(test.expect or {}) do wanted[canonical(path)] = value end
  for _, path in ipairs(test.absent or {}) do wanted[canonical(path)] = false end
  for _, change in ipairs(net_changes(0)) do
    local path, before, after = change[1], change[2], change[3]
    local want = wanted[path]
    if want == nil and before == false and path:find("%(%x%x%x[13579BDFbdf],00[1-9A-Fa-f]%x%)$") then
      want = after -- the creator of a private element that the rule wrote
    end
    if want == nil then
      failures[#failures + 1] = ("%s changed from %s to %s, which the test does not expect"):format(path, shown(before), shown(after))
    elseif want ~= after then
      failures[#failures + 1] = ("%s became %s, expected %s"):format(path, shown(after), shown(want))
    end
    wanted[path] = nil
  end
  for _, path in ipairs(words.keys(wanted)) do
    failures[#failures + 1] = ("%s did not change, expected %s"):format(path, shown(wanted[path]))
  end
end

local function compare_findings(test, failures)
  local _, list = native.findings(0)
  local seen = { flag = {}, warn = {} }
  for _, f in ipairs(list) do seen[f[1]][f[2]] = f[4] end
  for field, kind in pairs { flagged = "flag", warned = "warn" } do
    local wanted = {}
    for _, id in ipairs(test[field] or {}) do
      wanted[id] = true
      if not seen[kind][id] then failures[#failures + 1] = ("%s did not %s, expected it to"):format(id, kind) end
    end
    for _, id in ipairs(words.keys(seen[kind])) do
      if not wanted[id] then failures[#failures + 1] = ("%s: %s, which the test does not expect"):format(field, seen[kind][id]) end
    end
  end
end

-- What a value holds, as text: enough to see that it was changed. LEFT bounds the work.
local function fingerprint(value, depth, left)
  left.n = left.n - 1
  if left.n < 0 or depth > 6 then return "..." end
  local kind = type(value)
  if kind == "table" then
    local parts = {}
    for key, inner in pairs(value) do parts[#parts + 1] = tostring(key) .. "=" .. fingerprint(inner, depth + 1, left) end
    return "{" .. table.concat(parts, ",") .. "}"
  elseif kind == "function" then
    if left.seen[value] then return "function" end
    left.seen[value] = true
    return "function" .. fingerprint(native.upvalues(value), depth + 1, left)
  end
  return kind .. ":" .. tostring(value)
end

-- The locals of the rule file that the rule's code sees: name -> fingerprint.
local function outside(rule)
  local code, prints = rule.run or rule.check, {}
  for name, value in pairs(code and native.upvalues(code) or {}) do
    prints[name] = fingerprint(value, 1, { n = 5000, seen = {} })
  end
  return prints
end

-- A rule that remembers something treats the same dataset differently on two hosts: it fails its test.
local function compare_state(before, rule, failures)
  local after = outside(rule)
  for _, name in ipairs(words.keys(after)) do
    if before[name] ~= after[name] then
      failures[#failures + 1] = ("the rule keeps state from one dataset to the next, in the local '%s'"):format(name)
    end
  end
end

--- Runs test I over DS. Returns nil when it passed, else one sentence a fault.
function M.run(i, ds, ctx)
  local rule, test = current[i].rule, current[i].test
  local before = outside(rule)
  native.enter(rule.actor)
  local verdict = rule.apply(ds, ctx)
  local failures = {}
  local got = verdict and verdict.verdict or "store"
  if got ~= (test.verdict or "store") then
    failures[1] = ("the verdict is %s%s, expected %s"):format(got, verdict and " (" .. verdict.reason .. ")" or "", test.verdict or "store")
  elseif verdict and test.reason and not verdict.reason:find(test.reason, 1, true) then
    failures[1] = ("the reason is %s, expected %s"):format(words.quote(verdict.reason), words.quote(test.reason))
  end
  compare_changes(test, failures)
  compare_findings(test, failures)
  compare_state(before, rule, failures)
  return #failures > 0 and failures or nil
end

-- Why a rule did not act: the first guard that does not hold, with the value it looked at.
local function blocked(rule)
  for _, guard in ipairs(rule.guards) do
    if not guard.test() then
      local why = guard.text
      if guard.value then
        local ok, value = pcall(guard.value)
        why = why .. ": it is " .. (ok and words.quote(value) or "unreadable")
      end
      return why
    end
  end
  return nil
end

--- Every rule over DS in order. A list of { stage, rule, file, line, outcome, why, changes, findings, verdict }; outcome is "off", "no match",
-- "nothing to do", "changed", "reported", "fault" or the verdict; the list ends with the rule that gave one, or failed.
function M.explain(plan, ds, ctx)
  local steps = {}
  for _, rule in ipairs(plan) do
    local step = { stage = rule.stage, rule = rule.id, file = rule.file, line = rule.line }
    steps[#steps + 1] = step
    if not rule.enabled then
      step.outcome = "off"
    else
      native.enter(rule.actor)
      local changes, findings = native.changes(), native.findings(0)
      local why = blocked(rule)
      if why then
        step.outcome, step.why = "no match", why
      else
        local ok, verdict = pcall(rule.body, ds, ctx)
        local _, list = native.findings(findings)
        step.changes, step.findings = net_changes(changes), list
        step.outcome = #step.changes > 0 and "changed" or #list > 0 and "reported" or "nothing to do"
        if not ok then
          step.outcome, step.why = "fault", tostring(verdict)
          break
        elseif verdict then
          step.outcome, step.why = verdict.verdict, verdict.reason
          break
        end
      end
    end
  end
  native.leave()
  return steps
end

local spent, SAMPLES = {}, 2000

--- One run with a clock around each rule.
function M.bench(plan, ds, ctx)
  local clock = native.clock
  for i, rule in ipairs(plan) do
    if rule.enabled then
      local from = clock()
      native.enter(rule.actor)
      local verdict = rule.apply(ds, ctx)
      local ns = clock() - from
      spent[i] = spent[i] or { rule = rule.id }
      if #spent[i] < SAMPLES then spent[i][#spent[i] + 1] = ns end
      if verdict then break end
    end
  end
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

--- { rule, ns } a rule, hottest first: medians, with the clock's own cost taken off.
function M.bench_result()
  local clock, list, own = native.clock, {}, {}
  for i = 1, 201 do
    local from = clock()
    own[i] = clock() - from
  end
  local none = median(own)
  for _, each in pairs(spent) do list[#list + 1] = { rule = each.rule, ns = math.max(0, median(each) - none) } end
  table.sort(list, function(a, b)
    if a.ns ~= b.ns then return a.ns > b.ns end
    return a.rule < b.rule
  end)
  return list
end

return M
