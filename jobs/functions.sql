-- State machine of a job, and queries of jobs across tenants. db/functions.sql has the rules.
--
-- Each transition is one function. It changes the row and writes the job's event, so a caller in autocommit needs one
-- round trip. Limits and reasons are parameters; jobs/repository.py names them. docs/dev/states.md is drawn from the
-- comments that begin with `state:`, and a test compares both with the functions.

-- -- Events ----------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION tell_event(p_tenant text, p_id uuid, p_attempt integer, p_what text, p_reason text DEFAULT NULL)
RETURNS void LANGUAGE sql SET search_path = public, pg_temp AS $$
    INSERT INTO job_events (tenant_id, job_id, attempt, what, reason)
    VALUES (p_tenant, p_id, p_attempt, p_what, p_reason)
$$;

-- Write the event of a claimed job's change, and return true. Without a change, return true if an earlier call made
-- it: a caller repeats a change if the reply to the commit was lost. The claim's token identifies the repeat: it stays
-- in a row that the claim itself freed, until the next change of the job.
-- `p_attempt` is the claim's attempt, `p_left` the row's attempt after the change.
CREATE OR REPLACE FUNCTION tell_freed(
    p_changed boolean, p_tenant text, p_id uuid, p_token uuid, p_state text, p_left integer, p_attempt integer,
    p_what text, p_reason text)
RETURNS boolean LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF p_changed THEN
        PERFORM tell_event(p_tenant, p_id, p_attempt, p_what, p_reason);
        RETURN true;
    END IF;
    RETURN EXISTS (
        SELECT FROM jobs j WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token
        AND j.state = p_state AND j.attempt = p_left AND j.reason IS NOT DISTINCT FROM p_reason);
END $$;

-- -- Accepting -------------------------------------------------------------------------------------------------------

-- Store one tenant's delivery keys that arrived at `p_seen_at`; `p_ids[i]` is the job of `p_keys[i]`, and each key
-- occurs once. Return for each job the first job's id if one of its keys is still valid, else its own id. A key is
-- valid for `p_known` from its first delivery. An unsigned key is free again once its job ended without a note, so that
-- a reopened ticket may be sent again. The sorted order prevents deadlocks between deliveries.
CREATE OR REPLACE FUNCTION remember_deliveries(
    p_tenant text, p_ids uuid[], p_keys text[], p_seen_at timestamptz, p_known interval)
RETURNS TABLE (id uuid, first_id uuid) LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    FOR id, first_id IN
        WITH received AS (SELECT u.key, u.job FROM unnest(p_keys, p_ids) AS u (key, job)),
        taken AS (
            INSERT INTO delivery_keys AS k (tenant_id, key, job_id, expires_at)
            SELECT p_tenant, c.key, c.job, p_seen_at + p_known FROM received c ORDER BY c.key
            ON CONFLICT (tenant_id, key) DO UPDATE SET (job_id, expires_at) = (
                SELECT CASE WHEN s.known THEN k.job_id ELSE excluded.job_id END,
                       CASE WHEN s.known THEN k.expires_at ELSE excluded.expires_at END
                FROM (SELECT k.expires_at > p_seen_at AND (starts_with(k.key, 'signed:') OR NOT EXISTS (
                          SELECT FROM jobs j WHERE j.id = k.job_id AND j.state IN ('skipped', 'failed'))) AS known) s)
            RETURNING k.key, k.job_id
        )
        SELECT c.job, (array_agg(t.job_id ORDER BY t.job_id) FILTER (WHERE t.job_id <> c.job))[1]
        FROM received c JOIN taken t ON t.key = c.key GROUP BY c.job
    LOOP
        IF first_id IS NULL THEN
            first_id := id;
        ELSE
            UPDATE delivery_keys k SET job_id = first_id WHERE k.tenant_id = p_tenant AND k.key = ANY (p_keys)
            AND k.job_id = id;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- state: [*] -> waiting: accepted
-- Record webhooks as jobs. Return for each its id, or the first job's id for a duplicate. One transaction, so that no
-- delivery is remembered without its job. `p_events`: list of {id, tenant, ticket, event, traceparent, keys, remark};
-- no two have a key in common. The optional remark is the reason of the job's first event. `p_published`: the caller
-- pushes the jobs' messages right after. The sorted order of tenants prevents deadlocks. A locked key is awaited for
-- 500 ms at most, because the other webhooks wait too.
CREATE OR REPLACE FUNCTION accept_jobs(p_events jsonb, p_published boolean, p_known interval, p_deadline interval)
RETURNS TABLE (id uuid, first_id uuid)
LANGUAGE plpgsql SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
DECLARE
    v_tenant text;
    v_events jsonb;
BEGIN
    FOR v_tenant, v_events IN
        SELECT e ->> 'tenant', jsonb_agg(e) FROM jsonb_array_elements(p_events) e GROUP BY 1 ORDER BY 1
    LOOP
        PERFORM set_config('app.tenant_id', v_tenant, true);
        RETURN QUERY
        WITH received AS (
            SELECT e.* FROM jsonb_to_recordset(v_events)
            AS e (id uuid, ticket text, event text, traceparent text, keys text[], remark text)
        ),
        firsts AS (
            SELECT r.id, r.first_id FROM
                (SELECT array_agg(c.id) AS ids, array_agg(k.key) AS keys FROM received c, unnest(c.keys) AS k (key)) a,
                remember_deliveries(v_tenant, a.ids, a.keys, now(), p_known) r
        ),
        made AS (
            INSERT INTO jobs (id, tenant_id, ticket_id, event, state, traceparent, accepted_at, due_at, deadline_at,
                              published_at)
            SELECT c.id, v_tenant, c.ticket, c.event, 'waiting', c.traceparent, now(), now(), now() + p_deadline,
                   CASE WHEN p_published THEN now() END
            FROM received c LEFT JOIN firsts f ON f.id = c.id WHERE coalesce(f.first_id, c.id) = c.id
            ON CONFLICT DO NOTHING
            RETURNING id
        ),
        logged AS (
            INSERT INTO job_events (tenant_id, job_id, attempt, what, reason)
            SELECT v_tenant, m.id, 0, 'accepted', c.remark FROM made m JOIN received c ON c.id = m.id
        )
        SELECT c.id, coalesce(f.first_id, c.id) FROM received c LEFT JOIN firsts f ON f.id = c.id;
    END LOOP;
END $$;

-- state: [*] -> waiting: accepted late, from Redis
-- state: [*] -> skipped: accepted late, a duplicate
-- Record a webhook that waited in Redis. Return false for a duplicate; it was answered with its own id, so it gets a
-- row too. A locked delivery key is awaited for 100 ms at most. The message was pushed when the webhook was answered.
CREATE OR REPLACE FUNCTION accept_late_job(
    p_tenant text, p_id uuid, p_ticket text, p_event text, p_traceparent text, p_keys text[],
    p_accepted_at timestamptz, p_known interval, p_deadline interval, p_duplicate text)
RETURNS boolean LANGUAGE plpgsql SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    v_at timestamptz := least(p_accepted_at, now());
    v_is_first boolean;
BEGIN
    PERFORM set_config('app.tenant_id', p_tenant, true);
    SELECT r.first_id = p_id INTO v_is_first FROM
        (SELECT array_agg(DISTINCT u.key) AS keys FROM unnest(p_keys) AS u (key)) k,
        remember_deliveries(p_tenant, array_fill(p_id, ARRAY[cardinality(k.keys)]), k.keys, v_at, p_known) r;
    INSERT INTO jobs (id, tenant_id, ticket_id, event, state, reason, traceparent, accepted_at, due_at, deadline_at,
                      published_at, finished_at)
    VALUES (p_id, p_tenant, p_ticket, p_event, CASE WHEN v_is_first THEN 'waiting' ELSE 'skipped' END,
            CASE WHEN NOT v_is_first THEN p_duplicate END, p_traceparent, v_at, v_at, v_at + p_deadline, now(),
            CASE WHEN NOT v_is_first THEN now() END)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM tell_event(p_tenant, p_id, 0, 'accepted');
        IF NOT v_is_first THEN
            PERFORM tell_event(p_tenant, p_id, 0, 'skipped', p_duplicate);
        END IF;
    END IF;
    RETURN v_is_first;
END $$;

-- -- A ticket and its numbers ----------------------------------------------------------------------------------------
-- A cloud desk has an id for each ticket and another number for people; a webhook may contain either (docs/adr/0019). A
-- job's row has both, `desk_id` and `display_id`, once they are known. Both are null while only the webhook's number
-- is known.

CREATE OR REPLACE FUNCTION numbers_of_job(p_tenant text, p_id uuid) RETURNS TABLE (desk_id text, display_id text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT j.desk_id, j.display_id FROM jobs j WHERE j.id = p_id AND j.tenant_id = p_tenant
$$;

-- Lock each number of a ticket until the transaction ends, so that transactions for one ticket run one by one. The
-- sorted order prevents deadlocks.
CREATE OR REPLACE FUNCTION lock_ticket(p_tenant text, p_numbers text[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(l.key)
    FROM (SELECT DISTINCT hashtextextended(p_tenant || ' ' || n.number, 0) AS key
          FROM unnest(p_numbers) AS n(number) WHERE n.number IS NOT NULL ORDER BY 1) l;
END $$;

-- Return flags of the other jobs of a job's ticket, by either of its numbers. `running`: one runs. `posted`: one waits
-- and may have posted its note. `earlier`: one waits and was accepted earlier; a later retry by hand replaces that
-- time, so that all jobs have one order. `claim_job` explains `enhanced` and `echo`; a job that was retried by hand is
-- never an echo. With the planner's default of 1,000 rows instead of ROWS 1, a claim would read the whole of a small
-- table.
CREATE OR REPLACE FUNCTION other_jobs_of_ticket(p_id uuid, p_echo interval, p_missing text)
RETURNS TABLE (running boolean, posted boolean, earlier boolean, enhanced boolean, echo boolean)
LANGUAGE sql STABLE ROWS 1 SET search_path = public, pg_temp AS $$
    SELECT coalesce(bool_or(o.state = 'running'), false),
           coalesce(bool_or(o.state = 'waiting' AND o.note_attempted_at IS NOT NULL), false),
           coalesce(bool_or(o.state = 'waiting' AND (coalesce(o.retried_at, o.accepted_at), o.id)
               < (coalesce(j.retried_at, j.accepted_at), j.id)), false),
           coalesce(bool_or(o.state = 'completed' OR (o.state = 'failed' AND o.note_attempted_at IS NOT NULL
               AND o.reason IS DISTINCT FROM p_missing)), false),
           coalesce(bool_or(j.retried_at IS NULL
               AND j.accepted_at BETWEEN o.failure_noted_at AND o.failure_noted_at + p_echo), false)
    FROM jobs j CROSS JOIN LATERAL (
        -- One index each: an OR of both would read all jobs of a tenant. A row that matches both sides occurs twice.
        SELECT t.* FROM jobs t WHERE t.tenant_id = j.tenant_id AND t.ticket_id = ANY (ARRAY[j.ticket_id, j.desk_id])
        UNION ALL
        SELECT d.* FROM jobs d WHERE d.tenant_id = j.tenant_id AND d.desk_id = ANY (ARRAY[j.ticket_id, j.desk_id])
        AND d.desk_id IS NOT NULL) o
    WHERE j.id = p_id AND o.id <> j.id
$$;

-- -- An attempt ------------------------------------------------------------------------------------------------------

-- state: waiting -> running: claimed
-- state: running -> running: claimed from a worker that fell silent
-- state: waiting -> waiting: another job of its ticket comes first
-- state: running -> waiting: its worker fell silent, and another job of its ticket comes first
-- Claim a job that is due or whose lease ran out. Claims of one ticket are serialized; the second statement sees the
-- rows that were committed during the wait.
-- - `another_first`: another job of the ticket runs, may have posted its note, or was accepted earlier. This job keeps
--   waiting; its deadline moves by the delay, up to the longest life. A job that may have posted its own note waits
--   only for a running one; otherwise two such jobs would wait for each other forever.
-- - `enhanced`: another job has posted its note, or has failed but may have posted it. Without this flag, a desk
--   that stores each note, answers with a failure and fires a webhook at each change would get a paid note each time.
--   If the last look found no note (`p_missing`), the next webhook may make one.
-- - `echo`: another job has just left a failure note there, which may have caused the webhook.
CREATE OR REPLACE FUNCTION claim_job(
    p_id uuid, p_owner text, p_token uuid, p_lease interval, p_attempts integer, p_wait interval, p_longest interval,
    p_echo interval, p_another_first text, p_missing text)
RETURNS TABLE (tenant_id text, ticket_id text, attempt integer, traceparent text, waiting_since timestamptz,
               claimed_at timestamptz, deadline_at timestamptz, started_before boolean, answered boolean,
               note_attempted_at timestamptz, seen_open_at timestamptz, enhanced boolean, echo boolean,
               another_first boolean)
LANGUAGE plpgsql SECURITY DEFINER ROWS 1 SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM lock_ticket(j.tenant_id, ARRAY[j.ticket_id, j.desk_id]) FROM jobs j WHERE j.id = p_id;

    RETURN QUERY WITH free AS (
        SELECT j.id, j.started_at IS NOT NULL AS started_before, j.reason, j.note_attempted_at IS NULL AS may_wait,
               CASE WHEN j.state = 'waiting' THEN j.due_at ELSE j.lease_until END AS since
        FROM jobs j
        WHERE j.id = p_id AND j.deadline_at > now()
        AND ((j.state = 'waiting' AND j.due_at <= now())
             OR (j.state = 'running' AND j.lease_until < now() AND j.attempt < p_attempts))
        FOR UPDATE
    ), checked AS (
        SELECT f.id, f.started_before, f.reason, f.since, o.enhanced, o.echo,
               o.running OR (f.may_wait AND (o.posted OR o.earlier)) AS another_first
        FROM free f CROSS JOIN LATERAL other_jobs_of_ticket(f.id, p_echo, p_missing) o
    ), waits AS (
        UPDATE jobs j
        SET state = 'waiting', reason = p_another_first, published_at = NULL, lease_owner = NULL, lease_until = NULL,
            claim_token = NULL, due_at = clock_timestamp() + p_wait,
            deadline_at = greatest(j.deadline_at, least(
                j.deadline_at + (clock_timestamp() - a.since) + p_wait,
                coalesce(j.retried_at, j.accepted_at) + p_longest))
        FROM checked a WHERE j.id = a.id AND a.another_first
        RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent, a.since, clock_timestamp() AS claimed_at,
                  j.deadline_at, a.started_before, j.enhancement IS NOT NULL AS answered, j.note_attempted_at,
                  j.seen_open_at, false AS enhanced, false AS echo, true AS another_first, a.reason
    ), runs AS (
        UPDATE jobs j
        SET state = 'running', attempt = j.attempt + 1, lease_owner = p_owner, claim_token = p_token,
            -- Equal to `since`, so that a hold does not extend the deadline by the time that a silent worker had the
            -- job.
            due_at = a.since, started_at = clock_timestamp(), lease_until = clock_timestamp() + p_lease
        FROM checked a WHERE j.id = a.id AND NOT a.another_first
        RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent, a.since, j.started_at, j.deadline_at,
                  a.started_before, j.enhancement IS NOT NULL, j.note_attempted_at, j.seen_open_at, a.enhanced, a.echo,
                  false, a.reason
    ), taken AS (
        SELECT * FROM waits UNION ALL SELECT * FROM runs
    ), logged AS (
        INSERT INTO job_events (tenant_id, job_id, attempt, what, reason)
        SELECT t.tenant_id, t.id, t.attempt, CASE WHEN t.another_first THEN 'held back' ELSE 'claimed' END,
               CASE WHEN t.another_first THEN p_another_first END
        FROM taken t
        -- One event, however often the job is held back: a flood of webhooks for one ticket must not fill the disk.
        WHERE NOT t.another_first OR t.reason IS DISTINCT FROM p_another_first
    )
    SELECT t.tenant_id, t.ticket_id, t.attempt, t.traceparent, t.since, t.claimed_at, t.deadline_at, t.started_before,
           t.answered, t.note_attempted_at, t.seen_open_at, t.enhanced, t.echo, t.another_first
    FROM taken t;
END $$;

-- -- Turns -----------------------------------------------------------------------------------------------------------
-- A message is a wake-up, not an order: its receiver claims the job whose turn it is (docs/adr/0023). Only jobs with a
-- message take part, so that each claim uses one message and one job.

-- Report whether a tenant may have one more job in flight. Exact, because claims of a tenant with a limit are
-- serialized. `p_wait`: wait for a concurrent claim. A caller that holds another tenant's lock must not wait, to
-- prevent deadlocks.
CREATE OR REPLACE FUNCTION has_place(p_tenant text, p_most integer, p_wait boolean) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    v_key bigint := hashtextextended('most running ' || p_tenant, 0);
BEGIN
    IF p_wait THEN
        PERFORM pg_advisory_xact_lock(v_key);
    ELSIF NOT pg_try_advisory_xact_lock(v_key) THEN
        RETURN false;
    END IF;
    RETURN (SELECT count(*) FROM jobs j WHERE j.state = 'running' AND j.tenant_id = p_tenant) < p_most;
END $$;

-- Return the job whose turn it is, locked. The tenant with the fewest running jobs for its weight comes first, then its
-- job that is due longest. `refused`: jobs are due, but none may start now: their tenants are at their limits, or their
-- rows are locked.
-- - `p_weights`: weight of a tenant, 1 by default; `p_most`: limit of a tenant's jobs in flight; `p_charged`: jobs
--   that ended at once, and still count as running.
-- It walks from tenant to tenant, from a random start to the first one without a running job. After `p_looks` tenants
-- it takes the best of them, so a thousand tenants cost no more than a few. Tenants at their limit are passed over and do
-- not count as looks. Only the index `jobs_turns` suits this walk, whatever the table's statistics are.
CREATE OR REPLACE FUNCTION next_turn(
    p_weights jsonb, p_most jsonb, p_charged jsonb, p_looks integer, OUT id uuid, OUT refused boolean)
LANGUAGE plpgsql
SET search_path = public, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    v_lowest constant integer := -2147483648;
    v_places text[] := ARRAY(SELECT r.tenant_id FROM jobs r WHERE r.state = 'running');
    v_passed text[] := ARRAY(SELECT p.tenant_id FROM unnest(v_places) p (tenant_id) GROUP BY 1
                             HAVING count(*) >= (p_most ->> p.tenant_id)::integer);
    v_hash integer := floor((random() * 2 - 1) * 2147483647)::integer;
    v_tenant text := '';
    v_from integer;
    v_from_tenant text;
    v_is_second_half boolean;
    v_due timestamptz;
    v_looks integer;
    v_load double precision;
    v_best text;
    v_least double precision;
    v_has_place boolean;
    v_waits boolean := true;
BEGIN
    refused := false;
    LOOP
        v_from := v_hash;
        v_from_tenant := v_tenant;
        v_is_second_half := false;
        v_best := NULL;
        v_looks := 0;
        LOOP
            SELECT hashtext(j.tenant_id), j.tenant_id, j.due_at INTO v_hash, v_tenant, v_due FROM jobs j
            WHERE j.state = 'waiting' AND j.published_at IS NOT NULL
            AND (hashtext(j.tenant_id), j.tenant_id) > (v_hash, v_tenant)
            ORDER BY hashtext(j.tenant_id), j.tenant_id, j.due_at LIMIT 1;
            IF NOT FOUND THEN
                v_hash := v_lowest;
                v_tenant := '';
                EXIT WHEN v_is_second_half;
                v_is_second_half := true;
                CONTINUE;
            END IF;
            EXIT WHEN v_is_second_half AND (v_hash, v_tenant) > (v_from, v_from_tenant);
            CONTINUE WHEN v_due > now();
            IF v_tenant = ANY (v_passed) THEN
                refused := true;
                CONTINUE;
            END IF;
            v_load := (cardinality(array_positions(v_places, v_tenant))
                       + coalesce((p_charged ->> v_tenant)::integer, 0))
                / coalesce((p_weights ->> v_tenant)::double precision, 1);
            IF v_best IS NULL OR v_load < v_least THEN
                v_best := v_tenant;
                v_least := v_load;
            END IF;
            v_looks := v_looks + 1;
            EXIT WHEN v_load = 0 OR v_looks >= p_looks;
        END LOOP;
        EXIT WHEN v_best IS NULL;
        IF p_most ? v_best THEN
            -- Rarely false: other workers may have begun a job of this tenant since the places were counted.
            v_has_place := has_place(v_best, (p_most ->> v_best)::integer, v_waits);
            v_waits := false;
        END IF;
        IF coalesce(v_has_place, true) THEN
            SELECT j.id INTO id FROM jobs j
            WHERE j.state = 'waiting' AND j.published_at IS NOT NULL AND j.due_at <= now() AND j.deadline_at > now()
            AND (hashtext(j.tenant_id), j.tenant_id) >= (hashtext(v_best), v_best)
            AND (hashtext(j.tenant_id), j.tenant_id) <= (hashtext(v_best), v_best)
            ORDER BY hashtext(j.tenant_id), j.tenant_id, j.due_at LIMIT 1 FOR UPDATE SKIP LOCKED;
            EXIT WHEN FOUND;
        END IF;
        v_has_place := NULL;
        v_passed := v_passed || v_best;
    END LOOP;
END $$;

-- Report whether at least `p_most` jobs of a tenant wait: for a worker, for a later time or for a message.
CREATE OR REPLACE FUNCTION is_queue_full(p_tenant text, p_most integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
    -- Each half uses its own index.
    RETURN p_most = (SELECT count(*) FROM (
        SELECT FROM (
            SELECT FROM jobs j WHERE j.state = 'waiting' AND j.published_at IS NOT NULL
            AND hashtext(j.tenant_id) = hashtext(p_tenant) AND j.tenant_id = p_tenant
            UNION ALL
            SELECT FROM jobs j WHERE j.state = 'waiting' AND j.published_at IS NULL
            AND hashtext(j.tenant_id) = hashtext(p_tenant) AND j.tenant_id = p_tenant) b
        LIMIT p_most) w);
END $$;

-- Claim the job whose turn it is, like `claim_job`. No row: no job is due. A row without an id: no due job may start
-- now, and the message is still needed. `next_turn` explains the parameters.
CREATE OR REPLACE FUNCTION claim_next_job(
    p_owner text, p_token uuid, p_lease interval, p_attempts integer, p_wait interval, p_longest interval,
    p_echo interval, p_another_first text, p_missing text, p_weights jsonb, p_most jsonb, p_charged jsonb,
    p_looks integer)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text, waiting_since timestamptz,
               claimed_at timestamptz, deadline_at timestamptz, started_before boolean, answered boolean,
               note_attempted_at timestamptz, seen_open_at timestamptz, enhanced boolean, echo boolean,
               another_first boolean, desk_id text, display_id text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_turn record;
BEGIN
    SELECT * INTO v_turn FROM next_turn(p_weights, p_most, p_charged, p_looks);
    RETURN QUERY SELECT v_turn.id, c.*, j.desk_id, j.display_id FROM claim_job(
        v_turn.id, p_owner, p_token, p_lease, p_attempts, p_wait, p_longest, p_echo, p_another_first, p_missing) c
        JOIN jobs j ON j.id = v_turn.id;
    IF NOT FOUND AND (v_turn.refused OR v_turn.id IS NOT NULL) THEN
        RETURN NEXT;
    END IF;
END $$;

-- -- A claimed job ---------------------------------------------------------------------------------------------------

-- Store both numbers of a claimed job's ticket; no row if the claim is lost. Return the flags of `claim_job`, which
-- could not find jobs whose webhooks contained the other number. Of two running jobs, only the one whose webhook did
-- not contain the desk's id waits (`another_first`), so that not both wait. The other job was already known by that id
-- at its claim.
CREATE OR REPLACE FUNCTION know_numbers(
    p_tenant text, p_id uuid, p_token uuid, p_desk_id text, p_display_id text, p_echo interval, p_missing text)
RETURNS TABLE (enhanced boolean, echo boolean, another_first boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM lock_ticket(p_tenant, ARRAY[p_desk_id]);
    UPDATE jobs j SET desk_id = p_desk_id, display_id = p_display_id
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT o.enhanced, o.echo,
           j.ticket_id <> p_desk_id AND (o.running OR (j.note_attempted_at IS NULL AND o.posted))
    FROM jobs j CROSS JOIN LATERAL other_jobs_of_ticket(j.id, p_echo, p_missing) o WHERE j.id = p_id;
END $$;

-- Return the reason for a further note on a ticket that has one (docs/adr/0032); no row if the claim is lost.
-- - `asked`: the event requests it, or the job was retried by hand.
-- - `reopened`: only with `p_reopened`, if the event says so or the ticket was seen closed since its last note. One
--   such job for each closing.
-- - Null: no further note is requested, or the request is older than the start of the last note.
-- - `p_lately`: another further note ended within `p_apart` before the request.
-- The row keeps the reason for later attempts and retries by hand.
CREATE OR REPLACE FUNCTION begin_refresh(
    p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_reopened boolean, p_apart interval, p_lately text,
    p_missing text)
RETURNS TABLE (why text) LANGUAGE plpgsql SECURITY DEFINER ROWS 1 SET search_path = public, pg_temp AS $$
DECLARE
    v_job jobs;
    v_asked_at timestamptz;
    v_why text;
    v_noted_since boolean;
    v_closed_at timestamptz;
    v_used boolean;
    v_lately boolean;
BEGIN
    SELECT j.* INTO v_job FROM jobs j
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    v_asked_at := coalesce(v_job.retried_at, v_job.accepted_at);
    WITH others AS (
        SELECT o.*, o.state = 'completed' OR (o.state = 'failed' AND o.note_attempted_at IS NOT NULL
                   AND o.reason IS DISTINCT FROM p_missing) AS noted
        FROM (
            SELECT t.* FROM jobs t
            WHERE t.tenant_id = p_tenant AND t.ticket_id = ANY (ARRAY[v_job.ticket_id, v_job.desk_id])
            UNION ALL
            SELECT d.* FROM jobs d
            WHERE d.tenant_id = p_tenant AND d.desk_id = ANY (ARRAY[v_job.ticket_id, v_job.desk_id])
            AND d.desk_id IS NOT NULL) o
        WHERE o.id <> p_id
    ), last_closed AS (
        SELECT o.seen_closed_at FROM others o WHERE o.state = 'completed' ORDER BY o.finished_at DESC LIMIT 1
    )
    -- A technician who retries by hand has seen the notes that ended before. A webhook may be about data that a running
    -- job has already read.
    SELECT coalesce(bool_or(o.noted AND v_asked_at <
               CASE WHEN v_job.retried_at IS NULL THEN o.started_at ELSE o.finished_at END), false),
           max(c.seen_closed_at),
           coalesce(bool_or(o.refresh = 'reopened' AND o.state <> 'skipped' AND o.finished_at > c.seen_closed_at), false),
           coalesce(bool_or(o.noted AND o.refresh IS NOT NULL AND o.finished_at > v_asked_at - p_apart), false)
    INTO v_noted_since, v_closed_at, v_used, v_lately
    FROM others o LEFT JOIN last_closed c ON true;
    v_why := coalesce(v_job.refresh, CASE
        WHEN v_job.event ~* 'refresh[^a-z]*$' THEN 'asked'
        WHEN p_reopened AND (v_job.event ~* 'reopen(ed)?[^a-z]*$' OR (v_closed_at IS NOT NULL AND NOT v_used))
            THEN 'reopened'
        WHEN v_job.retried_at IS NOT NULL THEN 'asked' END);
    IF v_noted_since AND (v_job.refresh IS NULL OR v_job.retried_at IS NOT NULL) THEN
        v_why := NULL;
    END IF;
    IF v_why IS NOT NULL AND v_job.refresh IS NULL THEN
        UPDATE jobs j SET refresh = v_why WHERE j.id = p_id;
        PERFORM tell_event(p_tenant, p_id, p_attempt, 'refreshes', v_why);
    END IF;
    RETURN QUERY SELECT CASE WHEN v_why IS NOT NULL AND v_lately THEN p_lately ELSE v_why END;
END $$;

CREATE OR REPLACE FUNCTION renew_lease(p_tenant text, p_id uuid, p_token uuid, p_lease interval)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET lease_until = clock_timestamp() + p_lease
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    RETURN FOUND;
END $$;

-- Record that the ticket was just seen open, for the attempt after a hold.
CREATE OR REPLACE FUNCTION see_open(p_tenant text, p_id uuid, p_token uuid)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET seen_open_at = clock_timestamp()
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    RETURN FOUND;
END $$;

-- state: running -> running: GPT-4's answer is kept
-- `p_took`: time since the question was sent; null for the answer of an earlier attempt. Tokens and dollars of the
-- calls are added once: a caller repeats a change if the reply to the commit was lost. An index has the model's name.
CREATE OR REPLACE FUNCTION keep_answer(
    p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_answer jsonb, p_model text, p_took interval,
    p_input_tokens integer, p_output_tokens integer, p_dollars double precision)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET enhancement = p_answer, model = left(p_model, 200),
        is_unchecked = coalesce((p_answer ->> 'is_unchecked')::boolean, false),
        input_tokens = j.input_tokens + CASE WHEN j.enhancement = p_answer THEN 0 ELSE p_input_tokens END,
        output_tokens = j.output_tokens + CASE WHEN j.enhancement = p_answer THEN 0 ELSE p_output_tokens END,
        dollars = CASE WHEN j.enhancement = p_answer OR p_dollars IS NULL THEN j.dollars
                       ELSE coalesce(j.dollars, 0) + p_dollars END
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_took IS NOT NULL THEN
        INSERT INTO job_events (tenant_id, job_id, attempt, at, what)
        VALUES (p_tenant, p_id, p_attempt, now() - p_took, 'asked');
    END IF;
    -- The same attempt commits again after the check of the claims.
    IF NOT EXISTS (SELECT FROM job_events e WHERE e.tenant_id = p_tenant AND e.job_id = p_id AND e.attempt = p_attempt
                   AND e.what = 'answered') THEN
        PERFORM tell_event(p_tenant, p_id, p_attempt, 'answered');
    END IF;
    RETURN true;
END $$;

-- Add the tokens and dollars of calls without a usable answer.
CREATE OR REPLACE FUNCTION add_usage(
    p_tenant text, p_id uuid, p_token uuid, p_model text, p_input_tokens integer, p_output_tokens integer,
    p_dollars double precision)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET model = coalesce(j.model, left(p_model, 200)), input_tokens = j.input_tokens + p_input_tokens,
        output_tokens = j.output_tokens + p_output_tokens,
        dollars = CASE WHEN p_dollars IS NULL THEN j.dollars ELSE coalesce(j.dollars, 0) + p_dollars END
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    RETURN FOUND;
END $$;

-- state: running -> running: the note is being posted, from now on it may be in the ticket
CREATE OR REPLACE FUNCTION begin_posting(
    p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_lease interval)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET note_attempted_at = clock_timestamp(), lease_until = clock_timestamp() + p_lease
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM tell_event(p_tenant, p_id, p_attempt, 'posting');
    RETURN true;
END $$;

-- state: running -> running: the note was not posted, or did not come
-- Either the desk certainly has no note of this posting, or the note of an earlier attempt did not arrive and is not
-- looked for again. `p_before`: the time of an earlier attempt's posting, or null.
CREATE OR REPLACE FUNCTION end_posting(
    p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_what text, p_before timestamptz)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET note_attempted_at = p_before
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM tell_event(p_tenant, p_id, p_attempt, p_what);
    RETURN true;
END $$;

-- Record that the attempt continues without something, or past it. Adds an event and does not change the row.
CREATE OR REPLACE FUNCTION tell_of_attempt(
    p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_what text, p_reason text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM jobs j
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM tell_event(p_tenant, p_id, p_attempt, p_what, p_reason);
    RETURN true;
END $$;

-- state: running -> completed: the note is in the ticket
CREATE OR REPLACE FUNCTION complete_job(p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_note text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET state = 'completed', reason = NULL, note_id = p_note, finished_at = clock_timestamp(),
        lease_owner = NULL, lease_until = NULL
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    RETURN tell_freed(FOUND, p_tenant, p_id, p_token, 'completed', p_attempt, p_attempt, 'completed', NULL);
END $$;

-- state: running -> skipped: the ticket is gone, closed, enhanced or forgotten
CREATE OR REPLACE FUNCTION skip_job(p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_reason text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET state = 'skipped', reason = p_reason, finished_at = clock_timestamp(), lease_owner = NULL,
        lease_until = NULL
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    RETURN tell_freed(FOUND, p_tenant, p_id, p_token, 'skipped', p_attempt, p_attempt, 'skipped', p_reason);
END $$;

-- state: running -> failed: no attempt follows
CREATE OR REPLACE FUNCTION fail_job(p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_reason text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET state = 'failed', reason = p_reason, finished_at = clock_timestamp(), lease_owner = NULL,
        lease_until = NULL
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    RETURN tell_freed(FOUND, p_tenant, p_id, p_token, 'failed', p_attempt, p_attempt, 'failed', p_reason);
END $$;

-- state: running -> waiting: the attempt failed, another one follows
CREATE OR REPLACE FUNCTION retry_job_later(
    p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_in interval, p_reason text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET state = 'waiting', reason = p_reason, due_at = clock_timestamp() + p_in, published_at = NULL,
        seen_open_at = NULL, lease_owner = NULL, lease_until = NULL
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    RETURN tell_freed(FOUND, p_tenant, p_id, p_token, 'waiting', p_attempt, p_attempt, 'retried', p_reason);
END $$;

-- state: running -> waiting: the note may be in the ticket, a last attempt looks for it
-- One more attempt beyond all limits. Its number is `p_attempts` + 1, by which it knows that it may only look.
CREATE OR REPLACE FUNCTION look_once_more(
    p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_attempts integer, p_in interval, p_reason text,
    p_look interval)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET state = 'waiting', reason = p_reason, attempt = p_attempts, due_at = clock_timestamp() + p_in,
        published_at = NULL, deadline_at = greatest(j.deadline_at, clock_timestamp() + p_in + p_look),
        lease_owner = NULL, lease_until = NULL
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    RETURN tell_freed(FOUND, p_tenant, p_id, p_token, 'waiting', p_attempts, p_attempt, 'looked for once more',
        p_reason);
END $$;

-- state: running -> waiting: held back, the attempt does not count
-- `p_longer`: extension of the deadline from now, up to the longest life; zero for a hold that counts. The time since
-- the job was due is added, because it waited for a worker only to be held again. Otherwise slow looks alone would end
-- a day of holds early.
CREATE OR REPLACE FUNCTION hold_job_back(
    p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_for interval, p_reason text, p_longer interval,
    p_longest interval)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET state = 'waiting', reason = p_reason, attempt = p_attempt - 1, due_at = clock_timestamp() + p_for,
        published_at = NULL, lease_owner = NULL, lease_until = NULL,
        deadline_at = CASE WHEN p_longer > interval '0' THEN greatest(j.deadline_at, least(
            j.deadline_at + (clock_timestamp() - j.due_at) + p_longer,
            coalesce(j.retried_at, j.accepted_at) + p_longest)) ELSE j.deadline_at END
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    RETURN tell_freed(FOUND, p_tenant, p_id, p_token, 'waiting', p_attempt - 1, p_attempt, 'held back', p_reason);
END $$;

-- state: running -> waiting: given back by a worker that stops, the attempt does not count
-- The caller puts its message back into the list right after.
CREATE OR REPLACE FUNCTION give_job_back(p_tenant text, p_id uuid, p_token uuid, p_attempt integer)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET state = 'waiting', attempt = p_attempt - 1, due_at = clock_timestamp(),
        published_at = clock_timestamp(), lease_owner = NULL, lease_until = NULL
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'running'
    AND j.lease_until > clock_timestamp();
    IF NOT FOUND THEN
        -- A repeated call, as in `tell_freed`. A claim that was held back leaves the same row, but another event.
        RETURN EXISTS (
            SELECT FROM jobs j JOIN job_events e ON e.tenant_id = j.tenant_id AND e.job_id = j.id
            WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'waiting'
            AND e.attempt = p_attempt AND e.what = 'given back' AND e.at >= j.started_at);
    END IF;
    PERFORM tell_event(p_tenant, p_id, p_attempt, 'given back');
    RETURN true;
END $$;

-- -- A failure note --------------------------------------------------------------------------------------------------

-- Begin the failure note of a failed job. Return false if the job was retried since, or if another job of the ticket
-- has, or may have, left a failure note or an enhancement: below it this note would be untrue. A note that did not
-- arrive (`p_missing`) does not count. The ticket's numbers (null: only the webhook's is known) are stored now, so that
-- of two jobs with different numbers the second finds the first.
CREATE OR REPLACE FUNCTION begin_failure_note(
    p_tenant text, p_id uuid, p_token uuid, p_attempt integer, p_desk_id text, p_display_id text, p_missing text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM lock_ticket(p_tenant, ARRAY[j.ticket_id, j.desk_id, p_desk_id]) FROM jobs j
    WHERE j.id = p_id AND j.tenant_id = p_tenant;
    UPDATE jobs j SET failure_noted_at = clock_timestamp(), desk_id = coalesce(p_desk_id, j.desk_id),
        display_id = coalesce(p_display_id, j.display_id)
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'failed'
    AND j.failure_noted_at IS NULL AND NOT EXISTS (
        SELECT FROM jobs o WHERE o.tenant_id = j.tenant_id AND o.id <> j.id
        AND (o.ticket_id IN (j.ticket_id, j.desk_id, p_desk_id) OR o.desk_id IN (j.ticket_id, j.desk_id, p_desk_id))
        AND (o.failure_noted_at IS NOT NULL OR o.state = 'completed'
             OR (o.note_attempted_at IS NOT NULL AND o.reason IS DISTINCT FROM p_missing)));
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM tell_event(p_tenant, p_id, p_attempt, 'leaving a failure note');
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION end_failure_note(p_tenant text, p_id uuid, p_token uuid, p_attempt integer)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs j SET failure_noted_at = NULL
    WHERE j.id = p_id AND j.tenant_id = p_tenant AND j.claim_token = p_token AND j.state = 'failed';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM tell_event(p_tenant, p_id, p_attempt, 'failure note not left');
    RETURN true;
END $$;

-- -- By hand ---------------------------------------------------------------------------------------------------------

-- state: failed -> waiting: retried by hand
-- state: skipped -> waiting: retried by hand, but for a duplicate
-- Return the job's state before, and whether it waits again. A retried job is due now, and its attempts start from
-- zero. It keeps its id, trace and GPT-4's answer, and the time when its note may have been posted.
CREATE OR REPLACE FUNCTION retry_job_by_hand(
    p_tenant text, p_id uuid, p_deadline interval, p_reason text, p_duplicate text)
RETURNS TABLE (ticket_id text, traceparent text, state text, reason text, retried boolean)
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('app.tenant_id', p_tenant, true);
    RETURN QUERY WITH found AS (
        SELECT j.id, j.ticket_id, j.traceparent, j.state, j.reason FROM jobs j WHERE j.id = p_id FOR UPDATE
    ), again AS (
        UPDATE jobs j SET state = 'waiting', attempt = 0, reason = p_reason, due_at = now(), published_at = NULL,
            deadline_at = now() + p_deadline, finished_at = NULL, retried_at = now(), seen_open_at = NULL,
            claim_token = NULL
        FROM found f
        WHERE j.id = f.id AND f.state IN ('failed', 'skipped') AND f.reason IS DISTINCT FROM p_duplicate
        RETURNING j.id
    ), logged AS (
        INSERT INTO job_events (tenant_id, job_id, attempt, what) SELECT p_tenant, a.id, 0, 'retried by hand'
        FROM again a
    )
    SELECT f.ticket_id, f.traceparent, f.state, f.reason, EXISTS (SELECT FROM again) FROM found f;
END $$;

-- -- Erasing ---------------------------------------------------------------------------------------------------------
-- For privacy/erasure.py, in a transaction with the lock on the tenant's key. Each call handles one page: `p_most` rows
-- after `p_after` (null: from the start). `last` is null if no row is left.

-- state: waiting -> skipped: forgotten
-- state: running -> skipped: forgotten, its worker loses the claim
-- Runs in the erasing transaction, with the caller's rights and tenant.
CREATE OR REPLACE FUNCTION skip_forgotten_jobs(p_ids uuid[], p_reason text)
RETURNS TABLE (id uuid, ticket_id text, traceparent text, was_running boolean)
LANGUAGE sql SET search_path = public, pg_temp AS $$
    WITH found AS (
        SELECT j.id, j.state = 'running' AS was_running FROM jobs j
        WHERE j.id = ANY (p_ids) AND j.state IN ('waiting', 'running') ORDER BY j.id FOR UPDATE
    ), ended AS (
        UPDATE jobs j SET state = 'skipped', reason = p_reason, finished_at = clock_timestamp(), lease_owner = NULL,
            lease_until = NULL, claim_token = NULL
        FROM found f WHERE j.id = f.id
        RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent, f.was_running
    ), logged AS (
        INSERT INTO job_events (tenant_id, job_id, attempt, what, reason)
        SELECT e.tenant_id, e.id, e.attempt, 'skipped', p_reason FROM ended e
    )
    SELECT e.id, e.ticket_id, e.traceparent, e.was_running FROM ended e ORDER BY e.id
$$;

-- state: running -> waiting: its answer names what was forgotten, the attempt does not count
CREATE OR REPLACE FUNCTION ask_jobs_again(p_ids uuid[], p_reason text) RETURNS void
LANGUAGE sql SET search_path = public, pg_temp AS $$
    WITH again AS (
        UPDATE jobs j SET state = 'waiting', attempt = j.attempt - 1, due_at = clock_timestamp(), published_at = NULL,
            lease_owner = NULL, lease_until = NULL, claim_token = NULL
        WHERE j.id = ANY (p_ids) AND j.state = 'running'
        RETURNING j.id, j.tenant_id, j.attempt
    )
    INSERT INTO job_events (tenant_id, job_id, attempt, what, reason)
    SELECT a.tenant_id, a.id, a.attempt + 1, 'recovered', p_reason FROM again a
$$;

-- Return the tickets that an answer names. The second path is the format of answers without sources.
CREATE OR REPLACE FUNCTION tickets_of_answer(p_answer jsonb) RETURNS SETOF text
LANGUAGE sql IMMUTABLE SET search_path = public, pg_temp AS $$
    SELECT n #>> '{}' FROM jsonb_path_query(p_answer, '$.sources[*] ? (@.kind == "ticket").number') n
    UNION ALL
    SELECT n #>> '{}' FROM jsonb_path_query(p_answer, '$.similar_tickets[*].ticket_id') n
$$;

-- Return the ticket numbers of jobs with this number, or of this requester.
CREATE OR REPLACE FUNCTION numbers_of_jobs(p_number text, p_requester bytea) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
    SELECT n.number FROM jobs j CROSS JOIN unnest(ARRAY[j.ticket_id, j.desk_id, j.display_id]) n (number)
    WHERE (j.ticket_id = p_number OR j.desk_id = p_number OR j.display_id = p_number OR j.requester = p_requester)
    AND n.number IS NOT NULL;
END $$;

CREATE OR REPLACE FUNCTION unfinished_jobs(p_running_only boolean) RETURNS SETOF uuid
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT j.id FROM jobs j WHERE j.state = 'running'
    UNION ALL
    SELECT j.id FROM jobs j WHERE j.state = 'waiting' AND j.state IN ('waiting', 'running') AND NOT p_running_only
$$;

-- Count answers of jobs of forgotten tickets and of `p_numbers` (null: of all), or that name such a ticket; unfinished
-- jobs of these tickets; and answers whose requester is unknown.
CREATE OR REPLACE FUNCTION count_jobs(p_numbers text[], p_after text, p_most integer)
RETURNS TABLE (last text, answers bigint, unfinished bigint, unattributed bigint)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF p_numbers IS NULL THEN
        RETURN QUERY SELECT NULL::text, (SELECT count(*) FROM jobs j WHERE j.enhancement IS NOT NULL),
            (SELECT count(*) FROM jobs j WHERE j.state IN ('waiting', 'running')), 0::bigint;
        RETURN;
    END IF;
    last := (SELECT max(p.ticket_id) FROM (SELECT j.ticket_id FROM jobs j
             WHERE p_after IS NULL OR j.ticket_id > p_after ORDER BY j.ticket_id LIMIT p_most) p);
    RETURN QUERY WITH page AS MATERIALIZED (
        SELECT j.id, ARRAY[j.ticket_id, j.desk_id, j.display_id] AS numbers, j.enhancement, j.requester,
               j.state IN ('waiting', 'running') AS is_unfinished
        FROM jobs j WHERE (p_after IS NULL OR j.ticket_id > p_after) AND j.ticket_id <= last
    ), named AS MATERIALIZED (
        SELECT p.id, true AS own, n.number FROM page p CROSS JOIN unnest(p.numbers) n (number)
        UNION ALL
        SELECT p.id, false, n.number FROM page p CROSS JOIN tickets_of_answer(p.enhancement) n (number)
    ), forgotten AS MATERIALIZED (
        SELECT forgotten_among(ARRAY(SELECT n.number FROM named n)) AS number UNION ALL SELECT unnest(p_numbers)
    ), found AS MATERIALIZED (
        SELECT n.id, bool_or(n.own) AS own FROM named n WHERE n.number IN (SELECT f.number FROM forgotten f) GROUP BY n.id
    )
    SELECT last, count(f.id) FILTER (WHERE p.enhancement IS NOT NULL), count(*) FILTER (WHERE f.own AND p.is_unfinished),
        count(*) FILTER (WHERE p.requester IS NULL AND p.enhancement IS NOT NULL)
    FROM page p LEFT JOIN found f ON f.id = p.id;
END $$;

-- Leave tombstones of the requester's tickets that jobs have.
CREATE OR REPLACE FUNCTION mark_tickets_of_jobs(p_requester bytea, p_after text, p_most integer)
RETURNS TABLE (last text) LANGUAGE plpgsql SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    last := (SELECT max(p.ticket_id) FROM (SELECT j.ticket_id FROM jobs j
             WHERE p_after IS NULL OR j.ticket_id > p_after ORDER BY j.ticket_id LIMIT p_most) p);
    PERFORM leave_tombstones(ARRAY(
        SELECT unnest(ARRAY[j.ticket_id, j.desk_id, j.display_id]) FROM jobs j
        WHERE (p_after IS NULL OR j.ticket_id > p_after) AND j.ticket_id <= last AND j.requester = p_requester));
    RETURN NEXT;
END $$;

-- Erase the texts of jobs whose ticket is forgotten (`p_all`: of all), and answers that name a forgotten ticket.
-- Unfinished jobs are skipped and listed in `ended`. A running job whose answer names one loses its claim, so that the
-- answer is not posted. Rows stay, and keep an `event` of this system, which begins with a parenthesis unlike a
-- webhook's; without it the job would count as a webhook's. `p_ids`: these jobs instead of a page.
CREATE OR REPLACE FUNCTION erase_jobs(
    p_ids uuid[], p_all boolean, p_requester bytea, p_forgotten text, p_named text, p_after text, p_most integer)
RETURNS TABLE (last text, answers bigint, ended jsonb)
LANGUAGE plpgsql SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_page uuid[] := p_ids;
    v_own uuid[];
    v_naming uuid[];
BEGIN
    IF p_ids IS NULL THEN
        last := (SELECT max(p.ticket_id) FROM (SELECT j.ticket_id FROM jobs j
                 WHERE p_after IS NULL OR j.ticket_id > p_after ORDER BY j.ticket_id LIMIT p_most) p);
        v_page := ARRAY(SELECT j.id FROM jobs j
                        WHERE (p_after IS NULL OR j.ticket_id > p_after) AND j.ticket_id <= last);
    END IF;
    -- Waits for concurrent writes: one may store the requester of a ticket.
    PERFORM FROM jobs j WHERE j.id = ANY (v_page) AND j.state IN ('waiting', 'running') ORDER BY j.id FOR UPDATE;
    IF p_all THEN
        v_own := v_page;
    ELSE
        PERFORM leave_tombstones(ARRAY(
            SELECT unnest(ARRAY[j.ticket_id, j.desk_id, j.display_id]) FROM jobs j
            WHERE j.id = ANY (v_page) AND j.requester = p_requester));
        WITH named AS MATERIALIZED (
            SELECT j.id, true AS own, n.number
            FROM jobs j CROSS JOIN unnest(ARRAY[j.ticket_id, j.desk_id, j.display_id]) n (number) WHERE j.id = ANY (v_page)
            UNION ALL
            SELECT j.id, false, n.number
            FROM jobs j CROSS JOIN tickets_of_answer(j.enhancement) n (number) WHERE j.id = ANY (v_page)
        ), forgotten AS MATERIALIZED (
            SELECT forgotten_among(ARRAY(SELECT n.number FROM named n)) AS number
        )
        SELECT array_agg(n.id) FILTER (WHERE n.own), array_agg(n.id) FILTER (WHERE NOT n.own) INTO v_own, v_naming
        FROM named n WHERE n.number IN (SELECT f.number FROM forgotten f);
    END IF;
    ended := (
        SELECT coalesce(jsonb_agg(jsonb_build_object('job_id', s.id, 'ticket_id', s.ticket_id, 'traceparent', s.traceparent,
            'was_running', s.was_running, 'desk_id', j.desk_id, 'display_id', j.display_id) ORDER BY s.id), '[]')
        FROM skip_forgotten_jobs(v_own, p_forgotten) s JOIN jobs j ON j.id = s.id);
    PERFORM ask_jobs_again(v_naming, p_named);
    UPDATE jobs j SET enhancement = NULL WHERE j.id = ANY (v_own || v_naming) AND j.enhancement IS NOT NULL;
    GET DIAGNOSTICS answers = ROW_COUNT;
    UPDATE jobs j SET requester = NULL, event = CASE WHEN starts_with(j.event, '(') THEN j.event END
    WHERE j.id = ANY (v_own) AND (j.requester IS NOT NULL OR j.event IS NOT NULL);
    DELETE FROM feedback f WHERE f.job_id = ANY (v_own);
    RETURN NEXT;
END $$;

-- Delete the rows of jobs that ended before `p_ended_before`, with their events and feedback.
CREATE OR REPLACE FUNCTION erase_job_rows(p_ended_before timestamptz, p_after text, p_most integer)
RETURNS TABLE (last text, erased bigint)
LANGUAGE plpgsql SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_page uuid[];
BEGIN
    last := (SELECT max(p.ticket_id) FROM (SELECT j.ticket_id FROM jobs j
             WHERE p_after IS NULL OR j.ticket_id > p_after ORDER BY j.ticket_id LIMIT p_most) p);
    WITH gone AS (
        DELETE FROM jobs j WHERE (p_after IS NULL OR j.ticket_id > p_after) AND j.ticket_id <= last
        AND j.finished_at < p_ended_before RETURNING j.id
    )
    SELECT coalesce(array_agg(g.id), '{}') INTO v_page FROM gone g;
    DELETE FROM job_events e WHERE e.job_id = ANY (v_page);
    -- Left by an interrupted erasure of an earlier release.
    IF p_after IS NULL THEN
        DELETE FROM job_events e WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.id = e.job_id);
    END IF;
    erased := cardinality(v_page);
    RETURN NEXT;
END $$;

-- The rest of a tenant that leaves. `last` is null if nothing was left.
CREATE OR REPLACE FUNCTION erase_rest_of_jobs(p_most integer) RETURNS TABLE (last bigint)
LANGUAGE sql SET search_path = public, pg_temp AS $$
    SELECT nullif(delete_rows('{delivery_keys, rejections, missing_webhooks, reconciliations}', p_most), 0)
$$;

-- -- The relay -------------------------------------------------------------------------------------------------------
-- Runs each second, mostly without work. For a large table, planning a limit again costs more than looking.
-- So functions that change rows first check whether there are any.

-- Mark due jobs without a message in Redis as published; the caller publishes them now. It takes the first job of each
-- tenant, then the second of each, and so on. So a delayed flood does not hold up the retries of other tenants.
CREATE OR REPLACE FUNCTION take_due_jobs(p_most integer, p_by_hand text)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text, by_hand boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
    IF (SELECT min(w.due_at) FROM jobs w WHERE w.state = 'waiting' AND w.published_at IS NULL) <= now() THEN
        RETURN QUERY WITH RECURSIVE oldest AS (
            (SELECT hashtext(j.tenant_id) AS hash, j.tenant_id, j.due_at FROM jobs j
             WHERE j.state = 'waiting' AND j.published_at IS NULL
             ORDER BY hashtext(j.tenant_id), j.tenant_id, j.due_at LIMIT 1)
            UNION ALL
            SELECT n.* FROM oldest o CROSS JOIN LATERAL (
                SELECT hashtext(j.tenant_id), j.tenant_id, j.due_at FROM jobs j
                WHERE j.state = 'waiting' AND j.published_at IS NULL
                AND (hashtext(j.tenant_id), j.tenant_id) > (o.hash, o.tenant_id)
                ORDER BY hashtext(j.tenant_id), j.tenant_id, j.due_at LIMIT 1) n
        ), tenants AS (
            SELECT o.hash, o.tenant_id FROM oldest o WHERE o.due_at <= now() ORDER BY random() LIMIT p_most
        ), first AS (
            SELECT d.id FROM tenants t CROSS JOIN LATERAL (
                SELECT w.id, w.due_at, row_number() OVER (ORDER BY w.due_at) AS number FROM jobs w
                WHERE w.state = 'waiting' AND w.published_at IS NULL AND w.due_at <= now()
                AND hashtext(w.tenant_id) = t.hash AND w.tenant_id = t.tenant_id
                ORDER BY w.due_at LIMIT p_most) d
            ORDER BY d.number, d.due_at LIMIT p_most
        )
        UPDATE jobs j SET published_at = clock_timestamp()
        WHERE j.id IN (SELECT w.id FROM jobs w WHERE w.id IN (SELECT f.id FROM first f)
                       AND w.state = 'waiting' AND w.published_at IS NULL FOR UPDATE SKIP LOCKED)
        RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent, coalesce(j.reason = p_by_hand, false);
    END IF;
END $$;

-- Count jobs that should have a message in the list (without recently published ones), and running jobs. It counts to
-- `p_most` at most: that many waiting jobs find enough messages. One plan, `jobs_published` in its order, suits any
-- limit, so it is made once.
CREATE OR REPLACE FUNCTION count_listed_jobs(p_lately interval, p_most bigint)
RETURNS TABLE (waiting bigint, running bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan SET enable_sort = off AS $$
BEGIN
    RETURN QUERY
    SELECT (SELECT count(*) FROM (
                SELECT FROM jobs w WHERE w.state = 'waiting' AND w.published_at < now() - p_lately AND w.due_at <= now()
                ORDER BY w.due_at LIMIT p_most) l),
           (SELECT count(*) FROM jobs r WHERE r.state = 'running');
END $$;

-- Mark the oldest jobs beyond `p_messages` for publishing again: as many messages were lost. It counts again, one relay
-- at a time, and ignores jobs that another relay has just published.
CREATE OR REPLACE FUNCTION take_jobs_without_message(
    p_messages bigint, p_most integer, p_lately interval, p_by_hand text)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text, by_hand boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_lost bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('jobs without message', 0)) THEN
        RETURN;
    END IF;
    SELECT c.waiting - p_messages INTO v_lost FROM count_listed_jobs(p_lately, p_messages + p_most) c;
    RETURN QUERY WITH oldest AS MATERIALIZED (
        SELECT w.id FROM jobs w
        WHERE w.state = 'waiting' AND w.published_at < now() - p_lately AND w.due_at <= now()
        ORDER BY w.due_at LIMIT greatest(v_lost, 0) FOR UPDATE SKIP LOCKED
    ), lost AS (
        UPDATE jobs j SET published_at = clock_timestamp() FROM oldest o WHERE j.id = o.id
        RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent, coalesce(j.reason = p_by_hand, false)
    ), logged AS (
        INSERT INTO job_events (tenant_id, job_id, attempt, what)
        SELECT l.tenant_id, l.id, l.attempt, 'published again' FROM lost l
    )
    SELECT * FROM lost;
END $$;

-- Reset jobs that Redis did not accept. Locked rows are passed over.
CREATE OR REPLACE FUNCTION unpublish_jobs(p_ids uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET published_at = NULL
    WHERE j.id IN (SELECT w.id FROM jobs w WHERE w.id = ANY (p_ids) AND w.state = 'waiting' FOR UPDATE SKIP LOCKED)
$$;

-- state: running -> waiting: recovered, its worker fell silent
-- Only while attempts are left. The first time at once, then at a random moment of a time that doubles. So a job that
-- kills its worker rarely runs beside the same jobs again, and does not use up their attempts.
CREATE OR REPLACE FUNCTION recover_jobs(p_most integer, p_attempts integer, p_reason text)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH recovered AS (
        UPDATE jobs j SET state = 'waiting', published_at = NULL, lease_owner = NULL, lease_until = NULL,
            claim_token = NULL, reason = p_reason,
            due_at = now() + make_interval(secs => random() * (2 ^ (greatest(j.attempt, 1) - 1) - 1))
        WHERE j.id IN (SELECT r.id FROM jobs r WHERE r.state = 'running' AND r.lease_until < now()
                       AND r.attempt < p_attempts AND r.deadline_at > now()
                       ORDER BY r.lease_until LIMIT p_most FOR UPDATE SKIP LOCKED)
        RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
    ), logged AS (
        INSERT INTO job_events (tenant_id, job_id, attempt, what, reason)
        SELECT r.tenant_id, r.id, r.attempt, 'recovered', p_reason FROM recovered r
    )
    SELECT * FROM recovered
$$;

-- state: running -> failed: its worker fell silent in the last attempt
-- state: running -> waiting: its worker fell silent in the last attempt, and a last one looks for the note
CREATE OR REPLACE FUNCTION fail_lost_jobs(
    p_most integer, p_attempts integer, p_reason text, p_lost text, p_look interval)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH lost AS (
        SELECT r.id, r.note_attempted_at IS NOT NULL AND r.attempt = p_attempts AS may_be_there
        FROM jobs r
        WHERE r.state = 'running' AND r.lease_until < now() AND r.attempt >= p_attempts AND r.deadline_at > now()
        ORDER BY r.lease_until LIMIT p_most FOR UPDATE SKIP LOCKED
    ), looks AS (
        UPDATE jobs j SET state = 'waiting', reason = p_lost, due_at = now(), published_at = NULL, lease_owner = NULL,
            lease_until = NULL, claim_token = NULL, deadline_at = greatest(j.deadline_at, now() + p_look)
        FROM lost l WHERE l.id = j.id AND l.may_be_there
        RETURNING j.id, j.tenant_id, j.attempt, j.reason
    ), failed AS (
        UPDATE jobs j SET state = 'failed', finished_at = now(), lease_owner = NULL, lease_until = NULL,
            claim_token = NULL,
            reason = CASE WHEN j.reason IS NULL THEN p_reason ELSE p_reason || ' (before: ' || j.reason || ')' END
        FROM lost l WHERE l.id = j.id AND NOT l.may_be_there
        RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent, j.reason
    ), logged AS (
        INSERT INTO job_events (tenant_id, job_id, attempt, what, reason)
        SELECT k.tenant_id, k.id, k.attempt, 'looked for once more', k.reason FROM looks k
        UNION ALL SELECT f.tenant_id, f.id, f.attempt, 'failed', f.reason FROM failed f
    )
    SELECT f.id, f.tenant_id, f.ticket_id, f.attempt, f.traceparent FROM failed f
$$;

-- Extend the deadline of published jobs while their tenant is at its limit (`p_most`): waiting for a share must not use
-- up their time. It acts `p_ahead` of the deadline, so that a claimed job has at least that long. The longest life is
-- the limit.
CREATE OR REPLACE FUNCTION put_off_deadlines(
    p_most jsonb, p_ahead interval, p_by interval, p_longest interval, p_rows integer)
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH full_tenants AS MATERIALIZED (
        SELECT r.tenant_id FROM jobs r WHERE r.state = 'running' AND r.lease_until > now()
        GROUP BY r.tenant_id HAVING count(*) >= (p_most ->> r.tenant_id)::integer
    ), near AS (
        SELECT j.id, coalesce(j.retried_at, j.accepted_at) + p_longest AS last FROM jobs j
        WHERE j.deadline_at < now() + p_ahead AND j.state = 'waiting' AND j.published_at IS NOT NULL
        AND j.tenant_id IN (SELECT f.tenant_id FROM full_tenants f)
        AND j.deadline_at < coalesce(j.retried_at, j.accepted_at) + p_longest
        ORDER BY j.deadline_at LIMIT p_rows FOR UPDATE SKIP LOCKED
    ), put_off AS (
        UPDATE jobs j SET deadline_at = least(now() + p_by, n.last) FROM near n WHERE n.id = j.id RETURNING j.id
    )
    SELECT count(*) FROM put_off
$$;

-- state: waiting -> failed: past its deadline
-- state: running -> failed: past its deadline, its worker fell silent
-- state: waiting -> waiting: past its deadline, a last attempt looks for the note
-- state: running -> waiting: past its deadline, its worker fell silent, and a last attempt looks for the note
-- The last attempt follows if the note may be there and no last look has begun. Jobs with a valid lease stay with their
-- worker.
CREATE OR REPLACE FUNCTION expire_jobs(p_most integer, p_attempts integer, p_reason text, p_look interval)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF (SELECT min(o.deadline_at) FROM jobs o WHERE o.state IN ('waiting', 'running')) >= now() THEN
        RETURN;
    END IF;
    RETURN QUERY WITH overdue AS (
        SELECT o.id, o.attempt, o.note_attempted_at IS NOT NULL
            AND (o.attempt < p_attempts OR (o.attempt = p_attempts AND o.state = 'running')) AS may_be_there
        FROM jobs o WHERE o.deadline_at < now()
        AND (o.state = 'waiting' OR (o.state = 'running' AND o.lease_until < now()))
        ORDER BY o.deadline_at LIMIT p_most FOR UPDATE SKIP LOCKED
    ), looks AS (
        UPDATE jobs j SET state = 'waiting', attempt = p_attempts, due_at = now(), published_at = NULL,
            lease_owner = NULL, lease_until = NULL, claim_token = NULL, deadline_at = now() + p_look
        FROM overdue o WHERE o.id = j.id AND o.may_be_there
        RETURNING j.id, j.tenant_id, o.attempt
    ), expired AS (
        UPDATE jobs j SET state = 'failed', finished_at = now(), lease_owner = NULL, lease_until = NULL,
            claim_token = NULL,
            reason = CASE WHEN j.reason IS NULL THEN p_reason ELSE p_reason || ' (last: ' || j.reason || ')' END
        FROM overdue o WHERE o.id = j.id AND NOT o.may_be_there
        RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent, j.reason
    ), logged AS (
        INSERT INTO job_events (tenant_id, job_id, attempt, what, reason)
        SELECT k.tenant_id, k.id, k.attempt, 'looked for once more', p_reason FROM looks k
        UNION ALL SELECT e.tenant_id, e.id, e.attempt, 'expired', e.reason FROM expired e
    )
    SELECT e.id, e.tenant_id, e.ticket_id, e.attempt, e.traceparent FROM expired e;
END $$;

-- -- Looking ---------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION job_state(p_id uuid) RETURNS TABLE (tenant_id text, state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT j.tenant_id, j.state FROM jobs j WHERE j.id = p_id
$$;

-- List jobs, newest first; a null condition does not filter. `p_ticket`: any of a ticket's numbers, which finds the
-- jobs with its other number too. `p_since`: a time of the job is not before it. Reasons are this system's own words.
-- Planned for each call, because an index suits only the given conditions.
CREATE OR REPLACE FUNCTION list_jobs(
    p_tenant text, p_ticket text, p_states text[], p_since timestamptz, p_most integer)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, state text, attempt integer, reason text,
               accepted_at timestamptz, due_at timestamptz, started_at timestamptz, finished_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    v_ids uuid[];
BEGIN
    IF p_ticket IS NOT NULL THEN
        v_ids := ARRAY(
            SELECT o.id FROM (
                SELECT DISTINCT t.tenant_id, coalesce(t.desk_id, t.ticket_id) AS number FROM jobs t
                WHERE (p_tenant IS NULL OR t.tenant_id = p_tenant)
                AND (t.ticket_id = p_ticket OR t.desk_id = p_ticket OR t.display_id = p_ticket)) n
            JOIN jobs o ON o.tenant_id = n.tenant_id
                AND (o.desk_id = n.number OR (o.ticket_id = n.number AND o.desk_id IS NULL)));
    END IF;
    RETURN QUERY
    SELECT j.id, j.tenant_id, j.ticket_id, j.state, j.attempt, j.reason,
           j.accepted_at, j.due_at, j.started_at, j.finished_at
    FROM jobs j
    WHERE (p_tenant IS NULL OR j.tenant_id = p_tenant)
    AND (v_ids IS NULL OR j.id = ANY (v_ids))
    AND (p_states IS NULL OR j.state = ANY (p_states))
    AND (p_since IS NULL OR greatest(j.accepted_at, j.due_at, j.started_at, j.finished_at) >= p_since)
    ORDER BY j.accepted_at DESC, j.id DESC LIMIT p_most;
END $$;

-- Count unfinished jobs and those long past their deadline, and measure how long the longest due one has waited
-- (seconds).
CREATE OR REPLACE FUNCTION job_figures(p_overdue interval)
RETURNS TABLE (waiting bigint, running bigint, oldest_waiting_seconds double precision, without_outcome bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.open - r.running, r.running,
           coalesce(extract(epoch FROM now() - least(
               (SELECT min(j.due_at) FROM jobs j
                WHERE j.state = 'waiting' AND j.published_at IS NOT NULL AND j.due_at <= now()),
               (SELECT min(j.due_at) FROM jobs j
                WHERE j.state = 'waiting' AND j.published_at IS NULL AND j.due_at <= now()))), 0)::double precision,
           (SELECT count(*) FROM jobs j
            WHERE j.state IN ('waiting', 'running') AND j.deadline_at < now() - p_overdue)
    FROM (SELECT count(*) AS open FROM jobs j WHERE j.state IN ('waiting', 'running')) o,
         (SELECT count(*) AS running FROM jobs j WHERE j.state = 'running') r
$$;

-- Return signs of active workers: workers with a job, running jobs, running jobs with an expired lease, and the last
-- start. The last start covers running jobs, and jobs that ended or wait again within `p_lately` (given back, held
-- back, retried). It reads the last thousand of each kind, since very many end at once in an outage.
CREATE OR REPLACE FUNCTION signs_of_work(p_lately interval)
RETURNS TABLE (workers bigint, running bigint, silent bigint, last_started_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.workers, r.running, r.silent, greatest(r.started_at, (
        SELECT max(l.started_at) FROM (
            (SELECT j.started_at FROM jobs j WHERE j.finished_at > now() - p_lately
             ORDER BY j.finished_at DESC LIMIT 1000)
            UNION ALL
            (SELECT j.started_at FROM jobs j
             WHERE j.state = 'waiting' AND j.published_at IS NULL AND j.due_at > now() - p_lately
             ORDER BY j.due_at DESC LIMIT 1000)
            UNION ALL
            (SELECT j.started_at FROM jobs j
             WHERE j.state = 'waiting' AND j.published_at IS NOT NULL AND j.due_at > now() - p_lately
             ORDER BY j.due_at DESC LIMIT 1000)) l
        WHERE l.started_at > now() - p_lately))
    FROM (SELECT count(DISTINCT j.lease_owner) FILTER (WHERE j.lease_until > now()) AS workers, count(*) AS running,
                 count(*) FILTER (WHERE j.lease_until <= now()) AS silent, max(j.started_at) AS started_at
          FROM jobs j WHERE j.state = 'running') r
$$;

-- Count jobs that wait because their last attempt was held back, by tenant and reason.
CREATE OR REPLACE FUNCTION jobs_held_back() RETURNS TABLE (tenant_id text, reason text, jobs bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT j.tenant_id, j.reason, count(*) FROM jobs j
    WHERE j.state = 'waiting' AND j.reason IS NOT NULL AND 'held back' = (
        SELECT e.what FROM job_events e WHERE e.job_id = j.id ORDER BY e.id DESC LIMIT 1)
    GROUP BY j.tenant_id, j.reason
$$;

-- For the console's pages: each function reads a limited number of rows, whatever the size of the tables.

-- Count due jobs and jobs for a later time, up to `p_most` of each kind, with a message and without. Measure how long
-- the longest due one has waited (seconds).
CREATE OR REPLACE FUNCTION open_jobs(p_most bigint)
RETURNS TABLE (waiting bigint, later bigint, oldest_waiting_seconds double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    RETURN QUERY
    SELECT (SELECT count(*) FROM (
                SELECT FROM jobs w WHERE w.state = 'waiting' AND w.published_at IS NOT NULL AND w.due_at <= now()
                ORDER BY w.due_at LIMIT p_most) p)
           + (SELECT count(*) FROM (
                SELECT FROM jobs w WHERE w.state = 'waiting' AND w.published_at IS NULL AND w.due_at <= now()
                ORDER BY w.due_at LIMIT p_most) u),
           (SELECT count(*) FROM (
                SELECT FROM jobs w WHERE w.state = 'waiting' AND w.published_at IS NOT NULL AND w.due_at > now()
                ORDER BY w.due_at LIMIT p_most) p)
           + (SELECT count(*) FROM (
                SELECT FROM jobs w WHERE w.state = 'waiting' AND w.published_at IS NULL AND w.due_at > now()
                ORDER BY w.due_at LIMIT p_most) u),
           coalesce(extract(epoch FROM now() - least(
               (SELECT min(j.due_at) FROM jobs j
                WHERE j.state = 'waiting' AND j.published_at IS NOT NULL AND j.due_at <= now()),
               (SELECT min(j.due_at) FROM jobs j
                WHERE j.state = 'waiting' AND j.published_at IS NULL AND j.due_at <= now()))), 0)::double precision;
END $$;

-- Count jobs that were held back or whose last attempt failed, by tenant and reason, up to `p_most` of each. It steps
-- from one such pair to the next, for `p_pairs` pairs at most.
CREATE OR REPLACE FUNCTION reasons_of_waiting(p_most bigint, p_pairs bigint)
RETURNS TABLE (tenant_id text, reason text, jobs bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
    WITH RECURSIVE pairs AS (
        (SELECT j.tenant_id, j.reason FROM jobs j WHERE j.state = 'waiting' AND j.reason IS NOT NULL
         ORDER BY j.tenant_id, j.reason LIMIT 1)
        UNION ALL
        SELECT n.* FROM pairs p CROSS JOIN LATERAL (
            SELECT j.tenant_id, j.reason FROM jobs j
            WHERE j.state = 'waiting' AND j.reason IS NOT NULL AND (j.tenant_id, j.reason) > (p.tenant_id, p.reason)
            ORDER BY j.tenant_id, j.reason LIMIT 1) n
    )
    SELECT p.tenant_id, p.reason, (SELECT count(*) FROM (
        SELECT FROM jobs j WHERE j.state = 'waiting' AND j.tenant_id = p.tenant_id AND j.reason = p.reason
        LIMIT p_most) l)
    FROM pairs p LIMIT p_pairs
$$;

-- Count jobs that failed or were skipped since `p_since`, by tenant and reason, with the last end. It reads the newest
-- `p_most` in index order, because very many end at once in an outage.
CREATE OR REPLACE FUNCTION causes_of_ends(p_state text, p_since timestamptz, p_most bigint)
RETURNS TABLE (tenant_id text, reason text, jobs bigint, finished_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan SET enable_sort = off
SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.tenant_id, e.reason, count(*), max(e.finished_at) FROM (
        SELECT j.tenant_id, j.reason, j.finished_at FROM jobs j
        WHERE j.state = p_state AND j.state IN ('failed', 'skipped') AND j.finished_at >= p_since
        ORDER BY j.finished_at DESC LIMIT p_most) e
    GROUP BY e.tenant_id, e.reason;
END $$;

-- Count completed and failed jobs of these tenants, of the newest `p_most` that ended since `p_since`. Tenants without
-- a failed job are left out.
CREATE OR REPLACE FUNCTION outcomes_of_tenants(p_tenants text[], p_since timestamptz, p_most bigint)
RETURNS TABLE (tenant_id text, completed bigint, failed bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET enable_sort = off SET enable_bitmapscan = off AS $$
    SELECT t.id, count(*) FILTER (WHERE l.state = 'completed'), count(*) FILTER (WHERE l.state = 'failed')
    FROM unnest(p_tenants) AS t(id) CROSS JOIN LATERAL (
        SELECT j.state FROM jobs j
        WHERE j.tenant_id = t.id AND j.state IN ('completed', 'failed') AND j.finished_at >= p_since
        ORDER BY j.finished_at DESC LIMIT p_most) l
    WHERE EXISTS (SELECT FROM jobs f WHERE f.tenant_id = t.id AND f.state = 'failed'
                  AND f.state IN ('failed', 'skipped') AND f.finished_at >= p_since)
    GROUP BY t.id
$$;

-- Return tenants whose last webhook was refused since `p_since`, without an accepted one after it, with reason and
-- time. It steps from one tenant to the next, for `p_most` tenants. Jobs without a webhook have one of the events
-- `p_own`.
CREATE OR REPLACE FUNCTION refused_tenants(p_since timestamptz, p_own text[], p_most bigint)
RETURNS TABLE (tenant_id text, reason text, rejected_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
    WITH RECURSIVE last AS (
        (SELECT r.tenant_id, r.reason, r.rejected_at FROM rejections r
         ORDER BY r.tenant_id, r.rejected_at DESC LIMIT 1)
        UNION ALL
        SELECT n.* FROM last l CROSS JOIN LATERAL (
            SELECT r.tenant_id, r.reason, r.rejected_at FROM rejections r WHERE r.tenant_id > l.tenant_id
            ORDER BY r.tenant_id, r.rejected_at DESC LIMIT 1) n
    )
    SELECT l.* FROM (SELECT * FROM last LIMIT p_most) l
    WHERE l.rejected_at >= p_since AND NOT EXISTS (
        SELECT FROM (SELECT j.event FROM jobs j WHERE j.tenant_id = l.tenant_id AND j.accepted_at > l.rejected_at
                     ORDER BY j.accepted_at LIMIT 1000) a
        WHERE coalesce(a.event, '') <> ALL (p_own))
$$;

-- Count tickets without a job whose webhook was missed since `p_since`: by tenant, with the last time and whether there
-- may be more. It reads the newest `p_most` of each tenant, with or without a job, and steps through `p_tenants`
-- tenants.
CREATE OR REPLACE FUNCTION missed_webhooks_of_all(p_since timestamptz, p_most bigint, p_tenants bigint)
RETURNS TABLE (tenant_id text, missed bigint, last_at timestamptz, is_cut boolean)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
    WITH RECURSIVE tenants AS (
        (SELECT m.tenant_id FROM missing_webhooks m WHERE m.missed_at <> m.seen_at AND m.job_id IS NULL
         ORDER BY m.tenant_id LIMIT 1)
        UNION ALL
        SELECT n.tenant_id FROM tenants t CROSS JOIN LATERAL (
            SELECT m.tenant_id FROM missing_webhooks m
            WHERE m.missed_at <> m.seen_at AND m.job_id IS NULL AND m.tenant_id > t.tenant_id
            ORDER BY m.tenant_id LIMIT 1) n
    )
    SELECT t.tenant_id, count(*) FILTER (WHERE l.is_missed), max(l.missed_at) FILTER (WHERE l.is_missed),
           count(*) >= p_most
    FROM (SELECT * FROM tenants LIMIT p_tenants) t CROSS JOIN LATERAL (
        SELECT m.missed_at, NOT (
            EXISTS (SELECT FROM jobs j WHERE j.tenant_id = m.tenant_id AND j.ticket_id IN (m.ticket_id, m.display_id))
            OR EXISTS (SELECT FROM jobs j WHERE j.tenant_id = m.tenant_id AND j.desk_id = m.ticket_id)) AS is_missed
        FROM missing_webhooks m
        WHERE m.missed_at <> m.seen_at AND m.job_id IS NULL AND m.tenant_id = t.tenant_id AND m.missed_at > p_since
        ORDER BY m.missed_at DESC LIMIT p_most) l
    GROUP BY t.tenant_id
$$;

-- Count due waiting jobs by tenant, of the `p_most` that are due longest with a message, and as many without.
CREATE OR REPLACE FUNCTION due_jobs_of_all(p_most bigint) RETURNS TABLE (tenant_id text, jobs bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.tenant_id, count(*) FROM (
        (SELECT w.tenant_id FROM jobs w WHERE w.state = 'waiting' AND w.published_at IS NOT NULL AND w.due_at <= now()
         ORDER BY w.due_at LIMIT p_most)
        UNION ALL
        (SELECT w.tenant_id FROM jobs w WHERE w.state = 'waiting' AND w.published_at IS NULL AND w.due_at <= now()
         ORDER BY w.due_at LIMIT p_most)) d
    GROUP BY d.tenant_id;
END $$;

-- List jobs that failed or were skipped since `p_since`, latest end first; `p_reasons` filters by reason. A further
-- page begins after the job that ended at `p_before` with the id `p_before_id`. It reads in index order, because very
-- many end at once in an outage. New columns of `job_rows` need no change here.
CREATE OR REPLACE FUNCTION list_ends(
    p_state text, p_reasons text[], p_since timestamptz, p_before timestamptz, p_before_id uuid, p_most bigint)
RETURNS SETOF job_rows
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan SET enable_sort = off
SET enable_incremental_sort = off AS $$
BEGIN
    RETURN QUERY
    SELECT j.* FROM job_rows j
    WHERE j.state = p_state AND j.state IN ('failed', 'skipped') AND j.finished_at >= p_since
    AND (p_reasons IS NULL OR j.reason = ANY (p_reasons))
    AND (p_before IS NULL OR (j.finished_at, j.id) < (p_before, p_before_id))
    ORDER BY j.finished_at DESC, j.id DESC LIMIT p_most;
END $$;

-- List a page of jobs, newest first, after the job of `p_before` and `p_before_id`. Null filters match all; `p_tenant`
-- null: all tenants. `p_is_due`: waiting jobs that are due, or not yet. Each state, and each reason, is read by an
-- index, so a page takes as long in a large table. `p_ticket` matches any number of a ticket.
CREATE OR REPLACE FUNCTION page_of_jobs(
    p_tenant text, p_states text[], p_is_due boolean, p_reasons text[], p_ticket text, p_from timestamptz,
    p_until timestamptz, p_before timestamptz, p_before_id uuid, p_most integer)
RETURNS SETOF job_rows
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    p_from := coalesce(p_from, '-infinity');
    p_until := coalesce(p_until, 'infinity');
    IF p_ticket IS NOT NULL THEN
        RETURN QUERY
        SELECT j.* FROM job_rows j WHERE j.id IN (
            SELECT t.id FROM jobs t WHERE t.ticket_id = p_ticket
            UNION SELECT d.id FROM jobs d WHERE d.desk_id = p_ticket
            UNION SELECT n.id FROM jobs n WHERE n.display_id = p_ticket)
        AND (p_tenant IS NULL OR j.tenant_id = p_tenant) AND j.state = ANY (p_states)
        AND (p_reasons IS NULL OR j.reason = ANY (p_reasons))
        AND (p_is_due IS NULL OR (j.due_at <= now()) = p_is_due)
        AND j.accepted_at >= p_from AND j.accepted_at < p_until
        AND (p_before IS NULL OR (j.accepted_at, j.id) < (p_before, p_before_id))
        ORDER BY j.accepted_at DESC, j.id DESC LIMIT p_most;
    ELSIF p_reasons IS NOT NULL THEN
        RETURN QUERY
        SELECT l.* FROM unnest(p_states) s (state) CROSS JOIN unnest(p_reasons) r (reason) CROSS JOIN LATERAL (
            SELECT j.* FROM job_rows j
            WHERE (p_tenant IS NULL OR j.tenant_id = p_tenant) AND j.reason = r.reason AND j.state = s.state
            AND (p_is_due IS NULL OR (j.due_at <= now()) = p_is_due)
            AND j.accepted_at >= p_from AND j.accepted_at < p_until
            AND (p_before IS NULL OR (j.accepted_at, j.id) < (p_before, p_before_id))
            ORDER BY j.accepted_at DESC, j.id DESC LIMIT p_most) l
        ORDER BY l.accepted_at DESC, l.id DESC LIMIT p_most;
    ELSE
        RETURN QUERY
        SELECT l.* FROM unnest(p_states) s (state) CROSS JOIN LATERAL (
            SELECT j.* FROM job_rows j
            WHERE (p_tenant IS NULL OR j.tenant_id = p_tenant) AND j.state = s.state
            AND (p_is_due IS NULL OR (j.due_at <= now()) = p_is_due)
            AND j.accepted_at >= p_from AND j.accepted_at < p_until
            AND (p_before IS NULL OR (j.accepted_at, j.id) < (p_before, p_before_id))
            ORDER BY j.accepted_at DESC, j.id DESC LIMIT p_most) l
        ORDER BY l.accepted_at DESC, l.id DESC LIMIT p_most;
    END IF;
END $$;

-- List the reasons of jobs, up to `p_most`, by one look into an index for each.
CREATE OR REPLACE FUNCTION reasons_of_jobs(p_tenant text, p_most integer) RETURNS TABLE (reason text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE reasons AS (
        (SELECT j.reason FROM jobs j WHERE j.reason IS NOT NULL AND (p_tenant IS NULL OR j.tenant_id = p_tenant)
         ORDER BY j.reason LIMIT 1)
        UNION ALL
        SELECT n.reason FROM reasons r CROSS JOIN LATERAL (
            SELECT j.reason FROM jobs j WHERE j.reason > r.reason AND (p_tenant IS NULL OR j.tenant_id = p_tenant)
            ORDER BY j.reason LIMIT 1) n
    )
    SELECT r.reason FROM reasons r LIMIT p_most;
END $$;

-- Sum the jobs that were accepted in each of `p_bars` bars of `p_step` from `p_from` on, by state, model, and whether
-- their cost is known. Only an index is read. `open`: jobs that had not ended at the end of their bar. Every `p_parts`th
-- bar is summed, from `p_part` on.
CREATE OR REPLACE FUNCTION sums_of_jobs(
    p_tenant text, p_from timestamptz, p_step interval, p_bars integer, p_part integer, p_parts integer)
RETURNS TABLE (bar integer, state text, model text, is_priced boolean, jobs bigint, open bigint,
               input_tokens bigint, output_tokens bigint, dollars double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    RETURN QUERY
    SELECT b.bar, s.*
    FROM (SELECT g.bar, p_from + g.bar * p_step AS since, p_from + (g.bar + 1) * p_step AS until
          FROM generate_series(p_part, p_bars - 1, p_parts) g (bar)) b
    CROSS JOIN LATERAL (
        SELECT j.state, j.model, j.dollars IS NOT NULL, count(*),
               count(*) FILTER (WHERE j.finished_at IS NULL OR j.finished_at >= b.until),
               sum(j.input_tokens), sum(j.output_tokens), sum(j.dollars)
        FROM jobs j
        WHERE (p_tenant IS NULL OR j.tenant_id = p_tenant) AND j.accepted_at >= b.since AND j.accepted_at < b.until
        GROUP BY 1, 2, 3) s;
END $$;

-- Measure each of these bars: median and 95th percentile of the seconds from a webhook to its note, of the newest
-- `p_most` notes of the bar, and the jobs of earlier bars that were open at its end. `p_longest`: the longest life of a
-- job; an older one, retried by hand, is not counted.
CREATE OR REPLACE FUNCTION speeds_of_jobs(
    p_tenant text, p_from timestamptz, p_step interval, p_bars integer, p_most integer, p_longest interval)
RETURNS TABLE (bar integer, half_seconds double precision, most_seconds double precision, carried bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    RETURN QUERY
    SELECT b.bar, n.half_seconds, n.most_seconds, c.carried
    FROM (SELECT g.bar, p_from + g.bar * p_step AS since, p_from + (g.bar + 1) * p_step AS until
          FROM generate_series(0, p_bars - 1) g (bar)) b
    CROSS JOIN LATERAL (
        SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY l.seconds) AS half_seconds,
               percentile_disc(0.95) WITHIN GROUP (ORDER BY l.seconds) AS most_seconds
        FROM (
            SELECT extract(epoch FROM j.finished_at - j.accepted_at)::double precision AS seconds FROM jobs j
            WHERE (p_tenant IS NULL OR j.tenant_id = p_tenant) AND j.state = 'completed'
            AND j.accepted_at >= b.since AND j.accepted_at < b.until
            ORDER BY j.accepted_at DESC, j.id DESC LIMIT p_most) l) n
    CROSS JOIN LATERAL (
        SELECT count(*) AS carried FROM jobs j
        WHERE (p_tenant IS NULL OR j.tenant_id = p_tenant)
        -- The end of the last bar is in the future.
        AND j.accepted_at >= least(b.until, now()) - p_longest AND j.accepted_at < b.since
        AND (j.finished_at IS NULL OR j.finished_at >= b.until)) c
    ORDER BY b.bar;
END $$;

-- -- Purging ---------------------------------------------------------------------------------------------------------
-- In batches, each in a short transaction; locked rows wait for the next batch.

CREATE OR REPLACE FUNCTION purge_short_lived(p_keys_kept interval, p_rejections_kept interval) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM delivery_keys k WHERE (k.tenant_id, k.key) IN (
        SELECT o.tenant_id, o.key FROM delivery_keys o WHERE o.expires_at < now() - p_keys_kept
        FOR UPDATE SKIP LOCKED);
    DELETE FROM rejections r WHERE r.id IN (
        SELECT o.id FROM rejections o WHERE o.rejected_at < now() - p_rejections_kept FOR UPDATE SKIP LOCKED);
    -- Kept as long as rejections: support uses both to explain webhooks that made no job.
    DELETE FROM missing_webhooks m WHERE (m.tenant_id, m.ticket_id) IN (
        SELECT o.tenant_id, o.ticket_id FROM missing_webhooks o WHERE o.seen_at < now() - p_rejections_kept
        FOR UPDATE SKIP LOCKED);
    DELETE FROM ended_sessions s WHERE s.id IN (
        SELECT o.id FROM ended_sessions o WHERE o.expires_at < now() FOR UPDATE SKIP LOCKED);
$$;

-- Purge GPT-4's answers of jobs that ended more than `p_days` days ago. MATERIALIZED chooses each batch once. The plan
-- for a small table may choose it again for each row and return another number; a batch that is not full ends the
-- purge.
CREATE OR REPLACE FUNCTION purge_answers(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH old AS MATERIALIZED (
        SELECT o.id FROM jobs o WHERE o.finished_at < now() - make_interval(days => p_days)
        AND o.enhancement IS NOT NULL ORDER BY o.finished_at LIMIT p_most FOR UPDATE SKIP LOCKED
    ), purged AS (
        UPDATE jobs j SET enhancement = NULL FROM old o WHERE j.id = o.id RETURNING 1
    ) SELECT count(*) FROM purged
$$;

-- Purge whole rows of jobs that ended more than `p_days` days ago, with their events.
CREATE OR REPLACE FUNCTION purge_jobs(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH old AS MATERIALIZED (
        SELECT o.id FROM jobs o WHERE o.finished_at < now() - make_interval(days => p_days)
        ORDER BY o.finished_at LIMIT p_most FOR UPDATE SKIP LOCKED
    ), purged AS (
        DELETE FROM jobs j USING old o WHERE j.id = o.id RETURNING j.id
    ), purged_events AS (
        DELETE FROM job_events e USING purged p WHERE e.job_id = p.id
    ) SELECT count(*) FROM purged
$$;
