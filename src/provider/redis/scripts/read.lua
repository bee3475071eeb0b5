-- ARGV: 7 the resolution of a touch, or nothing for none.
if not live() then
  return false
elseif not admitted() then
  return 'superseded'
end
fetch_attributes()
if ARGV[7] ~= '' then
  local done, refusal = pcall(touch, ARGV[7])
  if not done then
    -- With memory out the session can still be read, though its idle time goes on.
    local text = type(refusal) == 'table' and refusal.err or refusal
    if not string.find(text, 'OOM command not allowed', 1, true) then
      error(refusal, 0)
    end
  end
end
return answer()
