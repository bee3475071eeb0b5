-- ARGV: 5 until when the owner index holds the session, 6 the owner. Only if it is still the owner's.
if not live() or it.o ~= ARGV[6] then
  return false
end
if tonumber(ARGV[5]) > tonumber(it.x or '0') then
  write({ x = ARGV[5] }, {})
end
return 1
