-- Begins every script on a session. ARGV[4]: the hash of the secret that the request came with, or nothing: it
-- names the session by its key. ARGV[5] and ARGV[6]: the idle timeout that the caller's settings give, and the
-- lifetime, or nothing.
--
-- A session is a hash:
--   k  the session's key, as text          s  the hash of its secret
--   r  replaced secrets that may still answer: their hashes, each with the time until which it does
--   v  its version                         o  its owner
--   c  when it was created                 t  when it was last accessed
--   i  its own idle timeout, if it has one  d  its own absolute deadline, if it has one
--   x  until when the owner index holds it: an owned session does not outlive that
--   a:NAME  an attribute, as JSON
-- An answer has one field more: w, if the script has written to the session.
local FIELDS = { 'k', 's', 'r', 'v', 'o', 'c', 't', 'i', 'd', 'x' }
-- The session as it is in the server, at each step; without attributes until they are fetched.
local it = {}
for at, value in ipairs(redis.call('HMGET', key, unpack(FIELDS))) do
  it[FIELDS[at]] = value or nil
end

-- What is not the session's own is what the settings give now, not what they gave when it was created.
local function follow_settings()
  it.i = it.i or ARGV[5]
  if not it.d and ARGV[6] ~= '' then
    it.d = whole(it.c + ARGV[6])
  end
end
if it.t then
  follow_settings()
end

local function fetch_attributes()
  local all = redis.call('HGETALL', key)
  for at = 1, #all, 2 do
    it[all[at]] = all[at + 1]
  end
end

-- How many bytes an attribute takes: its name, its JSON and one more.
local function taken(field, json)
  return json and #field - 1 + #json or 0
end

-- How many bytes the application has in the session: attributes, once they are fetched, and owner.
local function size()
  local bytes = #(it.o or '')
  for field, value in pairs(it) do
    if string.sub(field, 1, 2) == 'a:' then
      bytes = bytes + taken(field, value)
    end
  end
  return bytes
end

-- What is answered if the session would take so many bytes and not fewer than before, and that is too many.
local function too_large(bytes, bound)
  if bytes > size() and bytes > tonumber(bound) then
    return { 'too large', { whole(bytes), bound } }
  end
end

-- When the session ends if it is not accessed any more.
local function deadline()
  return math.min(it.t + it.i, tonumber(it.d) or math.huge, tonumber(it.x) or math.huge)
end

-- Whether the session is live. The server may not have removed it yet.
local function live()
  return it.t ~= nil and now < deadline()
end

-- Whether the request may go on: its secret is the session's, or was replaced and still answers.
local function admitted()
  local secret = ARGV[4]
  if secret == '' or secret == it.s then
    return true
  end
  for replaced, till in string.gmatch(it.r or '', '(%S+) (%d+)') do
    if replaced == secret and now < tonumber(till) then
      return true
    end
  end
  return false
end

-- Sets and deletes fields, and lets the server remove the session when it ends: all of it, or nothing.
local function write(sets, deletes)
  redis.call('HSET', key, 't', it.t)
  if deletes[1] then
    redis.call('HDEL', key, '')
  end
  for field, value in pairs(sets) do
    it[field] = value
  end
  for _, field in ipairs(deletes) do
    it[field] = nil
  end
  if not live() then
    return remove()
  end
  expire(deadline())
  for field, value in pairs(sets) do
    redis.call('HSET', key, field, value)
  end
  for _, field in ipairs(deletes) do
    redis.call('HDEL', key, field)
  end
  -- A client that tracks what it has read is told of this change, once, since nothing is read in between; and of
  -- the first one after it.
  redis.call('HMGET', key, 'k')
  it.w = '1'
end

-- Adds the access to what is set, if the last one is so long ago that it counts. At the latest that is half of
-- the session's own idle timeout: more would let it end between two accesses that are written down.
local function access(sets, resolution)
  local since = now - it.t
  if since > 0 and since >= math.min(tonumber(resolution), math.ceil(it.i / 2)) then
    sets.t = whole(now)
  end
  return sets
end

-- Starts the idle time anew, if that counts. A server that takes no writes refuses even if it does not: a replica
-- may not know that the session has ended.
local function touch(resolution)
  local sets = access({}, resolution)
  if sets.t then
    write(sets, {})
  else
    redis.call('HDEL', key, '')
  end
end

-- The session, as the caller is told of it.
local function answer()
  local fields, length = {}, 0
  for field, value in pairs(it) do
    fields[length + 1], fields[length + 2] = field, value
    length = length + 2
  end
  return { whole(now), fields }
end

-- What decides how long it lives.
local function terms()
  return { it.k, it.i, it.d or false, it.o or false, it.x or false }
end
