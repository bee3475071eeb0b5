-- ARGV: 7 the resolution of a touch, 8 how many bytes the session may take, 9 whether there is an owner, 10 the owner,
-- 11 until when the index holds it.
-- Answers also whose it was: `was`.
if not live() then
  return false
elseif not admitted() then
  return 'superseded'
end
-- What follows in other scripts reads sessions whole: who may not do that is refused here.
fetch_attributes()
local was = it.o
local refused = too_large(size() - #(was or '') + #ARGV[10], ARGV[8])
if refused then
  return refused
end
local sets, deletes = access({ v = whole(it.v + 1) }, ARGV[7]), {}
if ARGV[9] == '1' then
  sets.o, sets.x = ARGV[10], ARGV[11]
else
  deletes = { 'o', 'x' }
end
write(sets, deletes)
it.was = was
return answer()
