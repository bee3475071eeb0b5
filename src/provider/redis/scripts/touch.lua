-- ARGV: 5 the resolution of a touch.
if not live() then
  return false
elseif not admitted() then
  return 'superseded'
end
touch(ARGV[5])
return { whole(now), terms() }
