-- What to look at, and who may.

-- How much stands where, by app; counts are kept, so that this is cheap however long the past.
CREATE VIEW integration.v_queue_depth AS
    SELECT t.app AS target_app, t.kind,
        coalesce(sum(n) FILTER (WHERE status = 'pending'), 0)::bigint AS pending,
        coalesce(sum(n) FILTER (WHERE status = 'processing'), 0)::bigint AS processing,
        coalesce(sum(n) FILTER (WHERE status = 'completed'), 0)::bigint AS completed,
        coalesce(sum(n) FILTER (WHERE status = 'failed'), 0)::bigint AS failed,
        coalesce(sum(n) FILTER (WHERE status = 'archived'), 0)::bigint AS archived,
        CASE WHEN sum(n) FILTER (WHERE status = 'pending') > 0 THEN
            (SELECT min(o.created_at) FROM (
                (SELECT d.created_at FROM integration.data_staging AS d
                 WHERE d.status = 'pending' AND d.target_app = t.app AND d.kind = t.kind AND d.run_at <= now()
                   AND d.deleted_at IS NULL AND d.id NOT IN (SELECT unnest(ids) FROM integration.lanes) ORDER BY d.priority DESC, d.id + 0 LIMIT 1)
                UNION ALL
                (SELECT d.created_at FROM integration.deliveries AS d
                 WHERE d.status = 'pending' AND d.target_app = t.app AND d.kind = t.kind AND d.run_at <= now()
                   AND d.deleted_at IS NULL ORDER BY d.priority DESC, d.id + 0 LIMIT 1)) AS o)
        END AS next_created_at,
        EXISTS (SELECT FROM integration.paused_apps AS p WHERE p.app = t.app) AS paused
    FROM integration.v_tally AS t GROUP BY t.app, t.kind;

-- What ended within the last hour, of the last 100,000 deliveries; in the archive too, where what is claimed by lanes is at once.
CREATE VIEW integration._ended_lately AS
    SELECT target_app, kind, status, created_at, processed_at FROM integration._rows
    WHERE status IN ('completed', 'failed') AND processed_at > now() - interval '1 hour'
      AND id > (SELECT last_value - 100000 FROM integration.delivery_ids)
    UNION ALL
    SELECT target_app, kind, ended_as, created_at, processed_at FROM integration._archived
    WHERE processed_at > now() - interval '1 hour' AND id > (SELECT last_value - 100000 FROM integration.delivery_ids);

-- From arrival to completion, of what was completed within the last hour, of the last 100,000 deliveries.
CREATE VIEW integration.v_latency AS
    SELECT target_app, kind, count(*) AS completed,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY processed_at - created_at) AS p50,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY processed_at - created_at) AS p95,
        percentile_cont(0.99) WITHIN GROUP (ORDER BY processed_at - created_at) AS p99,
        max(processed_at - created_at) AS slowest
    FROM integration._ended_lately WHERE status = 'completed' GROUP BY target_app, kind;

-- How many failed of what ended within the last hour, of the last 100,000 deliveries.
CREATE VIEW integration.v_error_rate AS
    SELECT target_app, kind, completed, failed,
        round(failed::numeric / nullif(completed + failed, 0), 4) AS error_rate
    FROM (SELECT target_app, kind, count(*) FILTER (WHERE status = 'completed') AS completed,
              count(*) FILTER (WHERE status = 'failed') AS failed
          FROM integration._ended_lately GROUP BY target_app, kind) AS ended;

-- What is being worked on, whoever claimed it and however. No index has the status of what Handover's own claims hold, so
-- WHERE status = 'processing' reads all records; this reads these alone.
CREATE VIEW integration.v_processing AS
    SELECT * FROM integration.deliveries WHERE status = 'processing'
    UNION ALL SELECT * FROM integration._processing
    UNION ALL SELECT * FROM integration._in_flight;

-- What does not move: leases that have run out, and what could have been claimed for an hour, and why it was not.
CREATE VIEW integration.v_stuck AS
    SELECT id, kind, source_app, target_app, status, created_at, leased_by, lease_until, attempts,
        CASE WHEN status = 'processing' THEN 'its lease ran out and nobody has taken it back'
             WHEN EXISTS (SELECT FROM integration.paused_apps AS p WHERE p.app = d.target_app) THEN 'its app is paused'
             ELSE 'it has waited for over an hour' END AS why,
        last_error
    FROM (SELECT * FROM integration._rows WHERE status = 'pending' AND run_at < now() - interval '1 hour'
              AND id NOT IN (SELECT unnest(ids) FROM integration.lanes)
          UNION ALL SELECT * FROM integration.v_processing WHERE lease_until < now() - interval '1 minute') AS d
    WHERE deleted_at IS NULL;

-- What has failed for good.
CREATE VIEW integration.v_dead AS
    SELECT id, kind, source_app, target_app, attempts, last_error, created_at, processed_at AS failed_at, data
    FROM integration._rows WHERE status = 'failed' AND deleted_at IS NULL;

-- How large the tables are, and what vacuum has to do.
CREATE VIEW integration.v_growth AS
    SELECT c.relname AS "table", pg_total_relation_size(c.oid) AS bytes, pg_indexes_size(c.oid) AS index_bytes,
        s.n_live_tup AS rows, s.n_dead_tup AS dead_rows, s.n_tup_ins AS inserted, s.n_tup_upd AS updated,
        s.n_tup_del AS deleted, greatest(s.last_vacuum, s.last_autovacuum) AS last_vacuum
    FROM pg_class AS c JOIN pg_stat_all_tables AS s ON s.relid = c.oid
    WHERE c.relnamespace = 'integration'::regnamespace AND c.relkind = 'r';

-- Row conservation, by source: what was pushed is live, archived, or deleted (for good, or so that it can be restored). Each
-- was noted as it happened; `expired` of the deleted went by retention; `missing` is 0. Cheap however long the past.
CREATE VIEW integration.v_conservation AS
    SELECT t.source AS source_app, t.kind, t.pushed, t.live - s.n AS live, t.archived, t.deleted + s.n AS deleted, t.expired,
        t.pushed - t.live - t.archived - t.deleted AS missing
    FROM (SELECT source, kind, coalesce(sum(n) FILTER (WHERE what = 'pushed'), 0)::bigint AS pushed,
              coalesce(sum(n) FILTER (WHERE what = 'live'), 0)::bigint AS live,
              coalesce(sum(n) FILTER (WHERE what = 'archived'), 0)::bigint AS archived,
              coalesce(sum(n) FILTER (WHERE what = 'deleted'), 0)::bigint AS deleted,
              coalesce(sum(n) FILTER (WHERE what = 'expired'), 0)::bigint AS expired
          FROM integration.source_tally GROUP BY source, kind) AS t,
    LATERAL (SELECT count(*) AS n FROM integration._rows AS d
             WHERE d.deleted_at IS NOT NULL AND d.source_app = t.source AND d.kind = t.kind) AS s;

-- Rights. Nobody but the owner has any until an administrator calls one of these for a role.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA integration FROM PUBLIC;
GRANT EXECUTE ON FUNCTION integration._path(json) TO PUBLIC;

-- Reads everything but keys (of APIs, and of jobs asked for), changes nothing.
CREATE FUNCTION integration.grant_reader(role name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA integration TO %I', role);
    EXECUTE format('GRANT SELECT ON integration.data_staging, integration.deliveries, integration.data_archive,
        integration.audit_log, integration.names, integration.arrivals, integration.paused_apps, integration.schedules,
        integration.loads, integration.lane_apps, integration.lanes, integration.claims, integration.cancellations, integration.progress, integration.alerts,
        integration.sizes, integration.actions, integration.v_data_staging, integration.v_deliveries, integration.v_tally, integration.v_audit, integration.v_queue_depth,
        integration.v_processing, integration.v_latency, integration.v_error_rate, integration.v_stuck, integration.v_dead, integration.v_growth,
        integration.v_conservation, integration.activity, integration.v_activity TO %I', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION integration.history(bigint) TO %I', role);
END $$;

-- Hands records over, by INSERT, COPY, push and push_many.
CREATE FUNCTION integration.grant_producer(role name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA integration TO %I', role);
    EXECUTE format('GRANT USAGE ON SEQUENCE integration.delivery_ids TO %I', role);
    EXECUTE format('GRANT SELECT (id, source_app, target_app, status, created_at, dedup_key, order_key),
        INSERT (source_app, target_app, data, status, created_at, created_by, flow, priority, run_at, max_attempts, dedup_key,
                order_key, parent_id, trace) ON integration.data_staging TO %I', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION
        integration.push(text, text, json, integer, timestamptz, text, text, bigint, text, text),
        integration.push_many(text, text, json, integer, timestamptz, text[], text[], bigint, text, text) TO %I', role);
END $$;

-- Takes records and ends them, by SELECT and UPDATE, or by pull, ack, fail, extend and replay.
CREATE FUNCTION integration.grant_consumer(role name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA integration TO %I', role);
    EXECUTE format('GRANT SELECT, UPDATE (status, processed_at, updated_at, run_at, leased_by, lease_until, last_error, result)
        ON integration.data_staging TO %I', role);
    EXECUTE format('GRANT SELECT ON integration.v_queue_depth, integration.paused_apps TO %I', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION integration.pull(text, bigint, interval), integration.ack(text, bigint[]),
        integration.fail(text, bigint[], text, boolean, interval), integration.extend(text, interval),
        integration.replay(bigint), integration.history(bigint) TO %I', role);
END $$;
REVOKE ALL ON FUNCTION integration.grant_reader(name), integration.grant_producer(name), integration.grant_consumer(name)
    FROM PUBLIC;
