-- The owner index: a sorted set of the sessions' names by the time until which it holds them. A session does
-- not outlive that, so what is past it may go. ARGV: 4 what to do.
local function held_until(name)
  return tonumber(redis.call('ZSCORE', key, name) or '0')
end

if ARGV[4] == 'add' then
  -- 5 name, 6 from now on for so long, 7 but at most until then, or nothing. Returns until when, and
  -- whether it was not there before.
  local till = math.min(now + ARGV[6], tonumber(ARGV[7]) or math.huge)
  till = math.max(till, held_until(ARGV[5]))
  local last = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]
  local ends = math.max(till, tonumber(last or '0'))
  -- These change nothing but what is over. The first one needs memory, and two are for what follows in other scripts.
  redis.call('ZADD', key, 'XX', 0, '')
  redis.call('ZREM', key, '')
  redis.call('ZRANGEBYSCORE', key, 1, 0)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now))
  expire(ends)
  local is_new = redis.call('ZADD', key, whole(till), ARGV[5])
  expire(ends)
  return { whole(till), is_new }
elseif ARGV[4] == 'remove' then
  -- 5 name.
  return redis.call('ZREM', key, ARGV[5])
elseif ARGV[4] == 'list' then
  return redis.call('ZRANGEBYSCORE', key, '(' .. whole(now), '+inf')
else
  -- Claims surplus: 5 the newest, 6 how many there may be, then the others, those first that shall go first.
  -- No other caller gets the same.
  local claimed, there = {}, {}
  if held_until(ARGV[5]) == 0 then
    return claimed
  end
  for at = 7, #ARGV do
    if held_until(ARGV[at]) ~= 0 then
      table.insert(there, ARGV[at])
    end
  end
  for at = 1, #there + 1 - tonumber(ARGV[6]) do
    redis.call('ZREM', key, there[at])
    table.insert(claimed, there[at])
  end
  return claimed
end
