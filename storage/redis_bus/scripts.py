"""What Redis does for us, each script all-or-nothing and on one key, so that all of it works on a cluster.

Only commands of Redis 6.2. Scripts are sent as they are (EVAL): a server that has restarted or was replaced knows none by its hash.
Times are the server's own, in microseconds; ``%.0f`` because Lua writes large numbers with an exponent.
"""

from typing import Final

#: KEYS: stream. ARGV: log, how many to keep, then pos and event of each. Returns 1 if what was there belonged to another log and is gone.
#: An entry's only field is named by the log. What is there already is skipped. A stream is of another log if it says so, or if its
#: newest entry (or, when it reaches further, the newest one given) is not what the log has at this place.
MIRROR: Final = """
local key, log, keep = KEYS[1], ARGV[1], ARGV[2]
local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local top, foreign = 0, 0
if newest then
  top = tonumber(string.match(newest[1], '^%d+'))
  local first, last = tonumber(ARGV[3]), tonumber(ARGV[#ARGV - 1])
  if newest[2][1] ~= log then
    foreign = 1
  elseif top >= first and top <= last then
    foreign = 1
    for i = 3, #ARGV, 2 do
      if tonumber(ARGV[i]) == top and ARGV[i + 1] == newest[2][2] then foreign = 0 end
    end
  elseif top > last then
    local id = ARGV[#ARGV - 1] .. '-0'
    local there = redis.call('XRANGE', key, id, '+', 'COUNT', 1)[1]
    local before = redis.call('XREVRANGE', key, '(' .. id, '-', 'COUNT', 1)[1]
    if there[1] == id then
      if there[2][1] ~= log or there[2][2] ~= ARGV[#ARGV] then foreign = 1 end
    elseif before then
      foreign = 1
    end
  end
  if foreign == 1 then
    redis.call('DEL', key)
    top = 0
  end
end
for i = 3, #ARGV, 2 do
  if tonumber(ARGV[i]) > top then
    redis.call('XADD', key, 'MAXLEN', '~', keep, ARGV[i] .. '-0', log, ARGV[i + 1])
  end
end
return foreign
"""

#: KEYS: stream. ARGV: log, first id, last id, how many, how many bytes. Returns one MessagePack array: one long string costs the
#: reader far less than thousands of short replies.
READ: Final = """
local out, size = {}, 0
for i, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[3], 'COUNT', ARGV[4])) do
  size = size + #entry[2][2]
  if entry[2][1] ~= ARGV[1] or (i > 1 and size > tonumber(ARGV[5])) then break end
  out[i] = entry[2][2]
end
return struct.pack('>BI4', 221, #out) .. table.concat(out)
"""

#: KEYS: stream. ARGV: log. Returns the newest pos.
TOP: Final = """
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if newest and newest[2][1] == ARGV[1] then return string.match(newest[1], '^%d+') end
return '0'
"""

GET: Final = "return redis.call('GET', KEYS[1])"
SET: Final = "redis.call('SET', KEYS[1], ARGV[1]) return 1"
DELETE: Final = "return redis.call('UNLINK', KEYS[1])"

#: May this server be written? READONLY, OOM, MISCONF, NOREPLICAS, CLUSTERDOWN and LOADING all say no here.
PROBE: Final = "redis.call('SET', KEYS[1], '1', 'PX', 60000) return 1"

#: KEYS: channel. ARGV: messages.
TELL: Final = "for i = 1, #ARGV do redis.call('PUBLISH', KEYS[1], ARGV[i]) end return #ARGV"

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function text(number) return string.format('%.0f', number) end
"""

#: KEYS: bucket. ARGV: rate, burst. Returns the microseconds to wait. The same arithmetic as ``storage.bucket.take``.
TAKE: Final = (
    _NOW
    + """
local rate, burst = tonumber(ARGV[1]), math.max(1, tonumber(ARGV[2]))
local kept = redis.call('HMGET', KEYS[1], 'due', 'closed')
local due, closed = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
local wait = math.max(0, closed - now)
if rate <= 0 then return text(wait) end
local interval = 1000000 / rate
local ahead = (burst - 1) * interval
due = math.min(math.max(due, now), now + ahead + interval)
wait = math.max(wait, tonumber(text(due - ahead - now)))
if wait > 0 then return text(wait) end
redis.call('HSET', KEYS[1], 'due', text(due + interval))
redis.call('PEXPIRE', KEYS[1], text(math.ceil((due + interval - now) / 1000) + 1000))
return '0'
"""
)

#: KEYS: bucket. ARGV: microseconds.
BLOCK: Final = (
    _NOW
    + """
local closed = math.max(now + tonumber(ARGV[1]), tonumber(redis.call('HGET', KEYS[1], 'closed') or 0))
redis.call('HSET', KEYS[1], 'closed', text(closed))
local life = math.ceil((closed - now) / 1000) + 1000
if redis.call('PTTL', KEYS[1]) < life then redis.call('PEXPIRE', KEYS[1], text(life)) end
return 1
"""
)

#: KEYS: group. ARGV: member, microseconds.
ARRIVE: Final = (
    _NOW
    + """
redis.call('ZADD', KEYS[1], text(now + tonumber(ARGV[2])), ARGV[1])
local life = math.ceil(tonumber(ARGV[2]) / 1000) + 1000
if redis.call('PTTL', KEYS[1]) < life then redis.call('PEXPIRE', KEYS[1], text(life)) end
return 1
"""
)

#: KEYS: group. ARGV: member.
LEAVE: Final = "return redis.call('ZREM', KEYS[1], ARGV[1])"

#: KEYS: group. Returns the members.
PRESENT: Final = (
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
)
