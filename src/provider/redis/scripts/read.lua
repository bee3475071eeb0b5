-- ARGV: 3 the hash of the secret that the client has, or nothing; 4 the resolution of a touch, or nothing for none.
local function admits(secret)
  local known = redis.call('HMGET', session, 's', 'r')
  if known[1] == secret then
    return true
  end
  for replaced, till in string.gmatch(known[2] or '', '(%S+) (%d+)') do
    if replaced == secret and now < tonumber(till) then
      return true
    end
  end
  return false
end

if not live() or (ARGV[3] ~= '' and not admits(ARGV[3])) then
  return false
end
if ARGV[4] ~= '' then
  -- With memory out the session can still be read, though its idle time goes on.
  touch(ARGV[4])
end
return answer()
