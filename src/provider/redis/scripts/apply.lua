-- ARGV: 5 the version that the session must have, or nothing; 6 the resolution of a touch; then the changes:
-- '=' NAME VALUE sets, '-' NAME deletes.
if not live() then
  return false
elseif not admitted() then
  return 'superseded'
elseif ARGV[5] ~= '' and ARGV[5] ~= it.v then
  return { 'conflict', it.v }
end
fetch_attributes()
local sets, deletes, at = access({ v = whole(it.v + 1) }, ARGV[6]), {}, 7
while at <= #ARGV do
  local field = 'a:' .. ARGV[at + 1]
  if ARGV[at] == '=' then
    sets[field] = ARGV[at + 2]
    at = at + 3
  else
    table.insert(deletes, field)
    at = at + 2
  end
end
write(sets, deletes)
return answer()
