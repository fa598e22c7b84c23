-- Search in copies of tickets, solutions and documents; their erasure, and purges by age. Purges read across tenants
-- and run as the owner. All other functions run with the caller's rights, under row-level security. db/functions.sql
-- has the rules.

-- -- Finding ---------------------------------------------------------------------------------------------------------

-- Keep the postings of a ticket ('t') or a passage ('p') equal to its terms, at each write or deletion of the row.
-- Writes of one tenant are serialized: their texts have terms in common and would lock these in any order.
CREATE OR REPLACE FUNCTION keep_postings() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    v_collection "char" := TG_ARGV[0];
    v_row record := coalesce(NEW, OLD);
    v_old integer[] := '{}';
    v_new integer[] := '{}';
BEGIN
    IF TG_OP <> 'INSERT' THEN
        v_old := OLD.terms;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        v_new := NEW.terms;
    END IF;
    IF v_old = v_new AND (TG_OP <> 'UPDATE' OR OLD.weights = NEW.weights) THEN
        RETURN NULL;
    END IF;
    -- A changed text has other neighbours, so its embedding is made again.
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM embeddings e WHERE e.tenant_id = OLD.tenant_id AND e.collection = v_collection
            AND e.document = OLD.search_id;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('postings of ' || v_row.tenant_id, 0));
    DELETE FROM postings p USING unnest(v_old) gone (term)
        WHERE p.tenant_id = v_row.tenant_id AND p.collection = v_collection AND p.term = gone.term
        AND p.document = v_row.search_id AND gone.term <> ALL (v_new);
    IF v_new <> '{}' THEN
        INSERT INTO postings (tenant_id, collection, term, weight, document)
            SELECT v_row.tenant_id, v_collection, n.term, n.weight, v_row.search_id
            FROM unnest(v_new, NEW.weights) n (term, weight)
            ON CONFLICT (tenant_id, collection, term, document) DO UPDATE SET weight = excluded.weight;
    END IF;
    INSERT INTO term_counts AS c (tenant_id, collection, term, documents)
        SELECT v_row.tenant_id, v_collection, s.term, sum(s.step)
        FROM (SELECT unnest(v_new), 1 UNION ALL SELECT unnest(v_old), -1) s (term, step)
        GROUP BY s.term HAVING sum(s.step) <> 0
        ON CONFLICT (tenant_id, collection, term) DO UPDATE SET documents = c.documents + excluded.documents;
    DELETE FROM term_counts c USING unnest(v_old) gone (term)
        WHERE c.tenant_id = v_row.tenant_id AND c.collection = v_collection AND c.term = gone.term AND c.documents <= 0;
    IF (v_old = '{}') <> (v_new = '{}') THEN
        INSERT INTO collection_sizes AS c (tenant_id, collection, documents)
            VALUES (v_row.tenant_id, v_collection, CASE WHEN v_old = '{}' THEN 1 ELSE -1 END)
            ON CONFLICT (tenant_id, collection) DO UPDATE SET documents = c.documents + excluded.documents;
        DELETE FROM collection_sizes c
            WHERE c.tenant_id = v_row.tenant_id AND c.collection = v_collection AND c.documents <= 0;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tickets_postings AFTER INSERT OR UPDATE OF terms, weights OR DELETE ON tickets
    FOR EACH ROW EXECUTE FUNCTION keep_postings('t');
CREATE OR REPLACE TRIGGER passages_postings AFTER INSERT OR UPDATE OF terms, weights OR DELETE ON passages
    FOR EACH ROW EXECUTE FUNCTION keep_postings('p');

-- Find the texts of the caller's tenant that match the query best, by BM25. `worth` is a term's rarity times its weight
-- in the query. The rarest terms come first, until `p_budget` postings are read (the newest ones of the last term). So
-- a search in a million texts costs no more; the most frequent terms hardly distinguish texts. `asked` is the worth of
-- all words of the query, `known` of those that occur in any text, `texts` the number of texts; each word counts with
-- the best of its possible terms (`p_words` groups terms by word). A few texts do not show which terms are rare, so 20 texts without any term are added. The plan is
-- made for each query, because a cached plan would ignore the tenant's size and the terms.
CREATE OR REPLACE FUNCTION find_texts(
    p_collection "char", p_terms integer[], p_weights real[], p_words integer[], p_budget integer, p_most integer)
RETURNS TABLE (document bigint, score float8, asked float8, known float8, texts float8)
LANGUAGE plpgsql STABLE ROWS 100 SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_tenant text := nullif(current_setting('app.tenant_id', true), '');
BEGIN
    RETURN QUERY
    WITH size AS (
        SELECT c.documents + 20::float8 AS documents FROM collection_sizes c
        WHERE c.tenant_id = v_tenant AND c.collection = p_collection AND c.documents > 0
    ), worth AS MATERIALIZED (
        SELECT a.term, a.word, coalesce(c.documents, 0) AS documents,
            a.weight * ln(1 + (size.documents - coalesce(c.documents, 0) + 0.5) / (coalesce(c.documents, 0) + 0.5)) AS worth
        FROM size, unnest(p_terms, p_weights, p_words) a (term, weight, word)
        LEFT JOIN term_counts c ON c.tenant_id = v_tenant AND c.collection = p_collection AND c.term = a.term
    ), known AS (
        SELECT w.term, w.documents, w.worth,
            sum(w.documents) OVER (ORDER BY w.documents, w.term ROWS UNBOUNDED PRECEDING) - w.documents AS before
        FROM worth w WHERE w.documents > 0
    ), hits AS (
        SELECT p.document, k.worth, p.weight
        FROM known k
        CROSS JOIN LATERAL (
            SELECT p.document, p.weight FROM postings p
            WHERE p.tenant_id = v_tenant AND p.collection = p_collection AND p.term = k.term
            ORDER BY p.document DESC LIMIT p_budget - k.before
        ) p
        WHERE k.before < p_budget
    )
    -- As real: sums of the same parts in another order differ in their last digit.
    SELECT h.document, sum(h.worth * h.weight)::real::float8 AS score, w.asked, w.known, size.documents - 20
    FROM hits h CROSS JOIN size CROSS JOIN (
        SELECT sum(coalesce(b.known, b.worth)) AS asked, coalesce(sum(b.known), 0) AS known FROM (
            SELECT max(w.worth) AS worth, max(w.worth) FILTER (WHERE w.documents > 0) AS known FROM worth w GROUP BY w.word
        ) b) w
    GROUP BY h.document, w.asked, w.known, size.documents ORDER BY score DESC, h.document DESC LIMIT p_most;
END $$;

-- With pgvector (0.8): one index for each model that has embeddings, and none for other models. Only the tables' owner
-- can create an index, so `ai-agents migrate` runs this. knowledge/embedding_repository.py has the names and the
-- expression. pgvector indexes half-precision vectors of up to 4,000 dimensions.
DO $do$
DECLARE
    -- A table that a loop reads can't get an index, so the models are read first.
    v_models jsonb := (SELECT coalesce(jsonb_object_agg(m.model, m.dimensions), '{}') FROM (
        SELECT e.model, max(octet_length(e.embedding)) AS dimensions FROM embeddings e GROUP BY e.model) m
        WHERE m.dimensions <= 4000);
    v_wanted text[] := '{}';
    v_name text;
    v_model record;
BEGIN
    IF to_regtype('halfvec') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE $create$
    CREATE OR REPLACE FUNCTION embedding_vector(p_embedding bytea) RETURNS public.halfvec
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT array_agg(CASE WHEN b.value > 127 THEN b.value - 256 ELSE b.value END ORDER BY b.at)::real[]::public.halfvec
        FROM (SELECT n.at, get_byte(p_embedding, n.at) AS value
              FROM generate_series(0, octet_length(p_embedding) - 1) n (at)) b
    $$ $create$;
    FOR v_model IN SELECT m.key::bigint AS id, m.value AS dimensions FROM jsonb_each_text(v_models) m LOOP
        v_name := 'embeddings_near_' || (v_model.id + 2147483648);
        v_wanted := v_wanted || v_name;
        EXECUTE 'CREATE INDEX IF NOT EXISTS ' || v_name || ' ON embeddings USING hnsw ((embedding_vector(embedding)'
            || '::halfvec(' || v_model.dimensions || ')) halfvec_cosine_ops) WHERE model = ' || v_model.id;
    END LOOP;
    FOR v_name IN SELECT c.relname FROM pg_class c
        WHERE c.relkind = 'i' AND starts_with(c.relname, 'embeddings_near_') AND c.relname <> ALL (v_wanted)
    LOOP
        EXECUTE 'DROP INDEX ' || v_name;
    END LOOP;
END $do$;

-- -- Erasing ---------------------------------------------------------------------------------------------------------
-- For privacy/erasure.py, in a transaction with the lock on the tenant's key. Each call handles one page: `p_most` rows
-- after `p_after` (null: from the start). `last` is null if no row is left.

-- Return the ticket numbers of copies with this number, or of this requester.
CREATE OR REPLACE FUNCTION numbers_of_copies(p_number text, p_requester bytea) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
    SELECT n.number FROM tickets t CROSS JOIN unnest(ARRAY[t.ticket_id, t.display_id]) n (number)
    WHERE (t.ticket_id = p_number OR t.display_id = p_number OR t.requester = p_requester) AND n.number IS NOT NULL;
END $$;

-- Count copies of forgotten tickets and of `p_numbers` (null: of all, with parts of solutions), copies that name an
-- address, and copies whose requester is unknown.
CREATE OR REPLACE FUNCTION count_copies(p_numbers text[], p_address text, p_after text, p_most integer)
RETURNS TABLE (last text, copies bigint, naming bigint, unattributed bigint)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF p_numbers IS NULL THEN
        RETURN QUERY SELECT NULL::text, (SELECT count(*) FROM tickets) + (SELECT count(*) FROM passages), 0::bigint,
            0::bigint;
        RETURN;
    END IF;
    last := (SELECT max(p.ticket_id) FROM (SELECT t.ticket_id FROM tickets t
             WHERE p_after IS NULL OR t.ticket_id > p_after ORDER BY t.ticket_id LIMIT p_most) p);
    RETURN QUERY WITH page AS MATERIALIZED (
        SELECT t.ticket_id, t.display_id, t.requester, t.people FROM tickets t
        WHERE (p_after IS NULL OR t.ticket_id > p_after) AND t.ticket_id <= last
    ), forgotten AS MATERIALIZED (
        SELECT forgotten_among(ARRAY(SELECT unnest(ARRAY[p.ticket_id, p.display_id]) FROM page p)) AS number
        UNION ALL SELECT unnest(p_numbers)
    )
    SELECT last,
        count(*) FILTER (WHERE p.ticket_id IN (SELECT f.number FROM forgotten f)
                         OR p.display_id IN (SELECT f.number FROM forgotten f)),
        count(*) FILTER (WHERE strpos(lower(p.people::text), p_address) > 0),
        count(*) FILTER (WHERE p.requester IS NULL)
    FROM page p;
END $$;

-- Leave tombstones of the requester's tickets, then delete each copy with a tombstone (`p_all`: each copy), since the
-- copy's own requester may be missing or outdated. Copies of other requesters' tickets may name the address too, e.g.
-- of the person who recorded the ticket. `p_ticket` leaves the desk's list even if it was not copied.
CREATE OR REPLACE FUNCTION erase_copies(
    p_all boolean, p_ticket text, p_requester bytea, p_address text, p_after text, p_most integer)
RETURNS TABLE (last text, copies bigint)
LANGUAGE plpgsql SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_page text[];
    v_forgotten text[];
BEGIN
    last := (SELECT max(p.ticket_id) FROM (SELECT t.ticket_id FROM tickets t
             WHERE p_after IS NULL OR t.ticket_id > p_after ORDER BY t.ticket_id LIMIT p_most) p);
    v_page := ARRAY(SELECT t.ticket_id FROM tickets t
                    WHERE (p_after IS NULL OR t.ticket_id > p_after) AND t.ticket_id <= last);
    IF NOT p_all THEN
        PERFORM leave_tombstones(ARRAY(SELECT unnest(ARRAY[t.ticket_id, t.display_id]) FROM tickets t
                                       WHERE t.ticket_id = ANY (v_page) AND t.requester = p_requester));
        v_forgotten := ARRAY(SELECT forgotten_among(ARRAY(
            SELECT unnest(ARRAY[t.ticket_id, t.display_id]) FROM tickets t WHERE t.ticket_id = ANY (v_page))));
        UPDATE tickets t SET people = '[]'
        WHERE t.ticket_id = ANY (v_page) AND strpos(lower(t.people::text), p_address) > 0;
        v_page := ARRAY(SELECT t.ticket_id FROM tickets t WHERE t.ticket_id = ANY (v_page)
                        AND (t.ticket_id = ANY (v_forgotten) OR t.display_id = ANY (v_forgotten)));
        DELETE FROM listings l WHERE l.collection = 't' AND l.item_id = ANY (v_page || p_ticket);
    END IF;
    DELETE FROM tickets t WHERE t.ticket_id = ANY (v_page);
    GET DIAGNOSTICS copies = ROW_COUNT;
    RETURN NEXT;
END $$;

-- The rest of a tenant that leaves; `last` is null if nothing was left. Few passages at once: deleting them updates the
-- counts of their terms, which blocks the tenant's other writers until the commit. The search index goes with the copies.
CREATE OR REPLACE FUNCTION erase_rest_of_knowledge(p_most integer) RETURNS TABLE (last bigint, passages bigint)
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    passages := delete_rows('{passages}', least(p_most, 25));
    last := nullif(passages, 0);
    IF last IS NULL THEN
        last := nullif(delete_rows('{listings, passes}', p_most), 0);
    END IF;
    RETURN NEXT;
END $$;

-- -- Purging ---------------------------------------------------------------------------------------------------------
-- In batches, each in a short transaction; locked rows wait for the next batch.

-- Purge copies of tickets and solutions that the desk has not listed for `p_days` days. Documents from files are in no
-- desk's list.
CREATE OR REPLACE FUNCTION purge_tickets(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH old AS MATERIALIZED (
        SELECT o.tenant_id, o.ticket_id FROM tickets o WHERE o.synced_at < now() - make_interval(days => p_days)
        AND NOT EXISTS (SELECT FROM listings l WHERE (l.tenant_id, l.collection, l.item_id)
            = (o.tenant_id, 't', o.ticket_id) AND l.seen_at >= now() - make_interval(days => p_days))
        LIMIT p_most FOR UPDATE SKIP LOCKED
    ), purged AS (
        DELETE FROM tickets t USING old o WHERE (t.tenant_id, t.ticket_id) = (o.tenant_id, o.ticket_id) RETURNING 1
    ) SELECT count(*) FROM purged
$$;

CREATE OR REPLACE FUNCTION purge_passages(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH old AS MATERIALIZED (
        SELECT o.tenant_id, o.source_id, o.position FROM passages o
        WHERE o.synced_at < now() - make_interval(days => p_days) AND NOT starts_with(o.source_id, 'file:')
        AND NOT EXISTS (SELECT FROM listings l WHERE (l.tenant_id, l.collection, l.item_id)
            = (o.tenant_id, 'p', o.source_id) AND l.seen_at >= now() - make_interval(days => p_days))
        LIMIT p_most FOR UPDATE SKIP LOCKED
    ), purged AS (
        DELETE FROM passages t USING old o
        WHERE (t.tenant_id, t.source_id, t.position) = (o.tenant_id, o.source_id, o.position) RETURNING 1
    ) SELECT count(*) FROM purged
$$;

CREATE OR REPLACE FUNCTION purge_listings(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH old AS MATERIALIZED (
        SELECT o.tenant_id, o.collection, o.item_id FROM listings o
        WHERE o.seen_at < now() - make_interval(days => p_days) LIMIT p_most FOR UPDATE SKIP LOCKED
    ), purged AS (
        DELETE FROM listings t USING old o
        WHERE (t.tenant_id, t.collection, t.item_id) = (o.tenant_id, o.collection, o.item_id) RETURNING 1
    ) SELECT count(*) FROM purged
$$;
