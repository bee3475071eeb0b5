-- ARGV: 5 the resolution of a touch, 6 how many bytes the session may take, 7 whether there is an owner, 8 the owner,
-- 9 until when the index holds it.
-- Answers also whose it was: `was`.
if not live() then
  return false
elseif not admitted() then
  return 'superseded'
end
-- What follows in other scripts reads sessions whole: who may not do that is refused here.
fetch_attributes()
local was = it.o
local refused = too_large(size() - #(was or '') + #ARGV[8], ARGV[6])
if refused then
  return refused
end
local sets, deletes = access({ v = whole(it.v + 1) }, ARGV[5]), {}
if ARGV[7] == '1' then
  sets.o, sets.x = ARGV[8], ARGV[9]
else
  deletes = { 'o', 'x' }
end
write(sets, deletes)
it.was = was
return answer()
