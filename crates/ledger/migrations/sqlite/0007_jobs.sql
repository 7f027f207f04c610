-- Jobs: what stands beside the deliveries that a person or a program asks for over the network, and API keys. What belongs to
-- the end of a delivery is in the triggers below for programs with plain SQL; Handover's writer does it in ledger/src/sqlite/jobs.rs.

CREATE TABLE idempotency_keys (
    owner       TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    delivery_id INTEGER NOT NULL,
    -- When the job was handed over.
    created_at  TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE INDEX idx_idempotency_age ON idempotency_keys (created_at);

-- Ends that were asked for and have not come. Nearly always empty.
CREATE TABLE cancellations (
    delivery_id INTEGER PRIMARY KEY,
    at          TEXT NOT NULL,
    by          TEXT NOT NULL
);

-- What programs said while they worked: of each delivery from 1 on, without gaps.
CREATE TABLE progress (
    delivery_id INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    at          TEXT NOT NULL,
    line        TEXT NOT NULL,
    PRIMARY KEY (delivery_id, seq)
) WITHOUT ROWID;
CREATE INDEX idx_progress_age ON progress (at) WHERE seq = 1;

-- Of a key there is its digest alone. `scopes` and `apps` are JSON arrays of texts.
CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    digest       TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    apps         TEXT,
    created_at   TEXT NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   TEXT,
    revoked_at   TEXT,
    last_used_at TEXT,
    replaced_by  TEXT
) WITHOUT ROWID;

-- What processes sign for one another with: sessions of the dashboard.
CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    secret TEXT NOT NULL
) WITHOUT ROWID;

-- A page of all jobs, or of one caller's, newest first; and how many of a caller's have not ended.
CREATE INDEX idx_deliveries_jobs ON deliveries (kind) WHERE kind = 'job';
CREATE INDEX idx_deliveries_by ON deliveries (created_by) WHERE kind = 'job';
CREATE INDEX idx_deliveries_unended ON deliveries (created_by, kind)
    WHERE kind = 'job' AND (status = 'pending' OR status = 'processing');
CREATE INDEX idx_archive_jobs ON data_archive (kind) WHERE kind = 'job';
CREATE INDEX idx_archive_by ON data_archive (created_by) WHERE kind = 'job';

-- A job that has a webhook tells of its end, and that an end was asked for is forgotten with it.
CREATE TRIGGER deliveries_told AFTER UPDATE OF status ON deliveries
WHEN OLD.status IN ('pending', 'processing') AND NEW.status IN ('completed', 'failed') BEGIN
    DELETE FROM cancellations WHERE delivery_id = NEW.id;
    INSERT INTO deliveries (kind, source_app, target_app, data, created_by, max_attempts, parent_id)
        SELECT 'job', coalesce(NEW.target_app, NEW.source_app), 'handover-webhook',
               json_object('job', NEW.id, 'status', NEW.status, 'url', json_extract(NEW.data, '$.webhook')),
               'handover', 30, NEW.id
        WHERE NEW.kind = 'job' AND json_type(NEW.data, '$.webhook') = 'text';
END;

CREATE TRIGGER deliveries_asked_and_deleted AFTER DELETE ON deliveries WHEN OLD.status IN ('pending', 'processing') BEGIN
    DELETE FROM cancellations WHERE delivery_id = OLD.id;
END;

-- What was asked to end is never pending again. (PostgreSQL makes a failure of it; a trigger here cannot change what is written.)
CREATE TRIGGER deliveries_given_back BEFORE UPDATE OF status ON deliveries
WHEN OLD.status = 'processing' AND NEW.status = 'pending' BEGIN
    SELECT RAISE(ABORT, 'the end of this delivery was asked for: it is not tried again, set it to failed')
        WHERE EXISTS (SELECT 1 FROM cancellations WHERE delivery_id = NEW.id);
END;
