-- ARGV: 3 the resolution of a touch, 4 the old secret's hash, 5 the new one's, 6 the grace, 7 how many replaced
-- secrets may answer.
if not live() then
  return false
end
local known = redis.call('HMGET', session, 's', 'r')
if known[1] ~= ARGV[4] then
  return 'superseded'
end
local replaced = {}
for secret, till in string.gmatch(known[2] or '', '(%S+) (%d+)') do
  if now < tonumber(till) then
    table.insert(replaced, secret .. ' ' .. till)
  end
end
if ARGV[6] ~= '0' then
  table.insert(replaced, ARGV[4] .. ' ' .. whole(now + tonumber(ARGV[6])))
  if #replaced > tonumber(ARGV[7]) then
    table.remove(replaced, 1)
  end
end
redis.call('HSET', session, 's', ARGV[5], 'r', table.concat(replaced, ' '))
redis.call('HINCRBY', session, 'v', 1)
touch(ARGV[3])
return answer()
