-- ARGV: 5 key, 6 secret, 7 idle timeout, 8 lifetime or nothing, then names and values of attributes.
if it.k then
  return 'collision'
end
local time = whole(now)
it = { k = ARGV[5], s = ARGV[6], v = '1', c = time, t = time, i = ARGV[7] }
if ARGV[8] ~= '' then
  it.d = whole(now + ARGV[8])
end
for at = 9, #ARGV, 2 do
  it['a:' .. ARGV[at]] = ARGV[at + 1]
end
-- Where there is nothing these change nothing. The first one needs memory.
redis.call('ZADD', key, 'XX', 0, '')
expire(deadline())
for field, value in pairs(it) do
  redis.call('HSET', key, field, value)
end
expire(deadline())
return answer()
