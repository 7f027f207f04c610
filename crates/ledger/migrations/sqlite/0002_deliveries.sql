-- The state machine's tables. The migrator runs this file twice, with {table} and {other} as `deliveries` and
-- `data_staging`, {kind} and {kinds} as the usual kind and all that are allowed, {index} as the prefix of the indexes.
--
-- Other programs open this file with an SQLite of their own: nothing here needs a newer one than 3.31 (2020).

CREATE TABLE {table} (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    source_app   TEXT NOT NULL,
    target_app   TEXT,
    data         TEXT NOT NULL CONSTRAINT "data must be JSON text" CHECK (typeof(data) = 'text' AND json_valid(data)),
    status       TEXT NOT NULL DEFAULT 'pending'
                 CONSTRAINT "status must be pending, processing, completed, failed or archived"
                 CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'archived')),
    created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    processed_at TEXT,
    kind         TEXT NOT NULL DEFAULT '{kind}'
                 CONSTRAINT "this table does not hold that kind" CHECK (kind IN ({kinds})),
    updated_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    created_by   TEXT,
    deleted_at   TEXT,
    flow         TEXT,
    priority     INTEGER NOT NULL DEFAULT 0
                 CHECK (typeof(priority) = 'integer' AND priority BETWEEN -2147483648 AND 2147483647),
    run_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    attempts     INTEGER NOT NULL DEFAULT 0
                 CHECK (typeof(attempts) = 'integer' AND attempts BETWEEN 0 AND 4294967295),
    max_attempts INTEGER NOT NULL DEFAULT 4
                 CHECK (typeof(max_attempts) = 'integer' AND max_attempts BETWEEN 1 AND 4294967295),
    lease_token  TEXT,
    leased_by    TEXT,
    lease_until  TEXT,
    dedup_key    TEXT,
    order_key    TEXT,
    parent_id    INTEGER CHECK (parent_id IS NULL OR typeof(parent_id) = 'integer'),
    replay_of    INTEGER CHECK (replay_of IS NULL OR typeof(replay_of) = 'integer'),
    last_error   TEXT,
    trace        TEXT,
    rescues      INTEGER NOT NULL DEFAULT 0
                 CHECK (typeof(rescues) = 'integer' AND rescues BETWEEN 0 AND 4294967295),
    snoozes      INTEGER NOT NULL DEFAULT 0
                 CHECK (typeof(snoozes) = 'integer' AND snoozes BETWEEN 0 AND 4294967295),
    result       TEXT CHECK (result IS NULL OR json_valid(result))
);

-- The past is in none of these but {index}app and {index}ended, so that a long one costs the present nothing. The ORs
-- are there because SQLite does not see that `status = 'failed'` lies in an IN.
CREATE INDEX {index}status_created ON {table} (status, created_at)
    WHERE status = 'pending' OR status = 'processing' OR status = 'failed';
-- The claim query's order, and what it skips by.
CREATE INDEX {index}target_app ON {table} (target_app, priority DESC, id, run_at) WHERE status = 'pending';
CREATE INDEX {index}oldest ON {table} (target_app, created_at, run_at) WHERE status = 'pending';
-- What is to run later than it came; the rest may run now.
CREATE INDEX {index}due ON {table} (run_at) WHERE status = 'pending' AND run_at > created_at;
CREATE INDEX {index}leases ON {table} (lease_until, leased_by) WHERE status = 'processing';
CREATE INDEX {index}order_key ON {table} (target_app, order_key, status, id)
    WHERE order_key IS NOT NULL AND (status = 'pending' OR status = 'processing');
CREATE UNIQUE INDEX {index}dedup ON {table} (target_app, dedup_key) WHERE dedup_key IS NOT NULL;
CREATE INDEX {index}parent ON {table} (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX {index}replay ON {table} (replay_of) WHERE replay_of IS NOT NULL;
CREATE INDEX {index}path ON {table} (json_extract(data, '$.path')) WHERE kind = 'file';
CREATE INDEX {index}app ON {table} (target_app);
CREATE INDEX {index}ended ON {table} (processed_at) WHERE processed_at IS NOT NULL;

-- A trigger costs each statement that fires it, even where it finds nothing to do: there are two for what enters, two for
-- what moves, and one of each pair does all that Handover's own statements need.
--
-- Who acts: 'handover' is whoever holds the lease; no name is a program with plain SQL.
CREATE TRIGGER {table}_born AFTER INSERT ON {table} BEGIN
    -- One sequence of ids: what one table gives out, the other may not; and a number is for ever.
    UPDATE sqlite_sequence SET seq = NEW.id WHERE name = '{other}' AND seq < NEW.id;
    INSERT INTO tally VALUES (coalesce(NEW.target_app, ''), NEW.kind, NEW.status, 1, 1)
        ON CONFLICT (app, kind, status) DO UPDATE SET n = n + 1, entered = entered + 1;
    INSERT INTO audit_log (at, actor, delivery_id, from_status, to_status, note)
        SELECT CASE WHEN name IS NULL THEN strftime('%Y-%m-%dT%H:%M:%fZ', 'now') ELSE NEW.created_at END,
               coalesce(NEW.created_by, name, 'sql'), NEW.id, NULL, NEW.status, NEW.last_error
        FROM actor;
END;

-- What a program with plain SQL inserts: an id of its own must be new, and its times become ours.
CREATE TRIGGER {table}_born_by_sql AFTER INSERT ON {table} WHEN (SELECT name FROM actor) IS NULL BEGIN
    SELECT RAISE(ABORT, 'this id is taken: leave it out, and the ledger gives the next')
        WHERE EXISTS (SELECT 1 FROM {other} WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM data_archive WHERE id = NEW.id);
    -- {table}_moved_by_sql sees to the times.
    UPDATE {table} SET created_at = created_at WHERE id = NEW.id;
END;

CREATE TRIGGER {table}_renumber BEFORE UPDATE OF id ON {table} WHEN NEW.id <> OLD.id BEGIN
    SELECT RAISE(ABORT, 'an id cannot be changed');
END;

-- The arrows of the state machine, the counts, the audit log. One who ends what nobody has claimed has claimed and
-- ended it.
CREATE TRIGGER {table}_moved AFTER UPDATE OF status ON {table} WHEN NEW.status <> OLD.status BEGIN
    SELECT RAISE(ABORT, 'illegal transition: the state machine has no such arrow')
        WHERE NOT ((OLD.status = 'pending' AND NEW.status IN ('processing', 'completed', 'failed'))
            OR (OLD.status = 'processing' AND NEW.status IN ('completed', 'failed', 'pending'))
            OR (OLD.status = 'completed' AND NEW.status = 'archived')
            OR (OLD.status = 'failed' AND NEW.status IN ('archived', 'pending')));
    UPDATE tally SET n = n - 1 WHERE app = coalesce(OLD.target_app, '') AND kind = OLD.kind AND status = OLD.status;
    INSERT INTO tally VALUES (coalesce(NEW.target_app, ''), NEW.kind, NEW.status, 1, 1)
        ON CONFLICT (app, kind, status) DO UPDATE SET n = n + 1, entered = entered + 1;
    INSERT INTO audit_log (at, actor, delivery_id, from_status, to_status)
        SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'sql', NEW.id, 'pending', 'processing'
        WHERE OLD.status = 'pending' AND NEW.status = 'completed' AND (SELECT name FROM actor) IS NULL;
    INSERT INTO audit_log (at, actor, delivery_id, from_status, to_status, note)
        SELECT CASE WHEN name IS NULL THEN strftime('%Y-%m-%dT%H:%M:%fZ', 'now') ELSE NEW.updated_at END,
               CASE name WHEN 'handover' THEN coalesce(OLD.leased_by, NEW.leased_by, name) ELSE coalesce(name, 'sql') END,
               NEW.id,
               CASE WHEN name IS NULL AND OLD.status = 'pending' AND NEW.status = 'completed' THEN 'processing'
                    ELSE OLD.status END,
               NEW.status,
               CASE WHEN NEW.last_error IS NOT OLD.last_error OR NEW.status = 'failed'
                         OR (OLD.status = 'processing' AND NEW.run_at <> OLD.run_at)
                    THEN NEW.last_error END
        FROM actor;
END;

CREATE TRIGGER {table}_renamed AFTER UPDATE OF target_app, kind ON {table}
WHEN NEW.status = OLD.status AND (NEW.target_app IS NOT OLD.target_app OR NEW.kind <> OLD.kind) BEGIN
    UPDATE tally SET n = n - 1 WHERE app = coalesce(OLD.target_app, '') AND kind = OLD.kind AND status = OLD.status;
    INSERT INTO tally VALUES (coalesce(NEW.target_app, ''), NEW.kind, NEW.status, 1, 1)
        ON CONFLICT (app, kind, status) DO UPDATE SET n = n + 1, entered = entered + 1;
END;

-- What Handover's own statements write themselves, a program with plain SQL need not know. Times in another form, such as
-- SQLite's own functions give, become ours, which sort as text; no time is refused.
CREATE TRIGGER {table}_moved_by_sql
AFTER UPDATE OF status, created_at, run_at, updated_at, processed_at, deleted_at, lease_until ON {table}
WHEN (SELECT name FROM actor) IS NULL BEGIN
    UPDATE {table} SET
        updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
        processed_at = CASE WHEN NEW.status IN ('completed', 'failed')
                                 THEN coalesce(NEW.processed_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
                            WHEN NEW.status = 'archived' THEN NEW.processed_at END,
        -- In the archive what failed has its last error, and what was completed has none.
        last_error = CASE WHEN NEW.status <> 'archived' THEN last_error
                          WHEN OLD.status = 'failed' THEN coalesce(last_error, 'it failed, and no reason was given') END
        WHERE id = NEW.id AND NEW.status <> OLD.status;
    SELECT RAISE(ABORT, 'this is no time: write it as 2025-11-24T10:30:00Z, of a year from 1 to 9999')
        FROM (SELECT NEW.created_at AS at UNION ALL SELECT NEW.run_at UNION ALL SELECT NEW.updated_at
              UNION ALL SELECT NEW.processed_at UNION ALL SELECT NEW.deleted_at UNION ALL SELECT NEW.lease_until)
        WHERE at IS NOT NULL AND coalesce(strftime('%Y', at) NOT BETWEEN '0001' AND '9999', 1);
    UPDATE {table} SET
        created_at = strftime('%Y-%m-%dT%H:%M:%fZ', created_at),
        run_at = strftime('%Y-%m-%dT%H:%M:%fZ', run_at),
        updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', updated_at),
        processed_at = strftime('%Y-%m-%dT%H:%M:%fZ', processed_at),
        deleted_at = strftime('%Y-%m-%dT%H:%M:%fZ', deleted_at),
        lease_until = strftime('%Y-%m-%dT%H:%M:%fZ', lease_until)
        WHERE id = NEW.id
          AND (NEW.created_at IS NOT strftime('%Y-%m-%dT%H:%M:%fZ', NEW.created_at)
            OR NEW.run_at IS NOT strftime('%Y-%m-%dT%H:%M:%fZ', NEW.run_at)
            OR NEW.updated_at IS NOT strftime('%Y-%m-%dT%H:%M:%fZ', NEW.updated_at)
            OR NEW.processed_at IS NOT strftime('%Y-%m-%dT%H:%M:%fZ', NEW.processed_at)
            OR NEW.deleted_at IS NOT strftime('%Y-%m-%dT%H:%M:%fZ', NEW.deleted_at)
            OR NEW.lease_until IS NOT strftime('%Y-%m-%dT%H:%M:%fZ', NEW.lease_until));
END;

CREATE TRIGGER {table}_gone AFTER DELETE ON {table} BEGIN
    UPDATE tally SET n = n - 1 WHERE app = coalesce(OLD.target_app, '') AND kind = OLD.kind AND status = OLD.status;
END;

INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', 0);
