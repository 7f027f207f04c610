-- What has been archived, with the same columns; and everything in one view.

CREATE TABLE data_archive (
    id INTEGER PRIMARY KEY, source_app TEXT NOT NULL, target_app TEXT, data TEXT NOT NULL, status TEXT NOT NULL,
    created_at TEXT NOT NULL, processed_at TEXT, kind TEXT NOT NULL, updated_at TEXT NOT NULL, created_by TEXT,
    deleted_at TEXT, flow TEXT, priority INTEGER NOT NULL, run_at TEXT NOT NULL, attempts INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL, lease_token TEXT, leased_by TEXT, lease_until TEXT, dedup_key TEXT, order_key TEXT,
    parent_id INTEGER, replay_of INTEGER, last_error TEXT, trace TEXT, rescues INTEGER NOT NULL,
    snoozes INTEGER NOT NULL, result TEXT,
    archived_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE INDEX idx_archive_parent ON data_archive (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX idx_archive_replay ON data_archive (replay_of) WHERE replay_of IS NOT NULL;
CREATE INDEX idx_archive_path ON data_archive (json_extract(data, '$.path')) WHERE kind = 'file';
CREATE INDEX idx_archive_app ON data_archive (target_app);
-- What is to be deleted when it has been kept long enough.
CREATE INDEX idx_archive_age ON data_archive (archived_at);
-- Not unique: a record and a file may bear the same key, and so may a record that came by plain SQL after this one.
CREATE INDEX idx_archive_dedup ON data_archive (target_app, dedup_key) WHERE dedup_key IS NOT NULL;

CREATE TRIGGER data_archive_born AFTER INSERT ON data_archive BEGIN
    INSERT INTO tally VALUES (coalesce(NEW.target_app, ''), NEW.kind, 'archived', 1, 1)
        ON CONFLICT (app, kind, status) DO UPDATE SET n = n + 1, entered = entered + 1;
END;

CREATE TRIGGER data_archive_gone AFTER DELETE ON data_archive BEGIN
    UPDATE tally SET n = n - 1 WHERE app = coalesce(OLD.target_app, '') AND kind = OLD.kind AND status = 'archived';
END;

CREATE VIEW v_deliveries AS
    SELECT * FROM deliveries UNION ALL SELECT * FROM data_staging;
