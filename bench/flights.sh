#!/usr/bin/env bash
# Flights: the demo's flow at its own scale, 90 files with 80,789 rows, beside plain Python. For information, not a target:
# the peer keeps checkpoints and manifests, but syncs nothing, resumes nothing and runs no foreign program.
#
#   bench/flights.sh [OTHER.py...]
#
# ours: examples/flights with `handover run --once`. python: flights_peer.py on the same 90 files, in one process.
# OTHER.py: any other peer, called with FLIGHTS.csv AIRLINES.csv AIRPORTS.csv OUTDIR, the quarter as one file; it leaves
# final.csv.gz in OUTDIR. Prints JSON lines; every peer's rows are compared with ours, whose column `late` is left out.
#
# ROUNDS=5 is the default; see lib.sh for BENCH_DIR and HANDOVER.

# shellcheck source=bench/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rounds=${ROUNDS:-5}
others=()
for other in "$@"; do others+=("$(realpath "$other")"); done
need python3 zstd
make_work
find_handover
example=$here/../examples/flights
reference=("$example/reference/airlines.csv" "$example/reference/airports.csv")

report() { # report ROUND WHO
    printf '{"bench":"flights","round":%d,"who":"%s","seconds":%s}\n' "$1" "$2" "$took" | tee -a "$work/results"
}

zstd -dqc "$example/flights-2013-q1.csv.zst" >"$work/flights.csv"
python3 "$tools" split-days "$work/flights.csv" "$work/days"
python3 "$tools" machine "$work"
for ((round = 1; round <= rounds; round++)); do
    rm -rf "$work/ours" "$work/python"
    mkdir "$work/ours"
    cp -a "$example/handover.yaml" "$example/schemas" "$example/reference" "$work/ours"
    cp -a "$work/days" "$work/ours/incoming"
    sync
    cd "$work/ours"
    seconds "$handover" run --once
    cd "$work"
    report "$round" ours
    seconds python3 "$here/flights_peer.py" "${reference[@]}" "$work/python" "$work"/days/*.csv
    report "$round" python
    python3 "$tools" same-flights "$work/ours/outgoing" "$work/python/final"
    for other in "${others[@]}"; do
        name=$(basename "$other" .py)
        rm -rf "${work:?}/$name"
        seconds python3 "$other" "$work/flights.csv" "${reference[@]}" "$work/$name"
        report "$round" "$name"
        python3 "$tools" same-flights "$work/ours/outgoing" "$work/$name"
    done
done
for who in python "${others[@]}"; do
    python3 "$tools" summary flights seconds ours "$(basename "$who" .py)" <"$work/results"
done
