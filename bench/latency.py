#!/usr/bin/env python3
"""Latency: from the rename of a file into the watched folder to the first byte that the next program reads.

usage: bench/latency.py [FILES]        300 files by default

Starts `handover run` on a folder and, at random intervals of 50 to 100 ms, writes a file outside it and renames it
in. The program in the flow is a few lines of C (compiled here, by cc): it reads one byte, notes CLOCK_MONOTONIC,
passes the rest through and ends with the time it noted. The clock starts just before the rename. Ten files go before,
uncounted. Every file must come out exactly once. Prints JSON lines; `spawn` is what remains where nothing but the
start of that program is measured, from posix_spawn to its first byte, so a limit of this machine.

HANDOVER is the binary (default: the release build, which must exist). BENCH_DIR is where the work is done: on a local
disk (default: a new folder in the temporary directory, removed at the end).
"""

import glob
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

WARM_UP = 10
WAIT_S = 60

STAMP = r"""
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void) {
    char buffer[65536];
    struct timespec now;
    ssize_t n = read(0, buffer, 1);
    clock_gettime(CLOCK_MONOTONIC, &now);
    for (; n > 0; n = read(0, buffer, sizeof buffer))
        if (write(1, buffer, n) != n) return 74;
    dprintf(1, "%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
    return n == 0 ? 0 : 74;
}
"""

CONFIG = """data: ./data
apps:
  file-importer: { uses: file-importer, with: { from: ./incoming, pattern: "*.txt", type: probe } }
  stamp: { run: ./stamp, workers: 2 }
flows:
  probes: file-importer -> stamp
"""


def percentiles(values_ms):
    ordered = sorted(values_ms)

    def at(share):
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return {"p50_ms": at(0.50), "p90_ms": at(0.90), "p99_ms": at(0.99), "max_ms": round(ordered[-1], 3)}


def find_handover():
    here = os.path.dirname(os.path.abspath(__file__))
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(here, "..", "target"))
    path = os.path.abspath(os.environ.get("HANDOVER", os.path.join(target, "release", "handover")))
    if not os.access(path, os.X_OK):
        sys.exit(f"{path} is not a program: cargo build --release -p handover, or set HANDOVER")
    return path


def build_stamp(project):
    source = os.path.join(project, "stamp.c")
    with open(source, "w") as f:
        f.write(STAMP)
    subprocess.run(["cc", "-O2", "-o", os.path.join(project, "stamp"), source], check=True)


def spawn_floor(project, count):
    """From posix_spawn to the first byte: no watching, no ledger, no file handed over."""
    probe, took_ms = os.path.join(project, "probe"), []
    with open(probe, "w") as f:
        f.write("0 probe\n")
    for _ in range(count):
        out_read, out_write = os.pipe()
        actions = [(os.POSIX_SPAWN_OPEN, 0, probe, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, out_write, 1)]
        start = time.monotonic_ns()
        pid = os.posix_spawn(os.path.join(project, "stamp"), ["stamp"], {}, file_actions=actions)
        os.close(out_write)
        with os.fdopen(out_read) as f:
            noted = int(f.read().split("\n")[1])
        os.waitpid(pid, 0)
        took_ms.append((noted - start) / 1e6)
    return took_ms


def drop(project, number):
    """Renames file `number` in; returns the time just before."""
    outside = os.path.join(project, "outside", f"{number}.txt")
    with open(outside, "w") as f:
        f.write(f"{number} probe\n")
    start = time.monotonic_ns()
    os.rename(outside, os.path.join(project, "incoming", f"probe-{number}.txt"))
    return start


def outputs(project):
    """The published outputs: those with a manifest."""
    return glob.glob(os.path.join(project, "data", "stamp", "*", "*.meta.json"))


def await_outputs(project, count, daemon):
    deadline = time.monotonic() + WAIT_S
    while len(outputs(project)) < count:
        if daemon.poll() is not None:
            sys.exit(f"handover ended with {daemon.returncode}: see its messages above")
        if time.monotonic() > deadline:
            sys.exit(f"{len(outputs(project))} of {count} files came out within {WAIT_S} s")
        time.sleep(0.02)


def measure(project, handover, count):
    for folder in ("incoming", "outside"):
        os.mkdir(os.path.join(project, folder))
    with open(os.path.join(project, "handover.yaml"), "w") as f:
        f.write(CONFIG)
    with open(os.path.join(project, "log"), "w") as log:
        daemon = subprocess.Popen([handover, "run"], cwd=project, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        started = {}
        for number in range(count + WARM_UP):
            started[number] = drop(project, number)
            if number < WARM_UP:
                await_outputs(project, number + 1, daemon)
            time.sleep(random.uniform(0.05, 0.1))
        await_outputs(project, len(started), daemon)
    finally:
        daemon.send_signal(signal.SIGTERM)
        code = daemon.wait(30)
    if code != 0:
        sys.exit(f"handover ended with {code} after SIGTERM")

    took_ms = {}
    for manifest in outputs(project):
        with open(manifest) as f:
            data = os.path.join(os.path.dirname(manifest), json.load(f)["filename"])
        with open(data) as f:
            number, noted = int(f.readline().split()[0]), int(f.readline())
        if number in took_ms:
            sys.exit(f"file {number} came out twice")
        took_ms[number] = (noted - started[number]) / 1e6
    if len(took_ms) != len(started):
        sys.exit(f"{len(started)} files went in and {len(took_ms)} came out")
    return [took for number, took in took_ms.items() if number >= WARM_UP]


def main():
    if sys.argv[1:] in (["-h"], ["--help"]):
        sys.exit(__doc__)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    handover = find_handover()
    os.makedirs(os.environ.get("BENCH_DIR", tempfile.gettempdir()), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="handover-bench.", dir=os.environ.get("BENCH_DIR")) as project:
        build_stamp(project)
        floor = spawn_floor(project, count)
        print(json.dumps({"bench": "latency", "who": "spawn", "files": count} | percentiles(floor)), flush=True)
        ours = measure(project, handover, count)
        print(json.dumps({"bench": "latency", "who": "ours", "files": count} | percentiles(ours)))


if __name__ == "__main__":
    main()
