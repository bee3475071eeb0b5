-- ARGV: 7 the resolution of a touch, 8 the new secret's hash, 9 the grace, 10 how many replaced secrets may answer;
-- for a login also 11 how many bytes the session may take, 12 the owner, 13 until when the index holds it. Answers
-- then also whose it was: `was`.
if not live() then
  return false
elseif it.s ~= ARGV[4] then
  return 'superseded'
end
fetch_attributes()
local was = it.o
local refused = ARGV[11] and too_large(size() - #(was or '') + #ARGV[12], ARGV[11])
if refused then
  return refused
end
-- Secrets that were replaced before answer no longer than the one that is replaced now.
local most, replaced = now + ARGV[9], {}
for secret, till in string.gmatch(it.r or '', '(%S+) (%d+)') do
  till = math.min(tonumber(till), most)
  if now < till then
    table.insert(replaced, secret .. ' ' .. whole(till))
  end
end
if now < most then
  table.insert(replaced, it.s .. ' ' .. whole(most))
end
if #replaced > tonumber(ARGV[10]) then
  table.remove(replaced, 1)
end
local sets = { s = ARGV[8], r = table.concat(replaced, ' '), v = whole(it.v + 1) }
sets.o, sets.x = ARGV[12], ARGV[13]
write(access(sets, ARGV[7]), {})
if ARGV[11] then
  it.was = was
end
return answer()
