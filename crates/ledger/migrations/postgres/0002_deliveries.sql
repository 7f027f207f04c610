-- The state machine's tables.
--
-- data_staging and deliveries each are one table with one part (a partitioned table, whose part is data_staging_live or
-- deliveries_live). Programs with plain SQL name the table: its statement triggers check, complete and audit what they do
-- (0005), once a statement. Handover's own functions name the part, where no trigger costs them anything, and do all that
-- themselves (0003 and later); but what belongs to the end of a file or job is done by triggers of its part (0011). Rights are granted on the table alone, so nobody else gets round the triggers.
--
-- `data` is json, not jsonb: what was handed over comes out as it went in, with the order of its keys, its numbers to the
-- last digit, and characters that jsonb refuses. `data::jsonb` is one cast away.

-- Where a file's manifest has its path; null for JSON whose escapes PostgreSQL cannot read.
CREATE FUNCTION integration._path(data json) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF position(E'\\u' IN data::text) = 0 THEN
        RETURN data ->> 'path';
    END IF;
    BEGIN
        RETURN data ->> 'path';
    EXCEPTION WHEN untranslatable_character OR invalid_text_representation THEN
        RETURN NULL;
    END;
END $$;

DO $do$
DECLARE
    -- table, its usual kind, all kinds, prefix of its indexes, what the index of leases knows, how full pages and the primary key are made.
    --
    -- Handover's own claims of records are known by the claim: of records that index has those alone that plain SQL claimed, which
    -- have no token. (A token is never a status. As two conditions the planner would think that many rows have both.)
    --
    -- A record comes, is claimed and is completed within milliseconds, before what it was can be pruned: a third, so that all three of its
    -- versions have room on one page, and their entries on one of the primary key's.
    tables text[] := ARRAY[
        ['data_staging', 'record', '''record''', 'idx_', 'coalesce(lease_token, status) = ''processing''', '33', '30'],
        ['deliveries', 'file', '''file'', ''job''', 'idx_deliveries_', 'status = ''processing''', '50', '90']];
    t text[];
    ddl text;
BEGIN
    FOREACH t SLICE 1 IN ARRAY tables LOOP
        ddl := $ddl$
CREATE TABLE integration.{table} (
    id           bigint NOT NULL DEFAULT nextval('integration.delivery_ids'),
    source_app   text COLLATE "C" NOT NULL,
    target_app   text COLLATE "C",
    data         json NOT NULL,
    status       text NOT NULL DEFAULT 'pending'
                 CONSTRAINT "status must be pending, processing, completed, failed, archived"
                 CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'archived')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz,
    kind         text NOT NULL DEFAULT '{kind}'
                 CONSTRAINT "this table does not hold that kind" CHECK (kind IN ({kinds})),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text,
    deleted_at   timestamptz,
    flow         text,
    priority     integer NOT NULL DEFAULT 0,
    run_at       timestamptz NOT NULL DEFAULT now(),
    attempts     bigint NOT NULL DEFAULT 0,
    max_attempts bigint NOT NULL DEFAULT 4,
    lease_token  text,
    leased_by    text,
    lease_until  timestamptz,
    dedup_key    text COLLATE "C",
    order_key    text COLLATE "C",
    parent_id    bigint,
    replay_of    bigint,
    last_error   text,
    trace        text,
    rescues      bigint NOT NULL DEFAULT 0,
    snoozes      bigint NOT NULL DEFAULT 0,
    result       json,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);

CREATE TABLE integration.{table}_live PARTITION OF integration.{table} FOR VALUES FROM (MINVALUE) TO (MAXVALUE)
    WITH (fillfactor = {full}, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
          autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05,
          autovacuum_vacuum_cost_delay = 1);

ALTER INDEX integration.{table}_live_pkey SET (fillfactor = {key_full});

-- What has been completed is in none of these, so that a long past costs the present nothing.
CREATE INDEX {index}status_created ON integration.{table} (status, created_at)
    WHERE status IN ('pending', 'failed', 'archived');
-- The claim query's order, and what it skips by. `id + 0`, here and where an order key's oldest is looked for: the primary key
-- does not give that order, or it would be read from the first row ever on, whenever statistics make all priorities look alike.
CREATE INDEX {index}target_app ON integration.{table} (target_app, priority DESC, (id + 0), run_at) WHERE status = 'pending';
-- What is to run later than it came; the rest may run now.
CREATE INDEX {index}due ON integration.{table} (run_at) WHERE status = 'pending' AND run_at > created_at;
CREATE INDEX {index}leases ON integration.{table} (lease_until) WHERE {leased};
CREATE INDEX {index}order_key ON integration.{table} (target_app, order_key, status, (id + 0))
    WHERE order_key IS NOT NULL AND status IN ('pending', 'processing');
CREATE INDEX {index}parent ON integration.{table} (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX {index}replay ON integration.{table} (replay_of) WHERE replay_of IS NOT NULL;
-- What is deleted, for the count of each source.
CREATE INDEX {index}deleted ON integration.{table} (source_app, kind) WHERE deleted_at IS NOT NULL;
-- What failed, newest first, of all apps and of one. `id + 0`: the first does not give that order, or an app's would be looked for
-- among all that failed; `id`, so that how far a search looks is read from the index alone.
CREATE INDEX {index}failed ON integration.{table} (id) WHERE status = 'failed';
CREATE INDEX {index}failed_app ON integration.{table} (target_app, (id + 0)) INCLUDE (id) WHERE status = 'failed';
-- What plain SQL has archived, until it is moved.
CREATE INDEX {index}archived ON integration.{table} (id) WHERE status = 'archived';
-- Unique, so on the part: an index of the whole would have to hold the id.
CREATE UNIQUE INDEX {index}dedup ON integration.{table}_live (coalesce(target_app, ''), dedup_key)
    WHERE dedup_key IS NOT NULL;
$ddl$;
        ddl := replace(replace(replace(ddl, '{table}', t[1]), '{kinds}', t[3]), '{kind}', t[2]);
        EXECUTE replace(replace(replace(replace(ddl, '{index}', t[4]), '{leased}', t[5]), '{full}', t[6]), '{key_full}', t[7]);
    END LOOP;
END $do$;

CREATE INDEX idx_deliveries_path ON integration.deliveries (integration._path(data)) WHERE kind = 'file';
CREATE INDEX idx_deliveries_done ON integration.deliveries (processed_at) WHERE processed_at IS NOT NULL;
CREATE INDEX idx_deliveries_app ON integration.deliveries (target_app, id);

COMMENT ON TABLE integration.data_staging IS
    'Records that programs hand over. INSERT (source_app, target_app, data) is enough; see docs/guides/sql.md.';
COMMENT ON TABLE integration.deliveries IS 'Files and jobs. To be read only; Handover writes it.';

-- The last error of what is archived from this status: what failed has one, what was completed has none (_archived).
CREATE FUNCTION integration._last_error_of(p_status text, p_last_error text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE p_status WHEN 'completed' THEN NULL WHEN 'failed' THEN coalesce(p_last_error, 'it failed, and no reason was given')
                ELSE p_last_error END
$$;

-- What has been archived, a part for each month (0006 makes and drops them); nothing is ever refused.
CREATE TABLE integration.data_archive (
    LIKE integration.data_staging INCLUDING DEFAULTS,
    archived_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (archived_at);
ALTER TABLE integration.data_archive ALTER COLUMN id DROP DEFAULT;
ALTER TABLE integration.data_archive ALTER COLUMN status SET DEFAULT 'archived';
CREATE TABLE integration.data_archive_rest PARTITION OF integration.data_archive DEFAULT;
CREATE INDEX idx_archive_id ON integration.data_archive (id);
CREATE INDEX idx_archive_parent ON integration.data_archive (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX idx_archive_replay ON integration.data_archive (replay_of) WHERE replay_of IS NOT NULL;
CREATE INDEX idx_archive_path ON integration.data_archive (integration._path(data)) WHERE kind = 'file';
CREATE INDEX idx_archive_app ON integration.data_archive (target_app, id);
-- Not unique: a record and a file may bear the same key, and so may a record that came by plain SQL after this one.
CREATE INDEX idx_archive_dedup ON integration.data_archive (coalesce(target_app, ''), dedup_key)
    WHERE dedup_key IS NOT NULL;

-- Apps whose records are claimed by lanes (0010), and what such claims have in flight: one row a claim. Those records stay
-- pending in data_staging. `keys` has the order key of each of `ids`; null where none of them has one. `tids` is where they lay
-- when they were taken, where that is known.
CREATE TABLE integration.lane_apps (
    app   text COLLATE "C" PRIMARY KEY,
    since timestamptz NOT NULL,
    by    text NOT NULL
);
-- One row, which is written whenever lane_apps is: who cannot see that it has changed meets with it here (_by_lanes).
CREATE TABLE integration.lane_apps_changed (at timestamptz NOT NULL);
INSERT INTO integration.lane_apps_changed VALUES (clock_timestamp());
CREATE TABLE integration.lanes (
    token       text PRIMARY KEY,
    app         text COLLATE "C" NOT NULL,
    holder      text NOT NULL,
    since       timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    ids         bigint[] NOT NULL,
    keys        text[],
    tids        tid[]
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
-- Compressing them costs more than it saves.
ALTER TABLE integration.lanes ALTER COLUMN ids SET STORAGE EXTERNAL;
ALTER TABLE integration.lanes ALTER COLUMN tids SET STORAGE EXTERNAL;
CREATE INDEX idx_lanes_app ON integration.lanes (app);

-- What Handover's own claims of records hold, one row a claim: an entry in an index for each record would cost as much as
-- marking it. It says where to look, and the records say what is so: which of them (`ids`, null where it is all from `least`
-- to `most`) are still worked on under its token, and until when. A claim stands here for as long as any of them is. `open` are at
-- most that many; who ends the last takes the row away. Nobody waits for another who ends some of it: then it is noted in
-- uncounted_ends that it is to be counted anew (_tidy_claims), as it is where the lease has run out and something ended in another
-- way. `lease_until` is the first of its records' or sooner.
CREATE TABLE integration.claims (
    token       text PRIMARY KEY,
    app         text COLLATE "C" NOT NULL,
    holder      text NOT NULL,
    lease_until timestamptz NOT NULL,
    open        bigint NOT NULL,
    least       bigint NOT NULL,
    most        bigint NOT NULL,
    ids         bigint[]
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE integration.claims ALTER COLUMN ids SET STORAGE EXTERNAL;
CREATE TABLE integration.uncounted_ends (token text NOT NULL)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- The rows as they lie, for Handover's own functions.
CREATE VIEW integration._rows AS
    SELECT * FROM integration.deliveries UNION ALL SELECT * FROM integration.data_staging;

-- What is archived, and what plain SQL has set so and waits to be moved there, with how it ended: what failed has its last error,
-- what was completed has none. Whoever archives sees to that.
CREATE VIEW integration._archived AS
    SELECT *, CASE WHEN last_error IS NULL THEN 'completed' ELSE 'failed' END AS ended_as FROM (
        SELECT * FROM integration._rows WHERE status = 'archived'
        UNION ALL
        SELECT id, source_app, target_app, data, status, created_at, processed_at, kind, updated_at, created_by, deleted_at, flow,
            priority, run_at, attempts, max_attempts, lease_token, leased_by, lease_until, dedup_key, order_key, parent_id,
            replay_of, last_error, trace, rescues, snoozes, result
        FROM integration.data_archive) AS all_of_them;

-- What is in flight by lanes, as it stands. From the lanes to their records, and never the other way round: OFFSET 0 keeps the
-- planner from reading all records backwards, until it has found as many as a page shows that are in flight.
CREATE VIEW integration._in_flight AS
    SELECT i.id, d.source_app, d.target_app, d.data, 'processing'::text AS status, d.created_at, d.processed_at, d.kind,
        l.since AS updated_at, d.created_by, d.deleted_at, d.flow, d.priority, d.run_at, d.attempts + 1 AS attempts,
        d.max_attempts, l.token AS lease_token, l.holder AS leased_by, l.lease_until, d.dedup_key, d.order_key, d.parent_id,
        d.replay_of, d.last_error, d.trace, d.rescues, d.snoozes, d.result
    FROM integration.lanes AS l, unnest(l.ids) AS i (id),
        LATERAL (SELECT * FROM integration.data_staging WHERE id = i.id OFFSET 0) AS d;

-- The records that Handover's own claims hold, but for those by lanes; in that order too.
CREATE VIEW integration._claimed AS
    SELECT i.id, d.source_app, d.target_app, d.data, d.status, d.created_at, d.processed_at, d.kind, d.updated_at, d.created_by,
        d.deleted_at, d.flow, d.priority, d.run_at, d.attempts, d.max_attempts, c.token AS lease_token, d.leased_by, d.lease_until,
        d.dedup_key, d.order_key, d.parent_id, d.replay_of, d.last_error, d.trace, d.rescues, d.snoozes, d.result
    FROM integration.claims AS c, unnest(coalesce(c.ids, ARRAY(SELECT generate_series(c.least, c.most)))) AS i (id),
        LATERAL (SELECT * FROM integration.data_staging_live
                 WHERE id = i.id AND lease_token = c.token AND status COLLATE "C" = 'processing' OFFSET 0) AS d;

-- The records that are marked as processing, whoever claimed them; without reading all that are not.
CREATE VIEW integration._processing AS
    SELECT * FROM integration.data_staging_live WHERE coalesce(lease_token, status) = 'processing'
    UNION ALL SELECT * FROM integration._claimed;

-- Records as they stand. In two parts, so that conditions on the larger go by its indexes.
CREATE VIEW integration.v_data_staging AS
    SELECT * FROM integration.data_staging WHERE id NOT IN (SELECT unnest(ids) FROM integration.lanes)
    UNION ALL SELECT * FROM integration._in_flight;

CREATE VIEW integration.v_deliveries AS
    SELECT * FROM integration.deliveries UNION ALL SELECT * FROM integration.v_data_staging;

-- Rows of a bulk load that is to appear all at once, until its end.
CREATE TABLE integration.load_rows (
    load_key     text COLLATE "C" NOT NULL,
    at           bigint NOT NULL,
    kind         text NOT NULL,
    source_app   text COLLATE "C" NOT NULL,
    target_app   text COLLATE "C",
    data         json NOT NULL,
    flow         text,
    priority     integer NOT NULL DEFAULT 0,
    run_at       timestamptz,
    max_attempts bigint NOT NULL DEFAULT 4,
    dedup_key    text COLLATE "C",
    order_key    text COLLATE "C",
    parent_id    bigint,
    replay_of    bigint,
    trace        text,
    created_by   text
);
CREATE INDEX idx_load_rows ON integration.load_rows (load_key, at);
