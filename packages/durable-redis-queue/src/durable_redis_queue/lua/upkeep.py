"""What is done for all streams at once: for the dead, by the clock, and for those who look on."""

from durable_redis_queue.lua.common import COMMON

# Gives back what dead workers had claimed, and moves their private queues into the default queue.
# KEYS: 1 registry (sorted set)
# ARGV: 1 lease (ms), 2 default queue; then for each worker: its id (hex), its private queue
# Answers {stream, ref, preferred} of what they had claimed, and {stream, id, text} of what nobody could read.
RELEASE_DEAD = (
    COMMON
    + """
local lease, default = tonumber(ARGV[1]), ARGV[2]
local released, is_private = {}, {}
local touched = sweep(lease)                     -- what has run out of its lease is nobody's any more

local function give_back(member, worker)
  repeat
    local held = pending(member, worker, BATCH)
    for _, item in ipairs(held) do
      local found = redis.call('XRANGE', stream(member), item[1], item[1])[1]
      local entry = found and entry_of_fields(found[2])
      if entry then released[#released + 1] = {member, entry.ref, entry.preferred} end
      hand(member, FREE, {item[1]})
      touched = touched + 1
    end
  until #held == 0
  repeat
    local held = pending(member, KEPT_FOR .. worker, BATCH)
    for _, item in ipairs(held) do hand(member, FREE, {item[1]}) end
    touched = touched + #held
  until #held == 0
  -- Not sooner: it drops without a word what is still pending.
  for _, consumer in ipairs({worker, KEPT_FOR .. worker}) do
    ask(member, 'XGROUP', 'DELCONSUMER', stream(member), GROUP, consumer)
  end
end

local function move(member)
  local target = member.kind .. ':' .. member.priority .. ':' .. default
  repeat
    local items = ask(member.name, 'XRANGE', stream(member.name), '-', '+', 'COUNT', BATCH)
    for _, item in ipairs(items) do
      local entry = entry_of_fields(item[2])
      if entry then
        local _, _, count = holder(member.name, item[1])
        register(target)
        must(add(target, entry.ref, entry.preferred, entry.deliveries + (count or 0)))
        remove(member.name, {item[1]})
      else
        bury_entry(member.name, item[1], item[2])
      end
      touched = touched + 1
    end
  until #items == 0
  local waiting = ask(member.name, 'ZRANGE', delayed(member.name), 0, -1, 'WITHSCORES')
  for i = 1, #waiting, 2 do
    register(target)
    redis.call('ZADD', delayed(target), waiting[i + 1], waiting[i])
  end
  touched = touched + #waiting
  redis.call('DEL', stream(member.name), delayed(member.name))
  redis.call('ZREM', registry, member.name)
end

for i = 3, #ARGV, 2 do is_private[ARGV[i + 1]] = true end
for _, member in ipairs(members()) do
  if redis.call('EXISTS', stream(member.name)) == 1 then
    for i = 3, #ARGV, 2 do give_back(member.name, ARGV[i]) end
  end
  if is_private[member.queue] then move(member) end
end
if touched > 0 then wake() end
return {released, buried}
"""
)

# Moves what is due, rings if there was any, and clears away what nobody uses any more.
# KEYS: 1 registry (sorted set)
# ARGV: 1 time between two clearings (ms), 2 how long a stream is empty (ms) and 3 a consumer idle (ms) before it is
#       cleared away
# Answers the milliseconds until something is due, or -1 for never; entries that nobody could read; lost groups.
TICK = (
    COMMON
    + """
local empty_for, idle_for = tonumber(ARGV[2]), tonumber(ARGV[3])

local function value(reply, name)
  for i = 1, #reply, 2 do
    if reply[i] == name then return reply[i + 1] end
  end
end

-- Private queues come and go, and so do workers: neither may leave something behind for ever.
local function clear(member)
  local info = ask(member, 'XINFO', 'STREAM', stream(member))
  local last = value(info, 'last-generated-id')
  if last and value(info, 'length') == 0 and size_of(member, 'ZCARD', delayed(member)) == 0
      and parts_of(last) + empty_for < now then
    redis.call('DEL', stream(member))
    redis.call('ZREM', registry, member)
    return
  end
  for _, consumer in ipairs(ask(member, 'XINFO', 'CONSUMERS', stream(member), GROUP)) do
    local name = value(consumer, 'name')
    if name ~= FREE and value(consumer, 'pending') == 0 and value(consumer, 'idle') > idle_for then
      redis.call('XGROUP', 'DELCONSUMER', stream(member), GROUP, name)
    end
  end
end

local clears, moved, next_due = is_time_to('cleared', ARGV[1]), 0, nil
for _, member in ipairs(members()) do
  moved = moved + ripen(member.name)
  local head = ask(member.name, 'ZRANGE', delayed(member.name), 0, 0, 'WITHSCORES')
  local due = tonumber(head[2])
  if due and (not next_due or due < next_due) then next_due = due end
  if clears then
    if redis.call('EXISTS', stream(member.name), delayed(member.name)) == 0 then
      redis.call('ZREM', registry, member.name)
    elseif redis.call('EXISTS', stream(member.name)) == 1 then
      clear(member.name)
    end
  end
end
if moved > 0 then wake() end
return {next_due and math.max(next_due - now, 0) or -1, buried, mended}
"""
)

# The numbers of all streams.
# KEYS: 1 registry (sorted set)
# ARGV: 1 lease (ms)
# Answers {stream, ready, claimed, delayed, age of the oldest ready entry (ms, -1: none)}, and the streams that
# unreadable entries came from.
STATS = (
    COMMON
    + """
sweep(tonumber(ARGV[1]))

-- The age of an entry counts from when it was first ready, whoever had it since.
local function oldest_of(member)
  local oldest
  local function look_at(id)
    local ms = parts_of(id)
    if not oldest or ms < oldest then oldest = ms end
  end
  for _, group in ipairs(ask(member, 'XINFO', 'GROUPS', stream(member))) do
    local is_ours, last = false, '0-0'
    for i = 1, #group, 2 do
      if group[i] == 'name' then is_ours = group[i + 1] == GROUP end
      if group[i] == 'last-delivered-id' then last = group[i + 1] end
    end
    local first = is_ours and redis.call('XRANGE', stream(member), '(' .. last, '+', 'COUNT', 1)[1]
    if first then look_at(first[1]) end
  end
  for _, consumer in ipairs((ask(member, 'XPENDING', stream(member), GROUP)[4]) or {}) do
    if consumer[1] == FREE or consumer[1]:sub(1, #KEPT_FOR) == KEPT_FOR then
      look_at(pending(member, consumer[1], 1)[1][1])
    end
  end
  return oldest
end

local rows, stones = {}, {}
for _, member in ipairs(members()) do
  ripen(member.name)
  local claimed, size = 0, 0
  if redis.call('EXISTS', stream(member.name)) == 1 then
    size = size_of(member.name, 'XLEN', stream(member.name))
    for _, consumer in ipairs((ask(member.name, 'XPENDING', stream(member.name), GROUP)[4]) or {}) do
      if consumer[1] ~= FREE and consumer[1]:sub(1, #KEPT_FOR) ~= KEPT_FOR then claimed = claimed + consumer[2] end
    end
  end
  local ready, age = math.max(size - claimed, 0), -1
  local oldest = ready > 0 and oldest_of(member.name)
  if oldest then age = math.max(now - oldest, 0) end
  local waiting = size_of(member.name, 'ZCARD', delayed(member.name))
  rows[#rows + 1] = {member.name, ready, claimed, waiting, age}
end
for _, item in ipairs(ask('', 'XRANGE', dead, '-', '+')) do stones[#stones + 1] = item[2][2] end
return {rows, stones}
"""
)

# Whether this user may run what the scripts run, on keys of its own that are gone afterwards.
# KEYS: 1 registry (sorted set)
# Answers {command, error} of each that was refused.
PROBE = """
local root = KEYS[1]:sub(1, -#'streams' - 1)
local s, z, k = root .. 'probe:s', root .. 'probe:z', root .. 'probe:k'
local refused = {}
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then refused[#refused + 1] = {(...), reply.err} end
  return reply
end
local id = '1-1'
try('TIME')
try('XGROUP', 'CREATE', s, 'g', '0', 'MKSTREAM')
try('XADD', s, id, 'a', 'b')
try('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 1, 'STREAMS', s, '>')
try('XPENDING', s, 'g')
try('XCLAIM', s, 'g', 'd', 0, id, 'JUSTID')
try('XAUTOCLAIM', s, 'g', 'd', 0, '0-0', 'JUSTID')
try('XRANGE', s, '-', '+')
try('XINFO', 'STREAM', s)
try('XINFO', 'GROUPS', s)
try('XINFO', 'CONSUMERS', s, 'g')
try('XLEN', s)
try('XACK', s, 'g', id)
try('XDEL', s, id)
try('XGROUP', 'DELCONSUMER', s, 'g', 'd')
try('ZADD', z, 'NX', 1, 'a')
try('ZCARD', z)
try('ZRANGE', z, 0, 0)
try('ZREVRANGE', z, 0, 0)
try('ZRANGEBYSCORE', z, '-inf', 1)
try('ZREM', z, 'a')
try('SET', k, 1, 'NX', 'PX', 1000)
try('EXISTS', k)
try('DEL', s, z, k)
return refused
"""
