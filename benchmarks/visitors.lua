-- wrk: each request comes from a random visitor out of a file of cookies, one a line.
-- Arguments: path of the request, file of the cookies, for a POST the file of its bodies, one a line.
local cookies = {}
local target
local bodies = {}

function init(arguments)
  target = arguments[1]
  if arguments[3] then for line in io.lines(arguments[3]) do bodies[#bodies + 1] = line end end
  for line in io.lines(arguments[2]) do cookies[#cookies + 1] = line end
  math.randomseed(os.time() * 1000 + tonumber(tostring({}):sub(8), 16) % 1000)
end

function request()
  local body = bodies[1] and bodies[math.random(#bodies)]
  return wrk.format(body and "POST" or "GET", target, {
    ["Cookie"] = cookies[math.random(#cookies)],
    ["Referer"] = "https://shop.example/cart",
    ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    ["Accept"] = "image/avif,image/webp,*/*",
    ["Accept-Language"] = "en-GB,en;q=0.5",
    ["Accept-Encoding"] = "gzip, deflate, br",
    ["Content-Type"] = body and "text/plain",
    ["Origin"] = target:sub(1, 4) == "/v1/" and "https://shop.example" or nil,
  }, body)
end
