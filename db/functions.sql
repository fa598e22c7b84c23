-- Known secrets, and the rules of all database functions.
--
-- `ai-agents migrate` applies functions.sql of db, integrations, privacy, knowledge and jobs after the tables, at each run.
--
-- Rights. Functions that read across tenants run as the owner, with a fixed search_path. They return ids, tenants,
-- ticket numbers, states, counts, names of models and trace contexts, but never text of a ticket or an answer.
-- Functions that change a claimed job run as the owner too, and check the claim's tenant and token. All others run with
-- the caller's rights, under row-level security.
--
-- During a rolling update, the previous release runs on these functions, so the functions that it calls stay for one
-- release. Other parameters or columns need a new function beside the old one.

-- Record the secrets of a process; return when each was first seen. `p_secrets`: list of {tenant, setting, digest, key,
-- uses}, with each digest once per tenant. Only a fingerprint is stored: the digest, hashed again with the tenant's own
-- key. `key` is a new key for a tenant that has none (both in hex). `uses`: number of webhooks verified since the last
-- report. The sorted order of tenants and fingerprints prevents deadlocks between reports.
CREATE OR REPLACE FUNCTION know_secrets(p_secrets jsonb)
RETURNS TABLE (tenant_id text, setting text, first_seen_at timestamptz)
LANGUAGE plpgsql SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
DECLARE
    v_tenant text;
    v_secrets jsonb;
BEGIN
    FOR v_tenant, v_secrets IN
        SELECT s ->> 'tenant', jsonb_agg(s) FROM jsonb_array_elements(p_secrets) s GROUP BY 1 ORDER BY 1
    LOOP
        PERFORM set_config('app.tenant_id', v_tenant, true);
        INSERT INTO tombstone_keys (tenant_id, key) VALUES (v_tenant, decode(v_secrets #>> '{0,key}', 'hex'))
        ON CONFLICT DO NOTHING;
        INSERT INTO secret_uses AS u (tenant_id, fingerprint, hour, uses)
        SELECT v_tenant, sha256(t.key || decode(s.digest, 'hex')), date_trunc('hour', now()), s.uses
        FROM tombstone_keys t, jsonb_to_recordset(v_secrets) AS s (digest text, uses bigint)
        WHERE t.tenant_id = v_tenant AND s.uses > 0 ORDER BY 2
        ON CONFLICT (tenant_id, fingerprint, hour) DO UPDATE SET uses = u.uses + excluded.uses;
        RETURN QUERY
        INSERT INTO known_secrets AS k (tenant_id, fingerprint, setting, last_used_at)
        SELECT v_tenant, sha256(t.key || decode(s.digest, 'hex')), s.setting, CASE WHEN s.uses > 0 THEN now() END
        FROM tombstone_keys t, jsonb_to_recordset(v_secrets) AS s (setting text, digest text, uses bigint)
        WHERE t.tenant_id = v_tenant ORDER BY 2
        ON CONFLICT (tenant_id, fingerprint) DO UPDATE
        SET setting = excluded.setting, last_seen_at = excluded.last_seen_at,
            last_used_at = coalesce(excluded.last_used_at, k.last_used_at)
        RETURNING k.tenant_id, k.setting, k.first_seen_at;
    END LOOP;
END $$;

-- Purge usage counts by age, and secrets that no process has had for a long time.
CREATE OR REPLACE FUNCTION purge_secrets(p_uses_kept interval, p_secrets_kept interval) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM secret_uses u WHERE u.hour < now() - p_uses_kept;
    DELETE FROM known_secrets k WHERE k.last_seen_at < now() - p_secrets_kept;
$$;

-- Delete up to `p_most` rows of each of these tables; return the number of rows. For a tenant that leaves.
CREATE OR REPLACE FUNCTION delete_rows(p_tables regclass[], p_most integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    v_table regclass;
    v_count bigint;
    v_total bigint := 0;
BEGIN
    FOREACH v_table IN ARRAY p_tables LOOP
        EXECUTE 'DELETE FROM ' || v_table || ' WHERE ctid = ANY (ARRAY(SELECT ctid FROM ' || v_table || ' LIMIT $1))'
        USING p_most;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        v_total := v_total + v_count;
    END LOOP;
    RETURN v_total;
END $$;
