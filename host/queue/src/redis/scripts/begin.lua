-- Lets a job of a limited enterprise begin, or parks it among the delayed ones. Further ARGV: lock token, the time in ms after which a parked job
-- that nobody has called in asks again. Answers 1 (it may begin), 0 (it is parked) or 2 (it is no longer this worker's).
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
  see_to_next(call_in_others(math.min(free - 1, math.floor(have - 1))))
  return 1
end
if not take_from(id, ARGV[9]) then return 2 end
-- Somebody goes first: one that is more urgent or has waited longer.
local called = call_in_others(math.min(free, math.floor(have)))
call('ZADD', parked, place, id)
call('PEXPIRE', parked, 86400000)
call('HSET', at(id), 'delay', ARGV[10])
delay_until(id, now + tonumber(ARGV[10]))
see_to_next(called)
wake_when_due()
return 0
