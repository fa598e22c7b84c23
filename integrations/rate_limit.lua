-- The bucket of `rate_limit.py`. All times are in microseconds, by the server's clock. The first key has the time of the
-- next even call, the second the deferred callers by their place in the queue (started ones first), the third the time at which
-- each should return.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local bucket, places, turns = unpack(KEYS)
local priority, caller = ARGV[1], ARGV[2]
local interval, ahead, patience = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local apart, longest = tonumber(ARGV[6]), tonumber(ARGV[7])
local expecting, late = tonumber(ARGV[8]), tonumber(ARGV[9])
local function whole(number) return string.format('%.0f', number) end

for _, gone in ipairs(redis.call('ZRANGEBYSCORE', turns, '-inf', '(' .. whole(now - late))) do
  redis.call('ZREM', places, gone)
  redis.call('ZREM', turns, gone)
end
local due = math.max(tonumber(redis.call('HGET', bucket, 'next') or 0), now)
local wait = math.max(0, due - ahead - now)
local turn = tonumber(redis.call('ZSCORE', turns, caller) or '')
local place = tonumber(redis.call('ZSCORE', places, caller) or '')
if not place then
  place = priority == 'begun' and now - 8e15 or now
end
local before = redis.call('ZCOUNT', places, '-inf', priority == 'background' and '+inf' or '(' .. whole(place))
local expected = 0
for _, other in ipairs(redis.call('ZRANGEBYSCORE', turns, whole(now - expecting), whole(now + patience))) do
  if tonumber(redis.call('ZSCORE', places, other)) < place then
    expected = expected + 1
  end
end
local may_pass = before == 0
  or (turn and turn <= now + patience and wait + expected * interval <= patience)
  or (priority ~= 'background' and due + interval - ahead <= now)
local kept = math.ceil((due + interval - now) / 1000) + 600000
if may_pass and wait <= patience then
  redis.call('ZREM', places, caller)
  redis.call('ZREM', turns, caller)
  redis.call('HSET', bucket, 'next', whole(due + interval))
  redis.call('PEXPIRE', bucket, kept)
  return {1, wait}
end
local hold = wait + before * apart
if priority ~= 'background' then
  if before == 0 then
    hold = hold - patience / 2
  end
  redis.call('ZADD', places, whole(place), caller)
  redis.call('ZADD', turns, whole(now + hold), caller)
  redis.call('PEXPIRE', places, kept)
  redis.call('PEXPIRE', turns, kept)
end
return {0, math.min(hold, longest)}
