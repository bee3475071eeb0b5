-- ARGV: 3 the resolution of a touch, 4 whether there is an owner, 5 the owner, 6 until when the index holds it.
-- Returns the terms, and whose it was.
if not live() then
  return false
end
local before = redis.call('HGET', session, 'o')
redis.call('HINCRBY', session, 'v', 1)
if ARGV[4] == '1' then
  redis.call('HSET', session, 'o', ARGV[5], 'x', ARGV[6])
else
  redis.call('HDEL', session, 'o', 'x')
end
touch(ARGV[3])
expire()
local terms = redis.call('HMGET', session, 'k', 'i', 'd', 'o', 'x')
table.insert(terms, before)
return { whole(now), terms }
