#!/usr/bin/env bash
# Growth: the small-file rate and `status`, with an empty ledger and with one that holds PAST past deliveries.
#
#   bench/growth.sh
#
# The past is written into the embedded ledger itself by `tools.py fill` (a file through file-importer and `cat`: its
# deliveries, audit, names and arrivals). Each round starts from a fresh copy of both projects; the two alternate.
# Prints JSON lines, the last three with the ratio grown / empty: of files a second, and of the milliseconds of `status`, just after
# the ledger was copied and after the files.
#
# PAST=1000000 FILES=10000 ROUNDS=5 are the defaults; see lib.sh for BENCH_DIR and HANDOVER.

# shellcheck source=bench/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
past=${PAST:-1000000} files=${FILES:-10000} rounds=${ROUNDS:-5}
need python3
make_work
find_handover

# A project whose ledger exists and is empty.
template() {
    small_project "$1"
    (cd "$1" && seconds "$handover" run --once)
}

status() {
    (cd "$work/project" && python3 "$tools" median-ms 20 "$handover" status)
}

round() { # round NUMBER WHO
    rm -rf "$work/project"
    small_project "$work/project" "$work/$2"
    sync
    status_ms=$(status)
    small_ours "$work/project" "$work/inputs"
    after_ms=$(status)
    printf '{"bench":"growth","round":%d,"who":"%s","seconds":%s,"files_per_second":%s,"status_ms":%s,"status_after_ms":%s}\n' \
        "$1" "$2" "$took" "$(awk -v n="$files" -v s="$took" 'BEGIN { printf "%.1f", n / s }')" "$status_ms" "$after_ms" |
        tee -a "$work/results"
}

python3 "$tools" machine "$work"
python3 "$tools" files "$work/inputs" "$files"
template "$work/empty"
template "$work/grown"
python3 "$tools" fill "$work/grown/data/.handover/ledger.db" "$past"
for ((n = 1; n <= rounds; n++)); do
    round "$n" empty
    round "$n" grown
done
python3 "$tools" summary growth files_per_second grown empty <"$work/results"
python3 "$tools" summary growth status_ms grown empty <"$work/results"
python3 "$tools" summary growth status_after_ms grown empty <"$work/results"
