-- What to look at: the same views, with the same columns, as on PostgreSQL. Durations are in seconds.

-- What is archived, and what plain SQL has set so and waits to be moved there, with how it ended: what failed has its last error,
-- what was completed has none. Whoever archives sees to that.
CREATE VIEW _archived AS
    SELECT *, CASE WHEN last_error IS NULL THEN 'completed' ELSE 'failed' END AS ended_as FROM (
        SELECT id, source_app, target_app, kind, last_error, parent_id, replay_of, data, result, deleted_at FROM deliveries
            WHERE status = 'archived'
        UNION ALL
        SELECT id, source_app, target_app, kind, last_error, parent_id, replay_of, data, result, deleted_at FROM data_staging
            WHERE status = 'archived'
        UNION ALL
        SELECT id, source_app, target_app, kind, last_error, parent_id, replay_of, data, result, deleted_at FROM data_archive);

-- How much stands where, by app; counts are kept, so that this is cheap however long the past.
CREATE VIEW v_queue_depth AS
    SELECT t.app AS target_app, t.kind,
        sum(CASE WHEN status = 'pending' THEN n ELSE 0 END) AS pending,
        sum(CASE WHEN status = 'processing' THEN n ELSE 0 END) AS processing,
        sum(CASE WHEN status = 'completed' THEN n ELSE 0 END) AS completed,
        sum(CASE WHEN status = 'failed' THEN n ELSE 0 END) AS failed,
        sum(CASE WHEN status = 'archived' THEN n ELSE 0 END) AS archived,
        (SELECT min(created_at) FROM (
            SELECT * FROM (SELECT d.created_at FROM data_staging AS d
             WHERE d.status = 'pending' AND d.target_app = t.app AND d.kind = t.kind AND d.deleted_at IS NULL
               AND d.run_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now') ORDER BY d.priority DESC, d.id LIMIT 1)
            UNION ALL
            SELECT * FROM (SELECT d.created_at FROM deliveries AS d
             WHERE d.status = 'pending' AND d.target_app = t.app AND d.kind = t.kind AND d.deleted_at IS NULL
               AND d.run_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now') ORDER BY d.priority DESC, d.id LIMIT 1))) AS next_created_at,
        EXISTS (SELECT 1 FROM paused_apps AS p WHERE p.app = t.app) AS paused
    FROM tally AS t GROUP BY t.app, t.kind;

-- From arrival to completion, of what was completed within the last hour.
CREATE VIEW v_latency AS
    WITH ended AS (
        SELECT target_app, kind, (julianday(processed_at) - julianday(created_at)) * 86400.0 AS seconds
        FROM v_deliveries
        WHERE status = 'completed' AND processed_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour')),
    ranked AS (
        SELECT *, row_number() OVER (PARTITION BY target_app, kind ORDER BY seconds) AS place,
            count(*) OVER (PARTITION BY target_app, kind) AS n FROM ended)
    SELECT target_app, kind, n AS completed,
        round(min(CASE WHEN place >= 0.50 * n THEN seconds END), 3) AS p50,
        round(min(CASE WHEN place >= 0.95 * n THEN seconds END), 3) AS p95,
        round(min(CASE WHEN place >= 0.99 * n THEN seconds END), 3) AS p99,
        round(max(seconds), 3) AS slowest
    FROM ranked GROUP BY target_app, kind, n;

-- How many of those that ended within the last hour failed.
CREATE VIEW v_error_rate AS
    SELECT target_app, kind, completed, failed, round(1.0 * failed / (completed + failed), 4) AS error_rate
    FROM (SELECT target_app, kind, sum(status = 'completed') AS completed, sum(status = 'failed') AS failed
          FROM v_deliveries
          WHERE status IN ('completed', 'failed') AND processed_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour')
          GROUP BY target_app, kind);

-- What does not move: leases that have run out, and what could have been claimed for an hour, and why it was not.
CREATE VIEW v_stuck AS
    SELECT id, kind, source_app, target_app, status, created_at, leased_by, lease_until, attempts,
        CASE WHEN status = 'processing' THEN 'its lease ran out and nobody has taken it back'
             WHEN EXISTS (SELECT 1 FROM paused_apps AS p WHERE p.app = d.target_app) THEN 'its app is paused'
             ELSE 'it has waited for over an hour' END AS why,
        last_error
    FROM v_deliveries AS d
    WHERE deleted_at IS NULL
      AND ((status = 'processing' AND lease_until < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 minute'))
        OR (status = 'pending' AND run_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour')));

-- What has failed for good.
CREATE VIEW v_dead AS
    SELECT id, kind, source_app, target_app, attempts, last_error, created_at, processed_at AS failed_at, data
    FROM v_deliveries WHERE status = 'failed' AND deleted_at IS NULL;

-- How large the ledger is: its rows by table, and the bytes of the whole file.
CREATE VIEW v_growth AS
    SELECT 'data_staging' AS "table", coalesce(sum(n), 0) AS rows,
        (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()) AS ledger_bytes
        FROM tally WHERE kind = 'record' AND status <> 'archived'
    UNION ALL
    SELECT 'deliveries', coalesce(sum(n), 0), (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())
        FROM tally WHERE kind <> 'record' AND status <> 'archived'
    UNION ALL
    SELECT 'data_archive', coalesce(sum(n), 0), (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())
        FROM tally WHERE status = 'archived'
    UNION ALL
    SELECT 'audit_log', coalesce(max(id) - min(id) + 1, 0), (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())
        FROM audit_log;

-- Row conservation, by source: what was pushed is live, archived, or deleted (for good, or so that it can be restored).
-- `expired` of the deleted went by retention. `missing` is 0.
CREATE VIEW v_conservation AS
    SELECT s.source AS source_app, s.kind, s.pushed, s.live - d.n AS live, s.archived, s.deleted + d.n AS deleted,
        s.expired,
        s.pushed - s.live - s.archived - s.deleted AS missing
    FROM sources AS s JOIN (
        SELECT source, kind, (SELECT count(*) FROM v_deliveries AS v
                              WHERE v.deleted_at IS NOT NULL AND v.source_app = t.source AND v.kind = t.kind) AS n
        FROM sources AS t) AS d ON d.source = s.source AND d.kind = s.kind;
