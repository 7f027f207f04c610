"""Gives an embedded ledger a past: files that went through file-importer and `cat`, a number of days ago.

One file is two deliveries, as the runtime makes them: the imported file, handed to `cat` and completed by it, and
`cat`'s output at the end of the flow. With them go their names, the arrival and the audit. The ledger's own triggers
keep the tally and write the first line of each delivery's audit. Where the schema changes, change `past` with it: a
column that it lacks is named in the error.
"""

import datetime
import json
import sqlite3

FILES_A_DAY = 2000
LAST_DAY = datetime.date(2024, 12, 31)


def past(i, first_id, day):
    """The rows of the i-th file, by table, each with its columns."""
    sequence = i % FILES_A_DAY + 1
    at = f"{day}T{sequence // 100:02d}:{sequence % 60:02d}:00.000Z"
    imported_id, output_id = first_id, first_id + 1
    checksum = f"{i:064x}"

    def file(app, file_id, next_app, parents):
        folder = {"file-importer": "imports"}.get(app, app)
        stem = f"{app}_small_{day}_{sequence:03d}"
        manifest = {"filename": f"{stem}.csv", "created_at": at, "created_by": app, "row_count": 15,
                    "file_size": 1024, "checksum": f"sha256:{checksum}", "schema_version": "v2.0",
                    "next_app": next_app, "delivery_id": str(file_id), "parents": parents, "flow": "small",
                    "path": f"{folder}/{day}/{stem}.csv"}
        return f"{folder}/{day}", stem, json.dumps(manifest)

    def delivery(file_id, source, target, data, parent):
        return {"id": file_id, "source_app": source, "target_app": target, "data": data, "status": "completed",
                "created_at": at, "processed_at": at, "kind": "file", "updated_at": at, "created_by": "handover",
                "flow": "small", "run_at": at, "attempts": 1 if target else 0, "parent_id": parent,
                "result": '{"rows_in":15,"rows_out":15}' if target else None}

    def name(folder, stem, maker, app, file_id):
        return {"folder": folder, "stem": stem, "delivery_id": maker, "slot": "out", "file_id": file_id, "app": app,
                "type": "small", "date": str(day), "sequence": sequence, "created_at": at}

    imported = file("file-importer", imported_id, "cat", [])
    output = file("cat", output_id, None, [str(imported_id)])
    yield "deliveries", delivery(imported_id, "file-importer", "cat", imported[2], None)
    yield "deliveries", delivery(output_id, "cat", None, output[2], imported_id)
    yield "names", name(*imported[:2], -i - 1, "file-importer", imported_id)
    yield "names", name(*output[:2], imported_id, "cat", output_id)
    yield "arrivals", {"app": "file-importer", "path": f"incoming/past_{i:07d}.csv",
                       "name": f"past_{i:07d}.csv", "device": 1, "inode": i,
                       "size": 1024, "mtime": at, "delivery_id": imported_id, "proof": "settled",
                       "checksum": f"sha256:{checksum}", "arrived_at": at}
    for before, after in (("pending", "processing"), ("processing", "completed")):
        yield "audit_log", {"at": at, "actor": "past", "delivery_id": imported_id, "from_status": before,
                            "to_status": after}


def fill(path, deliveries):
    ledger = sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None)
    ledger.execute("PRAGMA synchronous = off")
    first = ledger.execute("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence").fetchone()[0]
    files = deliveries // 2
    first_day = LAST_DAY - datetime.timedelta(days=(files - 1) // FILES_A_DAY)
    statements = {}
    ledger.execute("BEGIN IMMEDIATE")
    for i in range(files):
        day = first_day + datetime.timedelta(days=i // FILES_A_DAY)
        for table, row in past(i, first + 2 * i, day):
            if table not in statements:
                columns = ", ".join(row)
                places = ", ".join(f":{column}" for column in row)
                statements[table] = f"INSERT INTO {table} ({columns}) VALUES ({places})"
            ledger.execute(statements[table], row)
    ledger.execute("COMMIT")
    ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    count, = ledger.execute("SELECT count(*) FROM deliveries").fetchone()
    assert count >= 2 * files, f"{count} deliveries after filling in {2 * files}"
    ledger.close()
