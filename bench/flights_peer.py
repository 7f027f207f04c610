"""The flights flow as a console program in plain Python would do it: import -> validate -> enrich -> export.

usage: flights_peer.py AIRLINES.csv AIRPORTS.csv OUTDIR FLIGHTS.csv...

Every stage leaves its file and a manifest (rows, size, SHA-256) in a folder of its own, for each input; the last is
final/. Standard library alone, one process for all files, nothing synced. Prints the counts as JSON.
"""

import csv
import datetime
import gzip
import hashlib
import json
import os
import re
import shutil
import sys

CARRIER = re.compile(r"[0-9A-Z]{2}")
TAILNUM = re.compile(r"[0-9A-Z]{5,6}")
ORIGINS = {"EWR", "JFK", "LGA"}
LOOKED_UP = ["carrier_name", "dest_name", "dest_lat", "dest_lon", "distance_km"]


def integer(text):
    try:
        return int(text)
    except ValueError:
        return None


def faults(row):
    found = [f"{name}: not an integer" for name in ("dep_delay", "arr_delay") if integer(row[name]) is None]
    if not CARRIER.fullmatch(row["carrier"]):
        found.append("carrier: pattern")
    if not TAILNUM.fullmatch(row["tailnum"]):
        found.append("tailnum: pattern")
    if row["origin"] not in ORIGINS:
        found.append("origin: not one of the three")
    if (integer(row["distance"]) or 0) < 1:
        found.append("distance: below 1")
    if not 1 <= (integer(row["month"]) or 0) <= 12:
        found.append("month: out of range")
    try:
        datetime.datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        found.append("time_hour: not a time")
    return found


class Stages:
    """The folders of one run, and the manifests in them."""

    def __init__(self, out):
        self.out = out
        for stage in ("imported", "valid", "rejected", "enriched", "final"):
            os.makedirs(os.path.join(out, stage), exist_ok=True)

    def path(self, stage, name):
        return os.path.join(self.out, stage, name)

    def manifest(self, path, rows):
        with open(path, "rb") as f:
            checksum = hashlib.file_digest(f, "sha256") if hasattr(hashlib, "file_digest") else hashlib.sha256(f.read())
        with open(path + ".meta.json", "w") as f:
            json.dump({"filename": os.path.basename(path), "row_count": rows, "file_size": os.path.getsize(path),
                       "checksum": "sha256:" + checksum.hexdigest()}, f)


def take_in(stages, source, name):
    imported = stages.path("imported", name)
    shutil.copyfile(source, imported)
    with open(imported, newline="") as f:
        rows = sum(1 for _ in csv.reader(f)) - 1
    stages.manifest(imported, rows)
    return rows


def validate(stages, name):
    counts = {"valid": 0, "rejected": 0}
    good, bad = stages.path("valid", name), stages.path("rejected", name)
    with open(stages.path("imported", name), newline="") as f, open(good, "w", newline="") as g, \
            open(bad, "w", newline="") as b:
        reader = csv.DictReader(f)
        valid = csv.DictWriter(g, reader.fieldnames, lineterminator="\n")
        rejected = csv.DictWriter(b, [*reader.fieldnames, "errors"], lineterminator="\n")
        valid.writeheader()
        rejected.writeheader()
        for row in reader:
            if found := faults(row):
                rejected.writerow(row | {"errors": "; ".join(found)})
                counts["rejected"] += 1
            else:
                valid.writerow(row)
                counts["valid"] += 1
    stages.manifest(good, counts["valid"])
    stages.manifest(bad, counts["rejected"])
    return counts


def enrich(stages, name, airlines, airports, rows):
    path = stages.path("enriched", name)
    with open(stages.path("valid", name), newline="") as f, open(path, "w", newline="") as out:
        reader = csv.DictReader(f)
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*reader.fieldnames, *LOOKED_UP])
        for row in reader:
            place = airports.get(row["dest"], {})
            kilometres = round(float(row["distance"]) * 1.609344, 1)
            writer.writerow([*row.values(), airlines.get(row["carrier"], ""), place.get("name", ""),
                             place.get("lat", ""), place.get("lon", ""), kilometres])
    stages.manifest(path, rows)


def export(stages, name, rows):
    path = stages.path("final", name + ".gz")
    with open(stages.path("enriched", name), "rb") as f, gzip.open(path, "wb", compresslevel=6) as out:
        shutil.copyfileobj(f, out, 1 << 20)
    stages.manifest(path, rows)


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    airlines_path, airports_path, out, *sources = sys.argv[1:]
    with open(airlines_path, newline="") as f:
        airlines = {row["carrier"]: row["name"] for row in csv.DictReader(f)}
    with open(airports_path, newline="") as f:
        airports = {row["faa"]: row for row in csv.DictReader(f)}
    stages, total = Stages(out), {"rows": 0, "valid": 0, "rejected": 0}
    for source in sources:
        name = os.path.basename(source)
        total["rows"] += take_in(stages, source, name)
        counts = validate(stages, name)
        enrich(stages, name, airlines, airports, counts["valid"])
        export(stages, name, counts["valid"])
        for key, value in counts.items():
            total[key] += value
    print(json.dumps(total))


if __name__ == "__main__":
    main()
