-- The limits of one enterprise. ARGV[2] is a job's id, ARGV[3] where the enterprise's keys begin, ARGV[4] its slots and ARGV[5] its jobs a
-- second (0: as many as come), ARGV[6] the name of this attempt's hold on a slot, ARGV[7] the worker's time and ARGV[8] the longest wait for
-- a slot, both in ms.
--   <enterprise>:slots   hash: job to attempt; held for as long as the job's lock lasts
--   <enterprise>:bucket  hash: tokens and when they were counted, by the clock of Redis
--   <enterprise>:parked  zset: jobs that were put off for a limit, most urgent and then oldest first
local id, slots, bucket, parked = ARGV[2], ARGV[3] .. ':slots', ARGV[3] .. ':bucket', ARGV[3] .. ':parked'
local slots_max, rate = tonumber(ARGV[4]), tonumber(ARGV[5])
local now, slot_wait = tonumber(ARGV[7]), tonumber(ARGV[8])
local time = call('TIME')
local clock = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function free_slots()
  if slots_max == 0 then return math.huge end
  local held = call('HLEN', slots)
  if held < slots_max then return slots_max - held end
  -- A worker that died holds nothing any more.
  for _, holder in ipairs(call('HKEYS', slots)) do
    if call('EXISTS', at(holder) .. ':lock') == 0 then
      call('HDEL', slots, holder)
      held = held - 1
    end
  end
  return slots_max - held
end

-- A tenth of a second's worth may be saved up, and one and a half tokens at least, so that a worker which comes a little late loses nothing.
local function tokens()
  if rate == 0 then return math.huge end
  local most, state = math.max(1.5, rate / 10), call('HMGET', bucket, 'tokens', 'at')
  if not state[1] then return most end
  return math.min(most, tonumber(state[1]) + math.max(0, clock - tonumber(state[2])) * rate / 1000)
end

-- The most urgent job that is parked, and its place. One that has gone, or has come by itself, is parked no more.
local function first_parked()
  while true do
    local first = call('ZRANGE', parked, 0, 0, 'WITHSCORES')
    if not first[1] then return nil, math.huge end
    if call('ZSCORE', at('delayed'), first[1]) then return first[1], tonumber(first[2]) end
    call('ZREM', parked, first[1])
  end
end

local function call_in(job)
  call('ZREM', parked, job)
  call('ZREM', at('delayed'), job)
  call('HSET', at(job), 'delay', '0')
  local priority = tonumber(call('HGET', at(job), 'priority')) or 0
  if priority == 0 then call('LPUSH', at('wait'), job) else prioritize(job, priority) end
  tell('event', 'waiting', 'jobId', job, 'prev', 'delayed')
end

-- Calls in as many parked jobs as may begin now, and says how many: they have neither slot nor token yet.
local function call_in_others(room)
  local called = 0
  for _ = 1, math.min(room, 16) do
    local job = first_parked()
    if not job then break end
    call_in(job)
    called = called + 1
  end
  if called > 0 then wake() end
  return called
end

-- Lets the first parked job come by itself when its turn may be: when a token is there, or after the longest wait for a slot. The others need
-- no time of their own, because whoever comes or ends calls in the next and sees to the one after it.
local function see_to_next(called)
  local job = first_parked()
  if not job then return end
  local wait, missing = slot_wait, called + 1 - tokens()
  if free_slots() > called then wait = missing > 0 and math.ceil(missing * 1000 / rate) or 0 end
  local due = (now + wait) * 4096
  if tonumber(call('ZSCORE', at('delayed'), job)) > due then
    call('ZADD', at('delayed'), due, job)
    wake_when_due()
  end
end
