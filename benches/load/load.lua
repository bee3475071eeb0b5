-- wrk: each request is of a session drawn at random, and the end is one line of figures.
local cookies = {}

function init(args)
  for line in io.lines(args[1]) do cookies[#cookies + 1] = line end
  math.randomseed(os.time())
end

function request()
  return wrk.format("GET", nil, { Cookie = cookies[math.random(#cookies)] })
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("figures %.0f %.0f %.0f %.0f %d\n",
    summary.requests / (summary.duration / 1e6),
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), failed))
end
