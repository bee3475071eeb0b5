-- The owner index: a sorted set of the sessions' names by the time until which it holds them. A session does
-- not outlive that, so what is past it may go. ARGV: 3 what to do.
local function tidy()
  redis.call('ZREMRANGEBYSCORE', session, '-inf', whole(now))
  local last = redis.call('ZREVRANGE', session, 0, 0, 'WITHSCORES')
  if last[2] then
    redis.call('PEXPIRE', session, whole(math.max(tonumber(last[2]) - now + slack, 1)))
  end
end

if ARGV[3] == 'add' then
  -- 4 name, 5 from now on for so long, 6 but at most until then, or nothing. Returns until when.
  local till = math.min(now + tonumber(ARGV[5]), tonumber(ARGV[6]) or math.huge)
  till = math.max(till, tonumber(redis.call('ZSCORE', session, ARGV[4]) or '0'))
  redis.call('ZADD', session, whole(till), ARGV[4])
  tidy()
  return whole(till)
elseif ARGV[3] == 'remove' then
  -- 4 name.
  return redis.call('ZREM', session, ARGV[4])
elseif ARGV[3] == 'list' then
  return redis.call('ZRANGEBYSCORE', session, '(' .. whole(now), '+inf')
else
  -- Claims surplus: 4 the newest, 5 how many there may be, then the others, those first that shall go first.
  -- No other caller gets the same.
  local claimed, there = {}, {}
  if not redis.call('ZSCORE', session, ARGV[4]) then
    return claimed
  end
  for at = 6, #ARGV do
    if redis.call('ZSCORE', session, ARGV[at]) then
      table.insert(there, ARGV[at])
    end
  end
  for at = 1, #there + 1 - tonumber(ARGV[5]) do
    redis.call('ZREM', session, there[at])
    table.insert(claimed, there[at])
  end
  return claimed
end
