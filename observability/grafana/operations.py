"""`Operations Dashboard`: whether the system keeps up now, and if not, what holds it."""

from observability.grafana.failing import FAILING
from observability.grafana.missing import MISSING
from observability.grafana.panels import Panel, Query
from observability.grafana.queries import API, SERVER, TENANT, WORKER, grown, named, or_zero, quantile
from observability.grafana.slow import SLOW

_QUEUE, _WORKERS, _FAILURES = "high-queue-depth.md", "worker-failures.md", "enhancement-failures.md"
_WORKER_JOB = 'job=~".*worker.*"'

_BACKLOG = (
    Panel(
        "Queue Depth",
        "short",
        (
            Query("max(ai_agents_queue_depth)", "waiting in the list celery"),
            Query("max(ai_agents_jobs_held)", "in workers' hands"),
        ),
        "under 20 wait. 20 to 50 is a moderate backlog, 50 to 100 a high one, over 100 is critical (P1). With 10 "
        "workers it falls by 10 to 20 jobs a minute at least. Jobs that are held back or retried wait as rows: see "
        "Jobs Held Back and Jobs in Flight.",
        "see whether Worker Health and Throughput are as usual; if they are, scale the workers out.",
        _QUEUE,
        limits=(20, 50, 100),
        width=12,
        decimals=0,
    ),
    Panel(
        "Oldest Job",
        "s",
        (Query("max(ai_agents_oldest_waiting_job_seconds)", "longest wait of a job that is due"),),
        "seconds. An alert comes at 5 minutes.",
        "over 30 minutes a job is stuck: look at Worker Health, then at Relay.",
        _QUEUE,
        limits=(60, 300, 1800),
        width=6,
    ),
    Panel(
        "Time in Queue",
        "s",
        (
            Query(quantile(0.5, "ai_agents_queue_wait_seconds", ""), "p50"),
            Query(quantile(0.95, "ai_agents_queue_wait_seconds", ""), "p95"),
        ),
        "under a second, as long as a worker has a free place.",
        "the workers are full (Jobs in Flight) or too few (Worker Health).",
        _QUEUE,
        limits=(60, 300),
        width=6,
        nothing="no job was claimed",
    ),
    Panel(
        "Throughput",
        "short",
        (
            Query(
                f'60 * sum(rate(ai_agents_webhooks_total{{result="accepted", {TENANT}}}[$window]))',
                "accepted a minute",
            ),
            Query(
                f"60 * sum by (outcome) (rate(ai_agents_job_duration_seconds_count{{{TENANT}}}[$window]))",
                "{{outcome}} a minute",
            ),
        ),
        "what is accepted a minute ends a minute later, most of it completed.",
        "more is accepted than ends: the queue grows. Nothing is accepted: see Webhooks by Result, and ask whether the "
        "desk sends any.",
        _QUEUE,
    ),
    Panel(
        "Jobs in Flight",
        "short",
        (
            Query("sum(ai_agents_jobs_in_flight)", "running in workers"),
            Query("sum(ai_agents_worker_concurrency)", "places"),
            Query('max(ai_agents_jobs{state="running"})', "rows that run"),
            Query('max(ai_agents_jobs{state="waiting"})', "rows that wait"),
        ),
        "well under the number of places. Rows that wait are the queue and the retries to come.",
        "all places are taken: scale out. More rows run than workers say: a worker died, and its jobs wait again when "
        "their lease is over.",
        _QUEUE,
        decimals=0,
    ),
    Panel(
        "Accepted without Outcome",
        "short",
        (Query("max(ai_agents_accepted_without_outcome)", "jobs past their deadline"),),
        "0, always: every accepted job ends.",
        "the relay of the API ends such jobs: see Relay, then `ai-agents jobs --state waiting` and `--state running`.",
        _WORKERS,
        limits=(1,),
        kind="figure",
        width=4,
    ),
    Panel(
        "Alerts Firing",
        "short",
        (
            Query(
                or_zero(
                    'count by (alertname) (ALERTS{alertname=~"AiAgents.*", alertstate="firing"})', API, "alertname"
                ),
                "{{alertname}}",
            ),
        ),
        "none.",
        "docs/dashboards.md has a table of the alerts; each alert names its runbook.",
        _QUEUE,
        limits=(1,),
        kind="figure",
        width=4,
    ),
)

_HEALTH = (
    Panel(
        "Worker Health",
        "short",
        (
            Query(or_zero(f"count({WORKER})", API), "workers that answer"),
            Query(or_zero(f"count(up{{{_WORKER_JOB}}} == 0)", f"up{{{_WORKER_JOB}}}"), "do not answer"),
            Query(
                or_zero(f"sum(changes(process_start_time_seconds{{{_WORKER_JOB}}}[1h]))", API), "restarts in an hour"
            ),
        ),
        "as many answer as the deployment has replicas (5), and none restarts.",
        "over 5 restarts an hour, or fewer workers than replicas: look at the pods' last state (OOMKilled, "
        "CrashLoopBackOff).",
        _WORKERS,
        decimals=0,
    ),
    Panel(
        "Worker Memory",
        "bytes",
        (Query(f"process_resident_memory_bytes{{{_WORKER_JOB}}}", "{{instance}}"),),
        "flat, 150 to 250 MB for each worker.",
        "it climbs for hours: a leak. Restart the deployment, and tell Engineering before the limit ends it.",
        _WORKERS,
    ),
    Panel(
        "Worker CPU",
        "percentunit",
        (Query(f"rate(process_cpu_seconds_total{{{_WORKER_JOB}}}[$window])", "{{instance}}"),),
        "far below one core (100 %): jobs wait for GPT-4.",
        "near one core the jobs of this worker slow each other down: scale out.",
        _WORKERS,
        limits=(0.7, 0.9),
    ),
    Panel(
        "Breaker State",
        "none",
        (Query(f"max by (server) (ai_agents_breaker_open{{{SERVER}}})", "{{server}}"),),
        "closed. Open means: 5 calls failed in a row, and jobs for this server wait, which costs them no attempt.",
        "a desk: ask whether the client's ServiceDesk Plus is up. A model: see the provider's status page.",
        _FAILURES,
        kind="states",
        width=12,
    ),
    Panel(
        "Relay and Reconciliation",
        "short",
        (
            Query(grown("ai_agents_jobs_queued_total", 'why=~"due|lost"', "why"), "queued again: {{why}}"),
            Query(grown("ai_agents_jobs_recovered_total"), "taken back from a silent worker"),
            Query(or_zero(grown("ai_agents_inbox_events_total"), API), "moved from Redis into rows"),
        ),
        "`due` counts retries. The others stay 0, but for rollouts and for a store that was away.",
        "`lost` or `silent` rise: workers die, see Worker Health. `moved` rises: Postgres was away.",
        _WORKERS,
        width=6,
        decimals=0,
    ),
    Panel(
        "Relay",
        "s",
        (Query("time() - max(ai_agents_relay_last_success_timestamp_seconds)", "since it last came round"),),
        "a second or two.",
        "over a minute, retries and lost jobs stay where they are: is Postgres reachable from the API?",
        _WORKERS,
        limits=(10, 60),
        width=6,
    ),
    Panel(
        "Holds",
        "none",
        (
            Query(
                or_zero(
                    named(
                        f"max by (server, reason) (ai_agents_desk_held{{{SERVER}}} > 0 or "
                        f"ai_agents_model_held{{{SERVER}}} > 0)",
                        "server",
                    ),
                    WORKER,
                    "server",
                ),
                "{{server}}",
            ),
            Query(
                f"max by (tenant_id) (ai_agents_spending_used_ratio{{{TENANT}}}) >= bool 1",
                "{{tenant_id}}: spending limit of today reached",
            ),
        ),
        "none. A bar is of whom is held and why, and begins when the hold did; a limit of spending has one from the "
        "start.",
        "nothing of it goes on until somebody acts: a new key, credit, another model's name, a higher limit. Jobs lose "
        "nothing, for a day. The runbook has a section for each.",
        _FAILURES,
        kind="states",
        states=("free", "held"),
        width=12,
    ),
    Panel(
        "Jobs Held Back",
        "short",
        (
            Query(
                or_zero(
                    named(f"max by (tenant_id, reason) (ai_agents_jobs_held_back{{{TENANT}}})", "tenant_id"),
                    API,
                    "tenant_id",
                ),
                "{{tenant_id}}",
            ),
        ),
        "none, or a few for a moment: `desk rate limit` and `another job of this ticket` pass by themselves.",
        "with a reason that Holds has, somebody has to act. `desk unavailable`, `model unavailable`: see Breaker "
        "State. `desk rate limit` that only grows: more tickets come than the desk lets us call for. `tenant closed`: "
        "our settings of it can't be used.",
        _FAILURES,
        width=12,
        decimals=0,
    ),
)

SECTIONS = (
    ("Is it keeping up?", _BACKLOG),
    ("Workers and what waits for whom", _HEALTH),
    ("What fails?", FAILING),
    ("What did not come?", MISSING),
    ("What is slow?", SLOW),
)
