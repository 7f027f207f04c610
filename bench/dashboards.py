#!/usr/bin/env python3
"""What open dashboards cost: the server's processor time with VIEWERS of the page of flows, beside none, while records go through
one a second, so that every viewer is sent something each second.

   bench/dashboards.py

HANDOVER   the binary (default: the release build)
VIEWERS=200, SECS=20, ROUNDS=3
Prints a JSON line a round: the share of one core without and with them, in percent, and what each viewer was sent."""

import json
import os
import pathlib
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time

VIEWERS = int(os.environ.get("VIEWERS", "200"))
SECS = float(os.environ.get("SECS", "20"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
HERE = pathlib.Path(__file__).resolve().parent
TARGET = os.environ.get("CARGO_TARGET_DIR", str(HERE.parent / "target"))
HANDOVER = os.path.realpath(os.environ.get("HANDOVER", f"{TARGET}/release/handover"))

CONFIG = """
data: ./data
apps:
  source: { run: "true" }
  one: { run: cat, mode: stream }
  two: { run: cat }
flows:
  seen: [ { from: source, to: one, by: database }, { from: one, to: two, by: database } ]
api: { listen: 127.0.0.1:0, auth: none, limits: { default: 100000/s, address: 100000/s } }
"""
ECHO = """import sys, json
for line in sys.stdin:
    one = json.loads(line)
    print(json.dumps({"id": one["id"], "status": "completed"}), flush=True)
"""


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connect(address):
    host, port = address.rsplit(":", 1)
    viewer = socket.create_connection((host, int(port)))
    ask = f"GET /pages/events?page=flows HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n"
    viewer.sendall(ask.encode())
    viewer.setblocking(False)
    return viewer


def share(pid, address, viewers):
    """The server's share of a core over SECS, in percent, and the bytes that all viewers were sent."""
    readable, sent = selectors.DefaultSelector(), 0
    for viewer in viewers:
        readable.register(viewer, selectors.EVENT_READ)
    began, before, pushed = time.monotonic(), processor_seconds(pid), 0
    while (passed := time.monotonic() - began) < SECS:
        if passed >= pushed:
            pushed += 1
            push(address, pushed)
        for key, _ in readable.select(timeout=0.1) if viewers else []:
            data = key.fileobj.recv(1 << 20)
            if not data:
                sys.exit("a viewer was sent away")
            sent += len(data)
        if not viewers:
            time.sleep(0.1)
    return 100 * (processor_seconds(pid) - before) / (time.monotonic() - began), sent


def push(address, nth):
    host, port = address.rsplit(":", 1)
    body = json.dumps({"nth": nth}).encode()
    with socket.create_connection((host, int(port))) as line:
        head = (
            f"POST /api/v1/staging/one HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-ndjson\r\n"
            f"Idempotency-Key: {time.time_ns()}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        line.sendall(head.encode() + body)
        answer = line.recv(1 << 16)
        if not answer.startswith(b"HTTP/1.1 2"):
            sys.exit(answer.decode(errors="replace"))


def main():
    with tempfile.TemporaryDirectory(prefix="handover-bench.", dir=os.environ.get("BENCH_DIR")) as folder:
        work = pathlib.Path(folder)
        (work / "echo.py").write_text(ECHO)
        config = CONFIG.replace("run: cat, mode: stream", "run: python3 echo.py, mode: stream")
        (work / "handover.yaml").write_text(config)
        log = work / "log"
        with open(log, "wb") as out:
            server = subprocess.Popen([HANDOVER, "run"], cwd=work, stdout=out, stderr=out)
        try:
            for _ in range(600):
                found = re.search(r"the API listens: http://([0-9.:]+)", log.read_text())
                if found or server.poll() is not None:
                    break
                time.sleep(0.1)
            if not found:
                sys.exit(log.read_text())
            for one in range(1, ROUNDS + 1):
                without, _ = share(server.pid, found[1], [])
                viewers = [connect(found[1]) for _ in range(VIEWERS)]
                time.sleep(2)
                with_them, sent = share(server.pid, found[1], viewers)
                for viewer in viewers:
                    viewer.close()
                print(json.dumps({
                    "bench": "dashboards", "round": one, "viewers": VIEWERS,
                    "percent_of_a_core_without": round(without, 2), "with": round(with_them, 2),
                    "difference": round(with_them - without, 2),
                    "bytes_a_viewer_a_second": round(sent / max(VIEWERS, 1) / SECS),
                }))
                time.sleep(2)
        finally:
            server.terminate()
            server.wait(30)


main()
