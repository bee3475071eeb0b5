-- ARGV: 5 the resolution of a touch, 6 the new secret's hash, 7 the grace, 8 how many replaced secrets may answer;
-- for a login also 9 how many bytes the session may take, 10 the owner, 11 until when the index holds it. Answers
-- then also whose it was: `was`.
if not live() then
  return false
elseif it.s ~= ARGV[4] then
  return 'superseded'
end
fetch_attributes()
local was = it.o
local refused = ARGV[9] and too_large(size() - #(was or '') + #ARGV[10], ARGV[9])
if refused then
  return refused
end
-- Secrets that were replaced before answer no longer than the one that is replaced now.
local most, replaced = now + ARGV[7], {}
for secret, till in string.gmatch(it.r or '', '(%S+) (%d+)') do
  till = math.min(tonumber(till), most)
  if now < till then
    table.insert(replaced, secret .. ' ' .. whole(till))
  end
end
if now < most then
  table.insert(replaced, it.s .. ' ' .. whole(most))
end
if #replaced > tonumber(ARGV[8]) then
  table.remove(replaced, 1)
end
local sets = { s = ARGV[6], r = table.concat(replaced, ' '), v = whole(it.v + 1) }
sets.o, sets.x = ARGV[10], ARGV[11]
write(access(sets, ARGV[5]), {})
if ARGV[9] then
  it.was = was
end
return answer()
