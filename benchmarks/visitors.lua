-- wrk: each request is a fire of a random visitor out of a file of cookies, one a line.
-- Arguments: path of the request, file of the cookies.
local cookies = {}
local target

function init(arguments)
  target = arguments[1]
  for line in io.lines(arguments[2]) do cookies[#cookies + 1] = line end
  math.randomseed(os.time() * 1000 + tonumber(tostring({}):sub(8), 16) % 1000)
end

function request()
  return wrk.format("GET", target, {
    ["Cookie"] = cookies[math.random(#cookies)],
    ["Referer"] = "https://shop.example/cart",
    ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    ["Accept"] = "image/avif,image/webp,*/*",
    ["Accept-Language"] = "en-GB,en;q=0.5",
    ["Accept-Encoding"] = "gzip, deflate, br",
  })
end
