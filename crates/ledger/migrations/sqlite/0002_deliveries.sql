-- The state machine's tables. The migrator runs this file twice, with {table} and {other} as `deliveries` and
-- `data_staging`, `{kind}` as the usual kind and {index} as the prefix of the table's indexes.

CREATE TABLE {table} (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    source_app   TEXT NOT NULL,
    target_app   TEXT,
    data         TEXT NOT NULL CHECK (json_valid(data)),
    status       TEXT NOT NULL DEFAULT 'pending'
                 CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'archived')),
    created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    processed_at TEXT,
    kind         TEXT NOT NULL DEFAULT '{kind}' CHECK (kind IN ('record', 'file', 'job')),
    updated_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    created_by   TEXT,
    deleted_at   TEXT,
    flow         TEXT,
    priority     INTEGER NOT NULL DEFAULT 0,
    run_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    attempts     INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    max_attempts INTEGER NOT NULL DEFAULT 4 CHECK (max_attempts >= 1),
    lease_token  TEXT,
    leased_by    TEXT,
    lease_until  TEXT,
    dedup_key    TEXT,
    order_key    TEXT,
    parent_id    INTEGER,
    replay_of    INTEGER,
    last_error   TEXT,
    trace        TEXT,
    rescues      INTEGER NOT NULL DEFAULT 0,
    snoozes      INTEGER NOT NULL DEFAULT 0,
    result       TEXT CHECK (result IS NULL OR json_valid(result))
);

CREATE INDEX {index}status_created ON {table} (status, created_at);
CREATE INDEX {index}target_app ON {table} (target_app, priority DESC, id) WHERE status = 'pending';
CREATE INDEX {index}due ON {table} (run_at) WHERE status = 'pending';
CREATE INDEX {index}leases ON {table} (lease_until) WHERE status = 'processing';
CREATE INDEX {index}order_key ON {table} (target_app, order_key, id)
    WHERE order_key IS NOT NULL AND status IN ('pending', 'processing');
CREATE UNIQUE INDEX {index}dedup ON {table} (target_app, dedup_key) WHERE dedup_key IS NOT NULL;
CREATE INDEX {index}parent ON {table} (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX {index}replay ON {table} (replay_of) WHERE replay_of IS NOT NULL;
CREATE INDEX {index}path ON {table} (json_extract(data, '$.path')) WHERE kind = 'file';

-- One sequence of ids: what one table gives out, the other may not.
CREATE TRIGGER {table}_sequence AFTER INSERT ON {table} BEGIN
    UPDATE sqlite_sequence SET seq = max(seq, NEW.id) WHERE name = '{other}';
END;

CREATE TRIGGER {table}_born AFTER INSERT ON {table} BEGIN
    INSERT INTO tally VALUES (coalesce(NEW.target_app, ''), NEW.kind, NEW.status, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
    INSERT INTO audit_log (at, actor, delivery_id, from_status, to_status)
        VALUES (NEW.created_at, coalesce(NEW.created_by, (SELECT name FROM actor), 'sql'), NEW.id, NULL, NEW.status);
END;

CREATE TRIGGER {table}_guard BEFORE UPDATE OF status ON {table}
WHEN NOT (
       (OLD.status = 'pending' AND NEW.status IN ('processing', 'completed', 'failed'))
    OR (OLD.status = 'processing' AND NEW.status IN ('completed', 'failed', 'pending'))
    OR (OLD.status = 'completed' AND NEW.status = 'archived')
    OR (OLD.status = 'failed' AND NEW.status IN ('archived', 'pending'))
    OR NEW.status = OLD.status)
BEGIN
    SELECT RAISE(ABORT, 'illegal transition: the state machine has no such arrow');
END;

CREATE TRIGGER {table}_moved AFTER UPDATE OF status ON {table} WHEN NEW.status <> OLD.status BEGIN
    UPDATE tally SET n = n - 1 WHERE app = coalesce(OLD.target_app, '') AND kind = OLD.kind AND status = OLD.status;
    INSERT INTO tally VALUES (coalesce(NEW.target_app, ''), NEW.kind, NEW.status, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
    INSERT INTO audit_log (at, actor, delivery_id, from_status, to_status, note)
        VALUES (CASE WHEN NEW.updated_at > OLD.updated_at THEN NEW.updated_at
                     ELSE strftime('%Y-%m-%dT%H:%M:%fZ', 'now') END,
                -- 'handover' is whoever held the lease; no name is a program with plain SQL.
                CASE (SELECT name FROM actor) WHEN 'handover' THEN coalesce(OLD.leased_by, 'handover')
                     ELSE coalesce((SELECT name FROM actor), 'sql') END, NEW.id, OLD.status, NEW.status,
                CASE WHEN NEW.last_error IS NOT OLD.last_error THEN NEW.last_error END);
END;

CREATE TRIGGER {table}_gone AFTER DELETE ON {table} BEGIN
    UPDATE tally SET n = n - 1 WHERE app = coalesce(OLD.target_app, '') AND kind = OLD.kind AND status = OLD.status;
END;

INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', 0);
