-- ARGV: 3 key, 4 secret, 5 idle timeout, 6 lifetime or nothing, then names and values of attributes.
if redis.call('EXISTS', session) == 1 then
  return 'collision'
end
local time = whole(now)
redis.call('HSET', session, 'k', ARGV[3], 's', ARGV[4], 'v', '1', 'c', time, 't', time, 'i', ARGV[5])
if ARGV[6] ~= '' then
  redis.call('HSET', session, 'd', whole(now + tonumber(ARGV[6])))
end
for field = 7, #ARGV, 2 do
  redis.call('HSET', session, 'a:' .. ARGV[field], ARGV[field + 1])
end
expire()
return answer()
