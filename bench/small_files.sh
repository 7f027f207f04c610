#!/usr/bin/env bash
# Small files: FILES files of 1 KB, each through one console program (`cat`), handed over durably.
#
#   bench/small_files.sh [--peer-only]
#
# A, the peer: `xargs -P 2`, one shell line a file that does cat, sha256sum, sync (of that file) and mv.
# B, the hop: the files are deliveries to `cat`, with the manifests of the program before it; `handover run --once` checks
#    each, runs `cat` on it and publishes what it wrote with its manifest. The like of A.
# C, imported: file-importer -> cat with `handover run --once`; every file is published twice, as imported and as the
#    program's output, each with its manifest.
# A, B and C alternate. Prints JSON lines, the last two with the medians and the ratio of each round (B / A and C / A in
# files a second). Every output of every round is compared with its input by SHA-256, outside the measured time.
#
# FILES=10000 ROUNDS=5 are the defaults; see lib.sh for BENCH_DIR and HANDOVER.

# shellcheck source=bench/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
files=${FILES:-10000} rounds=${ROUNDS:-5}
need python3 xargs sha256sum sync
make_work
[ "${1:-}" = --peer-only ] || find_handover

peer() {
    # shellcheck disable=SC2016 # the inner shell expands these
    find "$work/inputs" -type f -print0 |
        xargs -0 -P 2 -n 1 sh -c '
            name=${1##*/}
            cat "$1" >"$0/.$name" &&
            sha256sum "$0/.$name" >"$0/$name.sha256" &&
            sync "$0/.$name" &&
            mv "$0/.$name" "$0/$name"' "$out"
}

report() { # report ROUND WHO
    printf '{"bench":"small_files","round":%d,"who":"%s","files":%d,"seconds":%s,"files_per_second":%s}\n' \
        "$1" "$2" "$files" "$took" "$(awk -v n="$files" -v s="$took" 'BEGIN { printf "%.1f", n / s }')" |
        tee -a "$work/results"
}

python3 "$tools" machine "$work"
python3 "$tools" limits "$work"
python3 "$tools" files "$work/inputs" "$files"
for ((round = 1; round <= rounds; round++)); do
    # Nothing is removed before the end: a file system may take its time to use freed inodes again.
    out=$work/out$round
    mkdir "$out"
    sync
    seconds peer
    python3 "$tools" check "$work/inputs" "$out"
    report "$round" peer

    [ "${1:-}" != --peer-only ] || continue
    small_hop "$work/hop$round" "$work/inputs"
    report "$round" hop
    small_project "$work/imported$round"
    small_ours "$work/imported$round" "$work/inputs"
    report "$round" imported
done
python3 "$tools" summary small_files files_per_second hop peer <"$work/results"
python3 "$tools" summary small_files files_per_second imported peer <"$work/results"
