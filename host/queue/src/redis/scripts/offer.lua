-- Queues jobs, each unless one of its id is unfinished. ARGV: prefix, now in ms, name, then for each job id, data, options as JSON, priority
-- and delay in ms. Answers for each 0 (queued), 1 (queued in place of a finished one) or 2 (there is one that is not finished).
local function forget(id)
  local key = at(id)
  call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed', key .. ':unsuccessful')
end

-- 0: there is none. 1: one that is finished, or that stands nowhere and would never be performed, has made room. 2: it is unfinished.
local function make_room(id)
  if call('EXISTS', at(id)) == 0 then
    -- Where the data of a job is gone, its id may have stayed behind: it would be performed twice.
    for _, set in ipairs({'prioritized', 'delayed', 'completed', 'failed'}) do call('ZREM', at(set), id) end
    return 0
  end
  if call('ZSCORE', at('prioritized'), id) or call('ZSCORE', at('delayed'), id) then return 2 end
  local finished = call('ZREM', at('completed'), id) + call('ZREM', at('failed'), id) > 0
  if not finished and (call('LPOS', at('active'), id) or call('LPOS', at('wait'), id) or call('LPOS', at('paused'), id)
    or call('ZSCORE', at('waiting-children'), id)) then return 2 end
  forget(id)
  return 1
end

local now, name, outcomes = tonumber(ARGV[2]), ARGV[3], {}
local any_waits, any_delayed = false, false
for i = 4, #ARGV, 5 do
  local id, data, options = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local priority, delay = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local room = make_room(id)
  outcomes[#outcomes + 1] = room
  if room < 2 then
    call('INCR', at('id'))
    call('HSET', at(id), 'name', name, 'data', data, 'opts', options, 'timestamp', ARGV[2], 'delay', ARGV[i + 4], 'priority', ARGV[i + 3])
    tell('event', 'added', 'jobId', id, 'name', name)
    if delay > 0 then
      delay_until(id, now + delay)
      any_delayed = true
    else
      prioritize(id, priority)
      tell('event', 'waiting', 'jobId', id)
      any_waits = true
    end
  end
end
if any_waits then wake() end
if any_delayed then wake_when_due() end
return outcomes
