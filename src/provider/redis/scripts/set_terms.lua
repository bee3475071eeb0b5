-- ARGV: 5 an idle timeout or nothing, 6 a lifetime or nothing. Either counts from when it should: the idle
-- timeout from the last access, the lifetime from now.
if not live() then
  return false
elseif not admitted() then
  return 'superseded'
end
local sets = {}
if ARGV[5] ~= '' then
  sets.i = ARGV[5]
end
if ARGV[6] ~= '' then
  sets.d = whole(now + ARGV[6])
end
write(sets, {})
return { whole(now), terms() }
