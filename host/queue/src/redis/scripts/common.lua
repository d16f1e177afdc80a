-- What the other scripts share. `at(name)` is a key of the queue; ARGV[1] is always the prefix of its keys, colon included.
local call, prefix = redis.call, ARGV[1]
local function at(name) return prefix .. name end

-- A paused queue, or one at its global concurrency, wakes nobody.
local function is_held()
  local meta = call('HMGET', at('meta'), 'paused', 'concurrency')
  if meta[1] then return true end
  return meta[2] and call('LLEN', at('active')) >= tonumber(meta[2]) or false
end

local function tell(...)
  local kept = call('HGET', at('meta'), 'opts.maxLenEvents') or '10000'
  call('XADD', at('events'), 'MAXLEN', '~', kept, '*', ...)
end

-- Workers block on the marker: member 0 says that there is work, member 1 when the next delayed job is due.
local function wake() if not is_held() then call('ZADD', at('marker'), 0, '0') end end
local function wake_when_due()
  local first = call('ZRANGE', at('delayed'), 0, 0, 'WITHSCORES')
  if first[2] then call('ZADD', at('marker'), tonumber(first[2]) / 4096, '1') end
end

-- Lower numbers first, equal ones in turn.
local function prioritize(id, priority)
  local turn = call('INCR', at('pc')) % 4294967296
  call('ZADD', at('prioritized'), priority * 4294967296 + turn, id)
end

-- Twelve bits below the millisecond keep jobs of one instant in turn.
local function delay_until(id, due_ms)
  local from = due_ms * 4096
  local turn = math.min(call('ZCOUNT', at('delayed'), from, from + 4095), 4095)
  call('ZADD', at('delayed'), from + turn, id)
  tell('event', 'delayed', 'jobId', id, 'delay', string.format('%.0f', due_ms))
end

-- Takes a job that is under way from its worker. False: the lock is not, or no longer, that worker's.
local function take_from(id, token)
  local key = at(id)
  if call('GET', key .. ':lock') ~= token then return false end
  call('DEL', key .. ':lock')
  call('SREM', at('stalled'), id)
  return call('LREM', at('active'), -1, id) > 0
end
