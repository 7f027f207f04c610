-- Functions for any program: push, push_many, pull, ack, fail, extend, replay. docs/guides/sql.md shows them.
--
-- They act with the rights of the ledger's owner, for roles that have been granted them (0008). A token that is stale,
-- foreign or malformed changes nothing, and is an error (SQLSTATE HO001): whoever does its own work in the same transaction
-- as the ack has it rolled back with it.

-- Settings that the database itself keeps to.
CREATE TABLE integration.settings (
    name  text PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO integration.settings VALUES ('record_max_bytes', 16 * 1024 * 1024);

CREATE FUNCTION integration._check_size(p_data json[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_max bigint := (SELECT value FROM integration.settings WHERE name = 'record_max_bytes');
    v_at bigint;
    v_size bigint;
BEGIN
    SELECT at, octet_length(d::text) INTO v_at, v_size FROM unnest(p_data) WITH ORDINALITY AS u (d, at)
        WHERE octet_length(d::text) > v_max ORDER BY at LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'record % is too large: % bytes, and the limit is %', v_at, v_size, v_max USING ERRCODE = 'HO004',
            HINT = 'hand it over as a file, or raise record_max_bytes in integration.settings; nothing was pushed';
    END IF;
END $$;

-- Whether plain SQL might insert this (0005), and the error where it might not. Two functions, as the first costs next to nothing.
CREATE FUNCTION integration._may_push(source text, target text, max_attempts bigint, run_at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT (source = '' OR target = '' OR NOT integration._numbers_fit(0, coalesce(max_attempts, 4), 0, 0)
        OR NOT integration._time_fits(run_at)) IS NOT TRUE
$$;
CREATE FUNCTION integration._refuse_push(source text, target text, max_attempts bigint, run_at timestamptz) RETURNS void
LANGUAGE sql AS $$
    SELECT integration._refuse(NOT integration._numbers_fit(0, coalesce(max_attempts, 4), 0, 0),
        NOT integration._time_fits(run_at), source = '' OR target = '')
$$;

-- The error for a lease that is none, or has no end that anybody waits for.
CREATE FUNCTION integration._refuse_lease(who text, lease interval) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF lease > interval '365 days' THEN
        RAISE EXCEPTION '% gives a lease of 365 days at most', who USING ERRCODE = '22023',
            HINT = 'take a shorter one, and lengthen it with integration.extend; nothing was changed';
    END IF;
    RAISE EXCEPTION '% needs a lease longer than nothing', who USING ERRCODE = 'HO004', HINT = 'nothing was changed';
END $$;

-- Hands a record to an app. Returns its number; that of the known record where dedup_key is known.
CREATE FUNCTION integration.push(
    source text, target text, data json, priority integer DEFAULT 0, run_at timestamptz DEFAULT NULL,
    dedup_key text DEFAULT NULL, order_key text DEFAULT NULL, max_attempts bigint DEFAULT 4, flow text DEFAULT NULL,
    trace text DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = integration, pg_catalog, pg_temp AS $$
BEGIN
    IF NOT integration._may_push(source, target, max_attempts, run_at) THEN
        PERFORM integration._refuse_push(source, target, max_attempts, run_at);
    END IF;
    PERFORM integration._check_size(ARRAY[push.data]);
    RETURN (integration._push_data_staging(integration._sql_actor(), ARRAY[source], ARRAY[target], ARRAY[push.data],
        p_flows => ARRAY[flow], p_priorities => ARRAY[priority], p_run_at => ARRAY[run_at],
        p_max_attempts => ARRAY[max_attempts], p_dedup_keys => ARRAY[dedup_key], p_order_keys => ARRAY[order_key],
        p_traces => ARRAY[trace])).ids[1];
END $$;

-- Hands many records to an app, all or none: `records` is a JSON array. Returns their numbers, in order.
CREATE FUNCTION integration.push_many(
    source text, target text, records json, priority integer DEFAULT 0, run_at timestamptz DEFAULT NULL,
    dedup_keys text[] DEFAULT NULL, order_keys text[] DEFAULT NULL, max_attempts bigint DEFAULT 4, flow text DEFAULT NULL,
    trace text DEFAULT NULL
) RETURNS bigint[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = integration, pg_catalog, pg_temp AS $$
DECLARE
    v_data json[];
    v_count integer;
BEGIN
    IF json_typeof(records) <> 'array' THEN
        RAISE EXCEPTION 'records is %, not an array', json_typeof(records)
            USING ERRCODE = 'HO004', HINT = 'push takes one record; nothing was pushed';
    END IF;
    v_data := ARRAY(SELECT value FROM json_array_elements(records));
    v_count := cardinality(v_data);
    IF cardinality(dedup_keys) <> v_count OR cardinality(order_keys) <> v_count THEN
        RAISE EXCEPTION 'there are % records, % dedup_keys and % order_keys', v_count,
            coalesce(cardinality(dedup_keys)::text, 'no'), coalesce(cardinality(order_keys)::text, 'no')
            USING ERRCODE = 'HO004', HINT = 'give one key for each record, null for none; nothing was pushed';
    END IF;
    IF v_count = 0 THEN
        RETURN '{}';
    END IF;
    IF NOT integration._may_push(source, target, max_attempts, run_at) THEN
        PERFORM integration._refuse_push(source, target, max_attempts, run_at);
    END IF;
    PERFORM integration._check_size(v_data);
    RETURN (integration._push_data_staging(integration._sql_actor(), array_fill(source, ARRAY[v_count]),
        array_fill(target, ARRAY[v_count]), v_data, p_flows => array_fill(flow, ARRAY[v_count]),
        p_priorities => array_fill(priority, ARRAY[v_count]), p_run_at => array_fill(run_at, ARRAY[v_count]),
        p_max_attempts => array_fill(max_attempts, ARRAY[v_count]), p_dedup_keys => dedup_keys,
        p_order_keys => order_keys, p_traces => array_fill(trace, ARRAY[v_count]))).ids;
END $$;

-- Takes up to max_records records that wait for an app, highest priority first, then oldest. All share one token, which
-- ends them; until then nobody else gets them, for as long as the lease lasts.
CREATE FUNCTION integration.pull(app text, max_records bigint DEFAULT 1, lease interval DEFAULT '60 seconds')
RETURNS TABLE (id bigint, data json, token text, attempt bigint, source_app text, order_key text, created_at timestamptz,
    lease_until timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = integration, pg_catalog, pg_temp AS $$
BEGIN
    IF (max_records >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION 'pull needs at least one record' USING ERRCODE = 'HO004', HINT = 'nothing was changed';
    END IF;
    IF max_records > 100000 THEN
        RAISE EXCEPTION 'pull takes 100000 records at most' USING ERRCODE = '22023',
            HINT = 'pull again for more; nothing was changed';
    END IF;
    IF (lease > interval '0' AND lease <= interval '365 days') IS NOT TRUE THEN
        PERFORM integration._refuse_lease('pull', lease);
    END IF;
    RETURN QUERY SELECT c.id, c.data, c.lease_token, c.attempts, c.source_app::text, c.order_key::text, c.created_at, c.lease_until
        FROM integration._claim_data_staging(pull.app, max_records, 'pull:' || session_user,
            replace(gen_random_uuid()::text, '-', ''), lease) AS c
        ORDER BY c.priority DESC, c.id;
END $$;

-- The error for what a token does not hold, with what became of it.
CREATE FUNCTION integration._stale(p_token text, p_ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint := (SELECT min(i) FROM unnest(p_ids) AS i);
    v record;
    v_what text;
BEGIN
    IF p_token IS NULL OR p_token !~ '^[0-9a-f]{32}$' THEN
        RAISE EXCEPTION 'this is not a token: %', coalesce(quote_literal(left(p_token, 80)), 'null') USING ERRCODE = 'HO001',
            HINT = 'give the token that pull returned; nothing was changed';
    END IF;
    IF v_id IS NULL THEN
        RAISE EXCEPTION 'the token holds nothing: its lease ran out, or all of it has ended' USING ERRCODE = 'HO001',
            HINT = 'nothing was changed; what was done under it may be done again elsewhere';
    END IF;
    SELECT d.status, d.leased_by INTO v FROM integration.v_data_staging AS d WHERE d.id = v_id;
    v_what := CASE
        WHEN NOT FOUND AND EXISTS (SELECT FROM integration.data_archive AS a WHERE a.id = v_id) THEN 'it is archived'
        WHEN NOT FOUND THEN 'there is no such record'
        WHEN v.status = 'processing' THEN 'it is processing, held by ' || coalesce(v.leased_by, 'another')
        WHEN v.status = 'completed' AND v.leased_by IS NOT NULL THEN 'it is completed, by ' || v.leased_by
        ELSE 'it is ' || v.status END;
    RAISE EXCEPTION 'the token does not hold record %: %', v_id, v_what USING ERRCODE = 'HO001',
        HINT = 'its lease ran out and it was done elsewhere, or the token is another''s; nothing was changed';
END $$;

-- What a token holds of these ids (of all where null), or the error, where it does not hold every one.
CREATE FUNCTION integration._held_or_stale(p_token text, p_ids bigint[]) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_held bigint[] := ARRAY(SELECT h.id FROM integration._held_data_staging(p_token, p_ids, p_ids IS NOT NULL) AS h);
    v_stale bigint[] := ARRAY(SELECT unnest(p_ids) EXCEPT SELECT unnest(v_held));
BEGIN
    IF cardinality(v_held) = 0 OR cardinality(v_stale) > 0 THEN
        PERFORM integration._stale(p_token, v_stale);
    END IF;
    RETURN v_held;
END $$;

-- Completes what a token holds: these ids, or all of it. All or none. Returns how many.
CREATE FUNCTION integration.ack(token text, ids bigint[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = integration, pg_catalog, pg_temp AS $$
DECLARE
    v_held bigint[] := integration._held_or_stale(token, ids);
    v_done bigint[] := (integration._complete_data_staging(token, v_held)).ids;
BEGIN
    IF cardinality(v_done) < cardinality(v_held) THEN
        PERFORM integration._stale(token, ARRAY(SELECT unnest(v_held) EXCEPT SELECT unnest(v_done)));
    END IF;
    RETURN cardinality(v_done);
END $$;

-- Ends attempts badly: these ids, or all that the token holds. With retry each runs again after a growing delay (or `delay`,
-- where given), until its attempts are used up; else it has failed. All or none.
CREATE FUNCTION integration.fail(
    token text, ids bigint[] DEFAULT NULL, error text DEFAULT NULL, retry boolean DEFAULT true, delay interval DEFAULT NULL
) RETURNS TABLE (id bigint, status text, run_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = integration, pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock_timestamp();
    v_held bigint[] := integration._held_or_stale(token, ids);
    v_to text[];
    v_at timestamptz[];
    v_attempts bigint[];
    v_snoozes bigint[];
    v_retry boolean := coalesce(retry, true);
    v_done bigint[];
    v_count integer;
BEGIN
    IF delay NOT BETWEEN interval '-365 days' AND interval '36500 days' THEN
        RAISE EXCEPTION 'a delay is 36500 days at most' USING ERRCODE = '22008', HINT = 'nothing was changed';
    END IF;
    SELECT array_agg(h.id), array_agg(CASE WHEN v_retry AND h.attempts < h.max_attempts THEN 'pending' ELSE 'failed' END),
        array_agg(CASE WHEN v_retry AND h.attempts < h.max_attempts THEN v_now + coalesce(delay,
            least(900, power(2, least(h.attempts, 20) - 1)) * (0.5 + random() / 2) * interval '1 second') END),
        array_agg(h.attempts), array_agg(h.snoozes), count(*)
        INTO v_held, v_to, v_at, v_attempts, v_snoozes, v_count
        FROM integration._held_data_staging(token, v_held, true) AS h;
    IF v_held IS NULL THEN
        PERFORM integration._stale(token, ids);
    END IF;
    v_done := integration._fail_data_staging(token, v_held, v_to, v_at, v_attempts, v_snoozes,
        array_fill(left(coalesce(error, 'failed'), 16384), ARRAY[v_count]), p_now => v_now);
    IF cardinality(v_done) < v_count THEN
        PERFORM integration._stale(token, ARRAY(SELECT unnest(v_held) EXCEPT SELECT unnest(v_done)));
    END IF;
    RETURN QUERY SELECT u.* FROM unnest(v_held, v_to, v_at) AS u (id, status, run_at) ORDER BY u.id;
END $$;

-- Lengthens the lease of all that a token holds, from now. Returns until when. What another has locked is waited for, as that is to be
-- true of all.
CREATE FUNCTION integration.extend(token text, lease interval DEFAULT '60 seconds') RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = integration, pg_catalog, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_held bigint[];
BEGIN
    IF (lease > interval '0' AND lease <= interval '365 days') IS NOT TRUE THEN
        PERFORM integration._refuse_lease('extend', lease);
    END IF;
    v_held := integration._held_or_stale(token, NULL);
    PERFORM FROM integration._held_data_staging(token, v_held, true);
    v_now := clock_timestamp();
    IF cardinality(integration._renew_data_staging(token, v_held, lease, v_now)) < cardinality(v_held) THEN
        PERFORM integration._stale(token, NULL);
    END IF;
    RETURN v_now + lease;
END $$;

-- A new delivery from an old one's input, whatever became of it, archived too. Returns its number.
CREATE FUNCTION integration.replay(id bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = integration, pg_catalog, pg_temp AS $$
    SELECT integration._replay(integration._sql_actor(), replay.id)
$$;
