#!/usr/bin/env bash
# Records: N records of 200 bytes pushed in bulk, then claimed and completed by 4 consumers in batches, history kept; then
# single records for the latency from push to handler. Ours beside known queues, on one PostgreSQL in one run.
#
#   PEERS=DIR bench/queue.sh [PEER...]
#
# PEERS is the folder of the peers' run.sh, which installs what it needs; without it only ours runs. Each round starts a
# PostgreSQL of its own (initdb's defaults, shared_buffers = 512MB, fsync and synchronous_commit on), gives every
# participant a fresh database, and alternates them. The embedded ledger is measured in the same round. Prints JSON lines,
# the last ones with the medians and the ratio of each round (drain and enqueue, ours to each peer).
#
# Records by lanes (`claim: lanes`) are measured too, as handover-lanes.
#
# N=50000 BATCH=500 ROUNDS=3; PG_BIN names PostgreSQL's programs. See lib.sh for BENCH_DIR.

# shellcheck source=bench/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export N=${N:-50000} BATCH=${BATCH:-500}
rounds=${ROUNDS:-3}
peers=("$@")
[ ${#peers[@]} -gt 0 ] || peers=(raw-sql raw-sql-copy pgmq-archive graphile-worker-batched pg-boss)
[ -n "${PEERS:-}" ] || peers=()
need python3 psql
pg_bin=${PG_BIN:-$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)}
[ -x "$pg_bin/initdb" ] || { echo "needs PostgreSQL: apt-get install postgresql, or PG_BIN=…/bin" >&2 && exit 2; }
(cd "$here/.." && cargo build --release --quiet -p handover-ledger --example queue)
queue=$(realpath "${CARGO_TARGET_DIR:-$here/../target}")/release/examples/queue
make_work
trap 'stop_server; rm -rf "$work"' EXIT

# as_server COMMAND...: PostgreSQL's programs refuse to run as root.
as_server() {
    if [ "$(id -u)" = 0 ]; then su postgres -s /bin/bash -c "$(printf '%q ' "$@")"; else "$@"; fi
}

start_server() {
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    chmod 755 "$work"
    install -d -m 700 "$work/pg"
    [ "$(id -u)" != 0 ] || chown postgres "$work/pg"
    as_server "$pg_bin/initdb" -D "$work/pg" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >>"$work/log"
    echo "shared_buffers = 512MB" >>"$work/pg/postgresql.conf"
    as_server "$pg_bin/pg_ctl" -D "$work/pg" -w -l "$work/pg/log" -o "-p $port -h 127.0.0.1 -k $work/pg" start >>"$work/log"
    export PG_URL=postgres://postgres@127.0.0.1:$port/postgres
}

stop_server() {
    [ ! -e "$work/pg/postmaster.pid" ] || as_server "$pg_bin/pg_ctl" -D "$work/pg" -m fast stop >>"$work/log" || true
    rm -rf "$work/pg"
}

# noted ROUND: adds the round to a line and keeps it.
noted() {
    python3 -c 'import json, sys
for line in sys.stdin:
    row = json.loads(line)
    row["who"] = row.pop("peer")
    print(json.dumps({"bench": "queue", "round": int(sys.argv[1]), **row}))' "$1" | tee -a "$work/results"
}

ours() { # ours ROUND NAME ADDRESS
    "$queue" "$3" | sed "s/\"peer\":\"handover\"/\"peer\":\"$2\"/" | noted "$1"
}

python3 "$tools" machine "$work"
for ((round = 1; round <= rounds; round++)); do
    start_server
    psql -qX "$PG_URL" -c "create database handover" -c checkpoint
    ours "$round" handover "${PG_URL%/*}/handover"
    psql -qX "$PG_URL" -c "create database handover_lanes" -c checkpoint
    CLAIM=lanes ours "$round" handover-lanes "${PG_URL%/*}/handover_lanes"
    mkdir "$work/sqlite$round"
    ours "$round" handover-sqlite "sqlite:$work/sqlite$round/ledger.db"
    for peer in "${peers[@]}"; do
        bash "$PEERS/run.sh" "$peer" | noted "$round"
    done
    stop_server
done
for peer in "${peers[@]}"; do
    python3 "$tools" summary queue drain_per_s handover "$peer" <"$work/results"
    python3 "$tools" summary queue drain_per_s handover-lanes "$peer" <"$work/results"
    python3 "$tools" summary queue enqueue_per_s handover "$peer" <"$work/results"
done
