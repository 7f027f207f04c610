-- What came to an end, and how fast, over time: what the pages draw and /metrics adds up. Of each app and kind a row for each
-- minute in which something ended, later one for each hour; and one for all time, `seconds` and `at` 0, which never falls.
-- Processes count by themselves and add here what they counted, every few seconds.

CREATE TABLE integration.activity (
    -- How long a row stands for: 60, 3600, or 0 for all time.
    seconds bigint NOT NULL CHECK (seconds IN (0, 60, 3600)),
    -- When that begins, in seconds since 1970.
    at bigint NOT NULL,
    app text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    -- `h00` to `h20`: how many were completed within 1 ms of their arrival, 2.5 ms, … a day, and later
    -- (ledger/src/activity.rs has the bounds); latency_us is the sum in microseconds.
    completed bigint NOT NULL DEFAULT 0, failed bigint NOT NULL DEFAULT 0, retried bigint NOT NULL DEFAULT 0,
    rows_in bigint NOT NULL DEFAULT 0, rows_out bigint NOT NULL DEFAULT 0,
    rows_rejected bigint NOT NULL DEFAULT 0, rows_filtered bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0, latency_us bigint NOT NULL DEFAULT 0,
    h00 bigint NOT NULL DEFAULT 0, h01 bigint NOT NULL DEFAULT 0, h02 bigint NOT NULL DEFAULT 0,
    h03 bigint NOT NULL DEFAULT 0, h04 bigint NOT NULL DEFAULT 0, h05 bigint NOT NULL DEFAULT 0,
    h06 bigint NOT NULL DEFAULT 0, h07 bigint NOT NULL DEFAULT 0, h08 bigint NOT NULL DEFAULT 0,
    h09 bigint NOT NULL DEFAULT 0, h10 bigint NOT NULL DEFAULT 0, h11 bigint NOT NULL DEFAULT 0,
    h12 bigint NOT NULL DEFAULT 0, h13 bigint NOT NULL DEFAULT 0, h14 bigint NOT NULL DEFAULT 0,
    h15 bigint NOT NULL DEFAULT 0, h16 bigint NOT NULL DEFAULT 0, h17 bigint NOT NULL DEFAULT 0,
    h18 bigint NOT NULL DEFAULT 0, h19 bigint NOT NULL DEFAULT 0, h20 bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (seconds, at, app, kind)
) WITH (fillfactor = 70);

-- What a process has added so far, so that nothing is added twice where it did not hear the answer.
CREATE TABLE integration.activity_adds (
    process text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL,
    at bigint NOT NULL
);

CREATE VIEW integration.v_activity AS
    SELECT to_timestamp(at) AS begins, seconds, app, kind, completed, failed, retried, rows_in, rows_out, rows_rejected,
        rows_filtered, bytes, latency_us / 1000000.0 AS latency_seconds
    FROM integration.activity WHERE seconds > 0;
