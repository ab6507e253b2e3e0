-- Leasing plain messages, which most are: no extension, and nothing wrong with them. Written for
-- speed, as this runs for every message: one look at a header, and no text made but the token.
-- Offsets as in header.lua. Needs wait_buckets.
local byte, sub = string.byte, string.sub

-- Tokens and payloads in turn, and how many messages have waited how long; nil when one of them is
-- not plain.
local function plain_fields(payloads, claim_number, now)
  local fields, waits, at, last, bucket = {}, {}, 0, nil, nil
  for index = 1, #payloads do
    local payload = payloads[index]
    local version, size, lane, flags, _, _, _, _, a, b, c, d, e, f, g, h = byte(payload, 1, 16)
    if #payload < 32 or version ~= 1 or size ~= 32 or lane > 2 or flags % 4 >= 2 then return nil end
    local ready_at = ((((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 256 + g) * 256 + h
    if ready_at ~= last then last, bucket = ready_at, wait_bucket(now - ready_at) end
    waits[bucket] = (waits[bucket] or 0) + 1
    fields[at + 1] = sub(payload, 17, 32) .. claim_number
    fields[at + 2] = payload
    at = at + 2
  end
  return fields, waits
end
