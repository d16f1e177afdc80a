-- Lets a job of a limited enterprise begin, or parks it among the delayed ones. Further ARGV: lock token, the worker's time in ms, longest wait
-- for a slot and for a token in ms. Answers 1 (it may begin), 0 (it is parked) or 2 (it is no longer this worker's).
call('ZREM', parked, id)
call('HDEL', slots, id)
local about = call('HMGET', at(id), 'priority', 'timestamp')
local place = (tonumber(about[1]) or 0) * 2199023255552 + (tonumber(about[2]) or 0)
local free, have = free_slots(), tokens()
local _, ahead = first_parked()
if free >= 1 and have >= 1 and place <= ahead then
  if slots_max > 0 then
    call('HSET', slots, id, ARGV[6])
    call('PEXPIRE', slots, 86400000)
  end
  if rate > 0 then
    call('HSET', bucket, 'tokens', tostring(have - 1), 'at', clock)
    call('PEXPIRE', bucket, 60000)
  end
  call_in_others(math.min(free - 1, math.floor(have - 1)))
  return 1
end
if not take_from(id, ARGV[7]) then return 2 end
-- Somebody goes first: one that is more urgent or has waited longer.
call_in_others(math.min(free, math.floor(have)))
call('ZADD', parked, place, id)
call('PEXPIRE', parked, 86400000)
local wait = tonumber(ARGV[9])
-- Whoever frees a slot calls the next one in; for tokens each comes when its turn is due.
if rate > 0 and free >= 1 then wait = math.min(math.ceil(call('ZCARD', parked) * 1000 / rate), tonumber(ARGV[10])) end
call('HSET', at(id), 'delay', wait)
delay_until(id, tonumber(ARGV[8]) + wait)
wake_when_due()
return 0
