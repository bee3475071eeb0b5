-- Begins every script. KEYS[1] is the one key that a script may touch, so that it runs in a cluster.
-- ARGV[1]: the time in milliseconds, or nothing: the server's. ARGV[2]: by how many milliseconds the server
-- may remove a session later than it ends, if the time is not the server's.
--
-- A session is a hash:
--   k  the session's key, as text          s  the hash of its secret
--   r  replaced secrets that may still answer: their hashes, each with the time until which it does
--   v  its version                         o  its owner
--   c  when it was created                 t  when it was last accessed
--   i  its idle timeout                    d  its absolute deadline
--   x  until when the owner index holds it: an owned session does not outlive that
--   a:NAME  an attribute, as JSON
local session, now, slack = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A number as Redis writes it: Lua would round it.
local function whole(number)
  return string.format('%.0f', number)
end

-- When the session ends if it is not accessed any more; nil if there is none.
local function deadline()
  local terms = redis.call('HMGET', session, 't', 'i', 'd', 'x')
  if not terms[1] then
    return nil
  end
  local ends = tonumber(terms[1]) + tonumber(terms[2])
  return math.min(ends, tonumber(terms[3]) or math.huge, tonumber(terms[4]) or math.huge)
end

-- Whether the session is live. The server may not have removed it yet.
local function live()
  local ends = deadline()
  return ends ~= nil and now < ends
end

-- Lets the server remove the session when it ends.
local function expire()
  redis.call('PEXPIRE', session, whole(math.max(deadline() - now + slack, 1)))
end

-- Starts the idle time anew, if the last access is so long ago that it counts. An error if memory is out.
local function touch(resolution)
  local last = tonumber(redis.call('HGET', session, 't'))
  if now > last and now - last >= tonumber(resolution) then
    local done = redis.pcall('HSET', session, 't', whole(now))
    if type(done) == 'table' and done.err then
      return done
    end
    expire()
  end
  return nil
end

-- What the caller is told. It comes after all writes: so a client that tracks the key is told of the next one.
local function answer()
  return { whole(now), redis.call('HGETALL', session) }
end
