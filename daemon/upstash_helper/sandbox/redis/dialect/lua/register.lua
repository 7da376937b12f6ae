-- Registers the functions. While a library is loaded, Lua's own functions do not exist, not even `pairs`. So define(),
-- which contains the other files, runs when a function is called for the first time.

local callbacks

-- Replaces the name of a command that the user may not run with that of the client's command.
local function in_words_of(name, text)
  if string.sub(text, 1, 7) ~= 'NOPERM ' then return text end
  local command = string.gsub(string.gsub(name, '^json_', 'json.'), '_.*', '')
  return (string.gsub(text, "'.-' command", "'" .. command .. "' command"))
end

local function run(name, keys, args)
  callbacks = callbacks or define()
  local ok, reply = pcall(callbacks[name], keys, args)
  if ok then return reply end
  if type(reply) == 'table' and reply.refused then return { err = in_words_of(name, reply.refused) } end
  error(reply)
end

local function register(names, flag)
  for index = 1, #names do
    local name = names[index]
    server.register_function({
      function_name = 'upstash_helper_' .. name,
      flags = { flag },
      callback = function(keys, args) return run(name, keys, args) end,
    })
  end
end

register({
  'fail',
  'json_arrindex',
  'json_arrlen',
  'json_debug_help',
  'json_debug_memory',
  'json_get',
  'json_mget',
  'json_objkeys',
  'json_objlen',
  'json_resp',
  'json_strlen',
  'json_type',
  'scan',
  'sdiffcard',
  'sunioncard',
  'type',
}, 'no-writes')

register({
  'bitop',
  'json_arrappend',
  'json_arrinsert',
  'json_merge',
  'json_mset',
  'json_numincrby',
  'json_nummultby',
  'json_set',
  'json_strappend',
  'json_toggle',
})

-- They free memory.
register({
  'delex',
  'json_arrpop',
  'json_arrtrim',
  'json_clear',
  'json_del',
  'xackdel',
  'xdelex',
}, 'allow-oom')
