"""Hands records over: many by COPY, and a batch that may be sent again by push_many with dedup keys.

    python producer.py [COUNT]
"""

import json
import sys

import psycopg

count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000

with psycopg.connect(autocommit=True) as connection:
    # COPY names three columns: the rest have their usual values. All of it is there at once, or none.
    with connection.cursor() as cursor:
        with cursor.copy("COPY integration.data_staging (source_app, target_app, data) FROM STDIN") as copy:
            for number in range(count):
                copy.write_row(("sensors", "meter", json.dumps({"reading": number})))
    print(f"copied {count} records")

    # The same call again changes nothing: each key is known.
    orders = [{"order": n} for n in range(3)]
    keys = [f"order-{order['order']}" for order in orders]
    for _ in range(2):
        (ids,) = connection.execute(
            "SELECT integration.push_many('shop', 'ledger-of-orders', %s, dedup_keys => %s)", (json.dumps(orders), keys)
        ).fetchone()
        print("records", ids)
