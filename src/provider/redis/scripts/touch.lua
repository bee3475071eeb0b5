-- ARGV: 3 the resolution of a touch.
if not live() then
  return false
end
local refused = touch(ARGV[3])
if refused then
  return refused
end
return { whole(now), redis.call('HMGET', session, 'k', 'i', 'd', 'o', 'x') }
