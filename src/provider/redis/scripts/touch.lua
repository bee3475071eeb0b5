-- ARGV: 7 the resolution of a touch.
if not live() then
  return false
elseif not admitted() then
  return 'superseded'
end
touch(ARGV[7])
return { whole(now), terms() }
