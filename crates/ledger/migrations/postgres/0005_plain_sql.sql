-- What programs with plain SQL may do to integration.data_staging (and a person to integration.deliveries): checked,
-- completed, audited and counted by triggers, once a statement. Handover's own functions write the parts of these tables,
-- which have no triggers.
--
-- A plain UPDATE to status 'processing' gets a lease of an hour, held by 'sql:' and the role's name, without a token.
-- It is rescued as any other. What a worker holds (lease_token is set) plain SQL cannot end: that would be done twice.

-- Who acts in this session, for the audit log: a name of the program's own choice (SET handover.actor = '…'), or the role.
CREATE FUNCTION integration._sql_actor() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('handover.actor', true), ''), 'sql:' || session_user)
$$;

-- Notes where the sequence stands, so that an id which it has not given is known as such.
CREATE FUNCTION integration._sql_before_insert() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = integration, pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('handover.last_id',
        (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM integration.delivery_ids)::text, true);
    RETURN NULL;
END $$;

-- Whether counts are in their range. Here and not in a CHECK, which every claim would pay for.
CREATE FUNCTION integration._numbers_fit(attempts bigint, max_attempts bigint, rescues bigint, snoozes bigint)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT attempts BETWEEN 0 AND 4294967295 AND max_attempts BETWEEN 1 AND 4294967295
       AND rescues BETWEEN 0 AND 4294967295 AND snoozes BETWEEN 0 AND 4294967295
$$;

-- Whether a time is one that every program can read. Infinities, and years that have no four digits, are none.
CREATE FUNCTION integration._time_fits(p_at timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(p_at >= '0001-01-01 00:00:00+00' AND p_at < '10000-01-01 00:00:00+00', true)
$$;

-- The error for a row that cannot be, whoever wrote it; nothing where all of these are false or unknown.
CREATE FUNCTION integration._refuse(p_numbers boolean, p_times boolean, p_names boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_numbers THEN
        RAISE EXCEPTION 'attempts, rescues and snoozes are from 0, max_attempts from 1, all to 4294967295'
            USING ERRCODE = '23514', HINT = 'nothing was changed';
    END IF;
    IF p_times THEN
        RAISE EXCEPTION 'a time is neither infinite nor outside of the years 1 to 9999' USING ERRCODE = '22008',
            HINT = 'leave run_at out for at once, and set deleted_at for never; nothing was changed';
    END IF;
    IF p_names THEN
        RAISE EXCEPTION 'source_app and target_app are not to be empty' USING ERRCODE = '23514',
            HINT = 'a target_app of null is the end of a flow; nothing was changed';
    END IF;
END $$;

-- The error for what a worker holds.
CREATE FUNCTION integration._held_by_worker(p_id bigint, p_holder text, p_until timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a Handover worker holds this delivery (%, by % until %): plain SQL can neither end it nor give it to another app',
        p_id, p_holder, to_char(p_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
        USING ERRCODE = 'HO002',
        HINT = 'who pulled it ends it with integration.ack or integration.fail; `handover cancel ' || p_id || '` takes it from its '
            || 'worker; claim only rows WHERE status = ''pending''; nothing was changed';
END $$;

-- Which of these apps are claimed by lanes (0010). To the end of this transaction that stays so, and nothing of those is claimed:
-- a claim by lanes locks no rows, and so would not see what is being changed here.
CREATE FUNCTION integration._guard_lanes(p_apps text[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    v_apps text[] := '{}';
    v_app text;
BEGIN
    FOR v_app IN SELECT app FROM unnest(p_apps) AS app WHERE app IS NOT NULL ORDER BY app COLLATE "C" LOOP
        IF integration._by_lanes(v_app) THEN
            PERFORM integration._lock_claims('data_staging', v_app);
            v_apps := v_apps || v_app;
        END IF;
    END LOOP;
    IF v_apps <> '{}' AND NOT integration._sees_committed() THEN
        PERFORM integration._only_as_committed(v_apps[1]);
    END IF;
    RETURN v_apps;
END $$;

-- What is deleted is not claimed: the claim passes it by, and takes the others.
CREATE FUNCTION integration._sql_pass_by() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN NULL;
END $$;

CREATE FUNCTION integration._sql_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is not to be truncated: the counts and the history would be wrong', TG_TABLE_NAME
        USING ERRCODE = 'HO002', HINT = 'DELETE FROM integration.data_staging WHERE … counts what goes';
END $$;

DO $do$
DECLARE
    t text;
    ddl text;
    -- Whether all of a row's times can be read.
    columns text[] := ARRAY['created_at', 'run_at', 'lease_until', 'processed_at', 'updated_at', 'deleted_at'];
    times text := (SELECT '(' || string_agg(format('integration._time_fits({row}%s)', c), ' AND ') || ')' FROM unnest(columns) AS c);
    times_of text := (SELECT '(' || string_agg(format('{row}%s', c), ', ') || ')' FROM unnest(columns) AS c);
BEGIN
    FOREACH t IN ARRAY ARRAY['data_staging', 'deliveries'] LOOP
        ddl := $ddl$
CREATE FUNCTION integration._sql_insert_{table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = integration, pg_catalog, pg_temp AS $f$
DECLARE
    v_actor text := integration._sql_actor();
    v_holder text := 'sql:' || session_user;
    v_now timestamptz := clock_timestamp();
    v_last bigint := current_setting('handover.last_id')::bigint;
    v_first_id bigint;
    v_last_id bigint;
    v_given bigint;
    v_unfinished boolean;
    v_token boolean;
    v_keys boolean;
    v_numbers boolean;
    v_times boolean;
    v_names boolean;
    v_known record;
BEGIN
    SELECT min(id), max(id), bool_or(status <> 'pending'), bool_or(lease_token IS NOT NULL), bool_or(dedup_key IS NOT NULL),
        bool_or(NOT integration._numbers_fit(attempts, max_attempts, rescues, snoozes)), bool_or(NOT {times}),
        bool_or(source_app = '' OR target_app = '')
        INTO v_first_id, v_last_id, v_unfinished, v_token, v_keys, v_numbers, v_times, v_names FROM new_rows;
    IF v_first_id IS NULL THEN
        RETURN NULL;
    END IF;
    IF v_token THEN
        RAISE EXCEPTION 'lease_token is not to be written by plain SQL' USING ERRCODE = 'HO002',
            HINT = 'UPDATE … SET status = ''processing'' claims without one; integration.pull gives one';
    END IF;
    PERFORM integration._refuse(v_numbers, v_times, v_names);
    -- Half of all that there are, so that the numbers after it never come to an end.
    IF v_first_id < 1 OR v_last_id > 4611686018427387903 THEN
        RAISE EXCEPTION 'an id is from 1 to 4611686018427387903' USING ERRCODE = '23514',
            HINT = 'leave it out, and the ledger gives the next; nothing was inserted';
    END IF;
    IF v_first_id <= v_last THEN
        SELECT n.id INTO v_given FROM new_rows AS n
            WHERE (SELECT a.id FROM integration.data_archive AS a WHERE a.id = n.id LIMIT 1) IS NOT NULL
               OR (SELECT count(*) FROM integration._rows AS d WHERE d.id = n.id) > 1 LIMIT 1;
        IF v_given IS NOT NULL THEN
            RAISE EXCEPTION 'this id is taken (%): leave it out, and the ledger gives the next', v_given USING ERRCODE = '23505';
        END IF;
    END IF;
    IF v_keys THEN
        -- The unique index sees to those that are not archived.
        SELECT n.target_app, n.dedup_key, a.id INTO v_known FROM new_rows AS n, LATERAL (
            SELECT k.id FROM integration.data_archive AS k
            WHERE coalesce(k.target_app, '') = coalesce(n.target_app, '') AND k.dedup_key = n.dedup_key
              AND (k.kind = 'record') = (n.kind = 'record') LIMIT 1) AS a LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'dedup_key % to % is that of delivery %, which is in the archive: it was handed over before',
                v_known.dedup_key, coalesce(v_known.target_app, 'no app'), v_known.id USING ERRCODE = '23505',
                HINT = 'integration.push and integration.push_many pass over what is known, in the archive too; nothing was inserted';
        END IF;
    END IF;
    IF v_last_id > (SELECT last_value FROM integration.delivery_ids) THEN
        PERFORM setval('integration.delivery_ids', v_last_id);
    END IF;
    IF v_unfinished THEN
        UPDATE integration.{table}_live AS d SET
            processed_at = CASE WHEN d.status IN ('completed', 'failed', 'archived') THEN coalesce(d.processed_at, v_now) END,
            leased_by = CASE d.status WHEN 'processing' THEN coalesce(d.leased_by, v_holder) ELSE d.leased_by END,
            lease_until = CASE d.status WHEN 'processing' THEN coalesce(d.lease_until, v_now + interval '1 hour') END
        FROM new_rows AS n WHERE d.id = n.id AND n.status <> 'pending';
    END IF;
    INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status, note)
        SELECT v_now, coalesce(created_by, v_actor), integration._sparse(array_agg(id), min(id), max(id)), int8range(min(id), max(id), '[]'), NULL, status, last_error
        FROM new_rows GROUP BY created_by, status, last_error;
    INSERT INTO integration.tally SELECT coalesce(target_app, ''), kind, status, count(*) FROM new_rows GROUP BY 1, 2, 3;
    INSERT INTO integration.source_tally SELECT c.source_app, c.kind, w.what, c.n
        FROM (SELECT source_app, kind, count(*) AS n FROM new_rows GROUP BY 1, 2) AS c, (VALUES ('pushed'), ('live')) AS w (what);
    PERFORM integration._notify(ARRAY(SELECT DISTINCT target_app FROM new_rows WHERE status = 'pending'));
    RETURN NULL;
END $f$;

CREATE FUNCTION integration._sql_update_{table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = integration, pg_catalog, pg_temp AS $f$
DECLARE
    v_actor text := integration._sql_actor();
    v_holder text := 'sql:' || session_user;
    v_now timestamptz := clock_timestamp();
    v record;
    v_bad record;
    v_apps text[];
BEGIN
    SELECT count(*) AS rows, count(o.id) AS matched,
        bool_or(n.status <> o.status) AS moved,
        bool_or(n.target_app IS DISTINCT FROM o.target_app OR n.kind <> o.kind) AS renamed,
        bool_or(n.source_app <> o.source_app OR n.kind <> o.kind) AS resourced,
        bool_or(n.lease_token IS DISTINCT FROM o.lease_token) AS token,
        bool_or(n.lease_until < o.lease_until AND n.lease_token IS NOT NULL) AS sooner,
        bool_or(n.lease_until IS NULL AND n.status = 'processing' AND o.status = 'processing') AS endless,
        bool_or(NOT integration._numbers_fit(n.attempts, n.max_attempts, n.rescues, n.snoozes)) AS numbers,
        bool_or(NOT {times_of_n} AND {row_of_n} IS DISTINCT FROM {row_of_o}) AS times,
        bool_or(n.source_app = '' AND o.source_app <> '' OR n.target_app = '' AND o.target_app IS DISTINCT FROM '') AS names,
        bool_or((n.status <> o.status OR n.target_app IS DISTINCT FROM o.target_app OR n.kind <> o.kind)
            AND o.status = 'processing' AND o.lease_token IS NOT NULL) AS held,
        bool_or(n.status <> o.status AND NOT (
            (o.status = 'pending' AND n.status IN ('processing', 'completed', 'failed'))
            OR (o.status = 'processing' AND n.status IN ('completed', 'failed', 'pending'))
            OR (o.status = 'completed' AND n.status = 'archived')
            OR (o.status = 'failed' AND n.status IN ('archived', 'pending')))) AS illegal,
        bool_or(n.status = 'pending' AND (o.status <> 'pending' OR o.target_app IS DISTINCT FROM n.target_app
                OR o.deleted_at IS DISTINCT FROM n.deleted_at OR n.run_at < o.run_at)
            OR n.status <> o.status AND n.order_key IS NOT NULL) AS frees
        INTO v FROM new_rows AS n LEFT JOIN old_rows AS o ON o.id = n.id;
    IF v.rows = 0 THEN
        RETURN NULL;
    END IF;
    IF v.matched <> v.rows THEN
        RAISE EXCEPTION 'an id cannot be changed' USING ERRCODE = 'HO002', HINT = 'nothing was changed';
    END IF;
    IF '{table}' = 'data_staging' AND (v.moved OR v.renamed) THEN
        v_apps := integration._guard_lanes(ARRAY(
            SELECT DISTINCT u.app FROM old_rows AS o JOIN new_rows AS n USING (id), unnest(ARRAY[o.target_app, n.target_app]) AS u (app)
            WHERE n.status <> o.status OR n.target_app IS DISTINCT FROM o.target_app));
        SELECT o.id, l.holder, l.lease_until INTO v_bad FROM integration.lanes AS l, unnest(l.ids) AS i (id)
            JOIN old_rows AS o ON o.id = i.id JOIN new_rows AS n ON n.id = i.id
            WHERE l.app = ANY (v_apps) AND (n.status <> o.status OR n.target_app IS DISTINCT FROM o.target_app) ORDER BY o.id LIMIT 1;
        IF FOUND THEN
            PERFORM integration._held_by_worker(v_bad.id, v_bad.holder, v_bad.lease_until);
        END IF;
        SELECT n.id, n.target_app INTO v_bad FROM old_rows AS o JOIN new_rows AS n USING (id)
            WHERE n.target_app = ANY (v_apps) AND o.status = 'pending' AND n.status IN ('processing', 'completed')
            ORDER BY n.id LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the records of % are claimed by lanes: plain SQL cannot claim delivery %', v_bad.target_app, v_bad.id
                USING ERRCODE = 'HO002', HINT = 'take them with integration.pull and end them with integration.ack; or take '
                    || '`claim: lanes` away from the app; nothing was changed';
        END IF;
    END IF;
    IF v.held THEN
        SELECT o.* INTO v_bad FROM old_rows AS o JOIN new_rows AS n USING (id)
            WHERE (n.status <> o.status OR n.target_app IS DISTINCT FROM o.target_app OR n.kind <> o.kind)
              AND o.status = 'processing' AND o.lease_token IS NOT NULL ORDER BY o.id LIMIT 1;
        PERFORM integration._held_by_worker(v_bad.id, v_bad.leased_by, v_bad.lease_until);
    END IF;
    IF v.token THEN
        RAISE EXCEPTION 'lease_token is not to be written by plain SQL' USING ERRCODE = 'HO002',
            HINT = 'UPDATE … SET status = ''processing'' claims without one; integration.pull gives one; nothing was changed';
    END IF;
    PERFORM integration._refuse(v.numbers, v.times, v.names);
    IF v.illegal THEN
        SELECT n.id, o.status AS was, n.status AS wanted INTO v_bad FROM old_rows AS o JOIN new_rows AS n USING (id)
            WHERE n.status <> o.status AND NOT (
                (o.status = 'pending' AND n.status IN ('processing', 'completed', 'failed'))
                OR (o.status = 'processing' AND n.status IN ('completed', 'failed', 'pending'))
                OR (o.status = 'completed' AND n.status = 'archived')
                OR (o.status = 'failed' AND n.status IN ('archived', 'pending'))) ORDER BY n.id LIMIT 1;
        RAISE EXCEPTION 'illegal transition of delivery %: from % to %', v_bad.id, v_bad.was, v_bad.wanted
            USING ERRCODE = 'HO002', HINT = CASE v_bad.was
                WHEN 'pending' THEN 'from pending it goes to processing, completed or failed'
                WHEN 'processing' THEN 'from processing it goes to completed, failed or pending'
                WHEN 'completed' THEN 'what is completed can only be archived; integration.replay(id) runs it again'
                WHEN 'failed' THEN 'from failed it goes to pending (tried again) or archived'
                ELSE 'what is archived stays so; integration.replay(id) runs it again' END || '; nothing was changed';
    END IF;
    IF v.endless THEN
        -- A lease without an end would be nobody's to take back: it is that of a plain claim.
        UPDATE integration.{table}_live AS d SET lease_until = v_now + interval '1 hour'
            FROM new_rows AS n, old_rows AS o WHERE d.id = n.id AND o.id = n.id
              AND n.lease_until IS NULL AND n.status = 'processing' AND o.status = 'processing';
    END IF;
    IF '{table}' = 'data_staging' AND (v.sooner OR v.endless) THEN
        UPDATE integration.claims AS c SET lease_until = e.at
            FROM (SELECT lease_token, min(coalesce(lease_until, v_now + interval '1 hour')) AS at
                  FROM new_rows WHERE status = 'processing' GROUP BY lease_token) AS e
            WHERE c.token = e.lease_token AND c.lease_until > e.at;
    END IF;
    IF v.moved THEN
        -- What a program that knows only the status need not know.
        UPDATE integration.{table}_live AS d SET
            updated_at = v_now,
            processed_at = CASE n.status
                WHEN 'completed' THEN CASE WHEN n.processed_at IS DISTINCT FROM o.processed_at THEN n.processed_at ELSE v_now END
                WHEN 'failed' THEN CASE WHEN n.processed_at IS DISTINCT FROM o.processed_at THEN n.processed_at ELSE v_now END
                WHEN 'archived' THEN n.processed_at END,
            attempts = CASE
                WHEN n.attempts <> o.attempts THEN n.attempts
                WHEN o.status = 'pending' AND n.status IN ('processing', 'completed') THEN n.attempts + 1
                WHEN o.status = 'failed' AND n.status = 'pending' THEN 0
                ELSE n.attempts END,
            rescues = CASE WHEN o.status = 'failed' AND n.status = 'pending' THEN 0 ELSE n.rescues END,
            last_error = CASE WHEN n.status = 'archived' THEN integration._last_error_of(o.status, n.last_error) ELSE n.last_error END,
            leased_by = CASE n.status
                WHEN 'processing' THEN CASE WHEN n.leased_by IS DISTINCT FROM o.leased_by THEN n.leased_by ELSE v_holder END
                WHEN 'completed' THEN coalesce(n.leased_by, v_holder)
                WHEN 'archived' THEN n.leased_by END,
            lease_until = CASE n.status
                WHEN 'processing' THEN
                    coalesce(CASE WHEN n.lease_until IS DISTINCT FROM o.lease_until THEN n.lease_until END, v_now + interval '1 hour')
                END
        FROM new_rows AS n, old_rows AS o WHERE d.id = n.id AND o.id = n.id AND n.status <> o.status;
        -- One who ends what nobody has claimed has claimed and ended it.
        INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status)
            SELECT v_now, v_actor, integration._sparse(array_agg(id), min(id), max(id)), int8range(min(id), max(id), '[]'), 'pending', 'processing'
            FROM old_rows AS o JOIN new_rows AS n USING (id)
            WHERE o.status = 'pending' AND n.status = 'completed' HAVING count(*) > 0;
        INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status, note)
            SELECT v_now, v_actor, integration._sparse(array_agg(id), min(id), max(id)), int8range(min(id), max(id), '[]'), m.was, m.status, m.note
            FROM (SELECT n.id, n.status,
                    CASE WHEN o.status = 'pending' AND n.status = 'completed' THEN 'processing' ELSE o.status END AS was,
                    CASE WHEN n.status = 'failed' OR n.last_error IS DISTINCT FROM o.last_error THEN n.last_error END AS note
                  FROM old_rows AS o JOIN new_rows AS n USING (id) WHERE n.status <> o.status) AS m
            GROUP BY m.was, m.status, m.note;
    END IF;
    IF v.moved OR v.renamed THEN
        INSERT INTO integration.tally
            SELECT s.app, s.kind, s.status, sum(s.n), count(*) FILTER (WHERE s.n > 0)
            FROM old_rows AS o JOIN new_rows AS n USING (id),
                LATERAL (VALUES (coalesce(o.target_app, ''), o.kind, o.status, -1), (coalesce(n.target_app, ''), n.kind, n.status, 1))
                    AS s (app, kind, status, n)
            WHERE n.status <> o.status OR n.kind <> o.kind OR n.target_app IS DISTINCT FROM o.target_app
            GROUP BY 1, 2, 3;
    END IF;
    IF v.resourced THEN
        INSERT INTO integration.source_tally
            SELECT s.source, s.kind, w.what, sum(s.n) FROM old_rows AS o JOIN new_rows AS n USING (id),
                LATERAL (VALUES (o.source_app, o.kind, -1), (n.source_app, n.kind, 1)) AS s (source, kind, n),
                (VALUES ('pushed'), ('live')) AS w (what)
            GROUP BY 1, 2, 3 HAVING sum(s.n) <> 0;
    END IF;
    IF v.frees THEN
        PERFORM integration._notify(ARRAY(SELECT DISTINCT target_app FROM new_rows));
    END IF;
    RETURN NULL;
END $f$;

CREATE FUNCTION integration._sql_delete_{table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = integration, pg_catalog, pg_temp AS $f$
DECLARE
    v_bad record;
    v_apps text[];
BEGIN
    IF '{table}' = 'data_staging' THEN
        v_apps := integration._guard_lanes(ARRAY(SELECT DISTINCT target_app FROM old_rows WHERE status = 'pending'));
        SELECT o.id, l.holder, l.lease_until INTO v_bad FROM integration.lanes AS l, unnest(l.ids) AS i (id)
            JOIN old_rows AS o ON o.id = i.id WHERE l.app = ANY (v_apps) ORDER BY o.id LIMIT 1;
        IF FOUND THEN
            PERFORM integration._held_by_worker(v_bad.id, v_bad.holder, v_bad.lease_until);
        END IF;
    END IF;
    INSERT INTO integration.tally SELECT coalesce(target_app, ''), kind, status, -count(*) FROM old_rows GROUP BY 1, 2, 3;
    INSERT INTO integration.source_tally SELECT c.source_app, c.kind, w.what, w.sign * c.n
        FROM (SELECT source_app, kind, count(*) AS n FROM old_rows GROUP BY 1, 2) AS c,
            (VALUES ('live', -1), ('deleted', 1)) AS w (what, sign);
    PERFORM integration._notify(ARRAY(SELECT DISTINCT target_app FROM old_rows WHERE order_key IS NOT NULL));
    RETURN NULL;
END $f$;

CREATE TRIGGER {table}_before_insert BEFORE INSERT ON integration.{table}
    FOR EACH STATEMENT EXECUTE FUNCTION integration._sql_before_insert();
CREATE TRIGGER {table}_insert AFTER INSERT ON integration.{table} REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION integration._sql_insert_{table}();
CREATE TRIGGER {table}_deleted BEFORE UPDATE ON integration.{table} FOR EACH ROW
    WHEN (OLD.deleted_at IS NOT NULL AND OLD.status = 'pending' AND NEW.status IN ('processing', 'completed'))
    EXECUTE FUNCTION integration._sql_pass_by();
CREATE TRIGGER {table}_update AFTER UPDATE ON integration.{table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION integration._sql_update_{table}();
CREATE TRIGGER {table}_delete AFTER DELETE ON integration.{table} REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION integration._sql_delete_{table}();
CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON integration.{table}
    FOR EACH STATEMENT EXECUTE FUNCTION integration._sql_truncate();
$ddl$;
        ddl := replace(replace(ddl, '{times}', replace(times, '{row}', '')), '{times_of_n}', replace(times, '{row}', 'n.'));
        ddl := replace(replace(ddl, '{row_of_n}', replace(times_of, '{row}', 'n.')), '{row_of_o}', replace(times_of, '{row}', 'o.'));
        EXECUTE replace(ddl, '{table}', t);
    END LOOP;
END $do$;

-- Nothing leaves the archive but by deletion, or with its part (0006).
CREATE FUNCTION integration._sql_delete_archive() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = integration, pg_catalog, pg_temp AS $f$
BEGIN
    INSERT INTO integration.tally SELECT coalesce(target_app, ''), kind, 'archived', -count(*) FROM old_rows GROUP BY 1, 2;
    INSERT INTO integration.source_tally SELECT c.source_app, c.kind, w.what, w.sign * c.n
        FROM (SELECT source_app, kind, count(*) AS n FROM old_rows GROUP BY 1, 2) AS c,
            (VALUES ('archived', -1), ('deleted', 1)) AS w (what, sign);
    RETURN NULL;
END $f$;
CREATE TRIGGER data_archive_delete AFTER DELETE ON integration.data_archive REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION integration._sql_delete_archive();
CREATE TRIGGER data_archive_truncate BEFORE TRUNCATE ON integration.data_archive
    FOR EACH STATEMENT EXECUTE FUNCTION integration._sql_truncate();

-- Moves what plain SQL has set to archived. Housekeeping calls it every minute, until it returns less than p_max.
CREATE FUNCTION integration._move_archived(p_now timestamptz DEFAULT NULL, p_max bigint DEFAULT 5000)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_ids bigint[];
    v_moved bigint := 0;
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['data_staging', 'deliveries'] LOOP
        EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM integration.%I
            WHERE status = ''archived'' ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED) AS marked',
            v_table || '_live') INTO v_ids USING p_max;
        CONTINUE WHEN v_ids IS NULL;
        v_moved := v_moved + integration._archive_rows(v_table, 'housekeeping', v_ids, v_now, '{archived}');
    END LOOP;
    RETURN v_moved;
END $$;
