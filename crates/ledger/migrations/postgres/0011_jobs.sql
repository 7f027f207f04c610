-- Jobs: what stands beside the deliveries that a person or a program asks for over the network, and API keys.
--
-- Invariants: an idempotency key and its job are one transaction; an end that was asked for is known until its delivery has
-- ended, and goes with that end in one transaction; a job that has a webhook tells of each of its ends.
--
-- The last two are kept by triggers of the part deliveries_live, so that no way to an end is missed: Handover's own functions
-- and plain SQL meet there. They do something only when a delivery ends, or is to be pending again.

CREATE TABLE integration.idempotency_keys (
    owner       text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    fingerprint text NOT NULL,
    delivery_id bigint NOT NULL,
    -- When the job was handed over.
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (owner, key)
);
CREATE INDEX idx_idempotency_age ON integration.idempotency_keys (created_at);

-- Ends that were asked for and have not come. Nearly always empty.
CREATE TABLE integration.cancellations (
    delivery_id bigint PRIMARY KEY,
    at          timestamptz NOT NULL,
    by          text NOT NULL
);

-- What programs said while they worked: of each delivery from 1 on, without gaps.
CREATE TABLE integration.progress (
    delivery_id bigint NOT NULL,
    seq         bigint NOT NULL,
    at          timestamptz NOT NULL,
    line        text NOT NULL,
    PRIMARY KEY (delivery_id, seq)
);
CREATE INDEX idx_progress_age ON integration.progress (at) WHERE seq = 1;

-- Of a key there is its digest alone.
CREATE TABLE integration.api_keys (
    id           text COLLATE "C" PRIMARY KEY,
    name         text NOT NULL,
    digest       text NOT NULL,
    scopes       text[] NOT NULL,
    apps         text[],
    created_at   timestamptz NOT NULL,
    created_by   text NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    replaced_by  text
);

-- What processes sign for one another with: sessions of the dashboard.
CREATE TABLE integration.secrets (
    name   text COLLATE "C" PRIMARY KEY,
    secret text NOT NULL
);

-- A page of all jobs, or of one caller's, newest first; and how many of a caller's have not ended. `id + 0`: the index of all jobs
-- does not give that order, or a caller's page would be looked for among everybody's jobs.
CREATE INDEX idx_deliveries_jobs ON integration.deliveries (id) WHERE kind = 'job';
CREATE INDEX idx_deliveries_by ON integration.deliveries (created_by, (id + 0)) WHERE kind = 'job';
CREATE INDEX idx_deliveries_unended ON integration.deliveries (created_by)
    WHERE kind = 'job' AND status IN ('pending', 'processing');
CREATE INDEX idx_archive_jobs ON integration.data_archive (id) WHERE kind = 'job';
CREATE INDEX idx_archive_by ON integration.data_archive (created_by, (id + 0)) WHERE kind = 'job';

-- What came of a delivery that was ended because somebody asked for it.
CREATE FUNCTION integration._cancelled(p_result json) RETURNS json LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN json_typeof(p_result) = 'object' THEN (p_result::jsonb || '{"code": "CANCELLED"}')::json
                ELSE '{"code": "CANCELLED"}' END
$$;

-- A delivery that would be pending again, or was lost too often, and whose end was asked for, has failed instead. What failed
-- because of that and is tried again starts clean.
CREATE FUNCTION integration._before_pending() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = integration, pg_catalog, pg_temp AS $$
DECLARE
    v_by text;
BEGIN
    IF OLD.status = 'failed' THEN
        NEW.result := CASE WHEN NEW.result::text LIKE '%"CANCELLED"%' AND NEW.result ->> 'code' = 'CANCELLED' THEN NULL
                           ELSE NEW.result END;
        RETURN NEW;
    END IF;
    SELECT by INTO v_by FROM integration.cancellations WHERE delivery_id = NEW.id;
    IF FOUND THEN
        NEW.status := 'failed';
        NEW.last_error := 'cancelled by ' || v_by;
        NEW.result := integration._cancelled(NEW.result);
        -- Plain SQL leaves the lease, and gets its times when its statement ends (0005).
        NEW.processed_at := CASE WHEN NEW.lease_until IS NULL THEN NEW.updated_at END;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER before_pending BEFORE UPDATE OF status ON integration.deliveries_live FOR EACH ROW
    WHEN (OLD.status = 'processing' AND (NEW.status = 'pending' OR NEW.status = 'failed' AND NEW.rescues > OLD.rescues)
          OR OLD.status = 'failed' AND NEW.status = 'pending')
    EXECUTE FUNCTION integration._before_pending();

-- Whom a job tells of its end. Escapes that PostgreSQL cannot read are no part of an address.
CREATE FUNCTION integration._webhook(p_data json) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_data json := p_data;
BEGIN
    IF position('"webhook"' IN p_data::text) = 0 THEN
        RETURN NULL;
    END IF;
    IF position(E'\\u' IN p_data::text) > 0 THEN
        v_data := regexp_replace(p_data::text, E'(?<!\\\\)((?:\\\\\\\\)*)\\\\u(?:0000|[Dd][89A-Fa-f][0-9A-Fa-f]{2})', E'\\1?', 'g')::json;
    END IF;
    RETURN CASE WHEN json_typeof(v_data) = 'object' AND json_typeof(v_data -> 'webhook') = 'string'
                THEN v_data ->> 'webhook' END;
END $$;

-- What belongs to an end: that it was asked for is forgotten, and a job's webhook has a delivery.
CREATE FUNCTION integration._after_end() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = integration, pg_catalog, pg_temp AS $$
DECLARE
    v_url text;
BEGIN
    DELETE FROM integration.cancellations WHERE delivery_id = OLD.id;
    IF TG_OP = 'UPDATE' AND NEW.kind = 'job' AND NEW.status <> 'archived' THEN
        v_url := integration._webhook(NEW.data);
        IF v_url IS NOT NULL THEN
            PERFORM integration._push_deliveries('handover', ARRAY[coalesce(NEW.target_app, NEW.source_app)],
                ARRAY['handover-webhook'], ARRAY[json_build_object('job', NEW.id, 'status', NEW.status, 'url', v_url)],
                ARRAY['job'], p_max_attempts => ARRAY[30::bigint], p_parents => ARRAY[NEW.id], p_now => NEW.processed_at);
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER after_end AFTER UPDATE OF status ON integration.deliveries_live FOR EACH ROW
    WHEN (OLD.status IN ('pending', 'processing') AND NEW.status NOT IN ('pending', 'processing'))
    EXECUTE FUNCTION integration._after_end();
CREATE TRIGGER after_delete AFTER DELETE ON integration.deliveries_live FOR EACH ROW
    WHEN (OLD.status IN ('pending', 'processing')) EXECUTE FUNCTION integration._after_end();

-- What is known of these keys: of each its place, whether the same was asked for under it, its job and when that was made.
CREATE FUNCTION integration._known_keys(p_owners text[], p_keys text[], p_fingerprints text[])
RETURNS TABLE (n bigint, same boolean, id bigint, at timestamptz) LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    RETURN QUERY SELECT u.n, k.fingerprint = u.fingerprint, k.delivery_id, k.created_at
        FROM unnest(p_owners, p_keys, p_fingerprints) WITH ORDINALITY AS u (owner, key, fingerprint, n)
        JOIN integration.idempotency_keys AS k ON k.owner = u.owner AND k.key = u.key;
END $$;

-- How many jobs of a caller (p_what 'caller') have not ended, or how many deliveries are pending for an app ('queue'); counted no
-- further than p_max.
CREATE FUNCTION integration._has(p_what text, p_name text, p_max bigint) RETURNS bigint LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
    IF p_what = 'caller' THEN
        RETURN (SELECT count(*) FROM (
            SELECT FROM integration.deliveries_live
            WHERE created_by = p_name AND kind = 'job' AND status IN ('pending', 'processing') LIMIT p_max) AS bounded);
    END IF;
    RETURN (SELECT count(*) FROM (
        SELECT FROM integration.deliveries_live WHERE target_app = p_name AND status = 'pending' LIMIT p_max) AS bounded);
END $$;

-- Which of the places that are not settled (p_came_to is null) are beyond a limit, which ('caller' or 'queue'), and how high it is. One with the same key as one before it is passed over: it will be known.
--
-- Those who come near a limit at the same time come one after the other. With a thousand places left nobody waits.
CREATE FUNCTION integration._beyond(
    p_came_to text[], p_callers text[], p_targets text[], p_caller_max bigint[], p_queue_max bigint[], p_owners text[], p_keys text[]
) RETURNS TABLE (n integer, what text, has bigint) LANGUAGE plpgsql AS $$
DECLARE
    c_near constant bigint := 1000;
    v record;
    v_names jsonb := '{}';
    v_keys jsonb := '{}';
    v_key text;
    v_by text;
    v_to text;
BEGIN
    FOR v IN
        SELECT w.what, w.name, max(w.most) AS most, min(w.most) AS least
        FROM unnest(p_came_to, p_callers, p_targets, p_caller_max, p_queue_max) AS u (came_to, caller, target, by_max, to_max),
            LATERAL (VALUES ('caller', u.caller, u.by_max), ('queue', u.target, u.to_max)) AS w (what, name, most)
        WHERE u.came_to IS NULL AND w.most IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        has := integration._has(v.what, v.name, v.most);
        IF has + c_near + cardinality(p_callers) > v.least THEN
            PERFORM pg_advisory_xact_lock(hashtextextended('handover jobs ' || v.what || ' ' || v.name, 0));
            has := integration._has(v.what, v.name, v.most);
        END IF;
        v_names := v_names || jsonb_build_object(v.what || ' ' || v.name, has);
    END LOOP;
    FOR i IN 1..cardinality(p_callers) LOOP
        n := i;
        v_key := CASE WHEN p_keys[n] IS NOT NULL THEN jsonb_build_array(p_owners[n], p_keys[n])::text END;
        CONTINUE WHEN p_came_to[n] IS NOT NULL OR v_keys ? v_key;
        v_by := 'caller ' || p_callers[n];
        v_to := 'queue ' || p_targets[n];
        has := (v_names ->> v_by)::bigint;
        IF has >= p_caller_max[n] THEN
            what := 'caller';
            has := p_caller_max[i];
            RETURN NEXT;
            CONTINUE;
        END IF;
        has := (v_names ->> v_to)::bigint;
        IF has >= p_queue_max[n] THEN
            what := 'queue';
            has := p_queue_max[i];
            RETURN NEXT;
            CONTINUE;
        END IF;
        v_names := v_names || jsonb_build_object(v_by, coalesce((v_names ->> v_by)::bigint, 0) + 1,
                                                 v_to, coalesce((v_names ->> v_to)::bigint, 0) + 1);
        IF v_key IS NOT NULL THEN
            v_keys := v_keys || jsonb_build_object(v_key, true);
        END IF;
    END LOOP;
END $$;

-- Submits jobs: every array has one element for each, or is null where none has any. Of each what came of it ('new', 'known',
-- 'differs', 'caller', 'queue'), its number (of the last two the limit) and when it was made.
--
-- A key that another transaction has claimed is waited for; keys are claimed in their order, so that two who claim the same
-- do not wait for each other in a circle.
CREATE FUNCTION integration._submit(
    p_callers text[], p_owners text[], p_keys text[], p_fingerprints text[], p_caller_max bigint[], p_queue_max bigint[],
    p_sources text[], p_targets text[], p_data json[], p_kinds text[], p_flows text[], p_priorities integer[],
    p_run_at timestamptz[], p_max_attempts bigint[], p_dedup_keys text[], p_order_keys text[], p_parents bigint[],
    p_replay_of bigint[], p_traces text[], p_now timestamptz DEFAULT NULL, p_notify boolean DEFAULT true,
    OUT came_to text[], OUT numbers bigint[], OUT since timestamptz[]
) LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $f$
#variable_conflict use_column
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_count integer := cardinality(p_data);
    v_places integer[];
    v_ids bigint[];
    v_got bigint[];
    v_fresh boolean[];
    v record;
BEGIN
    came_to := array_fill(NULL::text, ARRAY[v_count]);
    numbers := array_fill(NULL::bigint, ARRAY[v_count]);
    since := array_fill(NULL::timestamptz, ARRAY[v_count]);
    IF p_keys IS NOT NULL THEN
        FOR v IN SELECT * FROM integration._known_keys(p_owners, p_keys, p_fingerprints) LOOP
            came_to[v.n] := CASE WHEN v.same THEN 'known' ELSE 'differs' END;
            numbers[v.n] := v.id;
            since[v.n] := v.at;
        END LOOP;
    END IF;
    IF p_caller_max IS NOT NULL OR p_queue_max IS NOT NULL THEN
        FOR v IN SELECT * FROM integration._beyond(came_to, p_callers, p_targets, p_caller_max, p_queue_max, p_owners, p_keys) LOOP
            came_to[v.n] := v.what;
            numbers[v.n] := v.has;
        END LOOP;
    END IF;
    v_places := ARRAY(SELECT n FROM unnest(came_to) WITH ORDINALITY AS u (c, n) WHERE c IS NULL ORDER BY n);
    v_ids := integration._next_ids(cardinality(v_places));
    IF p_keys IS NOT NULL AND v_places <> '{}' THEN
        WITH ours AS (
            INSERT INTO integration.idempotency_keys (owner, key, fingerprint, delivery_id, created_at)
            SELECT k.owner, k.key, k.fingerprint, i.id, v_now
            FROM unnest(p_owners, p_keys, p_fingerprints) WITH ORDINALITY AS k (owner, key, fingerprint, n)
                JOIN unnest(v_places, v_ids) AS i (n, id) ON i.n = k.n
            WHERE k.key IS NOT NULL ORDER BY k.owner, k.key, k.n
            ON CONFLICT DO NOTHING RETURNING delivery_id)
        SELECT array_agg(n ORDER BY n), array_agg(id ORDER BY n) INTO v_places, v_ids
            FROM unnest(v_places, v_ids) AS i (n, id) WHERE p_keys[n] IS NULL OR id IN (SELECT delivery_id FROM ours);
    END IF;
    IF v_places <> '{}' THEN
        SELECT pushed.ids, pushed.fresh INTO v_got, v_fresh FROM (
            SELECT array_agg(caller ORDER BY n) AS callers, array_agg(source ORDER BY n) AS sources,
                array_agg(target ORDER BY n) AS targets, array_agg(data ORDER BY n) AS data, array_agg(kind ORDER BY n) AS kinds,
                array_agg(flow ORDER BY n) AS flows, array_agg(priority ORDER BY n) AS priorities,
                array_agg(run_at ORDER BY n) AS run_at, array_agg(max_attempts ORDER BY n) AS max_attempts,
                array_agg(dedup ORDER BY n) AS dedup_keys, array_agg(order_key ORDER BY n) AS order_keys,
                array_agg(parent ORDER BY n) AS parents, array_agg(replay ORDER BY n) AS replay_of,
                array_agg(trace ORDER BY n) AS traces
            FROM unnest(p_callers, p_sources, p_targets, p_data, p_kinds, p_flows, p_priorities, p_run_at, p_max_attempts,
                        p_dedup_keys, p_order_keys, p_parents, p_replay_of, p_traces) WITH ORDINALITY
                    AS u (caller, source, target, data, kind, flow, priority, run_at, max_attempts, dedup, order_key, parent,
                          replay, trace, n)
            WHERE n = ANY (v_places)) AS a,
            integration._push_deliveries(NULL, a.sources, a.targets, a.data, a.kinds, a.flows, a.priorities, a.run_at,
                a.max_attempts, a.dedup_keys, a.order_keys, a.parents, a.replay_of, a.traces, p_now => v_now,
                p_notify => p_notify, p_ids => v_ids, p_callers => a.callers) AS pushed;
        FOR i IN 1..cardinality(v_places) LOOP
            came_to[v_places[i]] := CASE WHEN v_fresh[i] THEN 'new' ELSE 'known' END;
            numbers[v_places[i]] := v_got[i];
            since[v_places[i]] := v_now;
            IF NOT v_fresh[i] THEN
                -- Known by its dedup key.
                SELECT created_at INTO v FROM (
                    SELECT created_at FROM integration.deliveries_live WHERE id = v_got[i]
                    UNION ALL SELECT created_at FROM integration.data_archive WHERE id = v_got[i]) AS d;
                since[v_places[i]] := v.created_at;
                UPDATE integration.idempotency_keys SET delivery_id = v_got[i], created_at = v.created_at
                    WHERE owner = p_owners[v_places[i]] AND key = p_keys[v_places[i]];
            END IF;
        END LOOP;
    END IF;
    IF p_keys IS NOT NULL AND array_position(came_to, NULL) IS NOT NULL THEN
        -- Others claimed these keys meanwhile, or they came twice: a later statement sees them.
        FOR v IN SELECT * FROM integration._known_keys(p_owners, p_keys, p_fingerprints) LOOP
            CONTINUE WHEN came_to[v.n] IS NOT NULL;
            came_to[v.n] := CASE WHEN v.same THEN 'known' ELSE 'differs' END;
            numbers[v.n] := v.id;
            since[v.n] := v.at;
        END LOOP;
        IF array_position(came_to, NULL) IS NOT NULL THEN
            RAISE EXCEPTION 'an idempotency key was forgotten while it was looked for' USING ERRCODE = '40001';
        END IF;
    END IF;
END $f$;

-- Ends a pending delivery because somebody asked for it.
CREATE FUNCTION integration._end_pending(p_actor text, p_id bigint, p_by text, p_now timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v record;
BEGIN
    UPDATE integration.deliveries_live SET status = 'failed', processed_at = p_now, updated_at = p_now,
        last_error = 'cancelled by ' || p_by, result = integration._cancelled(result)
        WHERE id = p_id AND status COLLATE "C" = 'pending' RETURNING target_app, kind INTO v;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM integration._moved(p_now, p_actor, p_id, v.target_app, v.kind, 'pending', 'failed', 'cancelled by ' || p_by);
    RETURN true;
END $$;

-- Ends what nobody has, and records; notes of the rest that its end was asked for. Returns whether it has ended.
CREATE FUNCTION integration._ask_to_cancel(
    p_actor text, p_id bigint, p_now timestamptz DEFAULT NULL, p_notify boolean DEFAULT true
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v record;
BEGIN
    SELECT * INTO v FROM integration._find(p_id);
    IF v.table <> 'deliveries' OR v.status NOT IN ('pending', 'processing') THEN
        PERFORM integration._cancel(p_actor, p_id, p_now, p_notify);
        RETURN true;
    END IF;
    IF p_notify THEN
        PERFORM integration._notify(ARRAY[v.app]);
    END IF;
    IF v.status = 'processing' THEN
        INSERT INTO integration.cancellations VALUES (p_id, v_now, p_actor) ON CONFLICT DO NOTHING;
        RETURN false;
    END IF;
    RETURN integration._end_pending(p_actor, p_id, p_actor, v_now);
END $$;

-- Ends what is pending and was asked to end, and forgets what is not there any more. Returns how many ended.
CREATE FUNCTION integration._end_cancelled(p_actor text, p_now timestamptz DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_ended bigint := 0;
    v record;
BEGIN
    FOR v IN
        SELECT c.delivery_id AS id, c.by AS who FROM integration.cancellations AS c
            JOIN integration.deliveries_live AS d ON d.id = c.delivery_id WHERE d.status = 'pending' ORDER BY 1
    LOOP
        IF integration._end_pending(p_actor, v.id, v.who, coalesce(p_now, clock_timestamp())) THEN
            v_ended := v_ended + 1;
        END IF;
    END LOOP;
    DELETE FROM integration.cancellations AS c WHERE NOT EXISTS (
        SELECT FROM integration.deliveries_live AS d WHERE d.id = c.delivery_id AND d.status IN ('pending', 'processing'));
    RETURN v_ended;
END $$;

-- Keeps lines after those that are kept, p_max at most. Returns how many there are then.
CREATE FUNCTION integration._add_progress(p_id bigint, p_at timestamptz[], p_lines text[], p_max bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_kept bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('handover progress', p_id));
    v_kept := coalesce((SELECT max(seq) FROM integration.progress WHERE delivery_id = p_id), 0);
    INSERT INTO integration.progress SELECT p_id, v_kept + n, at, line
        FROM unnest(p_at, p_lines) WITH ORDINALITY AS u (at, line, n) WHERE v_kept + n <= p_max;
    RETURN greatest(v_kept, least(v_kept + cardinality(p_lines), p_max));
END $$;

-- Whether a delivery ended before this time, or is gone.
CREATE FUNCTION integration._ended_before(p_id bigint, p_before timestamptz) RETURNS boolean LANGUAGE plpgsql STABLE
SET jit = off SET enable_seqscan = off AS $$
DECLARE
    v record;
BEGIN
    SELECT status, processed_at INTO v FROM integration.deliveries_live WHERE id = p_id;
    IF FOUND THEN
        RETURN v.status NOT IN ('pending', 'processing') AND v.processed_at < p_before;
    END IF;
    SELECT processed_at INTO v FROM integration.data_archive WHERE id = p_id;
    RETURN NOT FOUND OR coalesce(v.processed_at < p_before, true);
END $$;

-- Forgets the keys and the lines of jobs that ended before this time, or are gone: p_max of each at most. A delivery's lines
-- go from its last to its first, by which they are found. Returns how many went.
CREATE FUNCTION integration._forget_jobs(p_before timestamptz, p_max bigint) RETURNS bigint LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off AS $$
DECLARE
    v_keys bigint;
    v_lines bigint;
BEGIN
    DELETE FROM integration.idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM integration.idempotency_keys
        WHERE created_at < p_before AND integration._ended_before(delivery_id, p_before)
        ORDER BY created_at LIMIT p_max FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_keys = ROW_COUNT;
    DELETE FROM integration.progress WHERE ctid = ANY (ARRAY(
        SELECT l.ctid FROM (
            SELECT delivery_id FROM integration.progress
            WHERE seq = 1 AND at < p_before AND integration._ended_before(delivery_id, p_before) ORDER BY at LIMIT p_max) AS d
        JOIN integration.progress AS l USING (delivery_id) ORDER BY l.delivery_id, l.seq DESC LIMIT p_max));
    GET DIAGNOSTICS v_lines = ROW_COUNT;
    RETURN v_keys + v_lines;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA integration FROM PUBLIC;
GRANT EXECUTE ON FUNCTION integration._path(json) TO PUBLIC;
