-- The spending of a tenant that leaves. `last` is null if nothing was left.
CREATE OR REPLACE FUNCTION erase_rest_of_integrations(p_most integer) RETURNS TABLE (last bigint)
LANGUAGE sql SET search_path = public, pg_temp AS $$
    SELECT nullif(delete_rows('{spending}', p_most), 0)
$$;
