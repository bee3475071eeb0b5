-- ARGV: 5 the resolution of a touch, 6 whether there is an owner, 7 the owner, 8 until when the index holds it.
-- Returns the terms, and whose it was.
if not live() then
  return false
elseif not admitted() then
  return 'superseded'
end
-- What follows in other scripts reads sessions whole: who may not do that is refused here.
fetch_attributes()
local before = it.o or false
local sets, deletes = access({ v = whole(it.v + 1) }, ARGV[5]), {}
if ARGV[6] == '1' then
  sets.o, sets.x = ARGV[7], ARGV[8]
else
  deletes = { 'o', 'x' }
end
write(sets, deletes)
local result = terms()
table.insert(result, before)
return { whole(now), result }
