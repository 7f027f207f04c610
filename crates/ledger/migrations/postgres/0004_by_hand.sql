-- What people and housekeeping ask for: retry, cancel, replay, pause, restore, archiving, counts, one delivery's history,
-- bulk loads. SQLSTATE HO002 is an illegal transition, HO003 not found; the message is for people.

-- The table that holds a delivery (data_staging, deliveries or data_archive) and where it stands; locked where it is live, and
-- taken out of its lane.
CREATE FUNCTION integration._find(p_id bigint, OUT "table" text, OUT status text, OUT kind text, OUT app text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM integration._land_one(p_id);
    SELECT 'data_staging', d.status, d.kind, d.target_app INTO "table", status, kind, app
        FROM integration.data_staging_live AS d WHERE d.id = p_id FOR NO KEY UPDATE;
    IF FOUND THEN RETURN; END IF;
    SELECT 'deliveries', d.status, d.kind, d.target_app INTO "table", status, kind, app
        FROM integration.deliveries_live AS d WHERE d.id = p_id FOR NO KEY UPDATE;
    IF FOUND THEN RETURN; END IF;
    SELECT 'data_archive', d.status, d.kind, d.target_app INTO "table", status, kind, app
        FROM integration.data_archive AS d WHERE d.id = p_id;
    IF FOUND THEN RETURN; END IF;
    RAISE EXCEPTION 'there is no delivery %', p_id USING ERRCODE = 'HO003';
END $$;

-- Notes one move: the audit and the counts.
CREATE FUNCTION integration._moved(
    p_at timestamptz, p_actor text, p_id bigint, p_app text, p_kind text, p_from text, p_to text, p_note text DEFAULT NULL
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status, note)
        VALUES (p_at, p_actor, NULL, int8range(p_id, p_id, '[]'), p_from, p_to, p_note);
    INSERT INTO integration.tally VALUES
        (coalesce(p_app, ''), p_kind, p_from, -1), (coalesce(p_app, ''), p_kind, p_to, 1);
$$;

-- A failed delivery is tried again, with all its attempts.
CREATE FUNCTION integration._retry(
    p_actor text, p_id bigint, p_now timestamptz DEFAULT NULL, p_notify boolean DEFAULT true
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v record;
BEGIN
    SELECT * INTO v FROM integration._find(p_id);
    IF v.status <> 'failed' THEN
        RAISE EXCEPTION 'delivery % cannot be retried: it is %', p_id, v.status
            USING ERRCODE = 'HO002', HINT = 'only a failed delivery is retried; a replay runs an ended one again';
    END IF;
    EXECUTE format('UPDATE integration.%I SET status = ''pending'', attempts = 0, rescues = 0, snoozes = 0, run_at = $2,
        updated_at = $2, processed_at = NULL WHERE id = $1', v.table || '_live') USING p_id, v_now;
    PERFORM integration._moved(v_now, p_actor, p_id, v.app, v.kind, 'failed', 'pending');
    IF p_notify THEN
        PERFORM integration._notify(ARRAY[v.app]);
    END IF;
END $$;

-- Ends what has not ended.
CREATE FUNCTION integration._cancel(
    p_actor text, p_id bigint, p_now timestamptz DEFAULT NULL, p_notify boolean DEFAULT true
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v record;
BEGIN
    SELECT * INTO v FROM integration._find(p_id);
    IF v.status NOT IN ('pending', 'processing') THEN
        RAISE EXCEPTION 'delivery % cannot be cancelled: it is %', p_id, v.status
            USING ERRCODE = 'HO002', HINT = 'it has ended already';
    END IF;
    EXECUTE format('UPDATE integration.%I SET status = ''failed'', processed_at = $2, updated_at = $2, last_error = $3,
        lease_token = NULL, leased_by = NULL, lease_until = NULL WHERE id = $1', v.table || '_live')
        USING p_id, v_now, 'cancelled by ' || p_actor;
    PERFORM integration._moved(v_now, p_actor, p_id, v.app, v.kind, v.status, 'failed', 'cancelled by ' || p_actor);
    IF p_notify THEN
        PERFORM integration._notify(ARRAY[v.app]);
    END IF;
END $$;

-- A new delivery from an old one's input, whatever became of it, archived too.
CREATE FUNCTION integration._replay(
    p_actor text, p_id bigint, p_now timestamptz DEFAULT NULL, p_notify boolean DEFAULT true
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_new bigint[];
    v record;
BEGIN
    SELECT d.* INTO v FROM (
        SELECT * FROM integration.v_deliveries WHERE id = p_id
        UNION ALL SELECT id, source_app, target_app, data, status, created_at, processed_at, kind, updated_at, created_by,
            deleted_at, flow, priority, run_at, attempts, max_attempts, lease_token, leased_by, lease_until, dedup_key,
            order_key, parent_id, replay_of, last_error, trace, rescues, snoozes, result
        FROM integration.data_archive WHERE id = p_id) AS d;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no delivery %', p_id USING ERRCODE = 'HO003';
    END IF;
    IF v.target_app IS NULL THEN
        RAISE EXCEPTION 'delivery % is the end of its flow: no app reads it', p_id USING ERRCODE = 'HO002',
            HINT = coalesce(format('a replay of delivery %s makes it again', v.parent_id),
                            'replay the delivery that it was made from');
    END IF;
    IF v.kind = 'record' THEN
        SELECT ids INTO v_new FROM integration._push_data_staging(p_actor, ARRAY[v.source_app], ARRAY[v.target_app],
            ARRAY[v.data], p_flows => ARRAY[v.flow], p_priorities => ARRAY[v.priority],
            p_max_attempts => ARRAY[v.max_attempts], p_order_keys => ARRAY[v.order_key], p_parents => ARRAY[v.parent_id],
            p_replay_of => ARRAY[p_id], p_traces => ARRAY[v.trace], p_now => p_now, p_notify => p_notify);
    ELSE
        SELECT ids INTO v_new FROM integration._push_deliveries(p_actor, ARRAY[v.source_app], ARRAY[v.target_app],
            ARRAY[v.data], ARRAY[v.kind], p_flows => ARRAY[v.flow], p_priorities => ARRAY[v.priority],
            p_max_attempts => ARRAY[v.max_attempts], p_order_keys => ARRAY[v.order_key], p_parents => ARRAY[v.parent_id],
            p_replay_of => ARRAY[p_id], p_traces => ARRAY[v.trace], p_now => p_now, p_notify => p_notify);
    END IF;
    RETURN v_new[1];
END $$;

-- Nothing more of this app is claimed.
CREATE FUNCTION integration._pause(p_actor text, p_app text, p_now timestamptz DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO integration.paused_apps VALUES (p_app, coalesce(p_now, clock_timestamp()), p_actor) ON CONFLICT DO NOTHING
$$;

-- Its work goes on. Returns whether it was paused.
CREATE FUNCTION integration._resume(p_app text, p_notify boolean DEFAULT true) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM integration.paused_apps WHERE app = p_app;
    IF FOUND AND p_notify THEN
        PERFORM integration._notify(ARRAY[p_app]);
        RETURN true;
    END IF;
    RETURN FOUND;
END $$;

-- Brings a deleted delivery back. Returns whether it was deleted.
CREATE FUNCTION integration._restore(p_id bigint, p_now timestamptz DEFAULT NULL, p_notify boolean DEFAULT true)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v record;
    v_app text;
BEGIN
    SELECT * INTO v FROM integration._find(p_id);
    IF v.table = 'data_archive' THEN
        UPDATE integration.data_archive SET deleted_at = NULL WHERE id = p_id AND deleted_at IS NOT NULL RETURNING target_app INTO v_app;
        RETURN FOUND;
    END IF;
    EXECUTE format('UPDATE integration.%I SET deleted_at = NULL, updated_at = $2
        WHERE id = $1 AND deleted_at IS NOT NULL RETURNING coalesce(target_app, '''')', v.table || '_live')
        INTO v_app USING p_id, coalesce(p_now, clock_timestamp());
    IF v_app IS NOT NULL AND p_notify THEN
        PERFORM integration._notify(ARRAY[v_app]);
    END IF;
    RETURN v_app IS NOT NULL;
END $$;

-- Moves ended rows of one table to the archive; the others of p_ids stay. Returns how many.
CREATE FUNCTION integration._archive_rows(
    p_table text, p_actor text, p_ids bigint[], p_now timestamptz, p_from text[] DEFAULT '{completed,failed}'
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_moved bigint;
BEGIN
    EXECUTE replace($q$
        WITH gone AS (
            DELETE FROM integration.{live} WHERE id = ANY ($1) AND status = ANY ($4) RETURNING *),
        kept AS (
            INSERT INTO integration.data_archive (id, source_app, target_app, data, status, created_at, processed_at, kind,
                updated_at, created_by, deleted_at, flow, priority, run_at, attempts, max_attempts, lease_token, leased_by,
                lease_until, dedup_key, order_key, parent_id, replay_of, last_error, trace, rescues, snoozes, result,
                archived_at)
            SELECT id, source_app, target_app, data, 'archived', created_at, processed_at, kind,
                $2, created_by, deleted_at, flow, priority, run_at, attempts, max_attempts, lease_token, leased_by,
                lease_until, dedup_key, order_key, parent_id, replay_of, integration._last_error_of(status, last_error), trace, rescues,
                snoozes, result, $2
            FROM gone),
        -- What plain SQL has set to archived is counted and audited as such already.
        counted AS (
            INSERT INTO integration.tally
            SELECT coalesce(target_app, ''), kind, s.status, sum(s.sign) FROM gone,
                LATERAL (VALUES (gone.status, -1), ('archived', 1)) AS s (status, sign)
            WHERE gone.status <> 'archived' GROUP BY 1, 2, 3),
        passed AS (
            INSERT INTO integration.source_tally SELECT c.source_app, c.kind, w.what, w.sign * c.n
            FROM (SELECT source_app, kind, count(*) AS n FROM gone GROUP BY 1, 2) AS c,
                (VALUES ('live', -1), ('archived', 1)) AS w (what, sign)),
        audited AS (
            INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status)
            SELECT $2, $3, integration._sparse(array_agg(id), min(id), max(id)), int8range(min(id), max(id), '[]'), status, 'archived'
            FROM gone WHERE status <> 'archived' GROUP BY status)
        SELECT count(*) FROM gone
    $q$, '{live}', quote_ident(p_table || '_live')) INTO v_moved USING p_ids, p_now, p_actor, p_from;
    RETURN v_moved;
END $$;

-- Moves these to the archive: all that is not there yet, or, where one has not ended, none. Returns how many.
CREATE FUNCTION integration._archive(p_actor text, p_ids bigint[], p_now timestamptz DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v record;
BEGIN
    PERFORM FROM integration.data_staging_live WHERE id = ANY (p_ids) ORDER BY id FOR UPDATE;
    PERFORM FROM integration.deliveries_live WHERE id = ANY (p_ids) ORDER BY id FOR UPDATE;
    SELECT id, status INTO v FROM integration.v_deliveries
        WHERE id = ANY (p_ids) AND status IN ('pending', 'processing') ORDER BY id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'delivery % cannot be archived: it is %', v.id, v.status
            USING ERRCODE = 'HO002', HINT = 'only what has ended is archived; `handover cancel` ends it';
    END IF;
    SELECT i AS id INTO v FROM unnest(p_ids) AS i
        WHERE (SELECT d.id FROM integration._rows AS d WHERE d.id = i LIMIT 1) IS NULL
          AND (SELECT d.id FROM integration.data_archive AS d WHERE d.id = i LIMIT 1) IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is no delivery %', v.id USING ERRCODE = 'HO003';
    END IF;
    RETURN integration._archive_rows('deliveries', p_actor, p_ids, v_now, '{completed,failed,archived}')
         + integration._archive_rows('data_staging', p_actor, p_ids, v_now, '{completed,failed,archived}');
END $$;

-- How many stand where, and how many ever came there.
CREATE VIEW integration.v_tally AS
    SELECT app, kind, status, sum(n)::bigint AS n, sum(coalesce(entered, greatest(n, 0)))::bigint AS entered
    FROM integration.tally GROUP BY app, kind, status HAVING sum(n) <> 0 OR sum(coalesce(entered, greatest(n, 0))) > 0;

-- Adds the differences up. Whoever counts meanwhile sees the same sums. Returns how many rows it saved.
CREATE FUNCTION integration._compact_tally() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_before bigint;
    v_after bigint;
    v_saved bigint := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('handover compact tally', 0)) THEN
        RETURN 0;
    END IF;
    WITH gone AS (DELETE FROM integration.tally RETURNING *),
    kept AS (
        INSERT INTO integration.tally SELECT app, kind, status, sum(n), sum(coalesce(entered, greatest(n, 0))) FROM gone
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0 OR sum(coalesce(entered, greatest(n, 0))) > 0
        RETURNING 1)
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM kept) INTO v_before, v_after;
    v_saved := v_before - v_after;
    WITH gone AS (DELETE FROM integration.source_tally RETURNING *),
    kept AS (
        INSERT INTO integration.source_tally SELECT source, kind, what, sum(n) FROM gone GROUP BY 1, 2, 3 HAVING sum(n) <> 0
        RETURNING 1)
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM kept) INTO v_before, v_after;
    RETURN v_saved + v_before - v_after;
END $$;

-- One delivery's history, oldest first; by the index, however long the log.
CREATE FUNCTION integration.history(p_id bigint)
RETURNS TABLE (at timestamptz, actor text, from_status text, to_status text, note text) LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = integration, pg_catalog, pg_temp AS $$
    SELECT a.at, a.actor, a.from_status, a.to_status, a.note FROM integration.audit_log AS a
    WHERE a.span @> p_id AND (a.ids IS NULL OR p_id = ANY (a.ids)) ORDER BY a.id
$$;

-- One row for each transition of each delivery. For one delivery's, integration.history(id) reads less.
CREATE VIEW integration.v_audit AS
    SELECT a.id, a.at, a.actor, i.id AS delivery_id, a.from_status, a.to_status, a.note
    FROM integration.audit_log AS a, LATERAL (
        SELECT unnest(a.ids) AS id WHERE a.ids IS NOT NULL
        UNION ALL SELECT generate_series(lower(a.span), upper(a.span) - 1) WHERE a.ids IS NULL) AS i;

-- Begins a load, or finds how far one of this name has come.
CREATE FUNCTION integration._begin_load(p_actor text, p_key text, p_whole boolean, p_now timestamptz DEFAULT NULL)
RETURNS SETOF integration.loads LANGUAGE plpgsql AS $$
DECLARE
    v integration.loads;
BEGIN
    INSERT INTO integration.loads (key, whole, actor, created_at, updated_at)
        VALUES (p_key, p_whole, p_actor, coalesce(p_now, clock_timestamp()), coalesce(p_now, clock_timestamp()))
        ON CONFLICT DO NOTHING;
    SELECT * INTO v FROM integration.loads WHERE key = p_key;
    IF v.whole <> p_whole THEN
        RAISE EXCEPTION 'a load named % exists, and its rows appear %', quote_literal(p_key),
            CASE WHEN v.whole THEN 'all at once at its end' ELSE 'as they come' END
            USING ERRCODE = 'HO004', HINT = 'go on with it in the same way, or give this one another name';
    END IF;
    RETURN NEXT v;
END $$;

-- Says by what the rows of a load are made; what was said first stands once some are in, or it has ended.
CREATE FUNCTION integration._load_is_made_by(p_key text, p_made_by text) RETURNS SETOF integration.loads LANGUAGE sql AS $$
    UPDATE integration.loads
        SET made_by = CASE WHEN rows = 0 AND ended_at IS NULL THEN p_made_by ELSE made_by END
    WHERE key = p_key RETURNING *
$$;

-- Locks a load for its next rows, the first of which is row p_at. HO001 where it has not come just so far, or has ended.
CREATE FUNCTION integration._next_load(p_key text, p_at bigint) RETURNS SETOF integration.loads LANGUAGE plpgsql AS $$
DECLARE
    v integration.loads;
BEGIN
    SELECT * INTO v FROM integration.loads WHERE key = p_key FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no load named %', quote_literal(p_key) USING ERRCODE = 'HO003', HINT = 'begin it first';
    END IF;
    IF v.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'the load % has ended', quote_literal(p_key)
            USING ERRCODE = 'HO001', HINT = 'nothing more is taken under this name; nothing was changed';
    END IF;
    IF v.rows <> p_at THEN
        RAISE EXCEPTION 'the load % is at row %, not at row %', quote_literal(p_key), v.rows, p_at USING ERRCODE = 'HO001',
            HINT = 'another process loads it too, or an answer was lost: go on from where it is; nothing was changed';
    END IF;
    RETURN NEXT v;
END $$;

-- Notes that rows were taken, and what was passed over before them, in the transaction of _next_load that took them.
CREATE FUNCTION integration._took_load(p_key text, p_rows bigint, p_skipped bigint, p_duplicates bigint,
    p_now timestamptz DEFAULT NULL)
RETURNS SETOF integration.loads LANGUAGE sql AS $$
    UPDATE integration.loads SET rows = rows + p_rows, skipped = skipped + p_skipped,
        duplicates = duplicates + p_duplicates, updated_at = coalesce(p_now, clock_timestamp())
    WHERE key = p_key RETURNING *
$$;

-- Ends a load: all rows of a whole one appear, at once. Ending it once more changes nothing.
CREATE FUNCTION integration._end_load(p_actor text, p_key text, p_now timestamptz DEFAULT NULL, p_notify boolean DEFAULT true)
RETURNS SETOF integration.loads LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v integration.loads;
    v_at bigint := -1;
    v_last bigint;
    v_count bigint;
    v_fresh bigint;
    v_table text;
BEGIN
    SELECT * INTO v FROM integration.loads WHERE key = p_key FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no load named %', quote_literal(p_key) USING ERRCODE = 'HO003', HINT = 'begin it first';
    END IF;
    IF v.ended_at IS NOT NULL THEN
        RETURN NEXT v;
        RETURN;
    END IF;
    -- In pieces, so that no array is larger than PostgreSQL takes; it is one transaction nevertheless.
    WHILE v.whole LOOP
        SELECT max(at) INTO v_last FROM (
            SELECT at FROM integration.load_rows WHERE load_key = p_key AND at > v_at ORDER BY at LIMIT 5000) AS piece;
        EXIT WHEN v_last IS NULL;
        FOREACH v_table IN ARRAY ARRAY['data_staging', 'deliveries'] LOOP
            EXECUTE format($q$
                SELECT count(*), count(*) FILTER (WHERE f) FROM (
                    SELECT unnest(p.fresh) AS f FROM (
                        SELECT array_agg(source_app ORDER BY at) AS a1, array_agg(target_app ORDER BY at) AS a2,
                            array_agg(data ORDER BY at) AS a3, array_agg(kind ORDER BY at) AS a4,
                            array_agg(flow ORDER BY at) AS a5, array_agg(priority ORDER BY at) AS a6,
                            array_agg(run_at ORDER BY at) AS a7, array_agg(max_attempts ORDER BY at) AS a8,
                            array_agg(dedup_key ORDER BY at) AS a9, array_agg(order_key ORDER BY at) AS a10,
                            array_agg(parent_id ORDER BY at) AS a11, array_agg(replay_of ORDER BY at) AS a12,
                            array_agg(trace ORDER BY at) AS a13
                        FROM integration.load_rows
                        WHERE load_key = $1 AND at > $2 AND at <= $3 AND (kind = 'record') = %L) AS r,
                    integration._push_%s($4, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13,
                        p_now => $5, p_notify => $6) AS p WHERE a1 IS NOT NULL) AS each
            $q$, v_table = 'data_staging', v_table)
            INTO v_count, v_fresh USING p_key, v_at, v_last, p_actor, v_now, p_notify;
            v.duplicates := v.duplicates + v_count - v_fresh;
        END LOOP;
        v_at := v_last;
    END LOOP;
    DELETE FROM integration.load_rows WHERE load_key = p_key;
    RETURN QUERY UPDATE integration.loads SET ended_at = v_now, updated_at = v_now, duplicates = v.duplicates
        WHERE key = p_key RETURNING *;
END $$;

-- Gives up a whole load that has not ended, with its rows. Returns whether there was one.
CREATE FUNCTION integration._drop_load(p_key text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM integration.loads WHERE key = p_key AND whole AND ended_at IS NULL;
    IF FOUND THEN
        DELETE FROM integration.load_rows WHERE load_key = p_key;
        RETURN true;
    END IF;
    RETURN false;
END $$;
