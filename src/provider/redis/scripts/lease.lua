-- ARGV: 7 until when the owner index holds the session, 8 the owner. Only if it is still the owner's.
if not live() or it.o ~= ARGV[8] then
  return false
end
if tonumber(ARGV[7]) > tonumber(it.x or '0') then
  write({ x = ARGV[7] }, {})
end
return 1
