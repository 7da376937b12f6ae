-- Commands of newer versions of Redis that Upstash has and Valkey does not. newer_commands.py checks their arguments.

-- BITOP with DIFF, DIFF1, ANDOR, or ONE. The first key is the destination.
local BITS = {
  DIFF = function(first, others) return bit.band(first, bit.bnot(others)) end,
  DIFF1 = function(first, others) return bit.band(bit.bnot(first), others) end,
  ANDOR = function(first, others) return bit.band(first, others) end,
}

local CHUNK = 256 -- bytes that string.char and string.byte take at once

local function bitop(keys, args)
  local sources, length = {}, 0
  for index = 2, #keys do
    local value = call('GET', keys[index]) or ''
    sources[index - 1] = value
    length = math.max(length, #value)
  end
  local combine = BITS[args[1]]
  local out = {}
  for start = 1, length, CHUNK do
    local columns = {}
    for index, source in ipairs(sources) do columns[index] = { byte(source, start, start + CHUNK - 1) } end
    local bytes = {}
    for position = 1, math.min(CHUNK, length - start + 1) do
      local first, any, several = columns[1][position] or 0, 0, 0
      for index = combine and 2 or 1, #columns do
        local value = columns[index][position] or 0
        several = bit.bor(several, bit.band(any, value))
        any = bit.bor(any, value)
      end
      bytes[position] = bit.band(combine and combine(first, any) or bit.band(any, bit.bnot(several)), 255)
    end
    out[#out + 1] = string.char(unpack(bytes))
  end
  if length == 0 then
    call('DEL', keys[1])
  else
    call('SET', keys[1], concat(out))
  end
  return length
end

-- DELEX with IFEQ or IFNE.
local function delex(keys, args)
  local value = call('GET', keys[1])
  if not value or (value == args[2]) ~= (args[1] == 'IFEQ') then return 0 end
  return call('DEL', keys[1])
end

local KEYS_AT_ONCE = 1000 -- unpack has a limit

-- SDIFFCARD and SUNIONCARD. The argument is the limit; 0 is none.
local function count_members_of(command)
  local is_difference = command == 'SDIFF'
  return function(keys, args)
    local rounds, start, found = 0, is_difference and 2 or 1, {}
    repeat
      local some = { unpack(keys, start, math.min(#keys, start + KEYS_AT_ONCE - 1)) }
      if is_difference then insert(some, 1, keys[1]) end
      for _, member in ipairs(call(command, unpack(some))) do found[member] = (found[member] or 0) + 1 end
      rounds, start = rounds + 1, start + KEYS_AT_ONCE
    until start > #keys
    local count, limit = 0, tonumber(args[1])
    for _, times in pairs(found) do
      -- In no set but the first: in the difference of each round.
      if not is_difference or times == rounds then count = count + 1 end
    end
    return limit > 0 and math.min(count, limit) or count
  end
end

-- --- streams ----------------------------------------------------------------------------------------------------------

local NOT_FOUND, DELETED, STILL_REFERENCED = -1, 1, 2

-- The key's consumer groups: name and ID of the last entry that was delivered.
local function groups_of(key)
  local groups = {}
  for index, group in ipairs(call('XINFO', 'GROUPS', key)) do
    local fields = {}
    for field = 1, #group, 2 do fields[group[field]] = group[field + 1] end
    groups[index] = { name = fields.name, last = fields['last-delivered-id'] }
  end
  return groups
end

-- Compares two complete IDs of stream entries. Their parts can be larger than the integers that Lua's numbers hold.
local function is_later(left, right)
  local left_time, left_number = match(left, '^(%d+)-(%d+)$')
  local right_time, right_number = match(right, '^(%d+)-(%d+)$')
  if left_time ~= right_time then return is_less(right_time, left_time) end
  return is_less(right_number, left_number)
end

-- Whether a group has yet to read or to acknowledge the entry.
local function is_referenced(key, id, groups)
  for _, group in ipairs(groups) do
    if is_later(id, group.last) then return true end
    if #call('XPENDING', key, group.name, id, id, 1) > 0 then return true end
  end
  return false
end

local function delete_entry(key, id, policy, groups)
  if policy == 'ACKED' and is_referenced(key, id, groups) then return STILL_REFERENCED end
  local deleted = call('XDEL', key, id)
  if policy == 'DELREF' then
    for _, group in ipairs(groups) do call('XACK', key, group.name, id) end
  end
  return deleted == 1 and DELETED or NOT_FOUND
end

-- XDELEX. The arguments are the policy and the IDs.
local function xdelex(keys, args)
  local key, replies = keys[1], {}
  local groups = call('EXISTS', key) == 1 and groups_of(key) or {}
  for index = 2, #args do
    local id = args[index]
    local found = #call('XRANGE', key, id, id) > 0
    replies[index - 1] = found and delete_entry(key, id, args[1], groups) or NOT_FOUND
  end
  return replies
end

-- XACKDEL. The arguments are the group, the policy, and the IDs.
local function xackdel(keys, args)
  local key, group, replies = keys[1], args[1], {}
  local groups = call('EXISTS', key) == 1 and groups_of(key) or {}
  for index = 3, #args do
    local id, reply = args[index], NOT_FOUND
    if call('XACK', key, group, id) == 1 then
      reply = delete_entry(key, id, args[2], groups)
      -- Acknowledged, and no longer in the stream, as requested.
      if reply == NOT_FOUND then reply = DELETED end
    end
    replies[index - 2] = reply
  end
  return replies
end
