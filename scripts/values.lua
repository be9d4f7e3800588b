--- Parsed values: date(), time(), name(), age(), now(). Each reads back as what DICOM wants when it is assigned or joined to text.
local M = {}

local function quote(v)
  return type(v) == "string" and '"' .. v .. '"' or type(v)
end

local function join(a, b)
  return tostring(a) .. tostring(b)
end

-- ---- dates ----

-- Days since 1970-01-01 of a civil date, and back (years 0 to 9999).
local function to_days(y, m, d)
  if m <= 2 then y = y - 1 end
  local era = y // 400
  local of_era = y - era * 400
  local of_year = (153 * (m + (m > 2 and -3 or 9)) + 2) // 5 + d - 1
  return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
end

local function from_days(days)
  days = days + 719468
  local era = days // 146097
  local of_era = days - era * 146097
  local year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
  local of_year = of_era - (365 * year + year // 4 - year // 100)
  local mp = (5 * of_year + 2) // 153
  local month = mp < 10 and mp + 3 or mp - 9
  return year + era * 400 + (month <= 2 and 1 or 0), month, of_year - (153 * mp + 2) // 5 + 1
end

local Date = { __name = "date" }
Date.__index = Date

local function new_date(y, m, d)
  return setmetatable({ year = y, month = m, day = d }, Date)
end

--- date("20090304") or date(2009, 3, 4); nil when blank or no such day.
function M.date(v, month, day)
  if month ~= nil or day ~= nil then
    if math.type(v) ~= "integer" or math.type(month) ~= "integer" or math.type(day) ~= "integer" then
      error("date(year, month, day) takes three whole numbers", 2)
    end
    v = ("%04d%02d%02d"):format(v, month, day)
  end
  if v == nil or v == "" then return nil end
  if getmetatable(v) == Date then return v end
  if type(v) ~= "string" then error("date() takes a text such as \"20090304\", not " .. quote(v), 2) end
  local y, m, d = native.date(v)
  return y and new_date(y, m, d) or nil
end

local function days_of(d)
  return to_days(d.year, d.month, d.day)
end

function Date.__tostring(d)
  return ("%04d%02d%02d"):format(d.year, d.month, d.day)
end
function Date.__add(a, b)
  if getmetatable(a) ~= Date then a, b = b, a end
  if math.type(b) ~= "integer" then error("days are added to a date: date(v) + 7", 2) end
  return new_date(from_days(days_of(a) + b))
end
function Date.__sub(a, b)
  if getmetatable(a) == Date and getmetatable(b) == Date then return days_of(a) - days_of(b) end
  if getmetatable(a) ~= Date or math.type(b) ~= "integer" then error("from a date a date or a number of days is taken", 2) end
  return new_date(from_days(days_of(a) - b))
end
function Date.__eq(a, b) return days_of(a) == days_of(b) end
function Date.__lt(a, b) return days_of(a) < days_of(b) end
function Date.__le(a, b) return days_of(a) <= days_of(b) end
Date.__concat = join

-- ---- times ----

local Time = { __name = "time" }
Time.__index = Time

--- time("101112.5"); nil when blank or no time.
function M.time(v)
  if v == nil or v == "" then return nil end
  if getmetatable(v) == Time then return v end
  if type(v) ~= "string" then error("time() takes a text such as \"101112\", not " .. quote(v), 2) end
  local h, m, s, us, digits = native.time(v)
  return h and setmetatable({ hour = h, minute = m, second = s, micro = us, digits = digits }, Time) or nil
end

function Time.__tostring(t)
  local text = ("%02d%02d%02d"):format(t.hour, t.minute, t.second)
  if t.micro > 0 then return text .. (".%06d"):format(t.micro) end
  return text:sub(1, math.max(2, math.min(6, t.digits or 6)))
end
local function micros(t)
  return ((t.hour * 60 + t.minute) * 60 + t.second) * 1000000 + t.micro
end
function Time.__sub(a, b)
  if getmetatable(a) ~= Time or getmetatable(b) ~= Time then error("from a time only a time is taken; the result is seconds", 2) end
  return (micros(a) - micros(b)) / 1000000
end
function Time.__eq(a, b) return micros(a) == micros(b) end
function Time.__lt(a, b) return micros(a) < micros(b) end
function Time.__le(a, b) return micros(a) <= micros(b) end
Time.__concat = join

-- ---- names ----

local parts = { "family", "given", "middle", "prefix", "suffix" }
local Name, Group = { __name = "name" }, { __name = "name group" }
Name.__index, Group.__index = Name, Group

local function group_text(g)
  local last, texts = 0, {}
  for i, part in ipairs(parts) do
    texts[i] = tostring(g[part] or "")
    if texts[i] ~= "" then last = i end
  end
  return table.concat(texts, "^", 1, last)
end

local function group_of(list, from)
  local g = setmetatable({}, Group)
  for i, part in ipairs(parts) do g[part] = list[from + i] or "" end
  return g
end

--- name("DOE^JOHN"); nil when blank, or no name (over 3 groups, over 5 parts).
function M.name(v)
  if v == nil or v == "" then return nil end
  if getmetatable(v) == Name then return v end
  if type(v) ~= "string" then error("name() takes a text such as \"DOE^JOHN\", not " .. quote(v), 2) end
  local list = { native.name(v) }
  if #list == 0 then return nil end
  local n = setmetatable({}, Name)
  for i, part in ipairs(parts) do n[part] = list[i] end
  n.ideographic, n.phonetic = group_of(list, 5), group_of(list, 10)
  return n
end

Group.__tostring = group_text
function Name.__tostring(n)
  local text = table.concat({ group_text(n), group_text(n.ideographic or {}), group_text(n.phonetic or {}) }, "=")
  return (text:gsub("=+$", ""))
end
function Name.__eq(a, b) return tostring(a) == tostring(b) end
Name.__concat, Group.__concat = join, join

-- ---- the rest ----

--- age(birth, day): "045Y", as PatientAge wants it; nil when either is blank or wrong, or the day is before the birth.
function M.age(birth, day)
  birth, day = M.date(birth), M.date(day)
  if not birth or not day then return nil end
  return native.age(tostring(birth), tostring(day))
end

local Stamp = { __name = "moment" }
Stamp.__index = Stamp
function Stamp.__tostring(s) return tostring(s.date) .. tostring(s.time) end
Stamp.__concat = join

--- now(): when the instance arrived, in UTC; .date and .time.
function M.now()
  local us = native.now()
  local seconds = us // 1000000
  local of_day = seconds % 86400
  local y, m, d = from_days(seconds // 86400)
  local t = { hour = of_day // 3600, minute = of_day // 60 % 60, second = of_day % 60, micro = us % 1000000, digits = 6 }
  t.micro = 0 -- whole seconds: what a rule writes into a dataset should not differ in fractions between two runs
  return setmetatable({ date = new_date(y, m, d), time = setmetatable(t, Time) }, Stamp)
end

--- blank(v): absent or empty.
function M.blank(v)
  return v == nil or v == ""
end

--- matches(text, pattern): does the PCRE2 pattern occur in it; a blank text matches nothing.
function M.matches(v, pattern)
  if v == nil then return false end
  if type(v) ~= "string" or type(pattern) ~= "string" then error("matches() takes two texts: matches(ds.PatientID, \"^[0-9]+$\")", 2) end
  local re, why = native.regex_compile(pattern)
  if not re then error(("the pattern \"%s\" does not compile: %s"):format(pattern, why), 2) end
  return native.regex_test(re, v)
end

--- replace(text, pattern, replacement): every match of the PCRE2 pattern replaced; nil stays nil.
function M.replace(v, pattern, replacement)
  if v == nil then return nil end
  if type(v) ~= "string" or type(pattern) ~= "string" or type(replacement) ~= "string" then
    error("replace() takes three texts: replace(ds.PatientID, \"^0+\", \"\")", 2)
  end
  local re, why = native.regex_compile(pattern)
  if not re then error(("the pattern \"%s\" does not compile: %s"):format(pattern, why), 2) end
  local result = native.regex_replace(re, v, replacement)
  return result
end

--- uid_from(text): a UID below 2.25, always the same for the same text.
function M.uid_from(seed)
  if type(seed) ~= "string" or seed == "" then error("uid_from() takes a text: uid_from(ds.SOPInstanceUID)", 2) end
  return native.uid_from(seed)
end

return M
