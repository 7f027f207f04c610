-- Housekeeping: the archive's parts, retention, what is to be archived. Each is a transaction that may be given up and
-- called again; several processes may call it at once.

-- Makes the archive's parts of this month and the next ones. What has fallen into the rest meanwhile moves. Returns what it
-- made. It waits two seconds at most for who reads the archive: then it fails (SQLSTATE 55P03), and the caller tries later.
CREATE FUNCTION integration._make_partitions(p_now timestamptz DEFAULT NULL, p_ahead integer DEFAULT 3)
RETURNS SETOF text LANGUAGE plpgsql SET lock_timeout = '2s' SET timezone = 'UTC' AS $$
DECLARE
    v_from timestamptz;
    v_to timestamptz;
    v_name text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('handover partitions', 0)) THEN
        RETURN;
    END IF;
    FOR v_month IN 0..p_ahead LOOP
        v_from := date_trunc('month', coalesce(p_now, clock_timestamp())) + make_interval(months => v_month);
        v_to := v_from + interval '1 month';
        v_name := 'data_archive_' || to_char(v_from, 'YYYY_MM');
        CONTINUE WHEN to_regclass('integration.' || v_name) IS NOT NULL;
        EXECUTE format('CREATE TABLE integration.%I (LIKE integration.data_archive INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', v_name);
        EXECUTE format('WITH gone AS (
                DELETE FROM integration.data_archive_rest WHERE archived_at >= %L AND archived_at < %L RETURNING *)
            INSERT INTO integration.%I SELECT * FROM gone', v_from, v_to, v_name);
        EXECUTE format('ALTER TABLE integration.data_archive ATTACH PARTITION integration.%I FOR VALUES FROM (%L) TO (%L)',
            v_name, v_from, v_to);
        RETURN NEXT v_name;
    END LOOP;
END $$;
SELECT integration._make_partitions();

-- Drops the oldest of the archive's parts, if it holds nothing archived at or after p_before. Counts keep what went. Returns how
-- many rows went with it; null where there is no such part. With what nobody had taken its arrival goes, so that the original is new
-- where it comes back. What goes is counted while the archive is read on. It waits half a second
-- at most for who reads or writes the archive: then it fails (SQLSTATE 55P03), and the caller tries later, because whoever
-- comes meanwhile waits behind it. Claims never come this way.
CREATE FUNCTION integration._drop_partition(p_before timestamptz) RETURNS bigint LANGUAGE plpgsql
SET lock_timeout = '500ms' SET timezone = 'UTC' AS $$
DECLARE
    v_name text;
    v_rows bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('handover partitions', 0)) THEN
        RETURN NULL;
    END IF;
    SELECT c.relname INTO v_name FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'integration.data_archive'::regclass AND c.relname ~ '^data_archive_[0-9]{4}_[0-9][0-9]$'
          AND to_timestamp(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= p_before
        ORDER BY 1 LIMIT 1;
    IF v_name IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('LOCK TABLE integration.%I IN SHARE MODE', v_name);
    EXECUTE format($q$
        WITH gone AS (
            SELECT source_app, coalesce(target_app, '') AS app, kind, count(*) AS n FROM integration.%1$I GROUP BY 1, 2, 3),
        unseen AS (
            DELETE FROM integration.arrivals WHERE delivery_id IN (
                SELECT id FROM integration.%1$I WHERE kind = 'file' AND result ->> 'not_taken' = 'true')),
        counted AS (INSERT INTO integration.tally SELECT app, kind, 'archived', -sum(n) FROM gone GROUP BY 1, 2),
        passed AS (
            INSERT INTO integration.source_tally SELECT source_app, kind, s.what, s.sign * sum(n)
                FROM gone, (VALUES ('archived', -1), ('deleted', 1), ('expired', 1)) AS s (what, sign) GROUP BY 1, 2, 3, s.sign)
        SELECT coalesce(sum(n), 0)::bigint FROM gone $q$, v_name) INTO v_rows;
    EXECUTE format('DROP TABLE integration.%I', v_name);
    RETURN v_rows;
END $$;

-- Deletes what was archived before p_before and lies in no month's part: p_max rows at most. Returns how many went.
CREATE FUNCTION integration._trim_archive(p_before timestamptz, p_max bigint DEFAULT 1000) RETURNS bigint LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM integration.data_archive_rest WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM integration.data_archive_rest WHERE archived_at < p_before LIMIT p_max FOR UPDATE SKIP LOCKED))
        RETURNING id, source_app, coalesce(target_app, '') AS app, kind, result),
    unseen AS (
        DELETE FROM integration.arrivals WHERE delivery_id IN (
            SELECT id FROM gone WHERE kind = 'file' AND result ->> 'not_taken' = 'true')),
    counted AS (
        INSERT INTO integration.tally SELECT app, kind, 'archived', -count(*) FROM gone GROUP BY 1, 2),
    passed AS (
        INSERT INTO integration.source_tally SELECT source_app, kind, s.what, s.sign * count(*)
            FROM gone, (VALUES ('archived', -1), ('deleted', 1), ('expired', 1)) AS s (what, sign) GROUP BY 1, 2, 3, s.sign)
    SELECT count(*) FROM gone
$$;

-- Archives what is in this status, completed or failed, and ended before p_before: p_max at most, in the order of numbers.
-- It goes through the deliveries from the oldest on, and stops where one was created after that time: none behind it can have
-- ended before it. Returns how many it moved.
CREATE FUNCTION integration._archive_ended(
    p_table text, p_actor text, p_status text, p_before timestamptz, p_max bigint, p_now timestamptz DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SET jit = off SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    c_piece constant bigint := 5000;
    v_ids bigint[] := '{}';
    v_from bigint := 0;
    v record;
BEGIN
    LOOP
        EXECUTE format('SELECT array_agg(id ORDER BY id) FILTER (WHERE status = $1 AND processed_at < $2) AS ids,
                max(id) AS last, count(*) AS seen, bool_or(created_at >= $2) AS young
            FROM (SELECT id, status, processed_at, created_at FROM integration.%I WHERE id >= $3 ORDER BY id LIMIT $4) AS piece',
            p_table || '_live') INTO v USING p_status, p_before, v_from, c_piece;
        v_ids := v_ids || coalesce(v.ids, '{}');
        EXIT WHEN v.seen < c_piece OR v.young OR cardinality(v_ids) >= p_max;
        v_from := v.last + 1;
    END LOOP;
    v_ids := v_ids[1:p_max];
    RETURN CASE WHEN cardinality(v_ids) = 0 THEN 0
                ELSE integration._archive_rows(p_table, p_actor, v_ids, coalesce(p_now, clock_timestamp()), ARRAY[p_status]) END;
END $$;

-- Forgets what the audit log says of before p_before, from its oldest entry on, but nothing of what is younger than the oldest
-- delivery that is still there: p_max entries at most. Returns how many went.
CREATE FUNCTION integration._trim_audit(p_before timestamptz, p_max bigint DEFAULT 10000) RETURNS bigint LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM integration.audit_log WHERE id = ANY (ARRAY(
            SELECT id FROM (SELECT id, at, span FROM integration.audit_log ORDER BY id LIMIT p_max) AS oldest
            WHERE at < p_before AND upper(span) <= coalesce(least(
                (SELECT id FROM integration.deliveries_live ORDER BY id LIMIT 1),
                (SELECT id FROM integration.data_staging_live ORDER BY id LIMIT 1),
                (SELECT id FROM integration.data_archive ORDER BY id LIMIT 1)), 9223372036854775807)))
        RETURNING 1)
    SELECT count(*) FROM gone
$$;
