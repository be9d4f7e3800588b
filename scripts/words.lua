--- Words for people: the nearest right word, lists, quoted values.
-- Used by everything that refuses something, so that every refusal reads alike.
local M = {}

--- The word of LIST nearest to WORD, nil when none is near (3 edits, or a third of its length).
function M.nearest(word, list)
  local best, best_distance = nil, math.max(1, math.min(3, (#word + 2) // 3)) + 1
  for _, candidate in ipairs(list) do
    local distance = native.distance(word, candidate, 3)
    if distance < best_distance then best, best_distance = candidate, distance end
  end
  return best
end

--- LIST as a set.
function M.set(list)
  local set = {}
  for _, word in ipairs(list) do set[word] = true end
  return set
end

--- The keys of a table in order.
function M.keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

--- "; did you mean 'x'?", or what is allowed when nothing is near. MEANS (optional): words of other languages -> what to write here.
function M.hint(word, list, means)
  local known = means and type(word) == "string" and means[word:lower()]
  if known then return "; " .. (known:find(" ") and known or "write '" .. known .. "'") end
  local near = type(word) == "string" and M.nearest(word, list)
  if near then return "; did you mean '" .. near .. "'?" end
  return "; allowed: " .. table.concat(list, ", ")
end

--- A value as a message shows it: quoted and cut.
function M.quote(value)
  if value == nil then return "absent" end
  if type(value) ~= "string" then return tostring(value) end
  if #value > 80 then value = value:sub(1, 77) .. "..." end
  return '"' .. value .. '"'
end

function M.a(type_name)
  return (type_name:find("^[aeiou]") and "an " or "a ") .. type_name
end

--- True for a table whose only keys are 1..n.
function M.is_list(t)
  if type(t) ~= "table" then return false end
  local count = 0
  for _ in pairs(t) do count = count + 1 end
  return count == #t
end

return M
