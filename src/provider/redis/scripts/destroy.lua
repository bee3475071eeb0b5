-- ARGV: 5 the owner whose session it must be, or nothing; 6 whether that counts.
-- Returns whether there was a session, and whose.
if not live() then
  remove()
  return false
elseif not admitted() then
  return 'superseded'
elseif ARGV[6] == '1' and it.o ~= ARGV[5] then
  return false
end
remove()
return { whole(now), { it.o or false } }
