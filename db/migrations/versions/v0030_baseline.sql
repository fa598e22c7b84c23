-- All tables and indexes of 0.3.0. Do not edit after that release: a later change is a migration of its own.

CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    ticket_id text NOT NULL,
    event text,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'completed', 'skipped', 'failed')),
    reason text,
    attempt integer NOT NULL DEFAULT 0,
    traceparent text,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    deadline_at timestamptz NOT NULL,
    published_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    retried_at timestamptz,
    lease_owner text,
    lease_until timestamptz,
    claim_token uuid,
    enhancement jsonb,
    model text,
    note_attempted_at timestamptz,
    note_id text,
    seen_open_at timestamptz,
    failure_noted_at timestamptz,
    requester bytea,
    -- Null if `ticket_id` is the only number, or the other one is unknown.
    desk_id text,
    display_id text,
    refresh text,
    seen_closed_at timestamptz,
    -- Sums of all paid calls for the job. `dollars`: reported by the endpoint, or by MODEL_PRICES; null if no cost is known.
    input_tokens integer NOT NULL DEFAULT 0,
    output_tokens integer NOT NULL DEFAULT 0,
    dollars double precision,
    -- Whether the note's claims were posted, or are to be, without a check.
    is_unchecked boolean NOT NULL DEFAULT false,
    -- From the ticket's creation to its last closing, by the desk's clock.
    resolution_seconds double precision,
    -- Decided once the ticket was read: whether it is held out, and the share in percent. Null while `report.holdout` is 0.
    held_out boolean,
    holdout smallint
);
-- A job without ticket text, answers and claims: the rows of functions that read across tenants. New columns go to its
-- end. Direct reads are under the row-level security of `jobs` (`security_invoker`).
CREATE VIEW job_rows WITH (security_invoker = true) AS
SELECT id, tenant_id, ticket_id, desk_id, display_id, state, reason, attempt, accepted_at, due_at, deadline_at,
       published_at, started_at, finished_at, retried_at, refresh, note_attempted_at, failure_noted_at,
       seen_open_at, seen_closed_at, enhancement IS NOT NULL AS answered, model, input_tokens, output_tokens, dollars
FROM jobs;
-- The ticket's number comes first: a search for a ticket may not know its tenant.
CREATE INDEX jobs_by_ticket ON jobs (ticket_id, tenant_id, accepted_at DESC);
CREATE INDEX jobs_by_desk_id ON jobs (desk_id, tenant_id) WHERE desk_id IS NOT NULL;
CREATE INDEX jobs_by_display_id ON jobs (display_id, tenant_id) WHERE display_id IS NOT NULL;
-- With the columns of the console's charts, so that a month of them is read from the index alone.
CREATE INDEX jobs_by_age ON jobs (accepted_at DESC, id DESC)
    INCLUDE (state, finished_at, model, input_tokens, output_tokens, dollars);
CREATE INDEX jobs_of_tenant ON jobs (tenant_id, accepted_at DESC, id DESC)
    INCLUDE (state, finished_at, model, input_tokens, output_tokens, dollars);
-- Pages of the console's list, by state and reason.
CREATE INDEX jobs_by_state ON jobs (state, accepted_at DESC, id DESC);
CREATE INDEX jobs_by_state_of_tenant ON jobs (tenant_id, state, accepted_at DESC, id DESC);
CREATE INDEX jobs_by_reason ON jobs (reason, state, accepted_at DESC, id DESC) WHERE reason IS NOT NULL;
CREATE INDEX jobs_by_reason_of_tenant ON jobs (tenant_id, reason, state, accepted_at DESC, id DESC)
    WHERE reason IS NOT NULL;
-- Waiting jobs with a message in Redis, and those without. The relay reads the latter each second. A claim looks for the
-- next tenant by a hash, so that tenants with similar names are not neighbours.
CREATE INDEX jobs_published ON jobs (due_at) WHERE state = 'waiting' AND published_at IS NOT NULL;
CREATE INDEX jobs_turns ON jobs (hashtext(tenant_id), tenant_id, due_at)
    WHERE state = 'waiting' AND published_at IS NOT NULL;
CREATE INDEX jobs_unpublished ON jobs (due_at) WHERE state = 'waiting' AND published_at IS NULL;
CREATE INDEX jobs_unpublished_turns ON jobs (hashtext(tenant_id), tenant_id, due_at)
    WHERE state = 'waiting' AND published_at IS NULL;
CREATE INDEX jobs_waiting_again ON jobs (tenant_id, reason) WHERE state = 'waiting' AND reason IS NOT NULL;
CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_by_deadline ON jobs (deadline_at) WHERE state IN ('waiting', 'running');
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_ended_with_text ON jobs (finished_at) WHERE finished_at IS NOT NULL AND enhancement IS NOT NULL;
CREATE INDEX jobs_not_done ON jobs (state, finished_at, id) WHERE state IN ('failed', 'skipped');
CREATE INDEX jobs_not_done_of_tenant ON jobs (tenant_id, state, finished_at, id) WHERE state IN ('failed', 'skipped');
CREATE INDEX jobs_done_of_tenant ON jobs (tenant_id, finished_at DESC) INCLUDE (state)
    WHERE state IN ('completed', 'failed');

CREATE TABLE job_events (
    job_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id text NOT NULL,
    attempt integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    what text NOT NULL,
    reason text,
    PRIMARY KEY (job_id, id)
);

CREATE TABLE delivery_keys (
    tenant_id text NOT NULL,
    key text NOT NULL,
    job_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX delivery_keys_by_expiry ON delivery_keys (expires_at);

CREATE TABLE rejections (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    ticket_id text,
    status integer NOT NULL,
    reason text NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rejections_by_tenant ON rejections (tenant_id, rejected_at DESC);

-- Spending on models by tenant and day.
CREATE TABLE spending (
    tenant_id text NOT NULL,
    day date NOT NULL,
    tokens bigint NOT NULL DEFAULT 0,
    dollars double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, day)
);

-- Votes on notes, how much of each note was used, and which suggestions were right. Deleted with its job.
CREATE TABLE feedback (
    job_id uuid PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    tenant_id text NOT NULL,
    prompt text NOT NULL,
    model text NOT NULL,
    vote text CHECK (vote IN ('useful', 'not useful')),
    reason text,
    voted_at timestamptz,
    taken_up real CHECK (taken_up BETWEEN 0 AND 1),
    taken_up_at timestamptz,
    -- Whether a suggestion has the value of the closed ticket; null without a suggestion or a closed ticket.
    category_matched boolean,
    priority_matched boolean,
    group_matched boolean
);

-- Questions to a model and its answers, for tenants that keep them. A record may outlive its job, so it has the
-- identifiers of the ticket and no foreign key.
CREATE TABLE audit_records (
    tenant_id text NOT NULL,
    job_id uuid NOT NULL,
    at timestamptz NOT NULL,
    ticket_id text NOT NULL,
    desk_id text,
    display_id text,
    requester bytea,
    prompt text NOT NULL,
    model text NOT NULL,
    host text NOT NULL,
    masking text NOT NULL,
    system text NOT NULL,
    sent text NOT NULL,
    answer jsonb,
    sources jsonb NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost double precision,
    seconds double precision NOT NULL,
    reason text,
    PRIMARY KEY (tenant_id, job_id, at)
);
CREATE INDEX audit_records_by_age ON audit_records (tenant_id, at);
CREATE INDEX audit_records_by_ticket ON audit_records (tenant_id, ticket_id);
CREATE INDEX audit_records_by_desk_id ON audit_records (tenant_id, desk_id) WHERE desk_id IS NOT NULL;
CREATE INDEX audit_records_by_display_id ON audit_records (tenant_id, display_id) WHERE display_id IS NOT NULL;

-- Copies of a desk's tickets. `people` are the names to redact. `kinds`: category, group and template; null if unknown.
-- `search_id` identifies a text in `postings` and `embeddings`; a trigger keeps the postings of `terms`. `indexed` is
-- the version of the code that made the terms, 0 before that.
CREATE TABLE tickets (
    tenant_id text NOT NULL,
    ticket_id text NOT NULL,
    subject text NOT NULL,
    description text NOT NULL,
    resolution text NOT NULL,
    status text NOT NULL,
    synced_at timestamptz NOT NULL DEFAULT now(),
    requester bytea,
    display_id text,
    kinds jsonb,
    search_id bigint GENERATED ALWAYS AS IDENTITY,
    terms integer[] NOT NULL DEFAULT '{}',
    weights real[] NOT NULL DEFAULT '{}',
    indexed smallint NOT NULL DEFAULT 0,
    created_at timestamptz,
    conversation text NOT NULL DEFAULT '',
    people jsonb NOT NULL DEFAULT '[]',
    resolution_seen_at timestamptz,
    PRIMARY KEY (tenant_id, ticket_id)
);
CREATE UNIQUE INDEX tickets_by_search_id ON tickets (search_id);
CREATE INDEX tickets_unindexed ON tickets (tenant_id, indexed);

-- Passages of a desk's solutions and of documents.
CREATE TABLE passages (
    tenant_id text NOT NULL,
    source_id text NOT NULL,
    position integer NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    synced_at timestamptz NOT NULL DEFAULT now(),
    search_id bigint GENERATED ALWAYS AS IDENTITY,
    terms integer[] NOT NULL DEFAULT '{}',
    weights real[] NOT NULL DEFAULT '{}',
    indexed smallint NOT NULL DEFAULT 0,
    topic text,
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, source_id, position)
);
CREATE UNIQUE INDEX passages_by_search_id ON passages (search_id);
CREATE INDEX passages_unindexed ON passages (tenant_id, indexed);

-- The index of terms. Its primary key has all columns: a search reads only the key where vacuum has been.
CREATE TABLE postings (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    term integer NOT NULL,
    weight real NOT NULL,
    document bigint NOT NULL,
    PRIMARY KEY (tenant_id, collection, term, document) INCLUDE (weight)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE term_counts (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    term integer NOT NULL,
    documents integer NOT NULL,
    PRIMARY KEY (tenant_id, collection, term)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE collection_sizes (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    documents integer NOT NULL,
    PRIMARY KEY (tenant_id, collection)
) WITH (fillfactor = 50);

CREATE TABLE embeddings (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    document bigint NOT NULL,
    model integer NOT NULL,
    language text NOT NULL,
    embedding bytea NOT NULL,
    PRIMARY KEY (tenant_id, collection, document)
);
-- Embeddings do not compress.
ALTER TABLE embeddings ALTER COLUMN embedding SET STORAGE EXTERNAL;

-- A desk's list of tickets and solutions. Each pass over the lists updates each row: pages keep free space, and no index
-- has a column that a pass changes.
CREATE TABLE listings (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    item_id text NOT NULL,
    told text NOT NULL,
    created_at timestamptz,
    changed_at timestamptz,
    listed_at timestamptz,
    seen_at timestamptz NOT NULL,
    read_at timestamptz,
    to_read timestamptz,
    PRIMARY KEY (tenant_id, collection, item_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX listings_to_read ON listings (tenant_id, collection, to_read DESC) WHERE to_read IS NOT NULL;

CREATE TABLE passes (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    began_at timestamptz,
    next_start integer NOT NULL DEFAULT 1,
    last_created timestamptz,
    in_order boolean NOT NULL DEFAULT true,
    complete_from timestamptz,
    complete_at timestamptz,
    ended_at timestamptz,
    missing integer NOT NULL DEFAULT 0,
    changes_until timestamptz,
    rules text NOT NULL DEFAULT '',
    held_by uuid,
    held_until timestamptz,
    PRIMARY KEY (tenant_id, collection)
) WITH (fillfactor = 50);

-- The comparison of a desk's new tickets with the jobs, and tickets that have no job.
CREATE TABLE reconciliations (
    tenant_id text PRIMARY KEY,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    since timestamptz NOT NULL,
    compared_until timestamptz NOT NULL,
    compared_at timestamptz NOT NULL DEFAULT now(),
    notes_until timestamptz NOT NULL DEFAULT now(),
    last_webhook_at timestamptz,
    told_at timestamptz NOT NULL DEFAULT now(),
    missed integer NOT NULL DEFAULT 0,
    recovered integer NOT NULL DEFAULT 0,
    notes_removed integer NOT NULL DEFAULT 0,
    reopened integer NOT NULL DEFAULT 0
);

CREATE TABLE missing_webhooks (
    tenant_id text NOT NULL,
    ticket_id text NOT NULL,
    display_id text,
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    tells_all boolean NOT NULL,
    left_out boolean NOT NULL DEFAULT false,
    missed_at timestamptz,
    job_id uuid,
    recovered_at timestamptz,
    PRIMARY KEY (tenant_id, ticket_id)
);
CREATE INDEX missing_webhooks_by_age ON missing_webhooks (seen_at);
-- Without tickets that have a job now or needed no webhook.
CREATE INDEX missing_webhooks_missed ON missing_webhooks (tenant_id, missed_at)
    WHERE missed_at <> seen_at AND job_id IS NULL;

-- Age and use of secrets, by fingerprint.
CREATE TABLE known_secrets (
    tenant_id text NOT NULL,
    fingerprint bytea NOT NULL,
    setting text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, fingerprint)
);

CREATE TABLE secret_uses (
    tenant_id text NOT NULL,
    fingerprint bytea NOT NULL,
    hour timestamptz NOT NULL,
    uses bigint NOT NULL,
    PRIMARY KEY (tenant_id, fingerprint, hour)
);

-- Keyed hashes of erased tickets and requesters.
CREATE TABLE tombstone_keys (
    tenant_id text PRIMARY KEY,
    key bytea NOT NULL
);

CREATE TABLE tombstones (
    tenant_id text NOT NULL,
    hash bytea NOT NULL,
    left_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, hash)
);

-- Console sessions that a logout ended. They belong to no tenant. An id is not enough to log in: the cookie is signed.
CREATE TABLE ended_sessions (
    id text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
