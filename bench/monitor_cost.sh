#!/usr/bin/env bash
# What counting and tracing cost: small files through `cat`, and records through a stream program, with `metrics: false`, with
# metrics, and with metrics and every trace sent to a collector, in turns.
#
#   bench/monitor_cost.sh
#
# The collector is a program that reads what it is sent and says yes. Prints JSON lines, the last with the medians and the ratios
# (on and traced to off) of each round, in files and records a second and in processor time (without the collector's). Where a
# disk's own ups and downs are larger than what is looked for, BENCH_DIR is a folder in memory. Every file is compared with its input; all records must
# have been completed.
#
# FILES=10000 RECORDS=100000 ROUNDS=5 are the defaults; see lib.sh for BENCH_DIR and HANDOVER.

# shellcheck source=bench/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
files=${FILES:-10000} records=${RECORDS:-100000} rounds=${ROUNDS:-5}
need python3
make_work
find_handover
collector=
trap '[ -z "$collector" ] || kill "$collector" 2>/dev/null || true; rm -rf "$work"' EXIT

python3 "$tools" collector >"$work/collector" &
collector=$!
for ((n = 0; n < 100; n++)); do [ ! -s "$work/collector" ] || break && sleep 0.1; done
endpoint=http://$(cat "$work/collector")

# settings WHO: what handover.yaml says for it.
settings() {
    case $1 in
    off) echo "metrics: false" ;;
    on) echo "metrics: true" ;;
    traced) printf 'metrics: true\ntraces: { endpoint: "%s" }\n' "$endpoint" ;;
    esac
}

report() { # report ROUND WHO WHAT COUNT
    printf '{"bench":"monitor_cost","round":%d,"who":"%s","%s":%d,"seconds":%s,"processor_seconds":%s,"%s_per_second":%s}\n' \
        "$1" "$2" "$3" "$4" "$took" "$used" "$3" "$(awk -v n="$4" -v s="$took" 'BEGIN { printf "%.1f", n / s }')" | tee -a "$work/results.$3"
}

files_round() { # files_round ROUND WHO
    small_project "$work/files"
    settings "$2" >>"$work/files/handover.yaml"
    small_ours "$work/files" "$work/inputs"
    report "$1" "$2" files "$files"
    rm -rf "$work/files"
}

records_round() { # records_round ROUND WHO
    mkdir -p "$work/records"
    cat >"$work/records/handover.yaml" <<YAML
data: ./data
apps:
  echo: { run: "python3 $here/tools.py echo", mode: stream, workers: 2 }
unknown_apps: accept
$(settings "$2")
YAML
    cd "$work/records"
    "$handover" push --from bench --to echo <"$work/ndjson" >>"$work/log" 2>&1
    sync
    seconds "$handover" run --once
    left=$("$handover" list --app echo --status failed --json | head -c 1000)
    cd "$work"
    [ "$left" = "[]" ] || { echo "records failed: $left" >&2 && exit 1; }
    report "$1" "$2" records "$records"
    rm -rf "$work/records"
}

python3 "$tools" machine "$work"
python3 "$tools" files "$work/inputs" "$files"
python3 -c 'import sys
for n in range(int(sys.argv[1])): print("{\"id\":%d,\"text\":\"%s\"}" % (n, "x" * 170))' "$records" >"$work/ndjson"
all=(off on traced)
for ((round = 1; round <= rounds; round++)); do
    # Each begins one of three rounds.
    for ((nth = 0; nth < 3; nth++)); do
        who=${all[(nth + round) % 3]}
        files_round "$round" "$who"
        records_round "$round" "$who"
    done
done
for what in files records; do
    for who in on traced; do
        for measure in "${what}_per_second" processor_seconds; do
            python3 "$tools" summary "monitor_cost_$what" "$measure" "$who" off <"$work/results.$what"
        done
    done
done
