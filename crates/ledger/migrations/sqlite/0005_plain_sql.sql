-- What programs with plain SQL may do to the tables, and what it brings with it. The migrator runs this file twice, as it
-- does 0002.
--
-- These triggers are for other programs alone: Handover's writer has them switched off, and its own statements do what
-- belongs to them, a batch at a time (ledger/src/sqlite/moves.rs).

DROP TRIGGER {table}_born;
CREATE TRIGGER {table}_born AFTER INSERT ON {table} BEGIN
    -- One sequence of ids: what one table gives out, the other may not; and a number is for ever.
    UPDATE sqlite_sequence SET seq = NEW.id WHERE name = '{other}' AND seq < NEW.id;
    INSERT INTO tally VALUES (coalesce(NEW.target_app, ''), NEW.kind, NEW.status, 1, 1)
        ON CONFLICT (app, kind, status) DO UPDATE SET n = n + 1, entered = entered + 1;
    INSERT INTO sources (source, kind, pushed, live) VALUES (NEW.source_app, NEW.kind, 1, 1)
        ON CONFLICT (source, kind) DO UPDATE SET pushed = pushed + 1, live = live + 1;
    INSERT INTO audit_log (at, actor, delivery_id, from_status, to_status, note)
        VALUES (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), coalesce(NEW.created_by, 'sql'), NEW.id, NULL, NEW.status,
                NEW.last_error);
END;

DROP TRIGGER {table}_gone;
CREATE TRIGGER {table}_gone AFTER DELETE ON {table} BEGIN
    UPDATE tally SET n = n - 1 WHERE app = coalesce(OLD.target_app, '') AND kind = OLD.kind AND status = OLD.status;
    UPDATE sources SET live = live - 1, deleted = deleted + 1 WHERE source = OLD.source_app AND kind = OLD.kind;
END;

-- A number is for ever, and so is a dedup key: what is in the archive has both still.
CREATE TRIGGER {table}_born_again BEFORE INSERT ON {table} BEGIN
    SELECT RAISE(ABORT, 'this id is taken, as it was given before: leave it out, and the ledger gives the next')
        WHERE NEW.id BETWEEN 1 AND (SELECT seq FROM sqlite_sequence WHERE name = '{table}')
          AND NOT EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'a delivery with this dedup_key to this app is in the archive: it was handed over before')
        WHERE EXISTS (SELECT 1 FROM data_archive WHERE target_app = NEW.target_app AND dedup_key = NEW.dedup_key
            AND (kind = 'record') = (NEW.kind = 'record'));
END;

-- Half of all numbers, so that those after it never come to an end. (Before it is inserted a row that was given none has -1.)
CREATE TRIGGER {table}_number AFTER INSERT ON {table} WHEN NEW.id NOT BETWEEN 1 AND 4611686018427387903 BEGIN
    SELECT RAISE(ABORT, 'an id is from 1 to 4611686018427387903: leave it out, and the ledger gives the next');
END;

CREATE TRIGGER {table}_unnamed BEFORE INSERT ON {table} WHEN NEW.source_app = '' OR NEW.target_app = '' BEGIN
    SELECT RAISE(ABORT, 'source_app and target_app are not to be empty: a target_app of NULL is the end of a flow');
END;

CREATE TRIGGER {table}_renamed_to_nothing BEFORE UPDATE OF source_app, target_app ON {table}
WHEN NEW.source_app = '' AND OLD.source_app <> '' OR NEW.target_app = '' AND OLD.target_app IS NOT '' BEGIN
    SELECT RAISE(ABORT, 'source_app and target_app are not to be empty: a target_app of NULL is the end of a flow');
END;

-- REPLACE deletes what stands in the way, and no trigger tells. So it is noted before, and looked for after.
CREATE TRIGGER {table}_in_the_way BEFORE INSERT ON {table}
WHEN EXISTS (SELECT 1 FROM in_the_way) OR EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)
    OR EXISTS (SELECT 1 FROM {table} WHERE target_app = NEW.target_app AND dedup_key = NEW.dedup_key) BEGIN
    DELETE FROM in_the_way;
    INSERT INTO in_the_way SELECT id FROM {table} WHERE id = NEW.id
        UNION SELECT id FROM {table} WHERE target_app = NEW.target_app AND dedup_key = NEW.dedup_key;
END;

CREATE TRIGGER {table}_replaced AFTER INSERT ON {table}
WHEN EXISTS (SELECT 1 FROM in_the_way AS w WHERE w.id = NEW.id OR NOT EXISTS (SELECT 1 FROM {table} WHERE id = w.id)) BEGIN
    SELECT RAISE(ABORT, 'REPLACE would lose the delivery that is there with this id or dedup_key: write INSERT OR IGNORE, or UPDATE it');
END;

CREATE TRIGGER {table}_in_its_way BEFORE UPDATE OF target_app, dedup_key ON {table}
WHEN EXISTS (SELECT 1 FROM in_the_way)
    OR EXISTS (SELECT 1 FROM {table} WHERE target_app = NEW.target_app AND dedup_key = NEW.dedup_key AND id <> OLD.id) BEGIN
    DELETE FROM in_the_way;
    INSERT INTO in_the_way
        SELECT id FROM {table} WHERE target_app = NEW.target_app AND dedup_key = NEW.dedup_key AND id <> OLD.id;
END;

CREATE TRIGGER {table}_replaced_by AFTER UPDATE OF target_app, dedup_key ON {table}
WHEN EXISTS (SELECT 1 FROM in_the_way AS w WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE id = w.id)) BEGIN
    SELECT RAISE(ABORT, 'REPLACE would lose the delivery that is there with this dedup_key: give this one another key');
END;

CREATE TRIGGER {table}_other_source AFTER UPDATE OF source_app, kind ON {table}
WHEN NEW.source_app <> OLD.source_app OR NEW.kind <> OLD.kind BEGIN
    UPDATE sources SET pushed = pushed - 1, live = live - 1 WHERE source = OLD.source_app AND kind = OLD.kind;
    INSERT INTO sources (source, kind, pushed, live) VALUES (NEW.source_app, NEW.kind, 1, 1)
        ON CONFLICT (source, kind) DO UPDATE SET pushed = pushed + 1, live = live + 1;
END;

-- A token is a Handover worker's: what it holds nobody else may end, give back, take or give to another app.
CREATE TRIGGER {table}_held BEFORE UPDATE OF status, lease_token, target_app, kind ON {table}
WHEN OLD.lease_token IS NOT NULL AND OLD.status = 'processing'
    AND (NEW.status <> OLD.status OR NEW.lease_token IS NOT OLD.lease_token OR NEW.target_app IS NOT OLD.target_app
        OR NEW.kind <> OLD.kind) BEGIN
    SELECT RAISE(ABORT, 'a Handover worker holds this delivery: answer with its token (handover ack, handover fail), or end it with handover cancel; then it may go to another app');
END;

CREATE TRIGGER {table}_no_token BEFORE UPDATE OF lease_token ON {table}
WHEN OLD.lease_token IS NULL AND NEW.lease_token IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'only Handover gives lease tokens: leave lease_token out, or claim with handover pull');
END;

-- What is deleted is not claimed: the claim passes it by, and takes the others.
CREATE TRIGGER {table}_deleted BEFORE UPDATE OF status ON {table}
WHEN OLD.deleted_at IS NOT NULL AND OLD.status = 'pending' AND NEW.status IN ('processing', 'completed') BEGIN
    SELECT RAISE(IGNORE);
END;

-- A plain claim gets a lease of an hour unless it brings one, and no token. Its holder is no process of ours, whatever it
-- is called, so that only the end of its lease takes the work from it.
CREATE TRIGGER {table}_claimed AFTER UPDATE OF status ON {table}
WHEN OLD.status = 'pending' AND NEW.status = 'processing' BEGIN
    UPDATE {table} SET
        attempts = CASE WHEN NEW.attempts = OLD.attempts THEN attempts + 1 ELSE attempts END,
        leased_by = CASE WHEN NEW.leased_by IS NULL OR NEW.leased_by = '' THEN 'sql'
                         WHEN NEW.leased_by = 'sql' OR NEW.leased_by LIKE 'sql:%' THEN NEW.leased_by
                         ELSE 'sql:' || NEW.leased_by END,
        lease_until = CASE WHEN NEW.lease_until IS NOT NULL AND NEW.lease_until IS NOT OLD.lease_until THEN lease_until
                           ELSE strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+1 hour') END
        WHERE id = NEW.id;
END;

CREATE TRIGGER {table}_born_claimed AFTER INSERT ON {table} WHEN NEW.status = 'processing' AND NEW.lease_until IS NULL BEGIN
    UPDATE {table} SET leased_by = coalesce(leased_by, 'sql'), lease_until = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+1 hour')
        WHERE id = NEW.id;
END;

-- One who ends what nobody has claimed has claimed and ended it: that was an attempt.
CREATE TRIGGER {table}_completed AFTER UPDATE OF status ON {table}
WHEN OLD.status = 'pending' AND NEW.status = 'completed' AND NEW.attempts = OLD.attempts BEGIN
    UPDATE {table} SET attempts = attempts + 1 WHERE id = NEW.id;
END;

-- A lease without an end would be nobody's to take back: it is that of a plain claim.
CREATE TRIGGER {table}_endless AFTER UPDATE OF lease_until ON {table}
WHEN OLD.status = 'processing' AND NEW.status = 'processing' AND NEW.lease_until IS NULL BEGIN
    UPDATE {table} SET lease_until = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+1 hour') WHERE id = NEW.id;
END;

-- And its end takes the lease away.
CREATE TRIGGER {table}_ended AFTER UPDATE OF status ON {table}
WHEN OLD.status = 'processing' AND NEW.status <> 'processing' BEGIN
    UPDATE {table} SET lease_until = NULL,
        leased_by = CASE WHEN NEW.status = 'pending' THEN NULL ELSE leased_by END
        WHERE id = NEW.id AND (lease_until IS NOT NULL OR NEW.status = 'pending');
END;

-- What was claimed by plain SQL before there were leases for it.
UPDATE {table} SET lease_until = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+1 hour'), leased_by = coalesce(leased_by, 'sql')
    WHERE status = 'processing' AND lease_until IS NULL;

-- What plain SQL has archived, until it is moved.
CREATE INDEX {index}archived ON {table} (status) WHERE status = 'archived';
-- What failed, newest first, of all apps and of one.
CREATE INDEX {index}failed ON {table} (status) WHERE status = 'failed';
CREATE INDEX {index}failed_app ON {table} (target_app) WHERE status = 'failed';
-- What is deleted, for the count of each source.
CREATE INDEX {index}deleted ON {table} (source_app, kind) WHERE deleted_at IS NOT NULL;

-- Fewer indexes for each record to go through: the oldest of an app is found in the first, which holds what the second
-- held; what is processing is found by its lease.
DROP INDEX {index}status_created;
CREATE INDEX {index}status_created ON {table} (status, created_at, target_app, run_at)
    WHERE status = 'pending' OR status = 'failed';
DROP INDEX {index}oldest;
