#!/usr/bin/env bash
# Scrapes of /metrics and pages of the dashboard, on a ledger with LIVE live and ARCHIVED archived deliveries: an embedded one, or an
# empty one on PostgreSQL.
#
#   bench/monitor.sh [PATH...]
#   LEDGER=postgres://… bench/monitor.sh [PATH...]
#
# Each path is asked on one connection: /metrics once a second, so that every scrape asks the ledger anew (`fresh`), and at once
# again, as a second Prometheus would (`shared`); pages one after the other. A path that is not there (404) is passed over.
# Prints a JSON line for each path with the median and the 99th percentile in milliseconds, and the size of the answer.
#
# LIVE=1000000 ARCHIVED=10000000 SCRAPES=60 PAGES=200 are the defaults, and need 10 GB of disk; see lib.sh for BENCH_DIR and
# HANDOVER.

# shellcheck source=bench/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
live=${LIVE:-1000000} archived=${ARCHIVED:-10000000}
export SCRAPES=${SCRAPES:-60} PAGES=${PAGES:-200}
paths=("$@")
[ ${#paths[@]} -gt 0 ] || paths=(/metrics / /checks /deliveries "/deliveries?status=failed" "/deliveries?app=a3" /jobs
    /database /files /keys /audit /livez)
need python3
make_work
find_handover
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

cd "$work"
{
    echo "data: ./data"
    [ -z "${LEDGER:-}" ] || echo "ledger: $LEDGER"
    echo "apps:"
    for n in 0 1 2 3 4 5 6 7 8 9; do echo "  a$n: { run: cat }"; done
    echo "flows: { f: a0 -> a1 -> a2 -> a3 -> a4 -> a5 -> a6 -> a7 -> a8 -> a9 }"
    echo "api: { listen: 127.0.0.1:0, auth: none, limits: { default: 1000000/s, address: 1000000/s } }"
} >handover.yaml
seconds "$handover" run --once
if [ -z "${LEDGER:-}" ]; then
    seconds python3 "$here/fill_monitor.py" data/.handover/ledger.db "$live" "$archived"
else
    need psql
    seconds psql -q -v live="$live" -v archived="$archived" -f "$here/fill_monitor.sql" "$LEDGER"
fi
printf '{"bench":"monitor","live":%d,"archived":%d,"filled_seconds":%s}\n' "$live" "$archived" "$took"
"$handover" run >server.log 2>&1 &
server=$!
for ((n = 0; n < 600; n++)); do
    address=$(sed -n 's|.*the API listens: http://\([0-9.:]*\).*|\1|p' server.log | head -n 1)
    [ -z "$address" ] || break
    sleep 0.1
done
[ -n "$address" ] || { cat server.log >&2 && exit 1; }
python3 "$tools" answers "$address" "${paths[@]}"
