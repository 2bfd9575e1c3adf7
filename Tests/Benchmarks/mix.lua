-- What a poll of an unchanged registry asks for, for wrk: arguments are the vendor, repositories and tags.
local requests, next = {}, 0

function init(arguments)
  local vendor, repositories, tags = arguments[1], tonumber(arguments[2]), tonumber(arguments[3])
  -- A table of all would not fit: some thousands, spread over the repositories.
  local step = math.max(1, math.floor(repositories / 100))
  for number = 0, repositories - 1, step do
    local project, repository = string.format("project-%04d", math.floor(number / 100)), string.format("repository-%06d", number)
    if vendor == "harbor" then
      requests[#requests + 1] = wrk.format("GET", "/api/v2.0/projects/" .. project .. "/repositories/" .. repository ..
        "/artifacts?with_tag=true&with_label=false&with_scan_overview=false&with_accessory=true&q=tags%3D*&page=1&page_size=100")
    else
      requests[#requests + 1] = wrk.format("GET", "/v2/" .. project .. "/" .. repository .. "/tags/list?n=1000")
      for slot = 0, math.min(tags, 100) - 1 do
        local tag = string.format("%06d-%s", slot, slot % 50 == 0 and "stable" or "build")
        requests[#requests + 1] = wrk.format("GET", "/_sim/head/v2/" .. project .. "/" .. repository .. "/manifests/" .. tag)
      end
    end
  end
end

function request()
  next = next % #requests + 1
  return requests[next]
end
