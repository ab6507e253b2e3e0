-- Sort payloads by when they became ready, then by id, the youngest first: pushed to the head in
-- this order, the oldest ends up in front. A hash has lost the order in which they were claimed.
local function youngest_first(payloads)
  local keys = {}
  for _, payload in ipairs(payloads) do
    keys[payload] = { struct.unpack('>I8I4I4I4I4', payload, 9) }
  end
  table.sort(payloads, function(left, right)
    local a, b = keys[left], keys[right]
    for index = 1, 5 do
      if a[index] ~= b[index] then return a[index] > b[index] end
    end
    return false
  end)
end
