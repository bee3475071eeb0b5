-- Begins every script. KEYS[1] is the one key that a script may touch, so that it runs in a cluster.
-- ARGV[1]: the request's number, which its answer begins and ends with: so nobody takes another request's
-- answer for its own. ARGV[2]: the time in milliseconds, or nothing: the server's. ARGV[3]: by how many milliseconds the
-- server may remove a key later than it ends, if the time is not the server's.
--
-- A server may refuse any single command (an ACL, READONLY, MISCONF), and what needs memory (OOM), the latter
-- only as the first write of a script. So a script reads everything first, and uses each command that writes
-- in a way that changes nothing before it changes anything: what is refused is refused whole.
local key, now, slack = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A number as Redis writes it: Lua would round it.
local function whole(number)
  return string.format('%.0f', number)
end

-- Lets the server remove the key at a time.
local function expire(at)
  redis.call('PEXPIRE', key, whole(math.max(at - now + slack, 1)))
end

-- Removes the key. In this way, so that whoever may write a key that ends may also end it.
local function remove()
  redis.call('PEXPIRE', key, 0)
end
