-- Gives a ledger on PostgreSQL :live live and :archived archived deliveries, as fill_monitor.py gives them to an embedded one:
-- psql -v live=1000000 -v archived=10000000 -f fill_monitor.sql postgres://…
-- By SQL alone and without the tables' triggers, so that ten million take minutes; the counts are made at the end. Needs a superuser.
\set ON_ERROR_STOP on
SET session_replication_role = replica;
SET synchronous_commit = off;
SET search_path = integration;
SELECT set_config('bench.last', (:live + :archived)::text, false) \gset

CREATE FUNCTION pg_temp.rows(p_table text, p_kind text, p_status text, p_first bigint, p_count bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_file CONSTANT text := '{"filename":"a_t_2025-01-01_001.csv","created_at":"2025-01-01T00:00:00Z","created_by":"a0","row_count":15,'
        || '"file_size":1024,"checksum":"sha256:' || repeat('0', 64) || '","schema_version":"v2.0","next_app":"a1","delivery_id":"1",'
        || '"parents":[],"flow":"f","path":"a/2025-01-01/"}';
    v_record CONSTANT text := '{"id":1,"name":"somebody","amount":12.5,"text":"' || repeat('x', 100) || '"}';
    v_ended CONSTANT boolean := p_status IN ('completed', 'failed', 'archived');
BEGIN
    -- One a second, the last of all now.
    EXECUTE format($ddl$
        INSERT INTO %I (id, source_app, target_app, data, status, created_at, processed_at, kind, updated_at, created_by, flow,
                run_at, attempts, last_error, result %s)
        SELECT n, 'a' || (n + 1) %% 10, 'a' || n %% 10, $1::json, $2, at, CASE WHEN $3 THEN at END, $4, at, 'bench', 'f', at, $3::int,
               CASE WHEN $2 = 'failed' THEN 'it broke' END,
               CASE WHEN $3 AND $2 <> 'failed' THEN '{"rows_in":15,"rows_out":15}'::json END %s
        FROM (SELECT n, now() - make_interval(secs => current_setting('bench.last')::bigint - n) AS at
              FROM generate_series($5, $5 + $6 - 1) AS n) AS numbers$ddl$, p_table,
        CASE WHEN p_table = 'data_archive' THEN ', archived_at' ELSE '' END, CASE WHEN p_table = 'data_archive' THEN ', at' ELSE '' END)
    USING CASE WHEN p_kind = 'record' THEN v_record ELSE v_file END, p_status, v_ended, p_kind, p_first, p_count;
END $$;

SELECT pg_temp.rows('data_archive', 'file', 'archived', 1, :archived / 2);
SELECT pg_temp.rows('data_archive', 'record', 'archived', :archived / 2 + 1, :archived - :archived / 2);
SELECT pg_temp.rows('deliveries', 'file', 'completed', :archived + 1, :live * 3 / 10);
SELECT pg_temp.rows('deliveries', 'file', 'failed', :archived + :live * 3 / 10 + 1, :live / 10);
SELECT pg_temp.rows('deliveries', 'file', 'pending', :archived + :live * 4 / 10 + 1, :live / 10);
SELECT pg_temp.rows('data_staging', 'record', 'pending', :archived + :live * 5 / 10 + 1, :live - :live * 5 / 10);

CREATE TEMP VIEW everything AS
    SELECT target_app, source_app, kind, status, 'live' AS what FROM deliveries
    UNION ALL SELECT target_app, source_app, kind, status, 'live' FROM data_staging
    UNION ALL SELECT target_app, source_app, kind, status, 'archived' FROM data_archive;
INSERT INTO tally SELECT target_app, kind, status, count(*) FROM everything GROUP BY 1, 2, 3;
INSERT INTO source_tally SELECT source_app, kind, w, count(*) FROM everything, LATERAL (VALUES ('pushed'), (what)) AS v (w)
    GROUP BY 1, 2, 3;
INSERT INTO audit_log (actor, span, to_status)
    SELECT 'bench', int8range(n, least(n + 1024, :live + :archived + 1)), 'pending' FROM generate_series(1, :live + :archived, 1024) AS n;
INSERT INTO paused_apps SELECT 'a' || n, now(), 'bench' FROM generate_series(0, 9) AS n;
SELECT setval('delivery_ids', :live + :archived + 1);
SET session_replication_role = origin;
VACUUM (ANALYZE);
