-- make_dict.lua: DCMTK's dictionary files as C. Run at build time:
--
--   lua5.4 make_dict.lua dicom.dic private.dic OUTDIR
--
-- writes OUTDIR/dv_tags.h (a constant per standard keyword) and OUTDIR/dv_dict_table.c (what dict.c searches):
--   dv_dict_entries     standard elements by tag, then repeating groups; dv_dict_fixed says how many are the former
--   dv_dict_ranges      for each repeating entry the groups and elements it stands for
--   dv_dict_slots       open-addressing hash of the fixed tags: entry number + 1, 0 is free
--   dv_dict_by_name     entry numbers by keyword
--   dv_dict_privates    private elements by creator, then tag
-- Output depends on the input only: the same files give the same bytes.

local dicom_path, private_path, out_dir = table.unpack(arg)
assert(out_dir, "usage: make_dict.lua dicom.dic private.dic OUTDIR")

-- DCMTK's own VRs stand for "one of": the first is what implicit data is read as.
local either = {
  ox = { "OW", "OB" }, px = { "OW", "OB" }, xs = { "US", "SS" }, lt = { "OW", "US" }, up = { "UL" },
}

local function vr_code(vr)
  return vr and string.format("DV_VR_%s", vr) or "0"
end

local function read_vm(vm)
  local low, high = vm:match("^(%d+)%-(%d*n?)$")
  if not low then
    low, high = vm, vm
  end
  local most = tonumber(high) or 255
  return math.min(tonumber(low), 255), math.min(most, 255)
end

local function fields(path, each)
  local file = assert(io.open(path, "r"))
  local number = 0
  for line in file:lines() do
    number = number + 1
    line = line:gsub("\r$", "")
    if line ~= "" and line:sub(1, 1) ~= "#" then
      local tag, vr, name, vm, version = line:match("^(%S.-)%s*\t%s*(%a%a)%s+([^\t]-)%s*\t%s*(%S+)%s*(%S*)")
      if not tag then
        error(string.format("%s:%d: not five fields: %s", path, number, line))
      end
      each(tag, vr, name, vm, version)
    end
  end
  file:close()
end

local function entry(tag, vr, name, vm, retired, creator)
  local pair = either[vr]
  local low, high = read_vm(vm)
  return {
    tag = tag, vr = pair and pair[1] or vr, alt = pair and pair[2], low = low, high = high,
    retired = retired, name = name, creator = creator,
  }
end

local fixed, repeating, names = {}, {}, {}
fields(dicom_path, function(tag, vr, name, vm, version)
  if vr == "na" or version == "GENERIC" or version == "PRIVATE" or version == "ILLEGAL" then
    return -- delimiters and rules; dict.c knows them
  end
  local plain = name:gsub("^RETIRED_", "")
  local retired = version:find("retired", 1, true) ~= nil or plain ~= name
  local g, e = tag:match("^%((%x%x%x%x),(%x%x%x%x)%)$")
  if g then
    local t = tonumber(g .. e, 16)
    fixed[#fixed + 1] = entry(t, vr, plain, vm, retired)
  else
    local g1, g2, e1, e2 = tag:match("^%((%x%x%x%x)%-?(%x*),(%x%x%x%x)%-?(%x*)%)$")
    assert(g1, "tag not understood: " .. tag)
    local r = entry(tonumber(g1 .. e1, 16), vr, plain, vm, retired)
    r.g1, r.g2 = tonumber(g1, 16), tonumber(g2 ~= "" and g2 or g1, 16)
    r.e1, r.e2 = tonumber(e1, 16), tonumber(e2 ~= "" and e2 or e1, 16)
    repeating[#repeating + 1] = r
  end
end)

-- Later lines override earlier ones of the same tag, as in DCMTK.
local function unique(list)
  local at, out = {}, {}
  for _, e in ipairs(list) do
    local key = (e.creator or "") .. "\0" .. string.format("%08x", e.tag)
    if at[key] then
      out[at[key]] = e
    else
      out[#out + 1] = e
      at[key] = #out
    end
  end
  return out
end

fixed, repeating = unique(fixed), unique(repeating)
table.sort(fixed, function(a, b) return a.tag < b.tag end)
table.sort(repeating, function(a, b) return a.tag < b.tag end)
local all = {}
for _, e in ipairs(fixed) do all[#all + 1] = e end
for _, e in ipairs(repeating) do all[#all + 1] = e end

-- A keyword names one element: a current one before a retired one, then the lower tag.
local by_name = {}
for i, e in ipairs(all) do
  local other = names[e.name]
  if not other or (all[other].retired and not e.retired) then
    names[e.name] = i
  end
end
for name, i in pairs(names) do by_name[#by_name + 1] = { name, i } end
table.sort(by_name, function(a, b) return a[1] < b[1] end)

local privates = {}
fields(private_path, function(tag, vr, name, vm)
  local g1, g2, creator, e = tag:match('^%((%x%x%x%x)%-?o?%-?(%x*),"(.*)",%x*(%x%x)%)$')
  assert(g1, "private tag not understood: " .. tag)
  creator = creator:gsub("^%s+", ""):gsub("%s+$", "")
  local first, last = tonumber(g1, 16), tonumber(g2 ~= "" and g2 or g1, 16)
  for group = first, last, 2 do
    privates[#privates + 1] = entry(group << 16 | tonumber(e, 16), vr, name, vm, false, creator)
  end
end)
privates = unique(privates)
table.sort(privates, function(a, b)
  if a.creator ~= b.creator then return a.creator < b.creator end
  return a.tag < b.tag
end)

-- The hash is dict.c's: the upper bits of tag times a constant (Knuth), next slot when taken.
local BITS = 14
local slots = {}
for i, e in ipairs(fixed) do
  local at = ((e.tag * 2654435761) & 0xFFFFFFFF) >> (32 - BITS)
  while slots[at] do at = (at + 1) & ((1 << BITS) - 1) end
  slots[at] = i
end

local function quoted(s)
  return s and '"' .. s:gsub('[\\"]', "\\%0"):gsub("%?%?", "?\\?") .. '"' or "NULL"
end

local function write(name, lines)
  local path = out_dir .. "/" .. name
  local file = assert(io.open(path, "wb"))
  assert(file:write(table.concat(lines, "\n"), "\n"))
  assert(file:close())
end

local h = {
  "/* dv_tags.h: made by make_dict.lua from DCMTK's dicom.dic; do not edit. */",
  "#ifndef DV_TAGS_H", "#define DV_TAGS_H", "",
}
for _, e in ipairs(fixed) do
  if all[names[e.name]] == e and e.name:match("^[%a_][%w_]*$") then
    h[#h + 1] = string.format("#define DV_%s 0x%08Xu", e.name, e.tag)
  end
end
h[#h + 1] = ""
h[#h + 1] = "#endif"
write("dv_tags.h", h)

local c = {
  "/* dv_dict_table.c: made by make_dict.lua from DCMTK's dicom.dic and private.dic; do not edit. */",
  '#include "dicom/dict_table.h"', "",
}
local function put(format, ...) c[#c + 1] = string.format(format, ...) end
local function put_entries(list)
  for _, e in ipairs(list) do
    put("{0x%08Xu, %s, %s, %d, %d, %s, %s, %s},", e.tag, vr_code(e.vr), vr_code(e.alt), e.low, e.high,
        e.retired and "true" or "false", quoted(e.name), quoted(e.creator))
  end
end
put("const dv_dict_entry dv_dict_entries[%d] = {", #all)
put_entries(all)
put("};")
put("const uint32_t dv_dict_fixed = %d;", #fixed)
put("const uint32_t dv_dict_total = %d;", #all)
put("const dv_dict_range dv_dict_ranges[%d] = {", #repeating)
for _, e in ipairs(repeating) do put("{0x%04X, 0x%04X, 0x%04X, 0x%04X},", e.g1, e.g2, e.e1, e.e2) end
put("};")
put("const uint16_t dv_dict_slots[%d] = {", 1 << BITS)
for row = 0, (1 << BITS) - 1, 16 do
  local cells = {}
  for i = row, row + 15 do cells[#cells + 1] = tostring(slots[i] or 0) end
  put("%s,", table.concat(cells, ","))
end
put("};")
put("const uint16_t dv_dict_by_name[%d] = {", #by_name)
for _, pair in ipairs(by_name) do put("%d,", pair[2] - 1) end
put("};")
put("const uint32_t dv_dict_names = %d;", #by_name)
put("const dv_dict_entry dv_dict_privates[%d] = {", #privates)
put_entries(privates)
put("};")
put("const uint32_t dv_dict_private_count = %d;", #privates)
write("dv_dict_table.c", c)
