#!/bin/sh
# A producer and a consumer that know nothing of Handover: INSERT and UPDATE.
set -eu
sql() { psql -qXAt -v ON_ERROR_STOP=1 "$@"; }

# The producer.
sql -c "INSERT INTO integration.data_staging (source_app, target_app, data)
        VALUES ('shop', 'billing', '{\"order\": 1, \"total\": 12.50}'),
               ('shop', 'billing', '{\"order\": 2, \"total\": 99.00}')"

# The consumer: claim one, work, end it. Several may run: SKIP LOCKED gives each its own.
while
    id=$(sql -c "UPDATE integration.data_staging SET status = 'processing'
                 WHERE id = (SELECT id FROM integration.data_staging
                             WHERE status = 'pending' AND target_app = 'billing' AND run_at <= now() AND deleted_at IS NULL
                             ORDER BY priority DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED)
                 RETURNING id")
    [ -n "$id" ]
do
    order=$(sql -c "SELECT data->>'order' FROM integration.data_staging WHERE id = $id")
    echo "billing order $order"
    sql -c "UPDATE integration.data_staging SET status = 'completed' WHERE id = $id"
done

# What became of the last one: every step, and who.
sql -F ' | ' -c "SELECT actor, coalesce(from_status, 'new'), to_status FROM integration.history(
    (SELECT max(id) FROM integration.data_staging WHERE target_app = 'billing'))"
