"""The parts of the benchmarks that need more than a shell. Python 3.9 or later, standard library alone.

usage: tools.py machine DIR                       the machine's class, as a JSON line
       tools.py limits DIR                        what one fork and exec, one fsync and one rename cost here
       tools.py files DIR N                       N different CSV files of 1,024 bytes, old enough to count as settled
       tools.py hand-over INPUTS DIR APP           publishes each of them, with its manifest, to APP in the data directory DIR
       tools.py check INPUTS OUT [manifests]      every input is in OUT exactly once, by content, with its checksum
       tools.py summary BENCH KEY A B             medians, and the ratio A / B of each round; results on stdin
       tools.py median-ms N COMMAND...            the median time of N runs
       tools.py fill LEDGER N                     N past deliveries, written into an embedded ledger
       tools.py split-days FLIGHTS.csv DIR        one file a day
       tools.py same-flights OURS THEIRS          two folders of gzipped exports hold the same rows
       tools.py repeat-flights FLIGHTS N OUT      the rows of FLIGHTS.csv, or of the one in FLIGHTS.zip, N times over
       tools.py measured BENCH ROUND WHO COMMAND...  runs it: seconds, processor time and peak memory of all its processes
       tools.py answers ADDRESS PATH...           how long answers take, on one connection: SCRAPES of /metrics, PAGES of others
       tools.py collector                         takes spans, and says where; until it is ended
       tools.py echo                              a stream program that answers each record with itself
       tools.py same-counts OURS.json THEIRS.json  a `run --once --json` and a peer's line agree on every count
"""

import csv
import glob
import gzip
import hashlib
import http.client
import http.server
import json
import os
import platform
import select
import statistics
import subprocess
import sys
import time
import zipfile

import fill_ledger

FILE_BYTES = 1024


def machine(folder):
    with open("/proc/cpuinfo") as f:
        models = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    with open("/proc/meminfo") as f:
        memory_kib = int(f.readline().split()[1])
    filesystem = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True).stdout.strip()
    print(json.dumps({"machine": {
        "cores": len(os.sched_getaffinity(0)), "cpu": models[0] if models else platform.machine(),
        "memory_gib": round(memory_kib / 2**20, 1), "kernel": platform.release().split("-")[0],
        "filesystem": filesystem}}), flush=True)


def sync_folder(folder):
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def spawn_cats(count, source):
    null = os.open("/dev/null", os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_OPEN, 0, source, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, null, 1)]
    for _ in range(count):
        os.waitpid(os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=actions), 0)
    os.close(null)


def limits(folder):
    """Nobody hands a file over durably through a program faster than these add up to."""
    spawns, syncs = 1000, 500
    source = os.path.join(folder, "limit")
    with open(source, "wb") as f:
        f.write(b"x" * FILE_BYTES)

    start = time.perf_counter()
    spawn_cats(spawns, source)
    spawn_s = (time.perf_counter() - start) / spawns
    start = time.perf_counter()
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            spawn_cats(spawns, source)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    two_s = (time.perf_counter() - start) / (2 * spawns)

    scratch = os.path.join(folder, "limits")
    os.mkdir(scratch)
    sync_ms, rename_ms = [], []
    for i in range(syncs):
        path = os.path.join(scratch, f"{i}")
        fd = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(fd, b"x" * FILE_BYTES)
        start = time.perf_counter()
        os.fsync(fd)
        sync_ms.append((time.perf_counter() - start) * 1000)
        os.close(fd)
        start = time.perf_counter()
        os.rename(path + ".tmp", path)
        sync_folder(scratch)
        rename_ms.append((time.perf_counter() - start) * 1000)
    for name in os.listdir(scratch):
        os.unlink(os.path.join(scratch, name))
    os.rmdir(scratch)
    os.unlink(source)
    print(json.dumps({"limits": {
        "cat_spawns_per_second_one_after_the_other": round(1 / spawn_s),
        "cat_spawns_per_second_two_at_a_time": round(1 / two_s),
        "fsync_1kb_ms_median": round(statistics.median(sync_ms), 3),
        "rename_and_folder_fsync_ms_median": round(statistics.median(rename_ms), 3)}}), flush=True)


def files(folder, count):
    os.makedirs(folder)
    settled = time.time() - 3600
    for i in range(int(count)):
        rows, line = ["id,text"], 0
        while (room := FILE_BYTES - sum(len(r) + 1 for r in rows)) > 0:
            start = f"{i:08d}-{line:03d},"
            width = room - len(start) - 1
            # The last line takes what is left, so that every file has the same size.
            rows.append(start + "x" * (width if width < 60 else 40))
            line += 1
        path = os.path.join(folder, f"small_{i:06d}.csv")
        with open(path, "w") as f:
            f.write("\n".join(rows) + "\n")
        assert os.path.getsize(path) == FILE_BYTES, path
        os.utime(path, (settled, settled))


def hand_over(inputs, data, app):
    """As another program does that knows the convention: the file, then its manifest."""
    folder = os.path.join(data, "upstream", "2025-11-24")
    os.makedirs(folder)
    for sequence, entry in enumerate(sorted(os.scandir(inputs), key=lambda e: e.name), 1):
        stem = f"upstream_small_2025-11-24_{sequence:03d}"
        with open(entry.path, "rb") as f:
            content = f.read()
        with open(os.path.join(folder, stem + ".csv"), "wb") as f:
            f.write(content)
        with open(os.path.join(folder, stem + ".meta.json"), "w") as f:
            json.dump({"filename": stem + ".csv", "created_at": "2025-11-24T06:00:00Z", "created_by": "upstream",
                       "row_count": content.count(b"\n") - 1, "file_size": len(content),
                       "checksum": "sha256:" + hashlib.sha256(content).hexdigest(), "schema_version": "v2.0",
                       "next_app": app}, f)


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def check(inputs, out, manifests=None):
    wanted = sorted(digest(entry.path) for entry in os.scandir(inputs))
    found = []
    for path in glob.glob(os.path.join(out, "**"), recursive=True):
        if not path.endswith(".csv"):
            continue
        sum_ = digest(path)
        found.append(sum_)
        if manifests:
            with open(path[:-len(".csv")] + ".meta.json") as f:
                stated = json.load(f)
            assert stated["checksum"] == "sha256:" + sum_, f"{path}: {stated['checksum']} is not {sum_}"
            assert stated["file_size"] == FILE_BYTES and stated["filename"] == os.path.basename(path), path
        else:
            with open(path + ".sha256") as f:
                assert f.read().split()[0] == sum_, path
    assert sorted(found) == wanted, f"{len(wanted)} inputs, {len(found)} outputs, and their contents differ"


def summary(bench, key, a, b):
    rounds = {a: [], b: []}
    for line in sys.stdin:
        result = json.loads(line)
        if result["who"] in rounds:
            rounds[result["who"]].append(result[key])
    out = {"bench": bench, "summary": key}
    for who, values in rounds.items():
        if values:
            out[who] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    ratios = [ours / theirs for ours, theirs in zip(rounds[a], rounds[b])]
    if ratios:
        out[f"{a}/{b}"] = {name: round(pick(ratios), 3) for name, pick in
                           (("median", statistics.median), ("min", min), ("max", max))}
    print(json.dumps(out))


def median_ms(count, *command):
    times = []
    for _ in range(int(count)):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append((time.perf_counter() - start) * 1000)
    print(round(statistics.median(times), 2))


def split_days(flights, folder):
    os.makedirs(folder)
    settled = time.time() - 3600
    days = {}
    with open(flights) as f:
        header = f.readline()
        for line in f:
            year, month, day, _ = line.split(",", 3)
            days.setdefault(f"{year}-{int(month):02d}-{int(day):02d}", [header]).append(line)
    for day, lines in days.items():
        path = os.path.join(folder, f"flights_{day}.csv")
        with open(path, "w") as f:
            f.writelines(lines)
        os.utime(path, (settled, settled))


def flights_rows(folder):
    """The rows of all exports in order, without `late`, numbers as numbers; the header first."""
    rows, header = [], None
    for path in sorted(glob.glob(os.path.join(folder, "**", "*.csv.gz"), recursive=True)):
        with gzip.open(path, "rt", newline="") as f:
            reader = csv.reader(f)
            names = next(reader)
            late = names.index("late") if "late" in names else None
            kept = [name for name in names if name != "late"]
            assert header in (None, kept), f"{path} has other columns"
            header = kept
            for row in reader:
                if late is not None:
                    del row[late]
                row[kept.index("distance_km")] = float(row[kept.index("distance_km")])
                rows.append(tuple(row))
    return header, rows


def same_flights(ours, theirs):
    (our_header, our_rows), (their_header, their_rows) = flights_rows(ours), flights_rows(theirs)
    assert our_header == their_header, f"{our_header} is not {their_header}"
    assert sorted(our_rows) == sorted(their_rows), f"{len(our_rows)} rows differ from {len(their_rows)}"


def repeat_flights(flights, count, out):
    if flights.endswith(".zip"):
        with zipfile.ZipFile(flights) as archive:
            text = archive.read(next(name for name in archive.namelist() if name.endswith(".csv")))
    else:
        with open(flights, "rb") as f:
            text = f.read()
    header, rows = text.split(b"\n", 1)
    rows = rows.rstrip(b"\n") + b"\n"
    with open(out, "wb") as f:
        f.write(header + b"\n")
        for _ in range(int(count)):
            f.write(rows)
    settled = time.time() - 3600
    os.utime(out, (settled, settled))


def resident_kib(root):
    """The resident memory of a process and all that come from it. Pages of files (the program itself, above all) are counted
    once for all processes of one program."""
    total, of_files, waiting = 0, {}, [root]
    while waiting:
        process = waiting.pop()
        try:
            with open(f"/proc/{process}/status") as f:
                sizes = {line.split(":")[0]: int(line.split()[1]) for line in f if line.startswith("Rss")}
            if sizes:
                program = os.readlink(f"/proc/{process}/exe")
                of_files[program] = max(of_files.get(program, 0), sizes["RssFile"])
                total += sizes["RssAnon"] + sizes["RssShmem"]
            for task in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{task}/children") as f:
                    waiting.extend(map(int, f.read().split()))
        except OSError:
            pass
    return total + sum(of_files.values())


def measured(bench, count, who, *command):
    """Peak memory is that of all processes together, looked at ten times a second. stdout of the command is kept."""
    start, peak = time.perf_counter(), 0
    with open(os.path.join(os.environ["WORK"], f"{who}.out"), "w") as out:
        process = subprocess.Popen(command, stdout=out)
        ended = select.poll()
        ended.register(os.pidfd_open(process.pid), select.POLLIN)
        while not ended.poll(100):
            peak = max(peak, resident_kib(process.pid))
        process.wait()
    seconds = time.perf_counter() - start
    used = os.times()
    assert process.returncode == 0, f"{who} ended with {process.returncode}"
    print(json.dumps({
        "bench": bench, "round": int(count), "who": who, "seconds": round(seconds, 3),
        "processor_seconds": round(used.children_user + used.children_system, 2),
        "peak_mb": round(peak * 1024 / 1e6, 1)}), flush=True)


def same_counts(ours, theirs):
    with open(ours) as f:
        apps = json.load(f)["apps"]
    with open(theirs) as f:
        counts = json.loads(f.read().strip().splitlines()[-1])
    found = {"rows": apps["file-importer"]["rows_out"], "valid": apps["validator"]["rows_out"],
             "invalid": apps["validator"]["rows_rejected"], "enriched": apps["enricher"]["rows_out"]}
    assert found == counts, f"{found} is not {counts}"
    assert apps["file-exporter"]["rows_out"] == counts["enriched"], "rows were lost on the way out"
    print(json.dumps({"counts": found}), flush=True)


def timed(connection, path):
    start = time.perf_counter()
    connection.request("GET", path, headers={"Accept": "text/html, text/plain"})
    response = connection.getresponse()
    body = response.read()
    return (time.perf_counter() - start) * 1000, response.status, len(body)


def answers(address, *paths):
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=60)

    def say(path, who, asked):
        times = sorted(ms for ms, _, _ in asked)
        print(json.dumps({"bench": "monitor", "path": path, "who": who, "count": len(times), "bytes": asked[-1][2],
                          "median_ms": round(statistics.median(times), 2),
                          "p99_ms": round(times[min(len(times) - 1, int(len(times) * 0.99))], 2),
                          "max_ms": round(times[-1], 2)}), flush=True)

    for path in paths:
        _, status, _ = timed(connection, path)
        if status == 404:
            print(json.dumps({"bench": "monitor", "path": path, "who": "not there"}), flush=True)
            continue
        assert status == 200, f"{path} answered {status}"
        if path == "/metrics":
            fresh, shared = [], []
            for _ in range(int(os.environ.get("SCRAPES", "60"))):
                time.sleep(1.05)
                fresh.append(timed(connection, path))
                shared.append(timed(connection, path))
            say(path, "fresh", fresh)
            say(path, "shared", shared)
        else:
            say(path, "page", [timed(connection, path) for _ in range(int(os.environ.get("PAGES", "200")))])


def collector():
    class Takes(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    print(f"127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


def echo():
    for line in sys.stdin:
        record = json.loads(line)
        print(json.dumps({"id": record["id"], "status": "completed", "data": record["data"]}), flush=True)


def fill(ledger, count):
    fill_ledger.fill(ledger, int(count))


def main():
    commands = {f.__name__.replace("_", "-"): f for f in
                (machine, limits, files, hand_over, check, summary, median_ms, fill, split_days, same_flights,
                 repeat_flights, measured, same_counts, answers, collector, echo)}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    try:
        commands[sys.argv[1]](*sys.argv[2:])
    except AssertionError as wrong:
        sys.exit(f"tools.py {sys.argv[1]}: {wrong}")


if __name__ == "__main__":
    main()
