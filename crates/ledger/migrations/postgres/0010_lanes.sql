-- Claims by lanes: for an app that is registered in lane_apps, a claim changes no record. What it takes stays pending in
-- data_staging and is noted in one row of `lanes`, with who has it and for how long; completing it deletes the records and
-- puts them into the archive, with one statement. So a record is written twice on its way, when it comes and when it goes.
--
-- Invariants:
-- - A record stands in one lane at most. Claims of such an app come one after the other (_lock_claims), for as long as it
--   takes to find the numbers; the records are read after that lock is gone.
-- - What is to end in any other way than well is landed first: it becomes a claim like any other, under the same token, and
--   goes the usual way from there (failures, release, rescue, cancel). A token may hold some by its lane and some landed.
-- - Whoever changes a lane locks its row; whoever changes how an app is claimed waits for the transactions that rely on it
--   (_by_lanes), and lands all that is in flight.
--
-- On a crash a lane and its records are as they were before or after, together: each of these is one transaction.

-- How many records this claim took; null where the app is not claimed by lanes. A claim that has a lane already adds to it.
CREATE FUNCTION integration._take_lane(
    p_app text, p_max bigint, p_holder text, p_token text, p_lease interval, p_now timestamptz DEFAULT NULL, p_from_id bigint DEFAULT 0
) RETURNS bigint LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $f$
#variable_conflict use_column
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_ordered boolean;
    v_flying bigint[];
    v_flying_keys text[];
    v_ids bigint[];
    v_tids tid[];
    v_keys text[];
    v_least bigint;
    v_most bigint;
BEGIN
    IF NOT integration._by_lanes(p_app) THEN
        RETURN NULL;
    END IF;
    IF NOT integration._sees_committed() THEN
        PERFORM integration._only_as_committed(p_app);
    END IF;
    IF EXISTS (SELECT FROM integration.paused_apps WHERE app = p_app) THEN
        RETURN 0;
    END IF;
    PERFORM integration._lock_claims('data_staging', p_app);
    v_ordered := EXISTS (SELECT FROM integration.data_staging_live
                         WHERE status IN ('pending', 'processing') AND target_app = p_app AND order_key IS NOT NULL);
    v_flying := ARRAY(SELECT unnest(ids) FROM integration.lanes WHERE app = p_app);
    IF v_ordered THEN
        v_flying_keys := ARRAY(SELECT k FROM integration.lanes, unnest(keys) AS k WHERE app = p_app AND k IS NOT NULL);
    END IF;
    SELECT ids, tids INTO v_ids, v_tids FROM integration._next_data_staging(p_app, p_max, p_token, v_now, v_ordered, p_from_id,
        v_flying, coalesce(v_flying_keys, '{}'));
    IF v_ids IS NULL OR v_ids = '{}' THEN
        RETURN 0;
    END IF;
    IF v_ordered THEN
        SELECT CASE WHEN count(d.order_key) > 0 THEN array_agg(d.order_key ORDER BY i.n) END INTO v_keys
            FROM unnest(v_ids) WITH ORDINALITY AS i (id, n) JOIN integration.data_staging_live AS d ON d.id = i.id;
    END IF;
    INSERT INTO integration.lanes AS l VALUES (p_token, p_app, p_holder, v_now, v_now + p_lease, v_ids, v_keys, v_tids)
        ON CONFLICT (token) DO UPDATE SET lease_until = excluded.lease_until, ids = l.ids || excluded.ids, tids = NULL,
            keys = CASE WHEN num_nonnulls(l.keys, excluded.keys) > 0 THEN
                coalesce(l.keys, array_fill(NULL::text, ARRAY[cardinality(l.ids)]))
                || coalesce(excluded.keys, array_fill(NULL::text, ARRAY[cardinality(excluded.ids)])) END;
    SELECT min(i), max(i) INTO v_least, v_most FROM unnest(v_ids) AS i;
    INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status) VALUES
        (v_now, p_holder, integration._sparse(v_ids, v_least, v_most), int8range(v_least, v_most, '[]'), 'pending', 'processing');
    INSERT INTO integration.tally VALUES
        (p_app, 'record', 'pending', -cardinality(v_ids)), (p_app, 'record', 'processing', cardinality(v_ids));
    RETURN cardinality(v_ids);
END $f$;

-- The records of a lane, but for the first p_skip: from where they lay when they were taken, and those that have moved since by
-- their numbers.
CREATE FUNCTION integration._lane_rows(p_token text, p_skip bigint DEFAULT 0) RETURNS SETOF integration.v_deliveries
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off
AS $f$
DECLARE
    v integration.lanes;
    v_read bigint := 0;
BEGIN
    SELECT * INTO v FROM integration.lanes WHERE token = p_token;
    IF v.tids IS NOT NULL AND p_skip = 0 THEN
        RETURN QUERY SELECT d.id, d.source_app, d.target_app, d.data, 'processing'::text, d.created_at, d.processed_at, d.kind, v.since,
            d.created_by, d.deleted_at, d.flow, d.priority, d.run_at, d.attempts + 1, d.max_attempts, v.token, v.holder,
            v.lease_until, d.dedup_key, d.order_key, d.parent_id, d.replay_of, d.last_error, d.trace, d.rescues, d.snoozes, d.result
            FROM integration.data_staging_live AS d
            WHERE d.ctid = ANY (v.tids) AND (d.id IN (SELECT unnest(v.ids))) IS TRUE;
        GET DIAGNOSTICS v_read = ROW_COUNT;
    END IF;
    IF p_skip + v_read < cardinality(v.ids) THEN
        RETURN QUERY SELECT d.id, d.source_app, d.target_app, d.data, 'processing'::text, d.created_at, d.processed_at, d.kind, v.since,
            d.created_by, d.deleted_at, d.flow, d.priority, d.run_at, d.attempts + 1, d.max_attempts, v.token, v.holder,
            v.lease_until, d.dedup_key, d.order_key, d.parent_id, d.replay_of, d.last_error, d.trace, d.rescues, d.snoozes, d.result
            FROM integration.data_staging_live AS d
            WHERE d.id = ANY (v.ids[p_skip + 1 :]) AND (v_read = 0 OR d.ctid <> ALL (v.tids));
    END IF;
END $f$;

-- Takes these out of a lane; what was the last takes the lane with it.
CREATE FUNCTION integration._leave_lane(p_lane integration.lanes, p_ids bigint[]) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    v_ids bigint[];
    v_keys text[];
BEGIN
    IF p_ids <> p_lane.ids THEN
        SELECT array_agg(i ORDER BY n), CASE WHEN count(k) > 0 THEN array_agg(k ORDER BY n) END INTO v_ids, v_keys
            FROM unnest(p_lane.ids, p_lane.keys) WITH ORDINALITY AS u (i, k, n) WHERE i NOT IN (SELECT unnest(p_ids));
    END IF;
    IF v_ids IS NULL THEN
        DELETE FROM integration.lanes WHERE token = p_lane.token;
    ELSE
        UPDATE integration.lanes SET ids = v_ids, keys = v_keys, tids = NULL WHERE token = p_lane.token;
    END IF;
END $f$;

-- Those of p_ids that a lane holds.
CREATE FUNCTION integration._of_lane(p_lane integration.lanes, p_ids bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_ids = p_lane.ids THEN p_ids
                ELSE ARRAY(SELECT i FROM unnest(p_ids) AS i WHERE i IN (SELECT unnest(p_lane.ids))) END
$$;

-- Moves these records of a lane to the archive, completed: by where they lay when they were taken, or by their numbers. Those that
-- have moved since are not found where they lay. p_results are those of p_of, null where there are none. `n` is how many were moved.
DO $do$
DECLARE
    move text := $q$
        WITH gone AS (
            DELETE FROM integration.data_staging_live WHERE {where} RETURNING *),
        kept AS (
            INSERT INTO integration.data_archive (id, source_app, target_app, data, status, created_at, processed_at, kind,
                updated_at, created_by, deleted_at, flow, priority, run_at, attempts, max_attempts, leased_by, dedup_key,
                order_key, parent_id, replay_of, trace, rescues, snoozes, archived_at, result)
            SELECT g.id, source_app, target_app, data, 'archived', created_at, p_now, kind, p_now, created_by, deleted_at, flow,
                priority, run_at, attempts + 1, max_attempts, p_lane.holder, dedup_key, order_key, parent_id, replay_of, trace,
                rescues, snoozes, p_now, {result}
            FROM gone AS g {results}),
        counted AS (
            SELECT source_app, count(*) AS c, min(id) AS l, max(id) AS h FROM gone GROUP BY source_app)
        SELECT coalesce(sum(c), 0), array_agg(source_app), array_agg(c), min(l), max(h) INTO n, sources, counts, low, high
            FROM counted$q$;
    ddl text := $ddl$
CREATE FUNCTION integration._move_lane_by_{by}(
    p_lane integration.lanes, p_ids bigint[], p_of bigint[], p_results json[], p_now timestamptz,
    OUT n bigint, OUT sources text[], OUT counts bigint[], OUT low bigint, OUT high bigint
) LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_mergejoin = off
AS $f$
#variable_conflict use_column
BEGIN
    IF p_results IS NULL THEN {plain};
    ELSE {with_results};
    END IF;
END $f$;
$ddl$;
BEGIN
    ddl := replace(ddl, '{plain}', replace(replace(move, '{result}', 'NULL::json'), '{results}', ''));
    ddl := replace(ddl, '{with_results}', replace(replace(move, '{result}', 'a.result'), '{results}',
        'JOIN unnest(p_of, p_results) AS a (id, result) ON a.id = g.id'));
    EXECUTE replace(replace(ddl, '{by}', 'id'), '{where}', 'id = ANY (p_ids)');
    EXECUTE replace(replace(ddl, '{by}', 'place'), '{where}',
        'ctid = ANY (p_lane.tids) AND (id IN (SELECT unnest(p_ids))) IS TRUE');
END $do$;

-- Completes what this token's lane holds of these, by moving it into the archive. Returns what was completed; null where there
-- is no such lane. p_whole: all of them, or nothing is changed. p_again: it may have been done already, under this token, by one
-- who did not hear of it; then it is counted among what was completed.
CREATE FUNCTION integration._complete_lane(
    p_token text, p_ids bigint[], p_results json[] DEFAULT NULL, p_now timestamptz DEFAULT NULL, p_notify boolean DEFAULT true,
    p_whole boolean DEFAULT false, p_again boolean DEFAULT false
) RETURNS bigint[] LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_mergejoin = off
AS $f$
#variable_conflict use_column
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v integration.lanes;
    v_ids bigint[];
    v_before bigint[] := '{}';
    v_moved bigint := 0;
    v_sources text[] := '{}';
    v_counts bigint[] := '{}';
    v_least bigint;
    v_most bigint;
BEGIN
    SELECT * INTO v FROM integration.lanes WHERE token = p_token FOR UPDATE;
    v_ids := CASE WHEN FOUND THEN integration._of_lane(v, p_ids) END;
    IF p_again AND (v_ids IS NULL OR cardinality(v_ids) < cardinality(p_ids)) THEN
        v_before := ARRAY(
            SELECT i FROM unnest(p_ids) AS i WHERE i <> ALL (coalesce(v_ids, '{}')) AND EXISTS (
                SELECT FROM integration.audit_log AS a
                WHERE a.span @> i AND a.token = p_token AND (a.ids IS NULL OR i = ANY (a.ids))));
    END IF;
    IF v_ids IS NULL THEN
        RETURN nullif(v_before, '{}');
    END IF;
    IF v_ids = '{}' OR p_whole AND cardinality(v_ids) + cardinality(v_before) < cardinality(p_ids) THEN
        RETURN v_before;
    END IF;
    IF v.tids IS NOT NULL AND v_ids = v.ids THEN
        SELECT m.* INTO v_moved, v_sources, v_counts, v_least, v_most
            FROM integration._move_lane_by_place(v, v_ids, p_ids, p_results, v_now) AS m;
    END IF;
    IF v_moved < cardinality(v_ids) THEN
        SELECT v_sources || m.sources, v_counts || m.counts, least(v_least, m.low), greatest(v_most, m.high)
            INTO v_sources, v_counts, v_least, v_most FROM integration._move_lane_by_id(v, v_ids, p_ids, p_results, v_now) AS m;
    END IF;
    PERFORM integration._leave_lane(v, v_ids);
    INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status, token)
        SELECT v_now, v.holder, integration._sparse(v_ids, v_least, v_most), int8range(v_least, v_most, '[]'), s.was, s.becomes, s.token
        FROM (VALUES ('processing', 'completed', p_token), ('completed', 'archived', NULL)) AS s (was, becomes, token);
    INSERT INTO integration.tally VALUES (v.app, 'record', 'processing', -cardinality(v_ids), 0),
        (v.app, 'record', 'completed', 0, cardinality(v_ids)), (v.app, 'record', 'archived', cardinality(v_ids), cardinality(v_ids));
    INSERT INTO integration.source_tally SELECT c.source, 'record', w.what, w.sign * c.n
        FROM unnest(v_sources, v_counts) AS c (source, n), (VALUES ('live', -1), ('archived', 1)) AS w (what, sign);
    IF p_notify AND v.keys IS NOT NULL THEN
        PERFORM pg_notify('handover', v.app);
    END IF;
    RETURN v_ids || v_before;
END $f$;

-- What this token's lane holds of these ids (of all where null), as _held_data_staging gives it.
CREATE FUNCTION integration._held_lane(p_token text, p_ids bigint[], p_lock boolean)
RETURNS TABLE (id bigint, attempts bigint, max_attempts bigint, snoozes bigint, leased_by text, lease_until timestamptz)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $f$
#variable_conflict use_column
DECLARE
    v integration.lanes;
BEGIN
    IF p_lock THEN
        SELECT * INTO v FROM integration.lanes WHERE token = p_token FOR UPDATE;
    ELSE
        SELECT * INTO v FROM integration.lanes WHERE token = p_token;
    END IF;
    IF FOUND THEN
        RETURN QUERY SELECT d.id, d.attempts + 1, d.max_attempts, d.snoozes, v.holder, v.lease_until
            FROM integration.data_staging_live AS d
            WHERE d.id = ANY (CASE WHEN p_ids IS NULL THEN v.ids ELSE integration._of_lane(v, p_ids) END) ORDER BY d.id;
    END IF;
END $f$;

-- Lengthens this token's lane, if it holds any of these, and returns which. One that another is at stands, and is lengthened the next
-- time.
CREATE FUNCTION integration._renew_lane(p_token text, p_ids bigint[], p_lease interval, p_now timestamptz DEFAULT NULL)
RETURNS bigint[] LANGUAGE plpgsql AS $f$
DECLARE
    v integration.lanes;
    v_ids bigint[];
BEGIN
    SELECT * INTO v FROM integration.lanes WHERE token = p_token FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        SELECT * INTO v FROM integration.lanes WHERE token = p_token;
        RETURN CASE WHEN FOUND THEN integration._of_lane(v, p_ids) END;
    END IF;
    v_ids := integration._of_lane(v, p_ids);
    IF v_ids <> '{}' THEN
        UPDATE integration.lanes SET lease_until = coalesce(p_now, clock_timestamp()) + p_lease WHERE token = p_token;
    END IF;
    RETURN v_ids;
END $f$;

-- Makes a usual claim of what this token's lane holds of these (of all where null): the record itself is processing from then on,
-- under the same token. Nothing is audited or counted, as nothing changes for anybody. p_pass: what others are at is left as it is,
-- and nobody is waited for.
CREATE FUNCTION integration._land(p_token text, p_ids bigint[], p_pass boolean DEFAULT false) RETURNS void LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $f$
#variable_conflict use_column
DECLARE
    v integration.lanes;
    v_ids bigint[];
    v_free bigint[];
BEGIN
    SELECT * INTO v FROM integration.lanes WHERE token = p_token FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    v_ids := CASE WHEN p_ids IS NULL THEN v.ids ELSE integration._of_lane(v, p_ids) END;
    IF p_pass THEN
        PERFORM FROM integration.claims WHERE token = p_token FOR UPDATE SKIP LOCKED;
        IF NOT FOUND AND EXISTS (SELECT FROM integration.claims WHERE token = p_token) THEN
            RETURN;
        END IF;
        SELECT coalesce(array_agg(id), '{}') INTO v_free FROM (
            SELECT id FROM integration.data_staging_live WHERE id = ANY (v_ids) FOR NO KEY UPDATE SKIP LOCKED) AS free;
        IF cardinality(v_free) < cardinality(v_ids) THEN
            -- What is there no more leaves its lane as well.
            v_ids := ARRAY(SELECT i FROM unnest(v_ids) AS i WHERE i NOT IN (
                SELECT id FROM integration.data_staging_live WHERE id = ANY (v_ids) AND id NOT IN (SELECT unnest(v_free))));
        END IF;
    END IF;
    IF v_ids <> '{}' THEN
        UPDATE integration.data_staging_live SET status = 'processing', attempts = attempts + 1, lease_token = v.token,
            leased_by = v.holder, lease_until = v.lease_until, updated_at = v.since WHERE id = ANY (v_ids);
        PERFORM integration._note_claim(v.token, v.app, v.holder, v.lease_until, v_ids);
        PERFORM integration._leave_lane(v, v_ids);
    END IF;
END $f$;

-- Lands one record, if it is in flight. Of an app that is claimed by lanes nothing is claimed to the end of this transaction.
CREATE FUNCTION integration._land_one(p_id bigint) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    v_app text := (SELECT target_app FROM integration.data_staging_live WHERE id = p_id AND status = 'pending');
BEGIN
    IF v_app IS NOT NULL AND integration._by_lanes(v_app) THEN
        IF NOT integration._sees_committed() THEN
            PERFORM integration._only_as_committed(v_app);
        END IF;
        PERFORM integration._lock_claims('data_staging', v_app);
        PERFORM integration._land(token, ARRAY[p_id]) FROM integration.lanes WHERE app = v_app AND p_id = ANY (ids);
    END IF;
END $f$;

-- Lands what these holders have, and what leases have run out; what others are at, the next time.
CREATE FUNCTION integration._land_lost(p_lost text[], p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
    PERFORM integration._land(token, NULL, true) FROM (
        SELECT token FROM integration.lanes WHERE lease_until <= p_now OR holder = ANY (p_lost)
        ORDER BY token FOR UPDATE SKIP LOCKED) AS lost;
END $f$;

-- From now on these apps are claimed by lanes (p_lanes), and those are not. It waits for whoever is claiming or changing what
-- they have, five seconds at most: then it fails (SQLSTATE 55P03), and the caller tries again.
CREATE FUNCTION integration._claim_by(p_actor text, p_lanes text[], p_usual text[], p_now timestamptz DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SET lock_timeout = '5s' AS $f$
DECLARE
    v record;
BEGIN
    FOR v IN
        SELECT w.app, w.lanes FROM (
            SELECT app, true AS lanes FROM unnest(p_lanes) AS app UNION SELECT app, false FROM unnest(p_usual) AS app) AS w
        WHERE w.lanes <> EXISTS (SELECT FROM integration.lane_apps AS l WHERE l.app = w.app) ORDER BY w.app COLLATE "C"
    LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended('handover claims by ' || v.app, 0));
        IF v.lanes THEN
            INSERT INTO integration.lane_apps VALUES (v.app, coalesce(p_now, clock_timestamp()), p_actor) ON CONFLICT DO NOTHING;
        ELSE
            PERFORM integration._lock_claims('data_staging', v.app);
            DELETE FROM integration.lane_apps WHERE app = v.app;
            PERFORM integration._land(token, NULL) FROM integration.lanes WHERE app = v.app;
        END IF;
        UPDATE integration.lane_apps_changed SET at = clock_timestamp();
    END LOOP;
END $f$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA integration FROM PUBLIC;
GRANT EXECUTE ON FUNCTION integration._path(json) TO PUBLIC;
