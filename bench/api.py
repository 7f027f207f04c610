#!/usr/bin/env python3
"""Clients for bench/api.sh: what wrk cannot measure. Prints one JSON line.

    api.py stream URL KEY COUNT       submit to start of a running stream program
    api.py process URL KEY COUNT      one process for each job, against fork and exec alone
    api.py events URL KEY COUNT PID   so many idle clients that follow a job; the memory of process PID
"""
import asyncio, http.client, json, os, resource, statistics, subprocess, sys, time, urllib.parse


class Api:
    def __init__(self, url, key):
        self.host = urllib.parse.urlsplit(url).netloc
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.connection = http.client.HTTPConnection(self.host)

    def ask(self, method, path, body=None, **headers):
        body = None if body is None else json.dumps(body)
        self.connection.request(method, "/api/v1" + path, body, self.headers | headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)

    def run(self, app, config=None):
        job = self.ask("POST", "/jobs", {"app": app, "config": config or {}}, Prefer="wait=30")
        if job["status"] != "completed":
            raise SystemExit(f"job {job['id']} is {job['status']}: {job['error']}")
        return job


def spread(values):
    values = sorted(values)
    at = lambda share: values[min(len(values) - 1, int(len(values) * share))]
    return {"p50_ms": round(at(0.5), 2), "p90_ms": round(at(0.9), 2), "p99_ms": round(at(0.99), 2)}


def stream(api, count):
    """The program answers with the time at which it had the job's line."""
    api.run("clock")
    waits = []
    for _ in range(count):
        began = time.time()
        job = api.run("clock")
        result = api.ask("GET", f"/jobs/{job['id']}/results")
        waits.append((result["outputs"][0]["json"]["at"] - began) * 1e3)
    return spread(waits)


def process(api, count):
    """The whole of a job, POST to its end, less fork and exec of the same program by a plain loop."""
    api.run("nothing")
    jobs, alone = [], []
    for _ in range(count):
        began = time.perf_counter()
        api.run("nothing")
        jobs.append((time.perf_counter() - began) * 1e3)
        began = time.perf_counter()
        subprocess.run(["/bin/true"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        alone.append((time.perf_counter() - began) * 1e3)
    over = statistics.median(jobs) - statistics.median(alone)
    return {"job": spread(jobs), "fork_and_exec": spread(alone), "overhead_p50_ms": round(over, 2)}


def memory(pid):
    """Proportional resident memory in MB."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3


async def follow(api, path, ready):
    reader, writer = await asyncio.open_connection(*api.host.split(":"))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {api.host}\r\nAuthorization: {api.headers['Authorization']}\r\n\r\n".encode())
    line = await reader.readline()
    if b"200" not in line:
        raise SystemExit(f"{path}: {line.decode()}")
    while await reader.readline() not in (b"\r\n", b""):
        pass
    await reader.readuntil(b"event: state")
    ready()
    await reader.read()


async def events(api, count, pid):
    before = memory(pid)
    ids = [api.ask("POST", "/jobs", {"app": "sink"})["id"] for _ in range(count // 10)]
    there, all_there = 0, asyncio.Event()

    def ready():
        nonlocal there
        there += 1
        if there == count:
            all_there.set()

    tasks = []
    for n in range(count):
        tasks.append(asyncio.create_task(follow(api, f"/api/v1/jobs/{ids[n % len(ids)]}/events", ready)))
        if n % 200 == 199:
            await asyncio.sleep(0.05)
    await asyncio.wait_for(all_there.wait(), 120)
    await asyncio.sleep(3)
    after = memory(pid)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {"clients": there, "mb_before": round(before, 1), "mb": round(after, 1)}


def main():
    what, url, key, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    api = Api(url, key)
    if what == "events":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        print(json.dumps(asyncio.run(events(api, count, int(sys.argv[5])))))
    else:
        print(json.dumps({"stream": stream, "process": process}[what](api, count)))


main()
