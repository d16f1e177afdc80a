-- Gives the slot of an attempt that has ended back, and calls the next job in. Answers 1, or 0 where the slot was another attempt's.
local own = call('HGET', slots, id) == ARGV[6]
if own then call('HDEL', slots, id) end
see_to_next(call_in_others(math.min(free_slots(), math.floor(math.min(tokens(), 1)), 1)))
return own and 1 or 0
