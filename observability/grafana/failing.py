"""The Operations Dashboard's panels of what fails."""

from observability.grafana.panels import Panel, Query
from observability.grafana.queries import API, TENANT, WORKER, ended, grown, or_zero

_FAILURES, _WEBHOOKS = "enhancement-failures.md", "WEBHOOK_TROUBLESHOOTING_RUNBOOK.md"

FAILING = (
    Panel(
        "Error Rate",
        "percentunit",
        (Query(or_zero(f"({ended('failed')} / ({ended('completed|failed')} > 0))", WORKER), "of the jobs failed"),),
        "0. Skipped jobs (the ticket is gone or closed) are no failures. 0 too while no job ends: see Throughput.",
        "over 5 % is a high error rate: Failures by Reason says which, External API Errors says whose.",
        _FAILURES,
        limits=(0.05,),
        likely=(0, 0.2),
    ),
    Panel(
        "Failures by Reason",
        "short",
        (
            Query(
                or_zero(grown("ai_agents_jobs_ended_total", f'outcome="failed", {TENANT}', "reason"), WORKER, "reason"),
                "{{reason}}",
            ),
        ),
        "none. Counted over the window, of jobs that gave up; attempts that will be retried are in Attempts by Result.",
        "the reason is that of the job's `Task failed` line; list them with `ai-agents jobs --state failed`.",
        _FAILURES,
        decimals=0,
    ),
    Panel(
        "Attempts by Result",
        "short",
        (Query(or_zero(grown("ai_agents_job_attempts_total", TENANT, "result"), WORKER, "result"), "{{result}}"),),
        "nearly all completed.",
        "`retried`: a server fails now and then. `held back`: a breaker is open, or a desk's calls of this minute are "
        "used up. `given back`: a worker was ended. `claim lost`: a worker was too slow to renew its claim.",
        _FAILURES,
        decimals=0,
    ),
    Panel(
        "Webhooks by Result",
        "short",
        (
            Query(
                or_zero(grown("ai_agents_webhooks_total", 'tenant_id=~"$tenant|unknown"', "result"), API, "result"),
                "{{result}}",
            ),
        ),
        "accepted, and now and then a duplicate. Strangers on the internet make some `unknown address`.",
        "`signature mismatch`, `signature missing`: a secret differs. `stale timestamp`: a clock is off. `unknown "
        "tenant`: the id is misspelt. `tenant closed`: our settings of it can't be used. Nothing at all: the desk "
        "does not send, or can't reach us.",
        _WEBHOOKS,
        width=12,
        decimals=0,
    ),
    Panel(
        "Trace Export",
        "short",
        (Query(grown("ai_agents_span_exports_total", "", "result"), "batches of spans: {{result}}"),),
        "`failed` stays 0. Both are 0 where no collector is set.",
        "the collector is away; jobs go on without traces. Check the collector, and OTEL_EXPORTER_OTLP_ENDPOINT.",
        _FAILURES,
        width=6,
        decimals=0,
    ),
    Panel(
        "Age of Context Copies",
        "s",
        (
            Query(
                f"time() - max by (tenant_id) (ai_agents_sync_last_success_timestamp_seconds{{{TENANT}}})",
                "{{tenant_id}}",
            ),
        ),
        "under 10 minutes: housekeeping looks at each desk every 5, and goes on with its history for as long.",
        "jobs go on with older context. Is housekeeping up? Does this desk answer it (External API Errors)?",
        _FAILURES,
        limits=(600, 1800),
        width=6,
        nothing="no desk was copied yet",
    ),
)
