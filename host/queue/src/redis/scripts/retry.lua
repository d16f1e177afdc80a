-- Queues jobs again that were given up, with all their attempts. ARGV: prefix, ids. Answers the ids of those that were.
local again = {}
for i = 2, #ARGV do
  local id, key = ARGV[i], at(ARGV[i])
  if call('EXISTS', key) == 1 and call('ZREM', at('failed'), id) == 1 then
    call('HDEL', key, 'finishedOn', 'processedOn', 'failedReason', 'stacktrace', 'atm', 'ats', 'stc', 'defa')
    local priority = tonumber(call('HGET', key, 'priority')) or 0
    if priority == 0 then call('LPUSH', at('wait'), id) else prioritize(id, priority) end
    tell('event', 'waiting', 'jobId', id, 'prev', 'failed')
    again[#again + 1] = id
  end
end
if #again > 0 then wake() end
return again
