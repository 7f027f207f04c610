# What the benchmarks share. Sourced by the scripts beside it; not a program.
# shellcheck shell=bash
#
# BENCH_DIR   where the work is done, in a new folder that is removed at the end: on a local disk, not a tmpfs (default:
#             ${TMPDIR:-/tmp})
# HANDOVER    the binary (default: the release build; it is built where it is missing)
# PROFILE     another of Cargo's profiles to build it with: dist

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$here/tools.py
export PYTHONDONTWRITEBYTECODE=1 # the clone stays clean

need() {
    local program
    for program in "$@"; do
        [ -n "$(type -P "$program")" ] || { echo "needs $program" >&2 && exit 2; }
    done
}

# Sets `work` to an empty folder of this run.
make_work() {
    mkdir -p "${BENCH_DIR:-${TMPDIR:-/tmp}}"
    work=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/handover-bench.XXXXXX")
    trap 'rm -rf "$work"' EXIT
}

# Sets `handover` to the binary's absolute path.
find_handover() {
    handover=${HANDOVER:-}
    if [ -z "$handover" ]; then
        (cd "$here/.." && cargo build --profile "${PROFILE:-release}" --quiet -p handover)
        handover=${CARGO_TARGET_DIR:-$here/../target}/${PROFILE:-release}/handover
    fi
    handover=$(realpath "$handover")
    [ -x "$handover" ] || { echo "$handover is not a program" >&2 && exit 2; }
}

# The processor time of all that this script has waited for, in seconds.
children() {
    awk -v ticks="$(getconf CLK_TCK)" '{ sub(/^.*\) /, ""); print ($14 + $15) / ticks }' "/proc/$$/stat"
}

# seconds COMMAND...: runs it and sets `took`, in seconds of wall clock, and `used`, in seconds of processor time of it and of
# what it waited for. Its output goes to this run's log.
seconds() {
    local start=${EPOCHREALTIME/[.,]/} before
    before=$(children)
    "$@" >>"$work/log" 2>&1 || {
        tail -n 20 "$work/log" >&2
        echo "failed: $*" >&2
        exit 1
    }
    # shellcheck disable=SC2034 # the scripts that source this read them
    used=$(awk -v before="$before" -v after="$(children)" 'BEGIN { printf "%.2f", after - before }')
    # shellcheck disable=SC2034
    took=$(awk -v us=$((${EPOCHREALTIME/[.,]/} - start)) 'BEGIN { printf "%.3f", us / 1e6 }')
}

# small_project DIR [TEMPLATE]: a project that hands every .csv in incoming/ through `cat`; a copy of TEMPLATE where given.
small_project() {
    if [ $# -gt 1 ]; then cp -a "$2" "$1"; else mkdir -p "$1/incoming"; fi
    cat >"$1/handover.yaml" <<'YAML'
data: ./data
apps:
  file-importer: { uses: file-importer, with: { from: ./incoming, pattern: "*.csv", type: small } }
  cat: { run: cat, workers: 2 }
flows:
  small: file-importer -> cat
YAML
}

# small_ours DIR INPUTS: runs INPUTS through the project at DIR with `run --once`; sets `took` and checks every output.
small_ours() {
    rm -rf "$1/incoming"
    cp -a "$2" "$1/incoming"
    sync
    cd "$1"
    seconds "$handover" run --once
    cd "$work"
    python3 "$tools" check "$2" "$1/data/cat" manifests
}

# small_hop DIR INPUTS: hands INPUTS to `cat` of the project at DIR as another program does, and runs `run --once`; sets
# `took` and checks every output. Nothing is imported.
small_hop() {
    mkdir -p "$1"
    cat >"$1/handover.yaml" <<'YAML'
data: ./data
apps:
  upstream: { run: "true", type: small, output: none }
  cat: { run: cat, workers: 2 }
flows:
  small: upstream -> cat
YAML
    python3 "$tools" hand-over "$2" "$1/data" cat
    sync
    cd "$1"
    seconds "$handover" run --once
    cd "$work"
    python3 "$tools" check "$2" "$1/data/cat" manifests
}
