-- ARGV: 7 the version that the session must have, or nothing; 8 the resolution of a touch; 9 how many bytes it
-- may take; then the changes: '=' NAME VALUE sets, '-' NAME deletes.
if not live() then
  return false
elseif not admitted() then
  return 'superseded'
end
fetch_attributes()
if ARGV[7] ~= '' and ARGV[7] ~= it.v then
  return { 'conflict', answer() }
end
-- What becomes of each attribute: its JSON, or false.
local new, bytes, is_changed, at = {}, size(), false, 10
while at <= #ARGV do
  local field, json = 'a:' .. ARGV[at + 1], false
  local old = new[field]
  if old == nil then
    old = it[field]
  end
  if ARGV[at] == '=' then
    json = ARGV[at + 2]
    at = at + 3
  else
    at = at + 2
  end
  is_changed = is_changed or json or old
  bytes = bytes + taken(field, json) - taken(field, old)
  new[field] = json
end
if not is_changed then
  -- A server that takes no writes refuses even so, as in `touch`.
  redis.call('HDEL', key, '')
  return answer()
end
local refused = too_large(bytes, ARGV[9])
if refused then
  return refused
end
local sets, deletes = access({ v = whole(it.v + 1) }, ARGV[8]), {}
for field, json in pairs(new) do
  if json then
    sets[field] = json
  else
    table.insert(deletes, field)
  end
end
write(sets, deletes)
return answer()
