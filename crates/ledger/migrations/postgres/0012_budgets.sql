-- Limits of rates that several processes hold together. Of each there is one number: when all of it would be there again, were
-- nothing more taken (the generic cell rate algorithm). The tables are unlogged: a crash of the server forgets them, and a limit
-- then begins full.

CREATE UNLOGGED TABLE integration.rate_budgets (
    key text PRIMARY KEY,
    -- Seconds since 1970.
    full_at double precision NOT NULL
) WITH (fillfactor = 50);

-- The processes that share them, and when each was last heard of.
CREATE UNLOGGED TABLE integration.rate_nodes (
    node text PRIMARY KEY,
    seen_at timestamptz NOT NULL
);

-- Settles what was taken without being asked for (p_owed; less than nothing gives back), and then takes as much of p_wanted as
-- there is. Each limit has one every p_each seconds, and p_most at once. The keys come in their order, so that two processes do
-- not wait for each other in a circle. Returns, in the same order, what was taken, what is left, and in how many seconds there
-- is another where nothing is.
CREATE FUNCTION integration._lease_rates(p_keys text[], p_each double precision[], p_most integer[], p_owed integer[],
    p_wanted integer[]) RETURNS TABLE (taken integer, remaining integer, again double precision) LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off AS $$
DECLARE
    v_full double precision;
    v_now double precision;
BEGIN
    FOR i IN 1 .. cardinality(p_keys) LOOP
        INSERT INTO integration.rate_budgets VALUES (p_keys[i], 0) ON CONFLICT DO NOTHING;
        SELECT b.full_at INTO v_full FROM integration.rate_budgets AS b WHERE b.key = p_keys[i] FOR UPDATE;
        v_now := extract(epoch FROM clock_timestamp());
        v_full := greatest(v_now, greatest(v_full, v_now) + p_owed[i] * p_each[i]);
        remaining := greatest(0, floor(p_most[i] - (v_full - v_now) / p_each[i] + 1e-6));
        taken := least(p_wanted[i], remaining);
        remaining := remaining - taken;
        v_full := v_full + taken * p_each[i];
        again := greatest(0, v_full - v_now - (p_most[i] - 1) * p_each[i]);
        UPDATE integration.rate_budgets AS b SET full_at = v_full WHERE b.key = p_keys[i];
        RETURN NEXT;
    END LOOP;
END $$;

-- Notes that a process is there; forgets others that were not heard of for a minute, and limits that have been full for as long.
-- Returns how many were heard of within ten seconds.
CREATE FUNCTION integration._share_rates(p_node text) RETURNS bigint LANGUAGE plpgsql SET jit = off AS $$
BEGIN
    INSERT INTO integration.rate_nodes AS n VALUES (p_node, clock_timestamp())
        ON CONFLICT (node) DO UPDATE SET seen_at = excluded.seen_at;
    DELETE FROM integration.rate_nodes WHERE node = ANY (ARRAY(
        SELECT node FROM integration.rate_nodes WHERE seen_at < clock_timestamp() - interval '1 minute' FOR UPDATE SKIP LOCKED));
    DELETE FROM integration.rate_budgets WHERE key = ANY (ARRAY(
        SELECT key FROM integration.rate_budgets WHERE full_at < extract(epoch FROM clock_timestamp()) - 60
        LIMIT 1000 FOR UPDATE SKIP LOCKED));
    RETURN (SELECT count(*) FROM integration.rate_nodes WHERE seen_at > clock_timestamp() - interval '10 seconds');
END $$;

REVOKE ALL ON FUNCTION integration._lease_rates(text[], double precision[], integer[], integer[], integer[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION integration._share_rates(text) FROM PUBLIC;
