-- Gives the jobs of silent workers to others: those under way whose lock has run out. ARGV: prefix, now in ms, how often a job may be taken
-- over, how long no other worker needs to look in ms. Answers the ids.
local taken = {}
if not call('SET', at('stalled-check'), ARGV[2], 'NX', 'PX', ARGV[4]) then return taken end
for _, id in ipairs(call('LRANGE', at('active'), 0, -1)) do
  local key = at(id)
  if call('EXISTS', key .. ':lock') == 0 then
    call('LREM', at('active'), 1, id)
    call('SREM', at('stalled'), id)
    if call('EXISTS', key) == 1 then
      if call('HINCRBY', key, 'stc', 1) > tonumber(ARGV[3]) then
        -- The worker that takes it fails it with this reason.
        call('HSET', key, 'defa', 'job stalled more than allowable limit')
      end
      call('RPUSH', at('wait'), id)
      tell('event', 'waiting', 'jobId', id, 'prev', 'active')
      tell('event', 'stalled', 'jobId', id)
      taken[#taken + 1] = id
    end
  end
end
if #taken > 0 then wake() end
return taken
