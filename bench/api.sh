#!/usr/bin/env bash
# The API door: what a submission costs, how soon a program has its job, what followers cost. One JSON line for each figure.
#
#   HANDOVER=target/release/handover bench/api.sh
#
# ROUNDS=3      rounds of each figure
# SECS=8        length of a round of POSTs
# RECORDS=500000  for the bulk push
# LEDGER=postgres://…   on a server; otherwise embedded
# Needs wrk, curl and python3. POSTs come from 32 connections on one thread; the server has all cores. The app is paused, so that
# what is measured is the submission alone, durable when it is answered.
#
# See lib.sh for HANDOVER and BENCH_DIR.

# shellcheck source=bench/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rounds=${ROUNDS:-3} secs=${SECS:-8} records=${RECORDS:-500000} port=${PORT:-18190}
need wrk curl python3
find_handover
make_work
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
ulimit -n "$(ulimit -Hn)"
cat >clock.py <<'PY'
import json, sys, time
for line in sys.stdin:
    at = time.time()
    print(json.dumps({"id": json.loads(line)["id"], "status": "completed", "data": {"at": at}}), flush=True)
PY
{
    echo "data: ./data"
    [ -z "${LEDGER:-}" ] || echo "ledger: $LEDGER"
    cat <<'YAML'
apps:
  sink: { run: cat }
  clock: { run: python3 clock.py, mode: stream, workers: 1 }
  nothing: { run: /bin/true, output: none }
YAML
    echo "api: { listen: 127.0.0.1:$port, limits: { default: 1000000/s, address: 1000000/s, caller_jobs: 100000000, queue: 100000000 } }"
} >handover.yaml
export KEY
KEY=$("$handover" keys create bench --scope admin 2>/dev/null)
"$handover" pause sink 2>/dev/null
"$handover" run 2>server.log &
server=$!
url=http://127.0.0.1:$port
for _ in $(seq 100); do curl -sf -o /dev/null $url/readyz && break; sleep 0.1; done

say() { printf '{"figure":"%s","round":%s,%s\n' "$1" "$2" "${3#\{}"; }
# First, because what the others leave in memory is none of theirs.
say "idle followers" 1 "$(python3 "$here/api.py" events $url "$KEY" 10000 $server)"
for round in $(seq "$rounds"); do
    say "POST /jobs, 32 connections" "$round" "$(wrk -t1 -c32 -d"${secs}s" -s "$here/api_post.lua" --latency $url | tail -1)"
done
for round in $(seq "$rounds"); do
    say "submit to start of a stream program" "$round" "$(python3 "$here/api.py" stream $url "$KEY" 300)"
    say "a process for each job" "$round" "$(python3 "$here/api.py" process $url "$KEY" 300)"
done
python3 -c "
import json
for n in range($records):
    print(json.dumps({'order_id': n, 'customer': 'C-%05d' % (n % 1000), 'product': 'Pen', 'quantity': 3, 'price': 2.5}))" >orders.ndjson
now() { date +%s.%N; }
for round in $(seq "$rounds"); do
    began=$(now)
    curl -sf -o /dev/null -H "Authorization: Bearer $KEY" -H 'Content-Type: application/x-ndjson' -T orders.ndjson -X POST "$url/api/v1/staging/sink"
    over=$(now)
    "$handover" push --from api --to sink --again orders.ndjson >/dev/null 2>&1
    end=$(now)
    say "bulk push over REST" "$round" "$(python3 -c "
rest, push = $records / ($over - $began), $records / ($end - $over)
print('{\"rest_per_s\":%.0f,\"push_per_s\":%.0f,\"ratio\":%.2f}' % (rest, push, rest / push))")"
done
