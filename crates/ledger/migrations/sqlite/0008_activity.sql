-- What came to an end, and how fast, over time: what the pages draw and /metrics adds up. Of each app and kind a row for each
-- minute in which something ended, later one for each hour; and one for all time, `seconds` and `at` 0, which never falls.
-- Processes count by themselves and add here what they counted, every few seconds.

CREATE TABLE activity (
    -- How long a row stands for: 60, 3600, or 0 for all time.
    seconds INTEGER NOT NULL CHECK (seconds IN (0, 60, 3600)),
    -- When that begins, in seconds since 1970.
    at INTEGER NOT NULL,
    app TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- `h00` to `h20`: how many were completed within 1 ms of their arrival, 2.5 ms, … a day, and later
    -- (ledger/src/activity.rs has the bounds); latency_us is the sum in microseconds.
    completed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, retried INTEGER NOT NULL DEFAULT 0,
    rows_in INTEGER NOT NULL DEFAULT 0, rows_out INTEGER NOT NULL DEFAULT 0,
    rows_rejected INTEGER NOT NULL DEFAULT 0, rows_filtered INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0, latency_us INTEGER NOT NULL DEFAULT 0,
    h00 INTEGER NOT NULL DEFAULT 0, h01 INTEGER NOT NULL DEFAULT 0, h02 INTEGER NOT NULL DEFAULT 0,
    h03 INTEGER NOT NULL DEFAULT 0, h04 INTEGER NOT NULL DEFAULT 0, h05 INTEGER NOT NULL DEFAULT 0,
    h06 INTEGER NOT NULL DEFAULT 0, h07 INTEGER NOT NULL DEFAULT 0, h08 INTEGER NOT NULL DEFAULT 0,
    h09 INTEGER NOT NULL DEFAULT 0, h10 INTEGER NOT NULL DEFAULT 0, h11 INTEGER NOT NULL DEFAULT 0,
    h12 INTEGER NOT NULL DEFAULT 0, h13 INTEGER NOT NULL DEFAULT 0, h14 INTEGER NOT NULL DEFAULT 0,
    h15 INTEGER NOT NULL DEFAULT 0, h16 INTEGER NOT NULL DEFAULT 0, h17 INTEGER NOT NULL DEFAULT 0,
    h18 INTEGER NOT NULL DEFAULT 0, h19 INTEGER NOT NULL DEFAULT 0, h20 INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (seconds, at, app, kind)
) WITHOUT ROWID;

-- What a process has added so far, so that nothing is added twice where it did not hear the answer.
CREATE TABLE activity_adds (
    process TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE VIEW v_activity AS
    SELECT strftime('%Y-%m-%dT%H:%M:%fZ', at, 'unixepoch') AS begins, seconds, app, kind, completed, failed, retried, rows_in, rows_out, rows_rejected,
        rows_filtered, bytes, latency_us / 1000000.0 AS latency_seconds
    FROM activity WHERE seconds > 0;
