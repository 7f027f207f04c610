-- What is wrong now and who was told of it, sizes over time, and what people did that is no move of a delivery.

-- One row for each thing that may be wrong, by its key: open while `ended_at` is null. `told` has for each target of notifications
-- when it was told last and of what: {"at": …, "count": …, "verdict": …, "open": …}.
CREATE TABLE alerts (
    key         TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    verdict     TEXT NOT NULL CHECK (verdict IN ('warn', 'fail')),
    app         TEXT,
    delivery_id INTEGER,
    count       INTEGER NOT NULL,
    text        TEXT NOT NULL,
    todo        TEXT NOT NULL,
    -- Who sees it: a node, or '' where all see the same.
    seen_by     TEXT NOT NULL,
    since       TEXT NOT NULL,
    raised_at   TEXT NOT NULL,
    seen_at     TEXT NOT NULL,
    told_at     TEXT,
    muted_until TEXT,
    muted_by    TEXT,
    ended_at    TEXT,
    told        TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;

-- Messages that are to be delivered to a target of notifications; gone once they are.
CREATE TABLE notices (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    target      TEXT NOT NULL,
    made_at     TEXT NOT NULL,
    due_at      TEXT NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    error       TEXT,
    body        TEXT NOT NULL
);

CREATE TABLE sizes (
    what    TEXT NOT NULL,
    at      TEXT NOT NULL,
    bytes   INTEGER NOT NULL,
    entries INTEGER,
    PRIMARY KEY (what, at)
) WITHOUT ROWID;
CREATE INDEX idx_sizes_at ON sizes (at);

CREATE TABLE actions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          TEXT NOT NULL,
    actor       TEXT NOT NULL,
    via         TEXT NOT NULL,
    did         TEXT NOT NULL,
    thing       TEXT,
    app         TEXT,
    delivery_id INTEGER,
    last_id     INTEGER,
    note        TEXT
);
CREATE INDEX idx_actions_delivery ON actions (delivery_id) WHERE delivery_id IS NOT NULL;

-- What people did to deliveries, without reading what workers did: see ledger/src/actions.rs.
CREATE INDEX idx_audit_people ON audit_log (id)
    WHERE from_status IS NOT NULL AND substr(actor, 1, 4) IN ('cli:', 'key:', 'toke', 'page', 'api');
