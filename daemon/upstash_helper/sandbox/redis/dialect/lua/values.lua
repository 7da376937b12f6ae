-- JSON values as parts of a text. json_text.py explains the form of the text: a string contains no quotation mark,
-- backslash, brace, or bracket, so that the end of a value can be found without parsing it.

local byte, find, format, gsub, match, sub = string.byte, string.find, string.format, string.gsub, string.match, string.sub
local concat, insert, sort = table.concat, table.insert, table.sort

local QUOTE, COMMA, OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE = 34, 44, 91, 93, 123, 125

-- Ends a command with an error reply. Everything else that is raised is a bug in these functions.
local function refuse(text)
  error({ refused = text })
end

-- Runs a command of the server. Its error is that of the command which called the function. The server checks whether
-- the client's user may run it.
local function call(...)
  local reply = server.pcall(...)
  if type(reply) == 'table' and reply.err then
    refuse((gsub(reply.err, '^ERR ACL failure in script: ', 'NOPERM ')))
  end
  return reply
end

local function value_end(text, first)
  local character = byte(text, first)
  local last
  if character == QUOTE then
    last = find(text, '"', first + 1, true)
  elseif character == OPEN_BRACE then
    last = select(2, find(text, '^%b{}', first))
  elseif character == OPEN_BRACKET then
    last = select(2, find(text, '^%b[]', first))
  else
    last = select(2, find(text, '^[^,%]}]+', first))
  end
  return last
end

-- Calls visit(key_first, key_last, first, last) for each member, with the key's quotation marks, until it returns true.
local function each_member(text, first, visit)
  local at = first + 1
  if byte(text, at) == CLOSE_BRACE then return end
  while true do
    local key_last = find(text, '"', at + 1, true)
    local last = value_end(text, key_last + 2)
    if visit(at, key_last, key_last + 2, last) then return end
    if byte(text, last + 1) ~= COMMA then return end
    at = last + 2
  end
end

-- Calls visit(first, last) for each element until it returns true.
local function each_element(text, first, visit)
  local at = first + 1
  if byte(text, at) == CLOSE_BRACKET then return end
  while true do
    local last = value_end(text, at)
    if visit(at, last) then return end
    if byte(text, last + 1) ~= COMMA then return end
    at = last + 2
  end
end

local function is_object(text, first) return byte(text, first) == OPEN_BRACE end
local function is_array(text, first) return byte(text, first) == OPEN_BRACKET end
local function is_string(text, first) return byte(text, first) == QUOTE end

local TYPES = {
  [QUOTE] = 'string', [OPEN_BRACE] = 'object', [OPEN_BRACKET] = 'array',
  [byte('t')] = 'boolean', [byte('f')] = 'boolean', [byte('n')] = 'null',
}

local function is_integer(number)
  return not find(number, '[.eE]')
end

local function type_of(text, first, last)
  return TYPES[byte(text, first)] or (is_integer(sub(text, first, last)) and 'integer' or 'number')
end

-- The elements of an array: their first and last positions, and their number.
local function elements_of(text, first)
  local firsts, lasts, count = {}, {}, 0
  each_element(text, first, function(element_first, element_last)
    count = count + 1
    firsts[count], lasts[count] = element_first, element_last
  end)
  return firsts, lasts, count
end

local function count_members(text, first)
  local count = 0
  each_member(text, first, function() count = count + 1 end)
  return count
end

-- --- what clients get -------------------------------------------------------------------------------------------------

local OUTSIDE = { ['22'] = '\\"', ['5c'] = '\\\\', ['7b'] = '{', ['7d'] = '}', ['5b'] = '[', ['5d'] = ']' }

-- JSON as clients write it.
local function to_json(text)
  if not find(text, '\\', 1, true) then return text end
  return (gsub(text, '\\u00(%x%x)', OUTSIDE))
end

local CONTROLS = { n = '\n', r = '\r', t = '\t', b = '\b', f = '\f' }

-- The bytes of a string. `text` includes the quotation marks.
local function to_bytes(text)
  local content = sub(text, 2, -2)
  if not find(content, '\\', 1, true) then return content end
  content = gsub(content, '\\([nrtbf])', CONTROLS)
  return (gsub(content, '\\u00(%x%x)', function(digits) return string.char(tonumber(digits, 16)) end))
end

-- Adds white space between the tokens.
local function to_formatted_json(text, indent, newline, space)
  local out = {}
  local function add(piece) out[#out + 1] = piece end
  local function value(first, last, depth)
    local object, array = is_object(text, first), is_array(text, first)
    if last == first + 1 and (object or array) or not (object or array) then
      return add(sub(text, first, last))
    end
    add(sub(text, first, first) .. newline)
    local count = 0
    local function separate()
      count = count + 1
      if count > 1 then add(',' .. newline) end
      add(string.rep(indent, depth + 1))
    end
    if object then
      each_member(text, first, function(key_first, key_last, member_first, member_last)
        separate()
        add(sub(text, key_first, key_last) .. ':' .. space)
        value(member_first, member_last, depth + 1)
      end)
    else
      each_element(text, first, function(element_first, element_last)
        separate()
        value(element_first, element_last, depth + 1)
      end)
    end
    add(newline .. string.rep(indent, depth) .. sub(text, last, last))
  end
  value(1, #text, 0)
  for index, piece in ipairs(out) do out[index] = to_json(piece) end
  return concat(out)
end

-- --- numbers ----------------------------------------------------------------------------------------------------------

local LARGEST_EXACT = 9007199254740992 -- Lua's numbers are floats
local DIGITS, BASE = 7, 10000000

-- An integer of any size: its sign, and its digits in groups, the lowest first.
local function parse_integer(text)
  local sign, digits = match(text, '^(-?)(%d+)$')
  local groups = {}
  for last = #digits, 1, -DIGITS do
    groups[#groups + 1] = tonumber(sub(digits, math.max(1, last - DIGITS + 1), last))
  end
  return sign == '-' and -1 or 1, groups
end

local function format_integer(sign, groups)
  local top = #groups
  while top > 1 and groups[top] == 0 do top = top - 1 end
  local parts = { format('%d', groups[top]) }
  for index = top - 1, 1, -1 do parts[#parts + 1] = format('%07d', groups[index]) end
  local digits = concat(parts)
  return (sign < 0 and digits ~= '0') and '-' .. digits or digits
end

local function is_smaller(left, right)
  for index = math.max(#left, #right), 1, -1 do
    local a, b = left[index] or 0, right[index] or 0
    if a ~= b then return a < b end
  end
  return false
end

local function add_integers(left_text, right_text)
  local left_sign, left = parse_integer(left_text)
  local right_sign, right = parse_integer(right_text)
  if is_smaller(left, right) then
    left_sign, left, right_sign, right = right_sign, right, left_sign, left
  end
  local factor, carry, sum = left_sign * right_sign, 0, {}
  for index = 1, #left do
    local group = left[index] + factor * (right[index] or 0) + carry
    carry = math.floor(group / BASE)
    sum[index] = group - carry * BASE
  end
  if carry > 0 then sum[#sum + 1] = carry end
  return format_integer(left_sign, sum)
end

local function multiply_integers(left_text, right_text)
  local left_sign, left = parse_integer(left_text)
  local right_sign, right = parse_integer(right_text)
  local product = {}
  for index = 1, #left + #right do product[index] = 0 end
  for i = 1, #left do
    local carry = 0
    for j = 1, #right do
      local group = product[i + j - 1] + left[i] * right[j] + carry
      carry = math.floor(group / BASE)
      product[i + j - 1] = group - carry * BASE
    end
    product[i + #right] = product[i + #right] + carry
  end
  return format_integer(left_sign * right_sign, product)
end

local function format_float(number)
  if number ~= number or number == math.huge or number == -math.huge then
    refuse('ERR result is not a number')
  end
  local text
  for precision = 15, 17 do
    text = format('%.' .. precision .. 'g', number)
    if tonumber(text) == number then break end
  end
  return is_integer(text) and text .. '.0' or text
end

local function calculate(left, right, integers, floats)
  if is_integer(left) and is_integer(right) then return integers(left, right) end
  return format_float(floats(tonumber(left), tonumber(right)))
end

local function add_numbers(left, right)
  return calculate(left, right, add_integers, function(a, b) return a + b end)
end

local function multiply_numbers(left, right)
  return calculate(left, right, multiply_integers, function(a, b) return a * b end)
end

-- --- comparison -------------------------------------------------------------------------------------------------------

local same_value

local function same_members(left, right)
  local members, count = {}, 0
  each_member(left, 1, function(key_first, key_last, first, last)
    members[sub(left, key_first, key_last)] = sub(left, first, last)
    count = count + 1
  end)
  each_member(right, 1, function(key_first, key_last, first, last)
    local member = members[sub(right, key_first, key_last)]
    if not member or not same_value(member, sub(right, first, last)) then
      count = -1
      return true
    end
    count = count - 1
  end)
  return count == 0
end

local function same_elements(left, right)
  local left_firsts, left_lasts, left_count = elements_of(left, 1)
  local right_firsts, right_lasts, right_count = elements_of(right, 1)
  if left_count ~= right_count then return false end
  for index = 1, left_count do
    local element = sub(left, left_firsts[index], left_lasts[index])
    if not same_value(element, sub(right, right_firsts[index], right_lasts[index])) then return false end
  end
  return true
end

-- Whether two values are equal. 3 and 3.0 are not.
same_value = function(left, right)
  if left == right then return true end
  local kind = type_of(left, 1, #left)
  if kind ~= type_of(right, 1, #right) then return false end
  if kind == 'number' then return tonumber(left) == tonumber(right) end
  if kind == 'object' then return same_members(left, right) end
  return kind == 'array' and same_elements(left, right)
end

-- Byte by byte: Lua's own comparison depends on the server's locale.
local function is_before(left, right)
  for index = 1, math.min(#left, #right) do
    local a, b = byte(left, index), byte(right, index)
    if a ~= b then return a < b end
  end
  return #left < #right
end

-- Compares integers of any size, or floats.
local function is_less(left, right)
  if is_integer(left) and is_integer(right) then
    local difference = add_integers(left, multiply_integers(right, '-1'))
    return byte(difference) == byte('-')
  end
  return tonumber(left) < tonumber(right)
end

-- --- changes ----------------------------------------------------------------------------------------------------------

-- Returns the text with edits {first, last, replacement}. An insertion has last = first - 1. An edit inside of a range
-- that another edit replaces has no effect. The second result is the number of edits that had one. With no
-- replacement, an element or member is removed, with the comma before or after it.
local function apply_edits(text, edits)
  sort(edits, function(left, right)
    if left[1] ~= right[1] then return left[1] < right[1] end
    return left[2] > right[2]
  end)
  local out, count, at, previous = {}, 0, 1, nil
  for _, edit in ipairs(edits) do
    local first, last, replacement = edit[1], edit[2], edit[3]
    local repeated = previous and previous[1] == first and previous[2] == last
    if first >= at and not repeated then
      count = count + 1
      out[#out + 1] = sub(text, at, first - 1)
      at = last + 1
      if replacement then
        out[#out + 1] = replacement
      elseif byte(text, at) == COMMA then
        at = at + 1
      else
        while #out > 1 and out[#out] == '' do out[#out] = nil end
        out[#out] = gsub(out[#out], ',$', '')
      end
    end
    previous = edit
  end
  out[#out + 1] = sub(text, at)
  return concat(out), count
end

-- The edit that inserts values, separated by commas, at the end of an array or object.
local function at_end(text, first, last, values)
  return { last, last - 1, (last == first + 1 and '' or ',') .. values }
end

-- JSON Merge Patch (RFC 7396).
local function merge(target, patch)
  if not is_object(patch, 1) then return patch end
  local keys, members = {}, {}
  if target and is_object(target, 1) then
    each_member(target, 1, function(key_first, key_last, first, last)
      local key = sub(target, key_first, key_last)
      keys[#keys + 1] = key
      members[key] = sub(target, first, last)
    end)
  end
  each_member(patch, 1, function(key_first, key_last, first, last)
    local key, value = sub(patch, key_first, key_last), sub(patch, first, last)
    if value == 'null' then
      members[key] = nil
    else
      if not members[key] then keys[#keys + 1] = key end
      members[key] = merge(members[key], value)
    end
  end)
  local out, written = {}, {}
  for _, key in ipairs(keys) do
    if members[key] and not written[key] then
      out[#out + 1] = key .. ':' .. members[key]
      written[key] = true
    end
  end
  return '{' .. concat(out, ',') .. '}'
end
