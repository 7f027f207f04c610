#!/usr/bin/env python3
"""Gives an embedded ledger LIVE live and ARCHIVED archived deliveries: fill_monitor.py LEDGER LIVE ARCHIVED.

By SQL alone, with the tables' triggers taken away meanwhile and the counts made at the end, so that ten million take minutes. Of the
live ones half are records that wait, a tenth files that wait, three tenths files that were completed, a tenth failed; they go to
ten apps, a0 to a9, which are paused, so that nobody works on them. Where the schema changes, a column that it lacks is named in
the error.
"""

import json
import sqlite3
import sys

COLUMNS = """id, source_app, target_app, data, status, created_at, processed_at, kind, updated_at, created_by, flow, run_at,
             attempts, parent_id, last_error, result"""
FILE = json.dumps({"filename": "a_t_2025-01-01_001.csv", "created_at": "2025-01-01T00:00:00Z", "created_by": "a0",
                   "row_count": 15, "file_size": 1024, "checksum": "sha256:" + "0" * 64, "schema_version": "v2.0",
                   "next_app": "a1", "delivery_id": "1", "parents": [], "flow": "f", "path": "a/2025-01-01/"})
RECORD = json.dumps({"id": 1, "name": "somebody", "amount": 12.5, "text": "x" * 100})


def rows(ledger, table, kind, status, first, count):
    """So many rows with these numbers, one a second, the last of them now."""
    ended = status in ("completed", "failed", "archived")
    data = RECORD if kind == "record" else FILE
    at = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', (n.value - ?2 - ?3) || ' seconds')"
    result = "'{\"rows_in\":15,\"rows_out\":15}'" if ended and status != "failed" else "NULL"
    more = ", priority, max_attempts, rescues, snoozes, archived_at" if table == "data_archive" else ""
    values = f", 0, 4, 0, 0, {at}" if table == "data_archive" else ""
    ledger.execute(f"""INSERT INTO {table} ({COLUMNS}{more})
        SELECT n.value, 'a' || ((n.value + 1) % 10), 'a' || (n.value % 10), ?1, ?4, {at}, {at if ended else 'NULL'}, ?5, {at},
               'bench', 'f', {at}, {1 if ended else 0}, NULL, {"'it broke'" if status == 'failed' else 'NULL'}, {result}{values}
        FROM numbers AS n""", (data, first, count, status, kind))


def fill(path, live, archived):
    ledger = sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None)
    ledger.execute("PRAGMA synchronous = off")
    ledger.execute("PRAGMA cache_size = -200000")
    triggers = ledger.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    ledger.execute("BEGIN IMMEDIATE")
    for name, _ in triggers:
        ledger.execute(f"DROP TRIGGER {name}")
    number = 1
    for table, kind, status, count in (
            ("data_archive", "file", "archived", archived // 2),
            ("data_archive", "record", "archived", archived - archived // 2),
            ("deliveries", "file", "completed", live * 3 // 10),
            ("deliveries", "file", "failed", live // 10),
            ("deliveries", "file", "pending", live // 10),
            ("data_staging", "record", "pending", live - live * 5 // 10)):
        while count > 0:
            part = min(count, 500_000)
            ledger.execute("DROP VIEW IF EXISTS temp.numbers")
            ledger.execute(f"""CREATE TEMP VIEW numbers (value) AS WITH RECURSIVE n (value) AS
                (SELECT {number} UNION ALL SELECT value + 1 FROM n WHERE value < {number + part - 1}) SELECT value FROM n""")
            rows(ledger, table, kind, status, number, part)
            number += part
            count -= part
    everything = """(SELECT target_app, source_app, kind, status, 1 AS live FROM deliveries
        UNION ALL SELECT target_app, source_app, kind, status, 1 FROM data_staging
        UNION ALL SELECT target_app, source_app, kind, status, 0 FROM data_archive)"""
    ledger.execute(f"""INSERT INTO tally SELECT target_app, kind, status, count(*), count(*) FROM {everything} GROUP BY 1, 2, 3""")
    ledger.execute(f"""INSERT INTO sources (source, kind, pushed, live, archived)
        SELECT source_app, kind, count(*), sum(live), count(*) - sum(live) FROM {everything} GROUP BY 1, 2""")
    ledger.execute("""INSERT INTO audit_log (at, actor, delivery_id, last_id, from_status, to_status)
        WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1024 FROM n WHERE value + 1024 < ?1)
        SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'bench', value, min(value + 1023, ?1 - 1), NULL, 'pending' FROM n""", (number,))
    ledger.execute("INSERT INTO paused_apps SELECT 'a' || value, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'bench' "
                   "FROM json_each('[0,1,2,3,4,5,6,7,8,9]')")
    ledger.execute("UPDATE sqlite_sequence SET seq = ?1 WHERE name IN ('deliveries', 'data_staging')", (number,))
    for _, sql in triggers:
        ledger.execute(sql)
    ledger.execute("COMMIT")
    ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    there, = ledger.execute("SELECT sum(n) FROM tally").fetchone()
    assert there == live + archived == number - 1, f"{there} deliveries in place of {live + archived}"
    ledger.close()


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
