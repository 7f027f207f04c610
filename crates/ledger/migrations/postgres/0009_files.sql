-- What the file door asks for: names.

-- Reserves a name, or gives the one that this output (p_slot) of this delivery (p_maker) has. A name of its own form is
-- p_stem; else it is p_prefix and a sequence: the wanted one where it is free and above the floor, else the next after the
-- larger of the ledger and the floor. `refused` says why there is none: 'taken', or 'full'.
--
-- Two who ask for a name of its own form meet at the primary key: the later waits for the earlier's transaction, and looks
-- again. Of two who ask for the next sequence, the later takes the one after it.
CREATE FUNCTION integration._reserve(
    p_maker bigint, p_slot text, p_folder text, p_app text, p_type text, p_date date, p_wanted bigint, p_floor bigint,
    p_stem text, p_prefix text, p_now timestamptz DEFAULT NULL,
    OUT folder text, OUT stem text, OUT sequence bigint, OUT file_id bigint, OUT reserved_at timestamptz,
    OUT fresh boolean, OUT refused text
) LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
DECLARE
    v_stem text;
    v_sequence bigint;
BEGIN
    LOOP
        SELECT n.folder, n.stem, n.sequence, n.file_id, n.created_at, false
            INTO folder, stem, sequence, file_id, reserved_at, fresh
            FROM integration.names AS n WHERE n.delivery_id = p_maker AND n.slot = p_slot;
        IF FOUND THEN
            RETURN;
        END IF;
        v_sequence := p_wanted;
        IF p_wanted IS NULL OR p_wanted <= p_floor OR EXISTS (
            SELECT FROM integration.names AS n
            WHERE n.folder = p_folder AND n.stem = p_prefix || integration._sequence(p_wanted)) THEN
            SELECT greatest(coalesce(max(n.sequence), 0), p_floor) + 1 INTO v_sequence FROM integration.names AS n
                WHERE n.folder = p_folder AND n.app = p_app AND n.type = p_type AND n.date = p_date;
        END IF;
        -- What others are reserving just now is left to them: waiting for them would be waiting for their disk.
        WHILE p_stem IS NULL AND v_sequence <= 4294967295 AND NOT pg_try_advisory_xact_lock(
            hashtextextended('handover name ' || p_folder || '/' || p_prefix || integration._sequence(v_sequence), 0)) LOOP
            v_sequence := greatest(v_sequence, p_floor) + 1;
        END LOOP;
        IF v_sequence > 4294967295 THEN
            refused := 'full';
            RETURN;
        END IF;
        v_stem := coalesce(p_stem, p_prefix || integration._sequence(v_sequence));
        IF p_stem IS NOT NULL AND EXISTS (
            SELECT FROM integration.names AS n WHERE n.folder = p_folder AND n.stem = p_stem) THEN
            refused := 'taken';
            RETURN;
        END IF;
        INSERT INTO integration.names AS n (folder, stem, delivery_id, slot, file_id, app, type, date, sequence, created_at)
            VALUES (p_folder, v_stem, p_maker, p_slot, nextval('integration.delivery_ids'), p_app, p_type, p_date,
                    v_sequence, coalesce(p_now, clock_timestamp()))
            ON CONFLICT DO NOTHING
            RETURNING n.folder, n.stem, n.sequence, n.file_id, n.created_at, true
            INTO folder, stem, sequence, file_id, reserved_at, fresh;
        IF FOUND THEN
            RETURN;
        END IF;
    END LOOP;
END $$;

-- A sequence as names have it: three digits or more.
CREATE FUNCTION integration._sequence(p_sequence bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_sequence < 1000 THEN lpad(p_sequence::text, 3, '0') ELSE p_sequence::text END
$$;

REVOKE ALL ON FUNCTION
    integration._reserve(bigint, text, text, text, text, date, bigint, bigint, text, text, timestamptz),
    integration._sequence(bigint) FROM PUBLIC;
