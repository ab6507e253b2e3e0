-- Marks: a set of lanes that may have something to claim, so that who works for many queues need
-- not ask each. A mark is the number of a lane and the name of the queue's stats hash. Who puts a
-- message where it can be claimed marks its lane; only a claim that finds a lane empty takes the
-- mark away.
local function mark(marks, lane, stats)
  if marks then redis.call('SADD', marks, lane .. stats) end
end
