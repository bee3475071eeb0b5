-- ARGV: 7 the owner whose session it must be, or nothing; 8 whether that counts.
-- Returns whether there was a session, and whose.
if not live() then
  remove()
  return false
elseif not admitted() then
  return 'superseded'
elseif ARGV[8] == '1' and it.o ~= ARGV[7] then
  return false
end
remove()
return { whole(now), { it.o or false } }
