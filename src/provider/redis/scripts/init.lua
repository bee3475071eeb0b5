-- ARGV: 7 key, 8 secret, then names and values of attributes.
if it.k then
  return 'collision'
end
local time = whole(now)
local sets = { k = ARGV[7], s = ARGV[8], v = '1', c = time, t = time }
for at = 9, #ARGV, 2 do
  sets['a:' .. ARGV[at]] = ARGV[at + 1]
end
for field, value in pairs(sets) do
  it[field] = value
end
follow_settings()
-- Where there is nothing these change nothing. The first one needs memory.
redis.call('ZADD', key, 'XX', 0, '')
expire(deadline())
for field, value in pairs(sets) do
  redis.call('HSET', key, field, value)
end
expire(deadline())
return answer()
