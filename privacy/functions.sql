-- Tombstones and audit records (privacy/tombstones.py, privacy/audit.py). All functions except `tenants_with_records`
-- run with the caller's rights, under row-level security. db/functions.sql has the rules.

-- -- Tombstones ------------------------------------------------------------------------------------------------------

-- Leave tombstones of tickets, with the key of the transaction's tenant.
CREATE OR REPLACE FUNCTION leave_tombstones(p_numbers text[]) RETURNS void
LANGUAGE sql SET search_path = public, pg_temp AS $$
    INSERT INTO tombstones (tenant_id, hash)
    SELECT k.tenant_id, sha256(k.key || convert_to('ticket' || n.number, 'UTF8'))
    FROM tombstone_keys k, unnest(p_numbers) n (number) WHERE n.number IS NOT NULL
    ON CONFLICT DO NOTHING
$$;

-- Return the numbers of forgotten tickets. By index and hash, because statistics may be older than most tombstones.
CREATE OR REPLACE FUNCTION forgotten_among(p_numbers text[]) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = public, pg_temp SET enable_seqscan = off SET enable_nestloop = off AS $$
    WITH hashed AS MATERIALIZED (
        SELECT DISTINCT n.number, sha256(k.key || convert_to('ticket' || n.number, 'UTF8')) AS hash
        FROM tombstone_keys k, unnest(p_numbers) n (number)
    )
    SELECT h.number FROM hashed h WHERE h.hash IN (
        SELECT t.hash FROM tombstones t WHERE t.hash = ANY (ARRAY(SELECT o.hash FROM hashed o)))
$$;

-- -- Audit records ---------------------------------------------------------------------------------------------------

-- Return the tenants that have audit records, with one index step for each tenant.
CREATE OR REPLACE FUNCTION tenants_with_records() RETURNS TABLE (tenant_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE found AS (
        (SELECT r.tenant_id FROM audit_records r ORDER BY r.tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.tenant_id FROM audit_records r WHERE r.tenant_id > f.tenant_id ORDER BY r.tenant_id LIMIT 1)
        FROM found f WHERE f.tenant_id IS NOT NULL
    ) SELECT f.tenant_id FROM found f WHERE f.tenant_id IS NOT NULL
$$;

-- -- Erasing ---------------------------------------------------------------------------------------------------------
-- For privacy/erasure.py, in a transaction with the lock on the tenant's key. Each call handles one page: `p_most` rows
-- after `p_after` (null: from the start). `last` is null if no row is left.

-- Return the ticket numbers of records with this number, and the numbers of this requester's tickets, also among the
-- sources.
CREATE OR REPLACE FUNCTION numbers_of_records(p_number text, p_requester bytea) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
    SELECT n.number FROM audit_records r CROSS JOIN unnest(ARRAY[r.ticket_id, r.desk_id, r.display_id]) n (number)
    WHERE (r.ticket_id = p_number OR r.desk_id = p_number OR r.display_id = p_number OR r.requester = p_requester)
    AND n.number IS NOT NULL;
    RETURN QUERY
    SELECT n.number FROM audit_records r CROSS JOIN jsonb_array_elements(r.sources) s (source)
    CROSS JOIN unnest(ARRAY[s.source ->> 'number', s.source ->> 'desk_id']) n (number)
    WHERE s.source ->> 'requester' = encode(p_requester, 'hex') AND n.number IS NOT NULL;
END $$;

-- Return the records up to `p_last` that have a forgotten requester, or that are of or about a forgotten ticket or one
-- of `p_numbers`.
CREATE OR REPLACE FUNCTION forgotten_records(p_numbers text[], p_after timestamptz, p_last timestamptz)
RETURNS TABLE (job_id uuid, at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH page AS MATERIALIZED (
        SELECT r.job_id, r.at, r.requester, r.sources, ARRAY[r.ticket_id, r.desk_id, r.display_id] AS numbers
        FROM audit_records r WHERE (p_after IS NULL OR r.at > p_after) AND r.at <= p_last
    ), named AS MATERIALIZED (
        SELECT p.job_id, p.at, n.number FROM page p CROSS JOIN unnest(p.numbers) n (number)
        UNION ALL
        SELECT p.job_id, p.at, n.number FROM page p CROSS JOIN jsonb_array_elements(p.sources) s (source)
        CROSS JOIN unnest(ARRAY[s.source ->> 'number', s.source ->> 'desk_id']) n (number)
    ), forgotten AS MATERIALIZED (
        SELECT forgotten_among(ARRAY(SELECT n.number FROM named n)) AS number UNION ALL SELECT unnest(p_numbers)
    )
    SELECT n.job_id, n.at FROM named n WHERE n.number IN (SELECT f.number FROM forgotten f)
    UNION
    SELECT p.job_id, p.at FROM page p WHERE EXISTS (SELECT FROM tombstones t WHERE t.hash = p.requester);
END $$;

-- Count the records of `forgotten_records`, or all records if `p_numbers` is null.
CREATE OR REPLACE FUNCTION count_records(p_numbers text[], p_after timestamptz, p_most integer)
RETURNS TABLE (last timestamptz, records bigint)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF p_numbers IS NULL THEN
        RETURN QUERY SELECT NULL::timestamptz, count(*) FROM audit_records;
        RETURN;
    END IF;
    last := (SELECT max(p.at) FROM (SELECT r.at FROM audit_records r
             WHERE p_after IS NULL OR r.at > p_after ORDER BY r.at LIMIT p_most) p);
    records := (SELECT count(*) FROM forgotten_records(p_numbers, p_after, last));
    RETURN NEXT;
END $$;

-- Leave tombstones of the requester's tickets that records have; records may outlive copies and jobs.
CREATE OR REPLACE FUNCTION mark_tickets_of_records(p_requester bytea, p_after timestamptz, p_most integer)
RETURNS TABLE (last timestamptz)
LANGUAGE plpgsql SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    last := (SELECT max(p.at) FROM (SELECT r.at FROM audit_records r
             WHERE p_after IS NULL OR r.at > p_after ORDER BY r.at LIMIT p_most) p);
    PERFORM leave_tombstones(ARRAY(
        SELECT unnest(ARRAY[r.ticket_id, r.desk_id, r.display_id]) FROM audit_records r
        WHERE (p_after IS NULL OR r.at > p_after) AND r.at <= last AND r.requester = p_requester
        UNION ALL
        SELECT unnest(ARRAY[s.source ->> 'number', s.source ->> 'desk_id'])
        FROM audit_records r CROSS JOIN jsonb_array_elements(r.sources) s (source)
        WHERE (p_after IS NULL OR r.at > p_after) AND r.at <= last
        AND s.source ->> 'requester' = encode(p_requester, 'hex')));
    RETURN NEXT;
END $$;

CREATE OR REPLACE FUNCTION erase_records(p_all boolean, p_after timestamptz, p_most integer)
RETURNS TABLE (last timestamptz, records bigint)
LANGUAGE plpgsql SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    last := (SELECT max(p.at) FROM (SELECT r.at FROM audit_records r
             WHERE p_after IS NULL OR r.at > p_after ORDER BY r.at LIMIT p_most) p);
    IF p_all THEN
        DELETE FROM audit_records r WHERE (p_after IS NULL OR r.at > p_after) AND r.at <= last;
    ELSE
        DELETE FROM audit_records r USING forgotten_records('{}', p_after, last) f
        WHERE (r.job_id, r.at) = (f.job_id, f.at);
    END IF;
    GET DIAGNOSTICS records = ROW_COUNT;
    RETURN NEXT;
END $$;

-- The rest of a tenant that leaves; `last` is null if nothing was left. The key goes last, since the digests need it.
CREATE OR REPLACE FUNCTION erase_rest_of_privacy(p_most integer) RETURNS TABLE (last bigint)
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    last := nullif(delete_rows('{tombstones, secret_uses, known_secrets}', p_most), 0);
    IF last IS NULL THEN
        DELETE FROM tombstone_keys;
    END IF;
    RETURN NEXT;
END $$;
