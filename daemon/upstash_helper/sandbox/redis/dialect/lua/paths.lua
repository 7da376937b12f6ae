-- Follows the steps of a path, which json_path.py explains. A match is {first, last, key}: its positions in the text,
-- and the position of its key if it is a member of an object.
--
-- With "..", matches deeper in the document come before those above them: this is Upstash's order.

local follow

local function push(matches, first, last, key)
  matches[#matches + 1] = { first, last, key }
end

local function pick_keys(text, first, last, names, matches)
  if not is_object(text, first) then return end
  for _, name in ipairs(names) do
    -- Only a key is followed by a colon, so that the member cannot exist if this is not in the text.
    local candidate = find(text, name .. ':', first, true)
    if candidate and candidate < last then
      local length = #name
      each_member(text, first, function(key_first, key_last, member_first, member_last)
        if key_last - key_first + 1 == length and sub(text, key_first, key_last) == name then
          push(matches, member_first, member_last, key_first)
          return true
        end
      end)
    end
  end
end

local function pick_indexes(text, first, _, indexes, matches)
  if not is_array(text, first) then return end
  if #indexes == 1 and indexes[1] >= 0 then
    local remaining = indexes[1]
    return each_element(text, first, function(element_first, element_last)
      if remaining == 0 then
        push(matches, element_first, element_last)
        return true
      end
      remaining = remaining - 1
    end)
  end
  local firsts, lasts, count = elements_of(text, first)
  for _, index in ipairs(indexes) do
    local position = index < 0 and count + index + 1 or index + 1
    if firsts[position] then push(matches, firsts[position], lasts[position]) end
  end
end

local function pick_slice(text, first, _, slice, matches)
  if not is_array(text, first) then return end
  local firsts, lasts, count = elements_of(text, first)
  local start, stop, step = slice[1] or 0, slice[2] or count, slice[3]
  if start < 0 then start = math.max(0, count + start) end
  if stop < 0 then stop = count + stop end
  for index = start, math.min(stop, count) - 1, step do
    push(matches, firsts[index + 1], lasts[index + 1])
  end
end

local function each_child(text, first, visit)
  if is_object(text, first) then
    each_member(text, first, function(key_first, _, member_first, member_last)
      visit(member_first, member_last, key_first)
    end)
  elseif is_array(text, first) then
    each_element(text, first, function(element_first, element_last)
      visit(element_first, element_last)
    end)
  end
end

local function pick_all(text, first, _, _, matches)
  each_child(text, first, function(child_first, child_last, key)
    push(matches, child_first, child_last, key)
  end)
end

-- --- filters ----------------------------------------------------------------------------------------------------------

-- The JSON text of a term, or nil if a path selects nothing.
local function term_value(text, first, last, term)
  local kind, content = term[1], term[2]
  if kind == 'value' then return content end
  local start = kind == 'root' and { 1, #text } or { first, last }
  local found = follow(text, content, { start })[1]
  return found and sub(text, found[1], found[2])
end

local function compare(operator, left, right)
  local equal, less, greater = false, false, false
  if left and right then
    local left_kind, right_kind = type_of(left, 1, #left), type_of(right, 1, #right)
    local left_is_number = left_kind == 'integer' or left_kind == 'number'
    local right_is_number = right_kind == 'integer' or right_kind == 'number'
    if left_is_number and right_is_number then
      less, greater = is_less(left, right), is_less(right, left)
      equal = not less and not greater
    elseif left_kind == right_kind then
      equal = same_value(left, right)
      if left_kind == 'string' then
        local left_bytes, right_bytes = to_bytes(left), to_bytes(right)
        less, greater = is_before(left_bytes, right_bytes), is_before(right_bytes, left_bytes)
      end
    end
  end
  if operator == '==' then return equal end
  if operator == '!=' then return not equal end
  if operator == '<' then return less end
  if operator == '<=' then return less or equal end
  if operator == '>' then return greater end
  return greater or equal
end

local function holds(text, first, last, expression)
  local kind = expression[1]
  if kind == 'and' then
    return holds(text, first, last, expression[2]) and holds(text, first, last, expression[3])
  elseif kind == 'or' then
    return holds(text, first, last, expression[2]) or holds(text, first, last, expression[3])
  elseif kind == 'not' then
    return not holds(text, first, last, expression[2])
  elseif kind == 'compare' then
    local left = term_value(text, first, last, expression[3])
    return compare(expression[2], left, term_value(text, first, last, expression[4]))
  end
  local term = expression[2]
  local value = term_value(text, first, last, term)
  if term[1] == 'value' then return value == 'true' end
  return value ~= nil
end

local function pick_filter(text, first, _, expression, matches)
  each_child(text, first, function(child_first, child_last, key)
    if holds(text, child_first, child_last, expression) then push(matches, child_first, child_last, key) end
  end)
end

-- --- steps ------------------------------------------------------------------------------------------------------------

local PICK = { key = pick_keys, index = pick_indexes, slice = pick_slice, all = pick_all, filter = pick_filter }

local function pick_deep(text, match, step, matches)
  local pick, content = PICK[step[1]], step[3]
  local needle = step[1] == 'key' and #content == 1 and content[1] .. ':'
  local next_key = 0 -- where the key occurs next, so that other parts of the document are skipped

  local function descend(first, last)
    if needle then
      if next_key < first then next_key = find(text, needle, first, true) or math.huge end
      if next_key > last then return end
    end
    each_child(text, first, function(child_first, child_last)
      if is_object(text, child_first) or is_array(text, child_first) then descend(child_first, child_last) end
    end)
    pick(text, first, last, content, matches)
  end

  descend(match[1], match[2])
end

follow = function(text, steps, matches)
  for _, step in ipairs(steps) do
    local found = {}
    local pick = PICK[step[1]]
    for _, found_before in ipairs(matches) do
      if step[2] then
        pick_deep(text, found_before, step, found)
      else
        pick(text, found_before[1], found_before[2], step[3], found)
      end
    end
    matches = found
  end
  return matches
end

local function find_all(text, steps)
  return follow(text, steps, { { 1, #text } })
end
