"""A worker for the app `meter`: pulls batches and keeps a sum in a table of its own.

What it writes and its ack are one transaction. If its lease has run out meanwhile, the ack is an error (SQLSTATE HO001),
the transaction is rolled back with it, and whoever has the records now counts them instead: each counts exactly once.

    python consumer.py        # until nothing waits; without polling, see LISTEN below
"""

import psycopg

BATCH = 1000

with psycopg.connect(autocommit=True) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS meter_total (readings bigint, total numeric)")
    connection.execute("INSERT INTO meter_total SELECT 0, 0 WHERE NOT EXISTS (SELECT FROM meter_total)")
    # Each commit that hands something over tells this channel, with the app's name. A pooler in transaction mode cannot
    # pass it on: there, poll.
    connection.execute("LISTEN handover")
    while True:
        rows = connection.execute(
            "SELECT id, data, token FROM integration.pull('meter', %s, '60 seconds')", (BATCH,)
        ).fetchall()
        if not rows:
            break  # a worker that stays would wait here: connection.notifies(timeout=5)
        token = rows[0][2]
        try:
            with connection.transaction():
                connection.execute(
                    "UPDATE meter_total SET readings = readings + %s, total = total + %s",
                    (len(rows), sum(data["reading"] for _, data, _ in rows)),
                )
                connection.execute("SELECT integration.ack(%s)", (token,))
        except psycopg.Error as error:
            if error.sqlstate != "HO001":
                connection.execute("SELECT integration.fail(%s, NULL, %s)", (token, str(error)))
            print(error)
    print(*connection.execute("SELECT readings, total FROM meter_total").fetchone())
