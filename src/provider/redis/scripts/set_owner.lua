-- ARGV: 5 the resolution of a touch, 6 whether there is an owner, 7 the owner, 8 until when the index holds it.
-- Answers also whose it was: `was`.
if not live() then
  return false
elseif not admitted() then
  return 'superseded'
end
-- What follows in other scripts reads sessions whole: who may not do that is refused here.
fetch_attributes()
local was = it.o
local sets, deletes = access({ v = whole(it.v + 1) }, ARGV[5]), {}
if ARGV[6] == '1' then
  sets.o, sets.x = ARGV[7], ARGV[8]
else
  deletes = { 'o', 'x' }
end
write(sets, deletes)
it.was = was
return answer()
