"""The life of an entry: enqueued, claimed, completed or released."""

from durable_redis_queue.lua.common import COMMON

# New entries at the end of their streams, or beside them until they are due.
# KEYS: 1 registry (sorted set)
# ARGV: 1 delay (ms, 0: none); then for each entry: its stream ("kind:priority:queue"), ref (hex), preferred worker (hex
#       or "")
# Answers nothing.
ENQUEUE = (
    COMMON
    + """
local wait = tonumber(ARGV[1])
for i = 2, #ARGV, 3 do
  register(ARGV[i])
  if wait > 0 then
    delay(ARGV[i], now + wait, ARGV[i + 1], ARGV[i + 2], 0)
  else
    must(add(ARGV[i], ARGV[i + 1], ARGV[i + 2], 0))
  end
end
wake(wait > 0 and now + wait)
"""
)

# Ready entries for one worker, highest priority first, then oldest, across its queues.
# KEYS: 1 registry (sorted set)
# ARGV: 1 worker (hex), 2 how long entries are left to the worker they prefer (ms), 3 lease (ms), 4 time between two
#       sweeps (ms), 5 limit of runs, 6 limit of activities, 7 "only" or "not", 8 what begins the names of private
#       queues; then the queues that the 7th is about
# Answers {stream, id, deliveries in the group, deliveries in all, ref, preferred} of each claim; {stream, id, text} of
# entries that nobody could read; streams whose group was lost; streams whose keys hold something else.
CLAIM = (
    COMMON
    + """
local worker, preference, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local limits = {run = tonumber(ARGV[5]), activity = tonumber(ARGV[6])}
local only, private = ARGV[7] == 'only', ARGV[8]
local MOST_KEPT = 1000                           -- entries of others that one claim sets aside on its way
local named = {}
for i = 9, #ARGV do named[ARGV[i]] = true end

local function is_served(queue)
  if only then return named[queue] end
  return not named[queue] and queue:sub(1, #private) ~= private
end

local function keep(member, id, preferred, since)
  hand(member, KEPT_FOR .. preferred, {id}, 0)
  redis.call('ZADD', kept, since + preference, member .. ' ' .. id)
end

-- Reads new entries: up to *wanted* that this worker may have go to *found*.
local set_aside = 0
local function read(member, wanted, found)
  while wanted > 0 and set_aside < MOST_KEPT do
    local reply = ask(
      member, 'XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', wanted, 'STREAMS', stream(member), '>')
    if not reply[1] then return end
    for _, item in ipairs(reply[1][2]) do
      local id, entry = item[1], entry_of_fields(item[2])
      local ms, seq = parts_of(id)
      local since = math.min(ms, now)            -- an id may be ahead of a clock that was set back
      if not entry then
        bury_entry(member, id, item[2])
      elseif entry.preferred ~= '' and entry.preferred ~= worker and entry.deliveries == 0
          and now < since + preference then
        keep(member, id, entry.preferred, since)
        set_aside = set_aside + 1
      else
        found[#found + 1] = {member = member, id = id, ms = ms, seq = seq, entry = entry, count = 1}
        wanted = wanted - 1
      end
    end
  end
end

-- What this worker may have of one stream, the oldest first, up to *room*; only the new ones are its own already.
local function look(member, room, found)
  if redis.call('EXISTS', stream(member)) == 0 then return end
  local ahead = 0
  for _, consumer in ipairs({FREE, KEPT_FOR .. worker}) do
    for _, item in ipairs(pending(member, consumer, room)) do
      local ms, seq = parts_of(item[1])
      found[#found + 1] = {member = member, id = item[1], ms = ms, seq = seq, count = item[4] + 1}
      ahead = ahead + 1
    end
  end
  read(member, room - ahead, found)
end

local function is_older(a, b)
  if a.ms ~= b.ms then return a.ms < b.ms end
  if a.seq ~= b.seq then return a.seq < b.seq end
  return a.member < b.member
end

-- Makes the chosen ones this worker's that were free or kept. Whoever deleted an entry meanwhile gets his way.
local function seize(chosen)
  local ids, entries = {}, {}
  for _, item in ipairs(chosen) do
    if not item.entry then
      ids[item.member] = ids[item.member] or {}
      table.insert(ids[item.member], item.id)
    end
  end
  for member, of_member in pairs(ids) do
    for _, item in ipairs(with_ids({'XCLAIM', stream(member), GROUP, worker, 0}, of_member)) do
      if item then
        entries[member .. item[1]] = entry_of_fields(item[2])
        if not entries[member .. item[1]] then bury_entry(member, item[1], item[2]) end
      end
    end
    for _, id in ipairs(of_member) do redis.call('ZREM', kept, member .. ' ' .. id) end
  end
  for _, item in ipairs(chosen) do
    item.entry = item.entry or entries[item.member .. item.id]
    if not item.entry then redis.call('XACK', stream(item.member), GROUP, item.id) end
  end
end

local claims = {}
-- Claims up to *room* entries of streams of one priority; answers how many.
local function take(class, room)
  local found, chosen, surplus = {}, {}, {}
  for _, member in ipairs(class) do look(member, room, found) end
  table.sort(found, is_older)
  for i, item in ipairs(found) do
    if i <= room then
      chosen[#chosen + 1] = item
    elseif item.entry then
      surplus[item.member] = surplus[item.member] or {}
      table.insert(surplus[item.member], item.id)
    end
  end
  for member, ids in pairs(surplus) do hand(member, FREE, ids, 0) end
  seize(chosen)
  for _, item in ipairs(chosen) do
    local entry = item.entry
    if entry then
      local deliveries = entry.deliveries + item.count
      claims[#claims + 1] = {item.member, item.id, item.count, deliveries, entry.ref, entry.preferred}
    end
  end
  return #chosen
end

if is_time_to('swept', ARGV[4]) then sweep(lease) end
unkeep()
local all = members()
for kind, room in pairs(limits) do
  local class, priority = {}, nil
  for _, member in ipairs(all) do
    if room > 0 and member.kind == kind and is_served(member.queue) then
      ripen(member.name)
      if member.priority ~= priority and #class > 0 then
        room = room - take(class, room)
        class = {}
      end
      priority = member.priority
      class[#class + 1] = member.name
    end
  end
  if room > 0 then take(class, room) end
end
return {claims, buried, mended, broken}
"""
)

# Removes entries from group and stream, where the claim still holds.
# KEYS: 1 registry (sorted set)
# ARGV: for each claim: its stream, id, worker (hex), deliveries in the group
# Answers nothing.
COMPLETE = (
    COMMON
    + """
local done = {}
for i = 1, #ARGV, 4 do
  local member, id = ARGV[i], ARGV[i + 1]
  local consumer, _, count = holder(member, id)
  if consumer == ARGV[i + 2] and count == tonumber(ARGV[i + 3]) then
    done[member] = done[member] or {}
    table.insert(done[member], id)
  end
end
for member, ids in pairs(done) do remove(member, ids) end
"""
)

# Gives entries back, where the claim still holds: in their old place, or beside the stream until the delay is over.
# KEYS: 1 registry (sorted set)
# ARGV: 1 delay (ms, 0: none); then for each claim: its stream, id, worker (hex), deliveries in the group, deliveries in
#       all, ref (hex), preferred worker (hex or "")
# Answers nothing.
RELEASE = (
    COMMON
    + """
local wait = tonumber(ARGV[1])
for i = 2, #ARGV, 7 do
  local member, id = ARGV[i], ARGV[i + 1]
  local consumer, _, count = holder(member, id)
  if consumer == ARGV[i + 2] and count == tonumber(ARGV[i + 3]) then
    if wait > 0 then
      remove(member, {id})
      register(member)
      delay(member, now + wait, ARGV[i + 5], ARGV[i + 6], ARGV[i + 4])
    else
      hand(member, FREE, {id})
    end
  end
end
wake(wait > 0 and now + wait)
"""
)
