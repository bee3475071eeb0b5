-- ARGV: 3 an idle timeout or nothing, 4 a lifetime or nothing. Either counts from when it should: the idle
-- timeout from the last access, the lifetime from now.
if not live() then
  return false
end
if ARGV[3] ~= '' then
  redis.call('HSET', session, 'i', ARGV[3])
end
if ARGV[4] ~= '' then
  redis.call('HSET', session, 'd', whole(now + tonumber(ARGV[4])))
end
local result = { whole(now), redis.call('HMGET', session, 'k', 'i', 'd', 'o', 'x') }
if live() then
  expire()
else
  redis.call('UNLINK', session)
end
return result
