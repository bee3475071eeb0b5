-- ARGV: 3 the owner whose session it must be, or nothing; 4 whether that counts.
-- Returns whether there was a session, and whose.
if not live() then
  redis.call('UNLINK', session)
  return false
end
local owner = redis.call('HGET', session, 'o')
if ARGV[4] == '1' and owner ~= ARGV[3] then
  return false
end
redis.call('UNLINK', session)
return { owner }
