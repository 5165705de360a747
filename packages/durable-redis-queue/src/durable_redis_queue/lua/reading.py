"""What only looks: nothing here moves, mends or clears away, whatever it finds."""

from durable_redis_queue.lua.common import COMMON

# The streams there are.
# KEYS: 1 registry (sorted set)
# Answers their names.
STREAMS = "return redis.call('ZREVRANGE', KEYS[1], 0, -1)"

# A page of one stream: of its entries.
# KEYS: 1 registry (sorted set)
# ARGV: 1 stream, 2 id behind which the page begins ('-' for the first), 3 size of the page, 4 lease (ms)
# Answers the page's last id ('' where there are no more), and {ref, preferred worker, claiming worker} of each entry.
ENTRIES = (
    COMMON
    + """
local member, after, count, lease = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local function look(...)
  local reply = redis.pcall(...)
  return failed(reply) and {} or reply or {}
end

local function claimed_by(id)
  local found = look('XPENDING', stream(member), GROUP, id, id, 1)[1]
  if not found or found[2] == FREE or found[2]:sub(1, #KEPT_FOR) == KEPT_FOR or found[3] >= lease then return '' end
  return found[2]
end

local last, found = '', {}
for _, item in ipairs(look('XRANGE', stream(member), after == '-' and '-' or '(' .. after, '+', 'COUNT', count)) do
  local entry = entry_of_fields(item[2])
  last = item[1]
  if entry then found[#found + 1] = {entry.ref, entry.preferred, claimed_by(last)} end
end
return {last, found}
"""
)

# A page of what of one stream is delayed.
# KEYS: 1 registry (sorted set)
# ARGV: 1 stream, 2 place at which the page begins, 3 size of the page
# Answers how many there were, and {ref, preferred worker, whether its delay is over} of each that can be read.
DELAYED = (
    COMMON
    + """
local first, count = tonumber(ARGV[2]), tonumber(ARGV[3])
local reply = redis.pcall('ZRANGE', delayed(ARGV[1]), first, first + count - 1, 'WITHSCORES')
if failed(reply) then reply = {} end
local found = {}
for i = 1, #reply, 2 do
  local entry = entry_of(reply[i]:match('^(%S*) (%S*) (%S*) '))
  if entry then found[#found + 1] = {entry.ref, entry.preferred, tonumber(reply[i + 1]) <= now and 1 or 0} end
end
return {#reply / 2, found}
"""
)
