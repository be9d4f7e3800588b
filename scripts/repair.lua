--- Repairs of single values, by PS3.5 6.2: each returns the right value, or nil and why it cannot be known.
-- Only what has one reading is repaired; what has two is left for a person, or for a parameter that says which.
local M = {}

local function trim(v)
  return (v:gsub("^%s+", ""):gsub("%s+$", ""))
end

local months = { JAN = 1, FEB = 2, MAR = 3, APR = 4, MAY = 5, JUN = 6, JUL = 7, AUG = 8, SEP = 9, OCT = 10, NOV = 11, DEC = 12 }

local function dated(y, m, d)
  local text = ("%04d%02d%02d"):format(y, m, d)
  if native.date(text) then return text end
  return nil, "there is no such day"
end

--- DEFECTS 1. DAY_FIRST: how 04/03/2009 is read; nil: not at all.
function M.date(v, day_first)
  v = trim(v)
  if v == "" or v:find("^0+$") then return "" end
  if native.date(v) then return v end
  local a, b, c = v:match("^(%d%d%d%d)[-./](%d%d?)[-./](%d%d?)$")
  if a then return dated(tonumber(a), tonumber(b), tonumber(c)) end
  a, b, c = v:match("^(%d%d?)[-./](%d%d?)[-./](%d%d%d%d)$")
  if a then
    local first, second, year = tonumber(a), tonumber(b), tonumber(c)
    if first > 12 or first == second then return dated(year, second, first) end
    if second > 12 then return dated(year, first, second) end
    if day_first == nil then return nil, "day and month cannot be told apart (the parameter day_first says which is first)" end
    if day_first then return dated(year, second, first) end
    return dated(year, first, second)
  end
  a, b, c = v:match("^(%d%d?)[-. /]+(%a%a%a)%a*[-. /,]+(%d%d%d%d)$")
  if a and months[b:upper()] then return dated(tonumber(c), months[b:upper()], tonumber(a)) end
  a, b, c = v:match("^(%a%a%a)%a*[-. /]+(%d%d?)[-. /,]+(%d%d%d%d)$")
  if a and months[a:upper()] then return dated(tonumber(c), months[a:upper()], tonumber(b)) end
  a, b = v:match("^(%d%d%d%d%d%d%d%d)[ T]?(%d%d%d?%d?%d?%d?)") -- a DT, or a date with a time behind it
  if a and (v:find("^%d%d%d%d%d%d%d%d[ T]?%d+$") or v:find("^%d%d%d%d%d%d%d%d[ T]?%d+[.+-][%d.+-]*$")) and #b % 2 == 0 and native.date(a) then
    return a
  end
  a, b = v:match("^(%d%d%d%d[-./]%d%d?[-./]%d%d?)[ T](%d%d:%d%d.*)$")
  if a then return M.date(a, day_first) end
  if v:find("^%d%d%d%d%d%d%d%d$") then return nil, "there is no such day" end
  if v:find("^%d%d?[-./]%d%d?[-./]%d%d$") or v:find("^%d%d%d%d%d%d$") then return nil, "the century is missing" end
  return nil, "it is no date"
end

--- DEFECTS 2.
function M.time(v)
  v = trim(v)
  if v == "" or native.time(v) then return v end
  local h, m, s, fraction, half = v:match("^(%d%d?):(%d%d):?(%d?%d?)[.,]?(%d*)%s*([AaPp]?[Mm]?)$")
  if not h then
    h, m, s, fraction, half = v:match("^(%d%d)(%d%d)(%d%d)[.,](%d*)%s*([AaPp]?[Mm]?)$")
    if not h then
      h, m, s, half = v:match("^(%d%d)(%d%d)(%d%d)%s*([AaPp][Mm])$")
      fraction = ""
    end
  end
  if h then
    local hour = tonumber(h)
    half = half:upper()
    if half ~= "" then
      if #half ~= 2 or hour < 1 or hour > 12 then return nil, "it is no time of a 12-hour clock" end
      hour = hour % 12 + (half == "PM" and 12 or 0)
    end
    local text = ("%02d%s%s"):format(hour, m, s)
    if fraction ~= "" and s ~= "" then text = text .. "." .. fraction:sub(1, 6) end
    if native.time(text) then return text end
    return nil, "there is no such time of day"
  end
  local date, rest = v:match("^(%d%d%d%d%d%d%d%d)(%d%d%d%d%d%d[.%d]*)$") -- a DT
  if date and native.date(date) and native.time(rest) then return rest end
  if v:find("^%d+%.?%d*$") then return nil, "there is no such time of day" end
  return nil, "it is no time"
end

--- DEFECTS 3. UNIT: what a number alone means; nil: not known.
function M.age(v, unit)
  local text = trim(v):upper()
  if text == "" then return "" end
  local number, word = text:match("^(%d+)%s*(%a*)%.?$")
  if number then
    if word == "" then
      word = unit
      if not word then return nil, "the unit is missing" end
    end
    local letter = word:sub(1, 1)
    local n = tonumber(number)
    if not (("DWMY"):find(letter, 1, true) and (#word == 1 or ("DAYS WEEKS MONTHS YEARS YRS MTHS WKS"):find(word, 1, true))) then
      return nil, "the unit '" .. word .. "' is not known"
    end
    if n > 999 then return nil, "it is over 999" end
    return ("%03d%s"):format(n, letter)
  end
  local years = text:match("^(%d*[.,]%d+)%s*Y")
  if years then
    local n = math.floor(tonumber((years:gsub(",", "."))) * 12 + 0.5)
    if n <= 999 then return ("%03dM"):format(n) end
  end
  return nil, "it is no age"
end

local function tidy_group(group, comma)
  group = group:gsub("%s+", " ")
  if comma and not group:find("^", 1, true) then
    local family, given = group:match("^([^,]+),([^,]+)$")
    if family then group = family .. "^" .. given end
  end
  group = group:gsub(" ?%^ ?", "^")
  return trim((group:gsub("%^+$", "")))
end

--- DEFECTS 4. COMMA: "DOE, JOHN" becomes DOE^JOHN.
function M.name(v, comma)
  local groups = {}
  for group in (v .. "="):gmatch("([^=]*)=") do groups[#groups + 1] = tidy_group(group, comma) end
  local text = table.concat(groups, "="):gsub("=+$", "")
  local why = native.check("PN", text)
  return text, why
end

--- DEFECTS 6.
function M.code(v)
  local text = trim(v):upper()
  local why = native.check("CS", text)
  if why then return nil, why end
  return text
end

--- DEFECTS 8: padding only; a UID that is wrong in itself is not ours to change.
function M.uid(v)
  local text = v:gsub("[%s%.\0]+$", ""):gsub("^%s+", "")
  if text == "" or native.uid_check(text) then return text end
  return nil, native.check("UI", text) or "it is no UID"
end

--- DEFECTS 14, IS.
function M.integer(v)
  local text = trim(v)
  local whole = text:match("^([+-]?%d+)%.0*$") or text:match("^([+-]?%d+)$")
  local n = whole and math.tointeger(tonumber(whole))
  if text == "" then return "" end
  if n and n >= -2147483648 and n <= 2147483647 then return tostring(n) end
  return nil, whole and "it does not fit 32 bits" or "it is no whole number"
end

--- DEFECTS 14, DS. COMMA: 12,5 is 12.5.
function M.decimal(v, comma)
  local text = trim(v):gsub("%s+([eE])%s*", "%1"):gsub("([eE][+-]?)%s+", "%1")
  if text == "" then return "" end
  if comma and text:find("^[+-]?%d+,%d+$") then text = text:gsub(",", ".") end
  local n = text:find("^[+-]?[%d.]+[eE]?[+-]?%d*$") and tonumber(text)
  if not n or n ~= n or n == math.huge or n == -math.huge then
    if text:find("^[+-]?%d+,%d+$") then return nil, "a comma may divide thousands or decimals (the parameter decimal_comma says which)" end
    return nil, "it is no number"
  end
  if #text <= 16 then return text end
  for digits = 16, 1, -1 do
    local short = ("%." .. digits .. "g"):format(n)
    if #short <= 16 then return short end
  end
  return nil, "it is longer than 16 characters"
end

--- DEFECTS 19.
function M.timezone(v)
  local text = trim(v)
  if text == "" then return "" end
  if text == "Z" or text == "UTC" then return "+0000" end
  local sign, hours, minutes = text:match("^([+-])(%d%d?):?(%d%d)$")
  if sign then
    local h, m = tonumber(hours), tonumber(minutes)
    if m < 60 and h * 60 + m <= (sign == "+" and 840 or 720) then return ("%s%02d%02d"):format(sign, h, m) end
  end
  return nil, "it is no offset from UTC"
end

--- Values of any string VR that repair knows, for validation's `Correct`: VR -> function(value).
M.by_vr = { DA = M.date, TM = M.time, AS = M.age, PN = M.name, CS = M.code, UI = M.uid, IS = M.integer, DS = M.decimal }

return M
