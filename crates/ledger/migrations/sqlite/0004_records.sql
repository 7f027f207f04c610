-- The database door: audit rows that stand for a batch, what each source has handed over, bulk loads.

-- One row may stand for a run of deliveries, `delivery_id` to `last_id`, that made the same move together: at most 1024,
-- so that what concerns one delivery is found within so many numbers below its own.
ALTER TABLE audit_log ADD COLUMN last_id INTEGER;
CREATE INDEX idx_audit_run ON audit_log (delivery_id) WHERE last_id IS NOT NULL;

-- 0 to 1023, to unfold a run.
CREATE TABLE audit_offsets (n INTEGER PRIMARY KEY);
INSERT INTO audit_offsets
    WITH RECURSIVE counter(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counter WHERE n < 1023) SELECT n FROM counter;

DROP VIEW v_audit;
CREATE VIEW v_audit AS
    SELECT id, at, actor, delivery_id, from_status, to_status, note FROM audit_log WHERE last_id IS NULL
    UNION ALL
    SELECT a.id, a.at, a.actor, a.delivery_id + o.n, a.from_status, a.to_status, a.note
        FROM audit_log AS a JOIN audit_offsets AS o ON o.n <= a.last_id - a.delivery_id WHERE a.last_id IS NOT NULL;

-- What each source has handed over, and what has become of it: pushed = live + archived + deleted. Each column is counted
-- where that happens, and none is made from the others, so that the sum tells whether something was lost.
CREATE TABLE sources (
    source   TEXT NOT NULL,
    kind     TEXT NOT NULL,
    pushed   INTEGER NOT NULL DEFAULT 0,
    live     INTEGER NOT NULL DEFAULT 0,
    archived INTEGER NOT NULL DEFAULT 0,
    deleted  INTEGER NOT NULL DEFAULT 0,
    -- How many of the deleted went from the archive by retention.
    expired  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, kind)
) WITHOUT ROWID;
INSERT INTO sources (source, kind, pushed, live, archived)
    SELECT source_app, kind, count(*), sum(here), count(*) - sum(here) FROM (
        SELECT source_app, kind, 1 AS here FROM deliveries UNION ALL SELECT source_app, kind, 1 FROM data_staging
        UNION ALL SELECT source_app, kind, 0 FROM data_archive)
    GROUP BY source_app, kind;

DROP TRIGGER data_archive_born;
CREATE TRIGGER data_archive_born AFTER INSERT ON data_archive BEGIN
    INSERT INTO tally VALUES (coalesce(NEW.target_app, ''), NEW.kind, 'archived', 1, 1)
        ON CONFLICT (app, kind, status) DO UPDATE SET n = n + 1, entered = entered + 1;
    INSERT INTO sources (source, kind, archived) VALUES (NEW.source_app, NEW.kind, 1)
        ON CONFLICT (source, kind) DO UPDATE SET archived = archived + 1;
END;

-- Nothing leaves the archive but by deletion.
DROP TRIGGER data_archive_gone;
CREATE TRIGGER data_archive_gone AFTER DELETE ON data_archive BEGIN
    UPDATE tally SET n = n - 1 WHERE app = coalesce(OLD.target_app, '') AND kind = OLD.kind AND status = 'archived';
    UPDATE sources SET archived = archived - 1, deleted = deleted + 1 WHERE source = OLD.source_app AND kind = OLD.kind;
END;

-- Bulk loads, by the name that their loader chose.
CREATE TABLE loads (
    key        TEXT PRIMARY KEY,
    whole      INTEGER NOT NULL,
    rows       INTEGER NOT NULL DEFAULT 0,
    skipped    INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    ended      INTEGER NOT NULL DEFAULT 0,
    actor      TEXT NOT NULL,
    made_by    TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) WITHOUT ROWID;

-- The rows of loads that are to appear all at once, by their place in their source, until their end.
CREATE TABLE load_rows (
    load_key     TEXT NOT NULL,
    at           INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    source_app   TEXT NOT NULL,
    target_app   TEXT,
    data         TEXT NOT NULL,
    flow         TEXT,
    priority     INTEGER NOT NULL,
    run_at       TEXT,
    max_attempts INTEGER NOT NULL,
    dedup_key    TEXT,
    order_key    TEXT,
    parent_id    INTEGER,
    replay_of    INTEGER,
    trace        TEXT,
    PRIMARY KEY (load_key, at)
);

-- The rows that stood in the way of the one that plain SQL inserted or changed last, by their id or dedup key (0005).
CREATE TABLE in_the_way (id INTEGER PRIMARY KEY);
