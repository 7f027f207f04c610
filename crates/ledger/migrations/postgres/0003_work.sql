-- What Handover's workers ask for, one round trip each. Their names begin with an underscore: they may change with any
-- version, and only Handover calls them. Each exists once for each table: _claim_data_staging, _claim_deliveries.
--
-- p_now is the time that counts; null is the server's clock. A claim's token is made by who claims, one for a batch.
-- SQLSTATE HO001 is stale, HO002 an illegal transition, HO003 not found, HO004 a wrong argument.
--
-- Each function names the part ({table}_live), whose statements no trigger sees, and writes the audit as one row and
-- the counts as one difference for a batch. Plans are pinned, since a queue's statistics are always wrong; what is switched
-- off costs so much in the plan's eyes that it would be compiled, too (jit).

-- The numbers, where they are not all from the least to the greatest: what the audit log keeps beside the span.
CREATE FUNCTION integration._sparse(p_ids bigint[], p_min bigint, p_max bigint) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN cardinality(p_ids) <= p_max - p_min THEN p_ids END
$$;

-- One transition of some deliveries, for the audit log, where nothing better is at hand.
CREATE FUNCTION integration._audit(
    p_at timestamptz, p_actor text, p_ids bigint[], p_from text, p_to text, p_note text DEFAULT NULL
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status, note)
    SELECT p_at, p_actor, integration._sparse(p_ids, min(i), max(i)), int8range(min(i), max(i), '[]'), p_from, p_to, p_note
    FROM unnest(p_ids) AS i HAVING count(*) > 0
$$;

-- Tells whoever listens that these apps may have work. Once a transaction, whatever it did.
CREATE FUNCTION integration._notify(p_apps text[]) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('handover', app) FROM unnest(p_apps) AS app WHERE app IS NOT NULL
$$;

-- The error for what was neither inserted nor known: the number that it was given is another's, or it met with one that has gone
-- meanwhile, and is to be pushed again.
CREATE FUNCTION integration._not_pushed(p_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM integration._rows WHERE id = p_id) THEN
        RAISE EXCEPTION 'the ledger''s sequence of numbers is behind its records: it gave %, which is taken', p_id
            USING ERRCODE = '55000', HINT = 'it was set back, or not restored with the records; nothing was pushed. Its owner sets it right: '
                || 'SELECT setval(''integration.delivery_ids'', (SELECT max(id) FROM (SELECT id FROM integration.data_staging '
                || 'UNION ALL SELECT id FROM integration.deliveries UNION ALL SELECT id FROM integration.data_archive) AS all_of_them))';
    END IF;
    RAISE EXCEPTION 'a delivery with this dedup_key was there, and has gone meanwhile' USING ERRCODE = '40001',
        HINT = 'push again; nothing was pushed';
END $$;

-- Numbers set aside.
CREATE FUNCTION integration._next_ids(p_count bigint) RETURNS bigint[] LANGUAGE sql AS $$
    SELECT array_agg(nextval('integration.delivery_ids')) FROM generate_series(1, p_count)
$$;

-- Whether this transaction sees with each statement what others have committed meanwhile.
CREATE FUNCTION integration._sees_committed() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
$$;

-- The error for who would look at the claims by lanes of an app as they once were: what has been claimed since is not seen there.
CREATE FUNCTION integration._only_as_committed(p_app text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the records of % are claimed by lanes: they are claimed, and plain SQL changes their status, only in transactions that are READ COMMITTED',
        p_app USING ERRCODE = 'HO002', HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED; nothing was changed';
END $$;

-- Whether this app's records are claimed by lanes (0010); that stays so to the transaction's end. One that does not see what has been
-- committed meanwhile fails (SQLSTATE 40001) where that has changed for any app since it began.
CREATE FUNCTION integration._by_lanes(p_app text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('handover claims by ' || p_app, 0));
    IF NOT integration._sees_committed() THEN
        PERFORM FROM integration.lane_apps_changed FOR SHARE;
    END IF;
    RETURN EXISTS (SELECT FROM integration.lane_apps WHERE app = p_app);
END $$;

-- Lets one claim of an app come after the other, where no lock of a row keeps two from taking the same.
CREATE FUNCTION integration._lock_claims(p_table text, p_app text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('handover claim ' || p_table || ' ' || p_app, 0))
$$;

-- Notes what a claim holds from now on (0002): a claim of its own, or more of one that stands.
CREATE FUNCTION integration._note_claim(p_token text, p_app text, p_holder text, p_until timestamptz, p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO integration.claims AS c
    SELECT p_token, p_app, p_holder, p_until, count(*), min(i), max(i), integration._sparse(p_ids, min(i), max(i))
    FROM unnest(p_ids) AS i HAVING count(*) > 0
    ON CONFLICT (token) DO UPDATE SET lease_until = least(c.lease_until, excluded.lease_until), open = c.open + excluded.open,
        least = least(c.least, excluded.least), most = greatest(c.most, excluded.most),
        ids = ARRAY(SELECT unnest(coalesce(c.ids, ARRAY(SELECT generate_series(c.least, c.most))))
                    UNION SELECT unnest(p_ids) ORDER BY 1);
END $$;

-- Notes that so many of what a claim held have ended. Nobody is waited for, and nothing fails for it that would not without: where
-- another is at the note, or it cannot be seen as it now is, it is counted anew later.
CREATE FUNCTION integration._note_end(p_token text, p_ended bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_open bigint;
BEGIN
    IF integration._sees_committed() THEN
        SELECT open INTO v_open FROM integration.claims WHERE token = p_token FOR UPDATE SKIP LOCKED;
    END IF;
    IF v_open IS NULL THEN
        INSERT INTO integration.uncounted_ends SELECT p_token WHERE p_ended > 0;
    ELSIF v_open <= p_ended THEN
        DELETE FROM integration.claims WHERE token = p_token;
    ELSE
        UPDATE integration.claims SET open = open - p_ended WHERE token = p_token AND p_ended > 0;
    END IF;
END $$;

-- Counts anew what is open of the claims of these holders, of those whose lease has run out, and of those of which something ended
-- uncounted; where nothing is worked on under them any more they go. So that the next look finds those alone that have
-- something to be taken back. What has no end of its lease at all is nobody's to take back by time.
CREATE FUNCTION integration._tidy_claims(p_lost text[], p_now timestamptz) RETURNS void LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    v_token text;
    v_until timestamptz;
    v_open bigint;
BEGIN
    FOR v_token IN
        SELECT token FROM integration.claims
        WHERE lease_until <= p_now OR holder = ANY (p_lost) OR token IN (SELECT token FROM integration.uncounted_ends)
        FOR UPDATE SKIP LOCKED
    LOOP
        -- First: what ends uncounted from here on is counted the next time.
        DELETE FROM integration.uncounted_ends WHERE token = v_token;
        SELECT coalesce(min(lease_until), 'infinity'), count(*) INTO v_until, v_open
            FROM integration._claimed WHERE lease_token = v_token;
        IF v_open = 0 THEN
            DELETE FROM integration.claims WHERE token = v_token;
        ELSE
            UPDATE integration.claims SET lease_until = v_until, open = v_open WHERE token = v_token;
        END IF;
    END LOOP;
    DELETE FROM integration.uncounted_ends AS u
        WHERE NOT EXISTS (SELECT FROM integration.claims AS c WHERE c.token = u.token);
END $$;

-- How many places of a claim go to what has waited longest, whatever its priority: one in eight. Of claims with fewer places
-- one in eight gives one, by lot; the lot is the end of its token.
CREATE FUNCTION integration._places_of_age(p_max bigint, p_token text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_max >= 8 THEN p_max / 8 WHEN right(p_token, 1) IN ('0', '1') THEN 1 ELSE 0 END
$$;

DO $do$
DECLARE
    t text;
    ddl text;
    -- Of its order key it is the oldest that waits, and nothing of that key is being worked on.
    head text := $ddl$(d.order_key IS NULL OR (
                (SELECT e.id FROM integration.{table}_live AS e
                 WHERE e.target_app = p_app AND e.order_key = d.order_key AND e.status = 'pending'
                   AND e.deleted_at IS NULL ORDER BY e.id + 0 LIMIT 1) = d.id
                AND (SELECT e.id FROM integration.{table}_live AS e
                     WHERE e.target_app = p_app AND e.order_key = d.order_key AND e.status = 'processing' LIMIT 1) IS NULL
                AND d.order_key <> ALL (p_keys)))$ddl$;
    -- What may have to be taken back; what of it is so, the records themselves say.
    of_files text := $ddl$
        SELECT id FROM integration.deliveries_live
        WHERE status = 'processing' AND (lease_until <= v_now OR leased_by = ANY (p_lost))$ddl$;
    of_records text := $ddl$
        SELECT id FROM integration.data_staging_live
        WHERE coalesce(lease_token, status) = 'processing' AND (lease_until <= v_now OR leased_by = ANY (p_lost))
        UNION ALL
        SELECT id FROM integration._claimed
        WHERE lease_token = ANY (ARRAY(SELECT token FROM integration.claims WHERE lease_until <= v_now OR holder = ANY (p_lost)))$ddl$;
    -- What was completed.
    done text := 'array_agg(id), min(id), max(id), count(*) FILTER (WHERE is_job), bool_or(has_key)
            INTO ids, v_least, v_most, v_jobs, ordered';
BEGIN
    FOREACH t IN ARRAY ARRAY['data_staging', 'deliveries'] LOOP
        ddl := $ddl$
-- What has waited longest, and for over a minute: at most so many, oldest first, whatever their priority. Without it a steady flow
-- of high priority would starve the rest. It looks at the oldest of each priority (64 at most, from the lowest on) by the claim's
-- own index, and at no more of them than four for each place or 256, so that young ones are not all read at each claim: what lies
-- behind them has its turn when they have had theirs. Where all have the same priority, it gives nothing: that is the usual order. Null: nothing waits at all, and nobody need look
-- through the entries of what was claimed, which a vacuum has not removed yet, once more.
-- p_from_id: as for the claim; where it is given, what waits with the usual priority is looked for by the claim alone.
CREATE FUNCTION integration._aged_{table}(
    p_app text, p_places bigint, p_now timestamptz, p_skip bigint[], p_keys text[], p_from_id bigint)
RETURNS bigint[] LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off
AS $f$
#variable_conflict use_column
DECLARE
    v_lowest integer;
    v_ids bigint[];
BEGIN
    IF p_places < 1 THEN
        RETURN '{}';
    END IF;
    IF p_from_id > 0
        AND NOT EXISTS (SELECT FROM integration.{table}_live WHERE status = 'pending' AND target_app = p_app AND priority > 0)
        AND NOT EXISTS (SELECT FROM integration.{table}_live WHERE status = 'pending' AND target_app = p_app AND priority < 0) THEN
        RETURN '{}';
    END IF;
    SELECT priority INTO v_lowest FROM integration.{table}_live
        WHERE status = 'pending' AND target_app = p_app ORDER BY target_app, priority LIMIT 1;
    IF v_lowest IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM integration.{table}_live
                   WHERE status = 'pending' AND target_app = p_app AND priority > v_lowest) THEN
        RETURN '{}';
    END IF;
    WITH RECURSIVE levels AS (
        SELECT v_lowest AS priority, 1 AS n
        UNION ALL
        SELECT (SELECT e.priority FROM integration.{table}_live AS e
                WHERE e.status = 'pending' AND e.target_app = p_app AND e.priority > levels.priority
                ORDER BY e.target_app, e.priority LIMIT 1), n + 1
        FROM levels WHERE levels.priority IS NOT NULL AND n < 64)
    SELECT array_agg(id) INTO v_ids FROM (
        SELECT oldest.id FROM levels, LATERAL (
            SELECT d.id FROM (
                SELECT id, run_at, order_key FROM integration.{table}_live
                WHERE status = 'pending' AND target_app = p_app AND priority = levels.priority
                  AND run_at <= p_now AND deleted_at IS NULL AND id NOT IN (SELECT unnest(p_skip))
                ORDER BY id + 0 LIMIT greatest(256, 4 * p_places)) AS d
            WHERE d.run_at <= p_now - interval '1 minute' AND {head}
            LIMIT p_places) AS oldest
        ORDER BY oldest.id LIMIT p_places) AS aged;
    RETURN coalesce(v_ids, '{}');
END $f$;

-- What comes next in an app, for one who holds the lock of its claims: nothing here is locked. p_skip is in flight already, and
-- with it these order keys; p_ordered says whether any record has a key. `tids`, where it is not null, is where each lies.
CREATE FUNCTION integration._next_{table}(
    p_app text, p_max bigint, p_token text, p_now timestamptz, p_ordered boolean, p_from_id bigint, p_skip bigint[], p_keys text[],
    OUT ids bigint[], OUT tids tid[]
) LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off
AS $f$
#variable_conflict use_column
DECLARE
    v_aged bigint[] := integration._aged_{table}(p_app, integration._places_of_age(p_max, p_token), p_now, p_skip, p_keys, p_from_id);
    v_skip bigint[] := p_skip || v_aged;
    v_max bigint := p_max - cardinality(v_aged);
    v_ids bigint[];
BEGIN
    IF v_aged IS NULL THEN
        RETURN;
    END IF;
    IF NOT p_ordered THEN
        SELECT array_agg(id), array_agg(tid) INTO v_ids, tids FROM (
            SELECT * FROM (
                SELECT id, ctid AS tid FROM integration.{table}_live
                WHERE status = 'pending' AND target_app = p_app AND priority > 0
                  AND run_at <= p_now AND deleted_at IS NULL AND order_key IS NULL AND id NOT IN (SELECT unnest(v_skip))
                ORDER BY priority DESC, id + 0 LIMIT v_max) AS above
            UNION ALL SELECT * FROM (
                SELECT id, ctid AS tid FROM integration.{table}_live
                WHERE status = 'pending' AND target_app = p_app AND priority = 0 AND id + 0 >= p_from_id
                  AND run_at <= p_now AND deleted_at IS NULL AND order_key IS NULL AND id NOT IN (SELECT unnest(v_skip))
                ORDER BY priority DESC, id + 0 LIMIT v_max) AS usual
            UNION ALL SELECT * FROM (
                SELECT id, ctid AS tid FROM integration.{table}_live
                WHERE status = 'pending' AND target_app = p_app AND priority < 0
                  AND run_at <= p_now AND deleted_at IS NULL AND order_key IS NULL AND id NOT IN (SELECT unnest(v_skip))
                ORDER BY priority DESC, id + 0 LIMIT v_max) AS below
            LIMIT v_max) AS picked;
        ids := v_aged || v_ids;
        tids := CASE WHEN v_aged = '{}' THEN tids END;
        RETURN;
    END IF;
    -- First among the next few that wait; where all of those must wait for others, among the oldest of every key.
    WITH next_few AS MATERIALIZED (
        SELECT id, order_key, priority FROM integration.{table}_live
        WHERE status = 'pending' AND target_app = p_app AND run_at <= p_now AND deleted_at IS NULL
          AND id NOT IN (SELECT unnest(v_skip))
        ORDER BY priority DESC, id + 0 LIMIT greatest(2000, 4 * p_max))
    SELECT array_agg(id) INTO v_ids FROM (
        SELECT id FROM next_few AS d WHERE {head} ORDER BY priority DESC, id LIMIT v_max) AS free;
    IF v_ids IS NULL THEN
        WITH RECURSIVE keys AS (
            (SELECT order_key FROM integration.{table}_live
             WHERE target_app = p_app AND order_key IS NOT NULL AND status = 'pending' ORDER BY order_key LIMIT 1)
            UNION ALL
            SELECT (SELECT e.order_key FROM integration.{table}_live AS e
                    WHERE e.target_app = p_app AND e.order_key > keys.order_key AND e.status = 'pending'
                    ORDER BY e.order_key LIMIT 1)
            FROM keys WHERE keys.order_key IS NOT NULL)
        SELECT array_agg(id) INTO v_ids FROM (
            SELECT id FROM (
                SELECT d.id, d.priority FROM keys, LATERAL (
                    SELECT e.id, e.priority, e.run_at, e.order_key FROM integration.{table}_live AS e
                    WHERE e.target_app = p_app AND e.order_key = keys.order_key AND e.status = 'pending'
                      AND e.deleted_at IS NULL ORDER BY e.id + 0 LIMIT 1) AS d
                WHERE d.run_at <= p_now AND d.id NOT IN (SELECT unnest(v_skip)) AND {head}
                UNION ALL SELECT * FROM (
                    SELECT id, priority FROM integration.{table}_live
                    WHERE status = 'pending' AND target_app = p_app AND run_at <= p_now AND deleted_at IS NULL
                      AND order_key IS NULL AND id NOT IN (SELECT unnest(v_skip))
                    ORDER BY priority DESC, id + 0 LIMIT v_max) AS unordered) AS heads
            ORDER BY priority DESC, id LIMIT v_max) AS free;
    END IF;
    ids := v_aged || v_ids;
END $f$;

-- The claim: what this app may do now, highest priority first, then oldest, but for the places of what has waited longest; within
-- an order key one at a time, oldest first, and a delayed one holds up those behind it; nothing deleted, delayed or paused.
--
-- p_from_id is a hint, for priority 0: the caller has seen nothing claimable below it a moment ago. It saves reading the
-- index entries of rows that were claimed meanwhile, which stay for as long as any transaction does. What comes in late
-- or is tried again may lie below, so the caller asks from 0 about every second, and before it sleeps.
--
-- Order keys: claims of an app that has any come one after the other, or two of them could take two of one key.
CREATE FUNCTION integration._claim_{table}(
    p_app text, p_max bigint, p_holder text, p_token text, p_lease interval, p_now timestamptz DEFAULT NULL,
    p_from_id bigint DEFAULT 0
) RETURNS SETOF integration.v_deliveries LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off
AS $f$
#variable_conflict use_column
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_had bigint;
    v_next bigint[];
    v_tids tid[];
    v_ids bigint[];
    v_least bigint;
    v_most bigint;
    v_jobs bigint;
BEGIN
    IF '{table}' = 'data_staging' AND integration._by_lanes(p_app) THEN
        v_had := coalesce((SELECT cardinality(ids) FROM integration.lanes WHERE token = p_token), 0);
        PERFORM integration._take_lane(p_app, p_max, p_holder, p_token, p_lease, p_now, p_from_id);
        RETURN QUERY SELECT * FROM integration._lane_rows(p_token, v_had);
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM integration.paused_apps WHERE app = p_app) THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM integration.{table}_live
               WHERE status IN ('pending', 'processing') AND target_app = p_app AND order_key IS NOT NULL) THEN
        PERFORM integration._lock_claims('{table}', p_app);
        v_next := (integration._next_{table}(p_app, p_max, p_token, v_now, true, 0, '{}', '{}')).ids;
        SELECT array_agg(tid), array_agg(id), min(id), max(id), count(*) FILTER (WHERE kind = 'job')
            INTO v_tids, v_ids, v_least, v_most, v_jobs FROM (
            SELECT ctid AS tid, id, kind FROM integration.{table}_live
            WHERE id = ANY (v_next) AND status COLLATE "C" = 'pending' AND run_at <= v_now AND deleted_at IS NULL
            FOR NO KEY UPDATE SKIP LOCKED) AS picked;
    ELSE
        v_next := integration._aged_{table}(p_app, integration._places_of_age(p_max, p_token), v_now, '{}', '{}', p_from_id);
        IF v_next IS NULL THEN
            RETURN;
        END IF;
        SELECT array_agg(tid), array_agg(id), min(id), max(id), count(*) FILTER (WHERE kind = 'job')
            INTO v_tids, v_ids, v_least, v_most, v_jobs FROM (
            SELECT * FROM (
                SELECT ctid AS tid, id, kind FROM integration.{table}_live
                WHERE id = ANY (v_next) AND status COLLATE "C" = 'pending' AND run_at <= v_now AND deleted_at IS NULL
                FOR NO KEY UPDATE SKIP LOCKED) AS aged
            UNION ALL SELECT * FROM (
                SELECT ctid AS tid, id, kind FROM integration.{table}_live
                WHERE status = 'pending' AND target_app = p_app AND priority > 0
                  AND run_at <= v_now AND deleted_at IS NULL AND order_key IS NULL AND id <> ALL (v_next)
                ORDER BY priority DESC, id + 0 LIMIT p_max FOR NO KEY UPDATE SKIP LOCKED) AS above
            UNION ALL SELECT * FROM (
                SELECT ctid AS tid, id, kind FROM integration.{table}_live
                WHERE status = 'pending' AND target_app = p_app AND priority = 0 AND id + 0 >= p_from_id
                  AND run_at <= v_now AND deleted_at IS NULL AND order_key IS NULL AND id <> ALL (v_next)
                ORDER BY priority DESC, id + 0 LIMIT p_max FOR NO KEY UPDATE SKIP LOCKED) AS usual
            UNION ALL SELECT * FROM (
                SELECT ctid AS tid, id, kind FROM integration.{table}_live
                WHERE status = 'pending' AND target_app = p_app AND priority < 0
                  AND run_at <= v_now AND deleted_at IS NULL AND order_key IS NULL AND id <> ALL (v_next)
                ORDER BY priority DESC, id + 0 LIMIT p_max FOR NO KEY UPDATE SKIP LOCKED) AS below
            LIMIT p_max) AS picked;
    END IF;
    IF v_ids IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        UPDATE integration.{table}_live SET status = 'processing', attempts = attempts + 1, lease_token = p_token,
            leased_by = p_holder, lease_until = v_now + p_lease, updated_at = v_now
        WHERE ctid = ANY (v_tids) AND status COLLATE "C" = 'pending' RETURNING *;
    IF '{table}' = 'data_staging' THEN
        PERFORM integration._note_claim(p_token, p_app, p_holder, v_now + p_lease, v_ids);
    END IF;
    INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status) VALUES
        (v_now, p_holder, integration._sparse(v_ids, v_least, v_most), int8range(v_least, v_most, '[]'), 'pending', 'processing');
    INSERT INTO integration.tally SELECT p_app, c.kind, s.status, s.sign * c.n
        FROM (VALUES ('job', v_jobs), (CASE '{table}' WHEN 'data_staging' THEN 'record' ELSE 'file' END,
                cardinality(v_ids) - v_jobs)) AS c (kind, n),
            (VALUES ('pending', -1), ('processing', 1)) AS s (status, sign) WHERE c.n > 0;
END $f$;

-- What a token holds of these ids; of all that it holds where p_ids is null. Locked, for one who is to end them.
CREATE FUNCTION integration._held_{table}(p_token text, p_ids bigint[] DEFAULT NULL, p_lock boolean DEFAULT false)
RETURNS TABLE (id bigint, attempts bigint, max_attempts bigint, snoozes bigint, leased_by text, lease_until timestamptz)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $f$
#variable_conflict use_column
BEGIN
    IF '{table}' = 'data_staging' THEN
        RETURN QUERY SELECT * FROM integration._held_lane(p_token, p_ids, p_lock) AS h;
    END IF;
    IF p_lock THEN
        PERFORM FROM integration.{table}_live AS d WHERE d.id = ANY (p_ids) ORDER BY d.id FOR NO KEY UPDATE;
    END IF;
    IF p_ids IS NULL THEN
        RETURN QUERY SELECT d.id, d.attempts, d.max_attempts, d.snoozes, d.leased_by, d.lease_until
            FROM integration.{leased} AS d WHERE d.status = 'processing' AND d.lease_token = p_token ORDER BY d.id + 0;
    ELSE
        RETURN QUERY SELECT d.id, d.attempts, d.max_attempts, d.snoozes, d.leased_by, d.lease_until
            FROM integration.{table}_live AS d
            WHERE d.id = ANY (p_ids) AND d.status COLLATE "C" = 'processing' AND d.lease_token = p_token;
    END IF;
END $f$;

-- Completes what the token holds of these ids, and returns what it completed (the rest is stale), whether any of it has an
-- order key, whose next one may go on, and who did it. p_results, where given, has one result for each id, or null.
-- p_notify: tell of what may go on.
CREATE FUNCTION integration._complete_{table}(
    p_token text, p_ids bigint[], p_results json[] DEFAULT NULL, p_now timestamptz DEFAULT NULL,
    p_notify boolean DEFAULT true,
    OUT ids bigint[], OUT ordered boolean, OUT actor text) LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off
AS $f$
#variable_conflict use_column
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_lane bigint[];
    v_holder text;
    v_keys boolean;
    v_least bigint;
    v_most bigint;
    v_run boolean;
    v_jobs bigint;
    v_app text;
BEGIN
    IF '{table}' = 'data_staging' THEN
        SELECT holder, keys IS NOT NULL INTO v_holder, v_keys FROM integration.lanes WHERE token = p_token;
        IF FOUND THEN
            v_lane := integration._complete_lane(p_token, p_ids, p_results, p_now, p_notify);
            IF cardinality(v_lane) = cardinality(p_ids) THEN
                ids := v_lane;
                ordered := v_keys;
                actor := v_holder;
                RETURN;
            END IF;
        END IF;
    END IF;
    SELECT min(i), max(i), bool_and(coalesce(i - n = p_ids[1] - 1, false)) INTO v_least, v_most, v_run FROM unnest(p_ids) WITH ORDINALITY AS u (i, n);
    IF p_results IS NULL AND v_run THEN
        -- As a rule what was claimed is all from one number to another: to be found by going through, not each by itself.
        WITH done AS (
            UPDATE integration.{table}_live SET status = 'completed', processed_at = v_now, updated_at = v_now, result = NULL,
                last_error = NULL, lease_token = NULL, lease_until = NULL
            WHERE id BETWEEN v_least AND v_most AND lease_token = p_token AND status COLLATE "C" = 'processing'
            RETURNING id, kind = 'job' AS is_job, order_key IS NOT NULL AS has_key)
        SELECT {done} FROM done;
    ELSIF p_results IS NULL THEN
        WITH done AS (
            UPDATE integration.{table}_live SET status = 'completed', processed_at = v_now, updated_at = v_now, result = NULL,
                last_error = NULL, lease_token = NULL, lease_until = NULL
            WHERE id = ANY (p_ids) AND lease_token = p_token AND status COLLATE "C" = 'processing'
            RETURNING id, kind = 'job' AS is_job, order_key IS NOT NULL AS has_key)
        SELECT {done} FROM done;
    ELSE
        WITH done AS (
            UPDATE integration.{table}_live AS d SET status = 'completed', processed_at = v_now, updated_at = v_now,
                result = a.result, last_error = NULL, lease_token = NULL, lease_until = NULL
            FROM unnest(p_ids, p_results) AS a (id, result)
            WHERE d.id = a.id AND d.lease_token = p_token AND d.status COLLATE "C" = 'processing'
            RETURNING d.id, d.kind = 'job' AS is_job, d.order_key IS NOT NULL AS has_key)
        SELECT {done} FROM done;
    END IF;
    IF ids IS NOT NULL THEN
        -- All of one token go to one app, and are held by one.
        SELECT leased_by, target_app INTO actor, v_app FROM integration.{table}_live WHERE id = v_least;
        IF '{table}' = 'data_staging' THEN
            PERFORM integration._note_end(p_token, cardinality(ids));
        END IF;
        INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status) VALUES
            (v_now, coalesce(actor, 'handover'), integration._sparse(ids, v_least, v_most),
             int8range(v_least, v_most, '[]'), 'processing', 'completed');
        INSERT INTO integration.tally SELECT coalesce(v_app, ''), c.kind, s.status, s.sign * c.n
            FROM (VALUES ('job', v_jobs), (CASE '{table}' WHEN 'data_staging' THEN 'record' ELSE 'file' END,
                    cardinality(ids) - v_jobs)) AS c (kind, n),
                (VALUES ('processing', -1), ('completed', 1)) AS s (status, sign) WHERE c.n > 0;
        IF ordered AND p_notify THEN
            PERFORM pg_notify('handover', v_app);
        END IF;
    ELSE
        ids := '{}';
    END IF;
    ids := coalesce(v_lane, '{}') || ids;
    ordered := coalesce(ordered, false) OR coalesce(v_keys, false);
    actor := coalesce(actor, v_holder);
END $f$;

-- Ends attempts badly: for each id where it goes (pending or failed), when it runs again, its counts, its error and its
-- result if any. Returns what it changed: the rest is stale.
CREATE FUNCTION integration._fail_{table}(
    p_token text, p_ids bigint[], p_status text[], p_run_at timestamptz[], p_attempts bigint[], p_snoozes bigint[],
    p_errors text[], p_results json[] DEFAULT NULL, p_now timestamptz DEFAULT NULL, p_notify boolean DEFAULT true
) RETURNS bigint[] LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off
AS $f$
#variable_conflict use_column
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_done bigint[];
    v_app text;
BEGIN
    IF '{table}' = 'data_staging' THEN
        PERFORM integration._land(p_token, p_ids);
    END IF;
    WITH done AS (
        UPDATE integration.{table}_live AS d SET status = a.status, attempts = a.attempts, snoozes = a.snoozes,
            run_at = coalesce(a.run_at, d.run_at), updated_at = v_now, last_error = a.error,
            result = coalesce(a.result, d.result), lease_token = NULL, leased_by = NULL, lease_until = NULL,
            processed_at = CASE a.status WHEN 'failed' THEN v_now END
        FROM (SELECT u.*, d.leased_by AS actor
              FROM unnest(p_ids, p_status, p_run_at, p_attempts, p_snoozes, p_errors, p_results)
                       AS u (id, status, run_at, attempts, snoozes, error, result)
              JOIN integration.{table}_live AS d ON d.id = u.id) AS a
        WHERE d.id = a.id AND d.lease_token = p_token AND d.status COLLATE "C" = 'processing'
        RETURNING d.id, d.target_app, d.kind, d.status, d.last_error, a.actor),
    counted AS (
        INSERT INTO integration.tally
        SELECT coalesce(target_app, ''), kind, s.status, sum(s.sign) FROM done,
            LATERAL (VALUES ('processing', -1), (done.status, 1)) AS s (status, sign) GROUP BY 1, 2, 3),
    audited AS (
        INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status, note)
        SELECT v_now, coalesce(actor, 'handover'), integration._sparse(array_agg(id), min(id), max(id)), int8range(min(id), max(id), '[]'), 'processing', status,
            last_error
        FROM done GROUP BY actor, status, last_error)
    SELECT array_agg(id), min(target_app) INTO v_done, v_app FROM done;
    IF '{table}' = 'data_staging' THEN
        PERFORM integration._note_end(p_token, cardinality(v_done));
    END IF;
    IF p_notify AND v_done IS NOT NULL THEN
        PERFORM pg_notify('handover', v_app);
    END IF;
    RETURN coalesce(v_done, '{}');
END $f$;

-- Gives work back untouched, for a reason that is no error of its own, without using up an attempt. Returns what it gave back. What was asked to end has failed (0011).
CREATE FUNCTION integration._release_{table}(
    p_token text, p_ids bigint[], p_now timestamptz DEFAULT NULL, p_notify boolean DEFAULT true, p_why text DEFAULT NULL
) RETURNS bigint[] LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $f$
#variable_conflict use_column
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_done bigint[];
    v_app text;
BEGIN
    IF '{table}' = 'data_staging' THEN
        PERFORM integration._land(p_token, p_ids);
    END IF;
    WITH held AS (
        SELECT id, leased_by FROM integration.{table}_live
        WHERE id = ANY (p_ids) AND lease_token = p_token AND status COLLATE "C" = 'processing'),
    done AS (
        UPDATE integration.{table}_live SET status = 'pending', attempts = greatest(attempts - 1, 0), lease_token = NULL,
            leased_by = NULL, lease_until = NULL, updated_at = v_now, last_error = coalesce(p_why, last_error)
        WHERE id = ANY (p_ids) AND lease_token = p_token AND status COLLATE "C" = 'processing'
        RETURNING id, target_app, kind, status, last_error),
    counted AS (
        INSERT INTO integration.tally
        SELECT coalesce(target_app, ''), kind, s.status, sum(s.sign) FROM done,
            LATERAL (VALUES ('processing', -1), (done.status, 1)) AS s (status, sign) GROUP BY 1, 2, 3),
    audited AS (
        INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status, note)
        SELECT v_now, coalesce((SELECT min(leased_by) FROM held), 'handover'), integration._sparse(array_agg(id), min(id), max(id)),
            int8range(min(id), max(id), '[]'), 'processing', status, CASE status WHEN 'failed' THEN last_error ELSE p_why END
        FROM done GROUP BY status, CASE status WHEN 'failed' THEN last_error ELSE p_why END)
    SELECT array_agg(id), min(target_app) INTO v_done, v_app FROM done;
    IF '{table}' = 'data_staging' THEN
        PERFORM integration._note_end(p_token, cardinality(v_done));
    END IF;
    IF p_notify AND v_done IS NOT NULL THEN
        PERFORM pg_notify('handover', v_app);
    END IF;
    RETURN coalesce(v_done, '{}');
END $f$;

-- Lengthens what the token holds of these ids, and returns it: the rest is lost. Nobody is waited for, or one record that a program
-- has locked would cost all other claims their leases: it is held still, and lengthened the next time.
CREATE FUNCTION integration._renew_{table}(
    p_token text, p_ids bigint[], p_lease interval, p_now timestamptz DEFAULT NULL
) RETURNS bigint[] LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $f$
#variable_conflict use_column
DECLARE
    v_until timestamptz := coalesce(p_now, clock_timestamp()) + p_lease;
    v_lane bigint[];
    v_held bigint[];
    v_locked bigint[];
BEGIN
    IF '{table}' = 'data_staging' THEN
        v_lane := integration._renew_lane(p_token, p_ids, p_lease, p_now);
        IF cardinality(v_lane) = cardinality(p_ids) THEN
            RETURN v_lane;
        END IF;
    END IF;
    SELECT array_agg(id) INTO v_held FROM (
        SELECT id FROM integration.{table}_live
        WHERE id = ANY (p_ids) AND lease_token = p_token AND status COLLATE "C" = 'processing' FOR NO KEY UPDATE SKIP LOCKED) AS free;
    UPDATE integration.{table}_live SET lease_until = v_until
        WHERE id = ANY (v_held) AND lease_token = p_token AND status COLLATE "C" = 'processing';
    IF coalesce(cardinality(v_held), 0) + coalesce(cardinality(v_lane), 0) < cardinality(p_ids) THEN
        v_locked := ARRAY(
            SELECT id FROM integration.{table}_live
            WHERE id = ANY (p_ids) AND lease_token = p_token AND status COLLATE "C" = 'processing'
              AND id NOT IN (SELECT unnest(v_held)));
        v_held := v_held || v_locked;
    END IF;
    IF '{table}' = 'data_staging' AND v_held <> '{}' AND integration._sees_committed() THEN
        -- What is locked counts as if it were lengthened: nobody is to look at the claim before. Where another is at the note it stays
        -- as it is: what a lease that is over says of its claim is looked at again.
        UPDATE integration.claims SET lease_until = (
            SELECT coalesce(min(CASE WHEN id = ANY (v_locked) THEN v_until ELSE lease_until END), 'infinity')
            FROM integration._claimed WHERE lease_token = p_token)
        WHERE token = (SELECT token FROM integration.claims WHERE token = p_token FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN coalesce(v_lane || v_held, v_lane, v_held, '{}');
END $f$;

-- Takes back what these holders held, and what leases have run out, without using up an attempt; at most p_max of them, so
-- that the caller asks again while it gets so many. What was taken back more than p_rescues_max times has failed.
CREATE FUNCTION integration._rescue_{table}(
    p_actor text, p_lost text[], p_rescues_max bigint, p_now timestamptz DEFAULT NULL, p_max bigint DEFAULT 5000,
    p_notify boolean DEFAULT true
) RETURNS TABLE (id bigint, app text, holder text, status text) LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $f$
#variable_conflict use_column
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_found bigint[];
    v_ids bigint[];
    v_apps text[];
    v_holders text[];
    v_to text[];
BEGIN
    IF '{table}' = 'data_staging' THEN
        PERFORM integration._land_lost(p_lost, v_now);
    END IF;
    v_found := ARRAY({found});
    WITH lost AS (
        SELECT d.id, d.leased_by, d.rescues >= p_rescues_max AS too_often,
            CASE WHEN d.leased_by = ANY (p_lost) THEN 'the process that worked on it ended' ELSE 'its lease ran out' END AS why
        FROM integration.{table}_live AS d
        WHERE d.id = ANY (v_found) AND d.status COLLATE "C" = 'processing' AND (d.lease_until <= v_now OR d.leased_by = ANY (p_lost))
        ORDER BY d.id + 0 LIMIT p_max FOR NO KEY UPDATE SKIP LOCKED),
    done AS (
        UPDATE integration.{table}_live AS d SET status = CASE WHEN l.too_often THEN 'failed' ELSE 'pending' END,
            attempts = greatest(d.attempts - 1, 0), rescues = d.rescues + 1, lease_token = NULL, leased_by = NULL,
            lease_until = NULL, updated_at = v_now, processed_at = CASE WHEN l.too_often THEN v_now END,
            last_error = CASE WHEN l.too_often
                THEN format('given up after %s rescues: %s once more', d.rescues, l.why) ELSE l.why END
        FROM lost AS l WHERE d.id = l.id AND d.status COLLATE "C" = 'processing'
        RETURNING d.id, coalesce(d.target_app, '') AS app, d.kind, l.leased_by AS holder, d.status, d.last_error),
    counted AS (
        INSERT INTO integration.tally
        SELECT done.app, kind, s.status, sum(s.sign) FROM done,
            LATERAL (VALUES ('processing', -1), (done.status, 1)) AS s (status, sign) GROUP BY 1, 2, 3),
    audited AS (
        INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status, note)
        SELECT v_now, p_actor, integration._sparse(array_agg(done.id), min(done.id), max(done.id)), int8range(min(done.id), max(done.id), '[]'), 'processing', done.status,
            last_error
        FROM done GROUP BY done.status, last_error)
    SELECT array_agg(done.id), array_agg(done.app), array_agg(done.holder), array_agg(done.status)
        INTO v_ids, v_apps, v_holders, v_to FROM done;
    IF '{table}' = 'data_staging' THEN
        PERFORM integration._tidy_claims(p_lost, v_now);
    END IF;
    IF p_notify AND v_ids IS NOT NULL THEN
        PERFORM integration._notify(ARRAY(SELECT DISTINCT a FROM unnest(v_apps) AS a));
    END IF;
    RETURN QUERY SELECT u.id, u.app, u.holder, u.status FROM unnest(v_ids, v_apps, v_holders, v_to) AS u (id, app, holder, status)
        ORDER BY u.id;
END $f$;

-- Hands over. Every array has one element for each delivery, or is null where all have the usual. Without a target a
-- delivery is born completed; with an error it is born failed. One whose number (p_given) or dedup key is known is a
-- duplicate: `ids` has the known number, and `fresh` says which are new. p_ids are numbers that were set aside just now, and
-- p_callers who asks for each, where it is not p_actor for all.
CREATE FUNCTION integration._push_{table}(
    p_actor text, p_sources text[], p_targets text[], p_data json[], p_kinds text[] DEFAULT NULL,
    p_flows text[] DEFAULT NULL, p_priorities integer[] DEFAULT NULL, p_run_at timestamptz[] DEFAULT NULL,
    p_max_attempts bigint[] DEFAULT NULL, p_dedup_keys text[] DEFAULT NULL, p_order_keys text[] DEFAULT NULL,
    p_parents bigint[] DEFAULT NULL, p_replay_of bigint[] DEFAULT NULL, p_traces text[] DEFAULT NULL,
    p_given bigint[] DEFAULT NULL, p_errors text[] DEFAULT NULL, p_now timestamptz DEFAULT NULL,
    p_notify boolean DEFAULT true, p_ids bigint[] DEFAULT NULL, p_callers text[] DEFAULT NULL,
    OUT ids bigint[], OUT fresh boolean[]
) LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $f$
#variable_conflict use_column
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_count bigint := coalesce(array_length(p_data, 1), 0);
    v_apps text[];
    v_new bigint[];
    v_asked bigint[];
    v_keyed boolean := coalesce(num_nonnulls(VARIADIC p_dedup_keys) > 0, false)
        OR coalesce(num_nonnulls(VARIADIC p_given) > 0, false);
BEGIN
    IF v_count = 0 THEN
        ids := '{}';
        fresh := '{}';
        RETURN;
    END IF;
    IF num_nonnulls(VARIADIC p_dedup_keys) > 0 THEN
        -- What is completed by lanes just now is waited for, and then known by the archive; what is known here stays until the end.
        PERFORM FROM unnest(p_targets, p_dedup_keys) AS u (target, dedup) JOIN integration.{table}_live AS k
            ON coalesce(k.target_app, '') = coalesce(u.target, '') AND k.dedup_key = u.dedup
            ORDER BY k.id FOR KEY SHARE OF k;
    END IF;
    ids := CASE WHEN p_ids IS NOT NULL THEN p_ids
                WHEN p_given IS NULL THEN integration._next_ids(v_count)
                ELSE ARRAY(SELECT coalesce(g, nextval('integration.delivery_ids'))
                           FROM unnest(p_given, p_sources) WITH ORDINALITY AS u (g, s, at) ORDER BY at) END;
    WITH given AS (
        SELECT u.*, CASE WHEN u.error IS NOT NULL THEN 'failed' WHEN u.target IS NULL THEN 'completed' ELSE 'pending' END AS status
        FROM unnest(ids, p_sources, p_targets, p_data, p_kinds, p_flows, p_priorities, p_run_at, p_max_attempts,
                    p_dedup_keys, p_order_keys, p_parents, p_replay_of, p_traces, p_errors, p_callers) WITH ORDINALITY
                AS u (id, source, target, data, kind, flow, priority, run_at, max_attempts, dedup, order_key, parent, replay,
                      trace, error, caller, at)
        WHERE NOT v_keyed OR (
            (p_given IS NULL OR p_given[u.at] IS NULL
             -- A LIMIT, or the planner may read the whole archive into a hash table.
             OR (SELECT k.id FROM integration._rows AS k WHERE k.id = u.id LIMIT 1) IS NULL
                AND (SELECT k.id FROM integration.data_archive AS k WHERE k.id = u.id LIMIT 1) IS NULL)
            AND (u.dedup IS NULL OR (
                SELECT k.id FROM integration.data_archive AS k
                WHERE coalesce(k.target_app, '') = coalesce(u.target, '') AND k.dedup_key = u.dedup
                  AND (k.kind = 'record') = ('{table}' = 'data_staging') LIMIT 1) IS NULL))
        -- In the order of their keys, so that two who push the same do not wait for each other in a circle.
        ORDER BY CASE WHEN v_keyed THEN u.dedup END, u.at),
    done AS (
        INSERT INTO integration.{table}_live (id, source_app, target_app, data, status, created_at, processed_at, kind,
            updated_at, created_by, flow, priority, run_at, max_attempts, dedup_key, order_key, parent_id, replay_of,
            last_error, trace)
        SELECT id, source, target, data, status, v_now, CASE WHEN status <> 'pending' THEN v_now END,
            coalesce(kind, CASE '{table}' WHEN 'data_staging' THEN 'record' ELSE 'file' END), v_now,
            coalesce(caller, p_actor), flow, coalesce(priority, 0), coalesce(run_at, v_now), coalesce(max_attempts, 4), dedup, order_key, parent, replay,
            error, trace
        FROM given
        ON CONFLICT DO NOTHING
        RETURNING id, source_app, target_app, kind, status, last_error, created_by),
    counted AS (
        INSERT INTO integration.tally
        SELECT coalesce(target_app, ''), kind, status, count(*) FROM done GROUP BY 1, 2, 3),
    passed AS (
        INSERT INTO integration.source_tally SELECT c.source_app, c.kind, w.what, c.n
        FROM (SELECT source_app, kind, count(*) AS n FROM done GROUP BY 1, 2) AS c, (VALUES ('pushed'), ('live')) AS w (what)),
    audited AS (
        INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status, note)
        SELECT v_now, created_by, integration._sparse(array_agg(id), min(id), max(id)), int8range(min(id), max(id), '[]'), NULL, status, last_error
        FROM done GROUP BY created_by, status, last_error)
    SELECT array_agg(id), array_agg(DISTINCT target_app) FILTER (WHERE status = 'pending') INTO v_new, v_apps FROM done;
    IF cardinality(v_new) = v_count THEN
        fresh := array_fill(true, ARRAY[v_count::integer]);
    ELSE
        -- A later statement sees what others have committed meanwhile.
        v_asked := ids;
        SELECT array_agg(coalesce(n.id, known.id) ORDER BY u.at), array_agg(n.id IS NOT NULL ORDER BY u.at) INTO ids, fresh
        FROM unnest(ids, p_targets, p_dedup_keys) WITH ORDINALITY AS u (id, target, dedup, at)
        LEFT JOIN LATERAL (SELECT u.id WHERE u.id = ANY (v_new)) AS n ON true
        LEFT JOIN LATERAL (
            SELECT u.id WHERE p_given[u.at] IS NOT NULL AND (
                (SELECT k.id FROM integration._rows AS k WHERE k.id = u.id LIMIT 1) IS NOT NULL
                OR (SELECT k.id FROM integration.data_archive AS k WHERE k.id = u.id LIMIT 1) IS NOT NULL)
            UNION ALL
            SELECT k.id FROM integration.{table}_live AS k
            WHERE coalesce(k.target_app, '') = coalesce(u.target, '') AND k.dedup_key = u.dedup
            UNION ALL
            SELECT k.id FROM integration.data_archive AS k
            WHERE coalesce(k.target_app, '') = coalesce(u.target, '') AND k.dedup_key = u.dedup
              AND (k.kind = 'record') = ('{table}' = 'data_staging')
            LIMIT 1) AS known ON n.id IS NULL;
        IF array_position(ids, NULL) IS NOT NULL THEN
            PERFORM integration._not_pushed(v_asked[array_position(ids, NULL)]);
        END IF;
    END IF;
    IF p_notify AND v_apps IS NOT NULL THEN
        PERFORM integration._notify(v_apps);
    END IF;
END $f$;
$ddl$;
        ddl := replace(replace(replace(ddl, '{head}', head), '{done}', done), '{table}', t);
        -- Where what a token holds is found, and what may have to be taken back.
        EXECUTE CASE t WHEN 'data_staging' THEN replace(replace(ddl, '{leased}', '_claimed'), '{found}', of_records)
                       ELSE replace(replace(ddl, '{leased}', t || '_live'), '{found}', of_files) END;
    END LOOP;
END $do$;
