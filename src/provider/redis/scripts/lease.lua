-- ARGV: 3 until when the owner index holds the session, 4 the owner. Only if it is still the owner's.
if live() and redis.call('HGET', session, 'o') == ARGV[4] then
  local until_now = tonumber(redis.call('HGET', session, 'x') or '0')
  if tonumber(ARGV[3]) > until_now then
    redis.call('HSET', session, 'x', ARGV[3])
    expire()
  end
  -- Last, as in `answer`.
  redis.call('EXISTS', session)
  return 1
end
return false
