-- The commands for documents, JSON.*. json_commands.py checks their arguments: paths arrive compiled, values in the form in which they are
-- stored.
--
-- A document is a stream with a single entry, whose ID is the largest possible one. So commands for other types reply
-- WRONGTYPE, XADD cannot add an entry, and EXPIRE, RENAME, COPY, DUMP, and all other commands for keys work.

local ENTRY_ID, FIELD = '18446744073709551615-18446744073709551615', 'json'

local WRONG_TYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value'
local NO_KEY = "ERR could not perform this operation on a key that doesn't exist"
local NEW_AT_ROOT = 'ERR new objects must be created at the root'

-- --- documents --------------------------------------------------------------------------------------------------------

-- The document's text, or nil if the key does not exist.
local function read(key)
  local entry = call('XRANGE', key, ENTRY_ID, ENTRY_ID)[1]
  if entry and entry[2][1] == FIELD then return entry[2][2] end
  if entry or call('EXISTS', key) == 1 then refuse(WRONG_TYPE) end
  return nil
end

local function read_existing(key)
  local text = read(key)
  if not text then refuse(NO_KEY) end
  return text
end

-- Refuses what the server would refuse, before anything is changed.
local function require_right(...)
  if not server.acl_check_cmd(...) then call(...) end
end

local function write(key, text)
  if call('EXISTS', key) == 1 then
    -- Nothing is removed if the user may not write it again.
    require_right('XSETID', key, '0-0')
    require_right('XADD', key, ENTRY_ID, FIELD, text)
    -- Not DEL, so that the key's expiration stays.
    call('XTRIM', key, 'MAXLEN', 0)
    call('XSETID', key, '0-0')
  end
  call('XADD', key, ENTRY_ID, FIELD, text)
end

local function unpack_path(argument)
  return cjson.decode(argument)
end

local function does_not_exist(path)
  return "ERR Path '" .. path.text .. "' does not exist"
end

local function wrong_value(expected, text, match)
  return 'WRONGTYPE wrong type of path value - expected ' .. expected .. ' but found ' .. type_of(text, match[1], match[2])
end

local function part(text, match)
  return sub(text, match[1], match[2])
end

-- --- reading ----------------------------------------------------------------------------------------------------------

local function matches_as_json(text, matches)
  local out = {}
  for index, match in ipairs(matches) do out[index] = part(text, match) end
  return '[' .. concat(out, ',') .. ']'
end

-- The JSON text that a path selects: a list, or the first match of a legacy path. nil if that has no match.
local function selected(text, path, as_list)
  local matches = find_all(text, path.steps)
  if as_list then return matches_as_json(text, matches) end
  return matches[1] and part(text, matches[1])
end

local function get(keys, args)
  local text = read(keys[1])
  if not text then return false end
  local options = cjson.decode(args[1])
  local paths, as_list = {}, false
  for index = 2, #args do
    local path = unpack_path(args[index])
    paths[#paths + 1] = path
    as_list = as_list or not path.legacy
  end
  local parts, done = {}, {}
  for _, path in ipairs(paths) do
    local value = selected(text, path, as_list)
    if not value then refuse(does_not_exist(path)) end
    if #paths == 1 then
      parts[1] = value
    elseif not done[path.name] then
      done[path.name] = true
      parts[#parts + 1] = path.name .. ':' .. value
    end
  end
  local reply = #paths == 1 and parts[1] or '{' .. concat(parts, ',') .. '}'
  if options.formatted then
    return to_formatted_json(reply, options.indent, options.newline, options.space)
  end
  return to_json(reply)
end

local function mget(keys, args)
  local path = unpack_path(args[1])
  local reply = {}
  for index, key in ipairs(keys) do
    local ok, text = pcall(read, key)
    if not ok and not (type(text) == 'table' and text.refused == WRONG_TYPE) then error(text) end
    local value = ok and text and selected(text, path, not path.legacy)
    reply[index] = value and to_json(value) or false
  end
  return reply
end

-- Replies with measure(text, match) for each match, or only for the first if the path is a legacy one. `measure`
-- returns nil for a value of another type.
local function report(measure, expected, missing_key, missing_path)
  return function(keys, args)
    local path = unpack_path(args[1])
    local text = read(keys[1])
    if not text then return missing_key(path) end
    local matches = find_all(text, path.steps)
    if path.legacy then
      if not matches[1] then return missing_path(path) end
      local value = measure(text, matches[1])
      if value == nil then refuse(wrong_value(expected, text, matches[1])) end
      return value
    end
    local reply = {}
    for index, match in ipairs(matches) do
      local value = measure(text, match)
      if value == nil then value = false end
      reply[index] = value
    end
    return reply
  end
end

local function null() return false end
local function refuse_path(path) return refuse(does_not_exist(path)) end
local function refuse_key() return refuse(NO_KEY) end
local function refuse_key_unless_legacy(path)
  if not path.legacy then refuse(NO_KEY) end
  return false
end

local function array_length(text, match)
  if not is_array(text, match[1]) then return nil end
  local _, _, count = elements_of(text, match[1])
  return count
end

local function object_length(text, match)
  return is_object(text, match[1]) and count_members(text, match[1]) or nil
end

local function object_keys(text, match)
  if not is_object(text, match[1]) then return nil end
  local names = {}
  each_member(text, match[1], function(key_first, key_last)
    names[#names + 1] = to_bytes(sub(text, key_first, key_last))
  end)
  return names
end

local function string_length(text, match)
  return is_string(text, match[1]) and #to_bytes(part(text, match)) or nil
end

local function value_type(text, match)
  return type_of(text, match[1], match[2])
end

local MAX_RESP_DEPTH = 60 -- arrays in arrays, in the sandbox's own client

local function to_resp(text, match, depth)
  depth = depth or 1
  if depth > MAX_RESP_DEPTH then refuse('ERR the value is nested too deeply for JSON.RESP') end
  local kind, first, last = value_type(text, match), match[1], match[2]
  if kind == 'null' then return false end
  if kind == 'boolean' then return { ok = sub(text, first, last) } end
  if kind == 'string' then return to_bytes(sub(text, first, last)) end
  if kind == 'integer' then
    local number = tonumber(sub(text, first, last))
    return math.abs(number) <= LARGEST_EXACT and number or sub(text, first, last)
  end
  if kind == 'number' then return sub(text, first, last) end
  local reply = { { ok = kind == 'object' and '{' or '[' } }
  if kind == 'object' then
    each_member(text, first, function(key_first, key_last, member_first, member_last)
      reply[#reply + 1] = to_bytes(sub(text, key_first, key_last))
      reply[#reply + 1] = to_resp(text, { member_first, member_last }, depth + 1)
    end)
  else
    each_element(text, first, function(element_first, element_last)
      reply[#reply + 1] = to_resp(text, { element_first, element_last }, depth + 1)
    end)
  end
  return reply
end

local KEY_BYTES = 64 -- what the server needs for a key, roughly

local function memory(text, match)
  return match[2] - match[1] + 1 + KEY_BYTES
end

local function no_memory(path) return path.legacy and 0 or {} end

local function debug_help(_, args) return args end

local function arrindex(keys, args)
  local value, start, stop = args[2], tonumber(args[3]), tonumber(args[4])
  local search = report(function(text, match)
    if not is_array(text, match[1]) then return nil end
    local firsts, lasts, count = elements_of(text, match[1])
    local from = start < 0 and math.max(0, count + start) or math.min(start, math.max(0, count - 1))
    local to = stop == 0 and count or stop < 0 and count + stop or math.min(stop, count)
    for index = from + 1, to do
      if same_value(sub(text, firsts[index], lasts[index]), value) then return index - 1 end
    end
    return -1
  end, 'array', refuse_key, refuse_path)
  return search(keys, args)
end

-- --- changing ---------------------------------------------------------------------------------------------------------

-- Changes each match with change(text, match), which returns an edit (or a list of edits) and what to reply, or nil for
-- a value of another type. The last match's reply is the reply for a legacy path.
local function update(keys, args, expected, change)
  local path = unpack_path(args[1])
  local text = read_existing(keys[1])
  local edits, replies, last = {}, {}, nil
  for index, match in ipairs(find_all(text, path.steps)) do
    local edit, reply = change(text, match)
    if reply == nil then
      replies[index] = false
    else
      replies[index], last = reply, reply
      for _, each in ipairs(edit) do edits[#edits + 1] = each end
    end
  end
  if path.legacy and last == nil then refuse(does_not_exist(path) .. ' or ' .. expected) end
  if #edits > 0 then write(keys[1], (apply_edits(text, edits))) end
  return replies, path.legacy, last
end

local function reply_to(replies, legacy, last)
  if legacy then return last end
  return replies
end

local function arrappend(keys, args)
  local values = concat(args, ',', 2)
  return reply_to(update(keys, args, 'not an array', function(text, match)
    if not is_array(text, match[1]) then return nil end
    return { at_end(text, match[1], match[2], values) }, array_length(text, match) + #args - 1
  end))
end

local function arrinsert(keys, args)
  local index, values = tonumber(args[2]), concat(args, ',', 3)
  return reply_to(update(keys, args, 'not an array', function(text, match)
    if not is_array(text, match[1]) then return nil end
    local firsts, _, count = elements_of(text, match[1])
    local position = index < 0 and count + index or index
    if position < 0 or position > count then refuse('ERR index out of bounds') end
    local edit
    if position == count then
      edit = at_end(text, match[1], match[2], values)
    else
      local at = firsts[position + 1]
      edit = { at, at - 1, values .. ',' }
    end
    return { edit }, count + #args - 2
  end))
end

local NOTHING = {}

local function arrpop(keys, args)
  local index = tonumber(args[2])
  local replies, legacy, last = update(keys, args, 'not an array', function(text, match)
    if not is_array(text, match[1]) then return nil end
    local firsts, lasts, count = elements_of(text, match[1])
    if count == 0 then return {}, NOTHING end
    local position = index < 0 and math.max(0, count + index) or math.min(index, count - 1)
    local first, final = firsts[position + 1], lasts[position + 1]
    return { { first, final } }, to_json(sub(text, first, final))
  end)
  if legacy then return last ~= NOTHING and last end
  for position, reply in ipairs(replies) do replies[position] = reply ~= NOTHING and reply end
  return replies
end

local function arrtrim(keys, args)
  local start, stop = tonumber(args[2]), tonumber(args[3])
  return reply_to(update(keys, args, 'not an array', function(text, match)
    if not is_array(text, match[1]) then return nil end
    local firsts, lasts, count = elements_of(text, match[1])
    local from = start < 0 and math.max(0, count + start) or start
    local to = stop < 0 and count + stop or math.min(stop, count - 1)
    if from >= count or from > to then return { { match[1] + 1, match[2] - 1, '' } }, 0 end
    local before = { match[1] + 1, firsts[from + 1] - 1, '' }
    return { before, { lasts[to + 1] + 1, match[2] - 1, '' } }, to - from + 1
  end))
end

local function clear(keys, args)
  local path = unpack_path(args[1])
  local text = read_existing(keys[1])
  local edits = {}
  for _, match in ipairs(find_all(text, path.steps)) do
    local kind, first, last = value_type(text, match), match[1], match[2]
    if kind == 'object' or kind == 'array' then
      if last > first + 1 then edits[#edits + 1] = { first + 1, last - 1, '' } end
    elseif (kind == 'integer' or kind == 'number') and sub(text, first, last) ~= '0' then
      edits[#edits + 1] = { first, last, '0' }
    end
  end
  if #edits == 0 then return 0 end
  local changed, count = apply_edits(text, edits)
  write(keys[1], changed)
  return count
end

local function delete(keys, args)
  local path = unpack_path(args[1])
  local text = read(keys[1])
  if not text then return 0 end
  if #path.steps == 0 then return call('DEL', keys[1]) end
  local edits = {}
  for index, match in ipairs(find_all(text, path.steps)) do
    edits[index] = { match[3] or match[1], match[2] }
  end
  if #edits == 0 then return 0 end
  local changed, count = apply_edits(text, edits)
  write(keys[1], changed)
  return count
end

local function change_number(calculate_with)
  return function(keys, args)
    local replies, legacy, last = update(keys, args, 'does not contains a number', function(text, match)
      local kind = value_type(text, match)
      if kind ~= 'integer' and kind ~= 'number' then return nil end
      local result = calculate_with(part(text, match), args[2])
      return { { match[1], match[2], result } }, result
    end)
    if legacy then return last end
    for index, reply in ipairs(replies) do replies[index] = reply or 'null' end
    return '[' .. concat(replies, ',') .. ']'
  end
end

local function strappend(keys, args)
  local content = sub(args[2], 2, -2)
  local length = #to_bytes(args[2])
  return reply_to(update(keys, args, 'not a string', function(text, match)
    if not is_string(text, match[1]) then return nil end
    return { { match[2], match[2] - 1, content } }, string_length(text, match) + length
  end))
end

local function toggle(keys, args)
  local replies, legacy, last = update(keys, args, 'not a bool', function(text, match)
    if value_type(text, match) ~= 'boolean' then return nil end
    local toggled = part(text, match) == 'true' and 'false' or 'true'
    return { { match[1], match[2], toggled } }, toggled
  end)
  if legacy then return last end
  for index, reply in ipairs(replies) do
    replies[index] = reply and (reply == 'true' and 1 or 0)
  end
  return replies
end

-- The edit that adds a value where a path has no match but its parent exists.
local function adding_edits(text, path, value)
  if not path.static then refuse('ERR wrong static path') end
  local steps = path.steps
  local parent = { unpack(steps, 1, #steps - 1) }
  local final = steps[#steps]
  local edits = {}
  for _, match in ipairs(find_all(text, parent)) do
    local first, last = match[1], match[2]
    if final[1] == 'key' and is_object(text, first) then
      edits[#edits + 1] = at_end(text, first, last, final[3][1] .. ':' .. value)
    elseif final[1] == 'index' and is_array(text, first) then
      if final[3][1] ~= array_length(text, match) then refuse('ERR array index out of range') end
      edits[#edits + 1] = at_end(text, first, last, value)
    end
  end
  if #edits == 0 then refuse(does_not_exist(path)) end
  return edits
end

-- The document with the value at a path, or nil if `option` (NX or XX) does not allow it.
local function with_value(text, path, value, option, combine)
  if #path.steps == 0 then
    if option == (text and 'NX' or 'XX') then return nil end
    return combine(text, value)
  end
  if not text then refuse(NEW_AT_ROOT) end
  local matches = find_all(text, path.steps)
  if option == (#matches > 0 and 'NX' or 'XX') then return nil end
  local edits = {}
  for index, match in ipairs(matches) do
    edits[index] = { match[1], match[2], combine(part(text, match), value) }
  end
  if #matches == 0 then edits = adding_edits(text, path, combine(nil, value)) end
  return (apply_edits(text, edits))
end

local function replace(_, value) return value end

local function set(keys, args)
  local text = with_value(read(keys[1]), unpack_path(args[1]), args[2], args[3], replace)
  if not text then return false end
  write(keys[1], text)
  return { ok = 'OK' }
end

local function merge_into(keys, args)
  write(keys[1], with_value(read(keys[1]), unpack_path(args[1]), args[2], nil, merge))
  return { ok = 'OK' }
end

local function mset(keys, args)
  local documents = {}
  for index, key in ipairs(keys) do
    local text = documents[key] or read(key)
    documents[key] = with_value(text, unpack_path(args[2 * index - 1]), args[2 * index], nil, replace)
  end
  for key, text in pairs(documents) do write(key, text) end
  return { ok = 'OK' }
end

-- --- documents among other keys ---------------------------------------------------------------------------------------------------

local JSON_TYPE = 'json'

-- TYPE
local function key_type(keys)
  local reply = call('TYPE', keys[1])
  if reply.ok == 'stream' and pcall(read, keys[1]) then return { ok = JSON_TYPE } end
  return reply
end

-- SCAN with TYPE json or TYPE stream. The first argument is which of the two; the others are those of SCAN.
local function scan(_, args)
  local reply = call('SCAN', unpack(args, 2))
  local found = {}
  for _, key in ipairs(reply[2]) do
    if pcall(read, key) == (args[1] == JSON_TYPE) then found[#found + 1] = key end
  end
  return { reply[1], found }
end
