-- Leasing plain messages, which most are: no extension, and nothing wrong with them. Written for
-- speed, as this runs for every message: what came together has the same first half of the header,
-- so that most of it is looked at once. Offsets as in header.lua. Needs wait_buckets.
local byte, sub = string.byte, string.sub

-- Tokens and payloads in turn, and how many messages have waited how long; nil when one of them is
-- not plain.
local function plain_fields(payloads, claim_number, now)
  local fields, waits, at, same, half, bucket = {}, {}, 0, 0, nil, 0
  for index = 1, #payloads do
    local payload = payloads[index]
    local first_half = sub(payload, 1, 16)
    if first_half ~= half then
      local version, size, lane, flags, _, _, _, _, a, b, c, d, e, f, g, h = byte(first_half, 1, 16)
      if not h or version ~= 1 or size ~= 32 or lane > 2 or flags % 4 >= 2 then return nil end
      local ready_at = ((((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 256 + g) * 256 + h
      if same > 0 then waits[bucket] = (waits[bucket] or 0) + same end
      half, same, bucket = first_half, 0, wait_bucket(now - ready_at)
    end
    if #payload < 32 then return nil end
    same = same + 1
    fields[at + 1] = sub(payload, 17, 32) .. claim_number
    fields[at + 2] = payload
    at = at + 2
  end
  if same > 0 then waits[bucket] = (waits[bucket] or 0) + same end
  return fields, waits
end
