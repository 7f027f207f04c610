-- What is not a delivery: the ledger's identity, names, arrivals, the audit log, counts, schedules.

CREATE TABLE ledger (
    identity   TEXT NOT NULL,
    created_at TEXT NOT NULL
);

-- Who acts: set by Handover's writer for the length of its transaction; empty while another program writes.
CREATE TABLE actor (name TEXT);
INSERT INTO actor VALUES (NULL);

CREATE TABLE audit_log (
    id          INTEGER PRIMARY KEY,
    at          TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    actor       TEXT NOT NULL,
    delivery_id INTEGER NOT NULL,
    from_status TEXT,
    to_status   TEXT NOT NULL,
    note        TEXT
);
CREATE INDEX idx_audit_delivery ON audit_log (delivery_id);
CREATE VIEW v_audit AS SELECT id, at, actor, delivery_id, from_status, to_status, note FROM audit_log;

-- How many deliveries stand where, and how many ever came there, kept by triggers, so that a count never reads the past.
CREATE TABLE tally (
    app     TEXT NOT NULL,
    kind    TEXT NOT NULL,
    status  TEXT NOT NULL,
    n       INTEGER NOT NULL DEFAULT 0,
    entered INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (app, kind, status)
) WITHOUT ROWID;

CREATE TABLE names (
    folder      TEXT NOT NULL,
    stem        TEXT NOT NULL,
    delivery_id INTEGER,
    slot        TEXT NOT NULL,
    file_id     INTEGER NOT NULL,
    app         TEXT NOT NULL,
    type        TEXT NOT NULL,
    date        TEXT NOT NULL,
    sequence    INTEGER NOT NULL,
    created_at  TEXT NOT NULL,
    PRIMARY KEY (folder, stem)
) WITHOUT ROWID;
CREATE UNIQUE INDEX idx_names_output ON names (delivery_id, slot) WHERE delivery_id IS NOT NULL;
CREATE INDEX idx_names_sequence ON names (folder, app, type, date, sequence);
CREATE INDEX idx_names_file ON names (file_id);

CREATE TABLE arrivals (
    id          INTEGER PRIMARY KEY,
    app         TEXT NOT NULL,
    path        TEXT NOT NULL,
    -- The last part of the path.
    name        TEXT NOT NULL,
    device      INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    mtime       TEXT NOT NULL,
    delivery_id INTEGER NOT NULL,
    proof       TEXT NOT NULL,
    checksum    TEXT,
    arrived_at  TEXT NOT NULL,
    UNIQUE (path, app, device, inode, size, mtime)
);
CREATE INDEX idx_arrivals_app ON arrivals (app);
CREATE INDEX idx_arrivals_name ON arrivals (name);
CREATE INDEX idx_arrivals_content ON arrivals (checksum, app) WHERE checksum IS NOT NULL;
CREATE INDEX idx_arrivals_delivery ON arrivals (delivery_id);

CREATE TABLE paused_apps (
    app   TEXT PRIMARY KEY,
    since TEXT NOT NULL,
    by    TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE schedules (
    app      TEXT PRIMARY KEY,
    last_due TEXT NOT NULL
) WITHOUT ROWID;
