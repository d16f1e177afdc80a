-- When the job was queued that has waited longest, in ms; the first in turn of each priority is looked at. ARGV: prefix, most priorities.
local function queued(id) return tonumber(call('HGET', at(id), 'timestamp')) end
local oldest
for _, id in ipairs(call('LRANGE', at('wait'), -1, -1)) do oldest = queued(id) end
local from = '-inf'
for _ = 1, tonumber(ARGV[2]) do
  local first = call('ZRANGEBYSCORE', at('prioritized'), from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not first[1] then break end
  local since = queued(first[1])
  if since and (not oldest or since < oldest) then oldest = since end
  from = (math.floor(tonumber(first[2]) / 4294967296) + 1) * 4294967296
end
return oldest and string.format('%.0f', oldest) or false
