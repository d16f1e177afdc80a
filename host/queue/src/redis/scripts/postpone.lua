-- Puts a job that is under way off. ARGV: prefix, id, lock token, time to come back in ms, delay in ms, 1 if an attempt is spent, the reason or
-- nothing. Answers 1, or 0 where the job is no longer this worker's.
local id, key = ARGV[2], at(ARGV[2])
if call('EXISTS', key) == 0 or not take_from(id, ARGV[3]) then return 0 end
if ARGV[6] == '1' then call('HINCRBY', key, 'atm', 1) end
if ARGV[7] ~= '' then call('HSET', key, 'failedReason', ARGV[7]) end
call('HSET', key, 'delay', ARGV[5])
delay_until(id, tonumber(ARGV[4]))
wake_when_due()
return 1
