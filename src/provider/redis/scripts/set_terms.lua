-- ARGV: 7 an idle timeout or nothing, 8 a lifetime or nothing. Either counts from when it should: the idle
-- timeout from the last access, the lifetime from now.
if not live() then
  return false
elseif not admitted() then
  return 'superseded'
end
local sets = {}
if ARGV[7] ~= '' then
  sets.i = ARGV[7]
end
if ARGV[8] ~= '' then
  sets.d = whole(now + ARGV[8])
end
write(sets, {})
return { whole(now), terms() }
