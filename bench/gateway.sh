#!/usr/bin/env bash
# The gateway: what a request to a service app costs, beside nginx that does the same. One JSON line for each figure.
#
#   PEERS=peers/gateway bench/gateway.sh
#
# PEERS         the folder with nginx's side: its run.sh loads nginx, or whatever listens at URL, with the same upstream
# ROUNDS=3      rounds, nginx and ours in turns
# SECS=10       length of a round
# CONNS=32      connections
# Both have one core, and the other is the upstream's and wrk's. Both check an API key and a rate limit, make a request id and pass it
# on, count, and write a line of an access log a request. The figure to compare is the processor time of a request: of the
# whole core (proxy_us_per_request, the kernel's part for the network too) and of the process (cpu_us_per_request, ours alone).
# Needs wrk, curl, nginx and python3, and two cores.
#
# See lib.sh for HANDOVER and BENCH_DIR; the build is that of the profile `dist`.

# shellcheck source=bench/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rounds=${ROUNDS:-3} port=${PORT:-18191}
need wrk curl python3 nginx taskset
peers=$(realpath "${PEERS:?names the folder of the gateway peers}")
PROFILE=${PROFILE:-dist}
find_handover
make_work
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
cat >handover.yaml <<YAML
data: ./data
apps:
  billing: { url: "http://127.0.0.1:18080" }
api: { listen: 127.0.0.1:$port, limits: { default: 1000000/s, address: 1000000/s } }
YAML
# As many keys as nginx has: one of them asks.
for n in $(seq "${KEYS:-200}"); do "$handover" keys create "bench-$n" --scope submit 2>/dev/null; done >keys
key=$(tail -n 1 keys)
run() { SECS=${SECS:-10} CONNS=${CONNS:-32} bash "$peers/run.sh" "$@" 2>>"$work/log"; }

for round in $(seq "$rounds"); do
    run nginx | sed "s/^{/{\"round\":$round,/" | tee -a lines
    taskset -c 0 "$handover" run 2>server.log &
    server=$!
    for _ in $(seq 100); do curl -sf -o /dev/null "http://127.0.0.1:$port/livez" && break; sleep 0.1; done
    URL=http://127.0.0.1:$port/api/v1/services/billing/ NAME=ours KEY=$key PIDS=$server LOG=$work/server.log run url |
        sed "s/^{/{\"round\":$round,/" | tee -a lines
    kill "$server"
    wait "$server" || true
    server=
done
python3 - lines <<'PY'
import json, statistics, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
of = lambda peer: [line for line in lines if line["peer"] == peer]
nginx, ours = of("nginx"), of("ours")
bad = [line for line in ours if line["with_key"] != "200/1024" or line["without_key"] != "401" or line["errors"]
       or abs(line["log_lines_per_request"] - 1) > 0.01]
assert len(nginx) == len(ours) and not bad, bad
def spread(values):
    return [round(statistics.median(values), 3), round(min(values), 3), round(max(values), 3)]
print(json.dumps({"figure": "median, smallest, largest",
    **{f"{peer}_{what}": spread([line[what] for line in side])
       for peer, side in (("nginx", nginx), ("ours", ours)) for what in ("rps", "p50_ms", "p99_ms", "proxy_us_per_request")},
    "ours_cpu_us_per_request": spread([line["cpu_us_per_request"] for line in ours]),
    "ratio_us_per_request": spread([o["proxy_us_per_request"] / n["proxy_us_per_request"] for o, n in zip(ours, nginx)])}))
PY
