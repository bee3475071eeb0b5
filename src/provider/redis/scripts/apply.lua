-- ARGV: 3 the version that the session must have, or nothing; 4 the resolution of a touch; then the changes:
-- '=' NAME VALUE sets, '-' NAME deletes.
if not live() then
  return false
end
local version = redis.call('HGET', session, 'v')
if ARGV[3] ~= '' and ARGV[3] ~= version then
  return { 'conflict', version }
end
-- First what needs memory: if there is none, nothing has been done.
redis.call('HINCRBY', session, 'v', 1)
local at = 5
while at <= #ARGV do
  if ARGV[at] == '=' then
    redis.call('HSET', session, 'a:' .. ARGV[at + 1], ARGV[at + 2])
    at = at + 3
  else
    redis.call('HDEL', session, 'a:' .. ARGV[at + 1])
    at = at + 2
  end
end
touch(ARGV[4])
return answer()
