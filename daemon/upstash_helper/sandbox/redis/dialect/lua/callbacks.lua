-- What each function does, by its name in register.lua.

-- A command with invalid arguments. It fails when it is run, not when it is queued in a transaction.
local function fail(_, args)
  return { err = args[1] }
end

return {
  bitop = bitop,
  delex = delex,
  fail = fail,
  json_arrappend = arrappend,
  json_arrindex = arrindex,
  json_arrinsert = arrinsert,
  json_arrlen = report(array_length, 'array', refuse_key_unless_legacy, refuse_path),
  json_arrpop = arrpop,
  json_arrtrim = arrtrim,
  json_clear = clear,
  json_debug_help = debug_help,
  json_debug_memory = report(memory, 'value', no_memory, refuse_path),
  json_del = delete,
  json_get = get,
  json_merge = merge_into,
  json_mget = mget,
  json_mset = mset,
  json_numincrby = change_number(add_numbers),
  json_nummultby = change_number(multiply_numbers),
  json_objkeys = report(object_keys, 'object', null, null),
  json_objlen = report(object_length, 'object', refuse_key_unless_legacy, null),
  json_resp = report(to_resp, 'value', null, refuse_path),
  json_set = set,
  json_strappend = strappend,
  json_strlen = report(string_length, 'string', refuse_key_unless_legacy, refuse_path),
  json_toggle = toggle,
  json_type = report(value_type, 'value', null, null),
  scan = scan,
  sdiffcard = count_members_of('SDIFF'),
  sunioncard = count_members_of('SUNION'),
  type = key_type,
  xackdel = xackdel,
  xdelex = xdelex,
}
