"""What all scripts begin with."""

COMMON = """
local registry = KEYS[1]                         -- sorted set: 'kind:priority:queue' of each stream, by priority
local root = registry:sub(1, -#'streams' - 1)    -- the other keys have it in common, hash tag included
local kept, wakes, dead = root .. 'kept', root .. 'wake', root .. 'dead'
local GROUP, FREE, KEPT_FOR = 'durable', 'free', 'for:'
local BATCH = 1000                               -- ids in one command, and due entries moved at once
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function stream(member) return root .. 's:' .. member end
local function delayed(member) return root .. 'd:' .. member end

local function failed(reply) return type(reply) == 'table' and reply.err end
local function says(reply, code) return reply.err:find(code, 1, true) end

local function must(reply)
  if failed(reply) then error(reply.err, 0) end
  return reply
end

-- Ids of one script follow one another; those of two scripts differ in their microsecond.
local added = -1
local function next_id()
  added = added + 1
  return string.format('%.0f-%.0f', now, time[2] % 1000 * 1000000 + added)
end

local function parts_of(id)
  local ms, seq = id:match('^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

-- The streams there are, highest priority first.
local function members()
  local found = {}
  for _, name in ipairs(redis.call('ZREVRANGE', registry, 0, -1)) do
    local kind, priority, queue = name:match('^(%l+):(-?%d+):(.*)$')
    if kind == 'run' or kind == 'activity' then
      found[#found + 1] = {name = name, kind = kind, priority = tonumber(priority), queue = queue}
    else
      redis.call('ZREM', registry, name)         -- not of our making
    end
  end
  return found
end

-- Makes the stream known, and its group from the stream's beginning on, whatever it holds already.
local is_registered = {}
local function register(member)
  if is_registered[member] then return end
  is_registered[member] = true
  if redis.call('ZADD', registry, 'NX', member:match('^%l+:(-?%d+):'), member) == 0 then return end
  local reply = redis.pcall('XGROUP', 'CREATE', stream(member), GROUP, '0', 'MKSTREAM')
  if failed(reply) and not says(reply, 'BUSYGROUP') then must(reply) end
end

-- The reply to a command about a stream. A group that was lost is made again; no stream is no reply, and a key that
-- holds something else must not keep the other streams from being served.
local mended, broken = {}, {}
local function ask(member, ...)
  local reply = redis.pcall(...)
  if not failed(reply) then return reply or {} end
  if says(reply, 'WRONGTYPE') then
    broken[#broken + 1] = member
    return {}
  end
  if not says(reply, 'NOGROUP') then must(reply) end
  if redis.call('EXISTS', stream(member)) == 0 then return {} end
  redis.call('XGROUP', 'CREATE', stream(member), GROUP, '0')
  mended[#mended + 1] = member
  return redis.call(...) or {}
end

local function size_of(member, command, key)
  local reply = ask(member, command, key)
  return type(reply) == 'number' and reply or 0
end

local function pending(member, consumer, count)
  return ask(member, 'XPENDING', stream(member), GROUP, '-', '+', count, consumer)
end

-- Consumer, idle time and count of deliveries of one entry; nothing where it is not pending.
local function holder(member, id)
  local found = ask(member, 'XPENDING', stream(member), GROUP, id, id, 1)[1]
  if found then return found[2], found[3], found[4] end
end

-- Calls a command with so many ids at a time: *head*, ids, *tail*. Answers what the replies have in them.
local function with_ids(head, ids, tail)
  local replies = {}
  for first = 1, #ids, BATCH do
    local command = {unpack(head)}
    for i = first, math.min(first + BATCH - 1, #ids) do command[#command + 1] = ids[i] end
    for _, word in ipairs(tail or {}) do command[#command + 1] = word end
    local reply = redis.call(unpack(command))
    if type(reply) == 'table' then
      for _, part in ipairs(reply) do replies[#replies + 1] = part end
    end
  end
  return replies
end

-- Makes entries another consumer's without counting a delivery; *count* sets what was counted.
local function hand(member, consumer, ids, count)
  local tail = count and {'RETRYCOUNT', count, 'JUSTID'} or {'JUSTID'}
  with_ids({'XCLAIM', stream(member), GROUP, consumer, 0}, ids, tail)
end

local function remove(member, ids)
  with_ids({'XACK', stream(member), GROUP}, ids)
  with_ids({'XDEL', stream(member)}, ids)
end

-- A new entry at the stream's end. The server's clock may have been set back: then the stream's own clock goes on.
local function add(member, ref, preferred, deliveries)
  local function with(id)
    return redis.pcall('XADD', stream(member), id, 'ref', ref, 'preferred', preferred, 'deliveries', deliveries)
  end
  local reply = with(next_id())
  if failed(reply) and says(reply, 'equal or smaller') then reply = with('*') end
  return reply
end

local function delay(member, due, ref, preferred, deliveries)
  local text = table.concat({ref, preferred, deliveries, next_id()}, ' ')
  return redis.call('ZADD', delayed(member), string.format('%.0f', due), text)
end

local function is_uuid(text) return text and #text == 32 and not text:find('[^0-9a-f]') end

-- Nothing where nobody could read it.
local function entry_of(ref, preferred, deliveries)
  if not (is_uuid(ref) and (preferred == '' or is_uuid(preferred))) then return end
  if not (deliveries and #deliveries <= 9 and deliveries:find('^%d+$')) then return end
  return {ref = ref, preferred = preferred, deliveries = tonumber(deliveries)}
end

local function entry_of_fields(fields)
  local values = {}
  for i = 1, #fields, 2 do values[fields[i]] = fields[i + 1] end
  return entry_of(values.ref, values.preferred, values.deliveries)
end

-- What nobody can read is kept aside, cut to a readable length; old ones give way, for a forger has no end of them.
local buried = {}
local function bury(member, id, text)
  text = text:sub(1, 500)
  redis.pcall('XADD', dead, 'MAXLEN', 1000, '*', 'stream', member, 'id', id, 'entry', text)
  buried[#buried + 1] = {member, id, text}
end

local function bury_entry(member, id, fields)
  bury(member, id, table.concat(fields, ' '))
  remove(member, {id})
end

-- Rings for all that watch. It has a length of one: who reads it wants to know that something came, not how often.
local function wake(due)
  redis.pcall('XADD', wakes, 'MAXLEN', 1, '*', 'due', due or '')
end

-- Moves what is due into the stream. Stops where the server is full: it stays due.
local function ripen(member)
  local moved = 0
  for _, text in ipairs(ask(member, 'ZRANGEBYSCORE', delayed(member), '-inf', now, 'LIMIT', 0, BATCH)) do
    local entry = entry_of(text:match('^(%S*) (%S*) (%S*) '))
    if not entry then
      bury(member, '', text)
    elseif failed(add(member, entry.ref, entry.preferred, entry.deliveries)) then
      break
    end
    moved = moved + redis.call('ZREM', delayed(member), text)
  end
  return moved
end

-- What was kept for a worker is anybody's when the preference is over.
local function unkeep()
  local moved = 0
  for _, text in ipairs(redis.call('ZRANGEBYSCORE', kept, '-inf', now, 'LIMIT', 0, BATCH)) do
    local member, id = text:match('^(%S+) (%d+%-%d+)$')
    if member then
      local consumer = holder(member, id)
      if consumer and consumer:sub(1, #KEPT_FOR) == KEPT_FOR then
        hand(member, FREE, {id})
        moved = moved + 1
      end
    end
    redis.call('ZREM', kept, text)
  end
  return moved
end

-- Frees claims whose lease is over. Claims of the living are told apart by their age alone, so this may run often.
local function sweep(lease)
  local moved = 0
  for _, member in ipairs(members()) do
    local summary = ask(member.name, 'XPENDING', stream(member.name), GROUP)
    local others = summary[1] or 0
    for _, consumer in ipairs(summary[4] or {}) do
      if consumer[1] == FREE then others = others - tonumber(consumer[2]) end
    end
    local cursor, rounds = '0-0', 0
    while others > 0 and rounds < 10 and (rounds == 0 or cursor ~= '0-0') do
      local reply = redis.call('XAUTOCLAIM', stream(member.name), GROUP, FREE, lease, cursor, 'COUNT', BATCH, 'JUSTID')
      cursor, rounds, moved = reply[1], rounds + 1, moved + #reply[2]
    end
  end
  return moved
end

-- Whether nobody did it within so many milliseconds. A full server remembers nothing: then it is done each time.
local function is_time_to(what, interval)
  local reply = redis.pcall('SET', root .. what, now, 'NX', 'PX', interval)
  return failed(reply) or reply ~= false
end
"""
