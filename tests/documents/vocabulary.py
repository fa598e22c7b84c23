"""Names that documents may use and that are not this repository's, each group with its reason."""

import re

from tests.documents import sources

# Settings of others: OpenTelemetry's own, redis-cli's, Compose's, the shell's.
OTHER_SETTINGS = frozenset(
    {
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "REDISCLI_AUTH",
        "REDIS_PASSWORD",
        "DOCKER_BUILDKIT",
        "API_URL",
        "MODEL_URL",
    }
)

# Attributes of spans with their OpenTelemetry names, as Jaeger shows them.
ATTRIBUTES = frozenset({"exception.message", "outcome"})

ADDRESSES = frozenset(
    {
        "http://localhost:8080/",  # the simulated desk, after a port-forward
        "https://api.ai-agents.com/webhook",  # production, as clients have it
        "https://api.ai-agents.com",
        "http://localhost:16686",  # Jaeger, as docker-compose has it
        "http://localhost:9464/ready",  # a worker, after a port-forward
        "https://openrouter.ai/api/v1",
        "https://api.openai.com/v1",
        "https://accounts.zoho.eu",
    }
)
DESK_ROUTES = frozenset({"/api/v3"})

OF_OTHERS = frozenset(
    {
        # Kubernetes: states, reasons and columns that kubectl prints; its label and field names.
        *(
            "Running",
            "Pending",
            "Evicted",
            "Error",
            "OOMKilled",
            "CrashLoopBackOff",
            "ImagePullBackOff",
            "ErrImagePull",
        ),
        *("Unhealthy", "FailedScheduling", "BackOff", "READY", "RESTARTS", "REPLICAS", "MAXPODS", "PAUSED", "False"),
        *("REVISION", "MEMORY", "0/0", "0/1", "1/1", "Events", "deployment/NAME"),
        *("ContainerCreating", "CreateContainerConfigError", "InvalidImageName", "Unknown", "Terminating"),
        *("State:", "Last State:", "Reason:", "Exit Code:", "Limits:", "LAST SEEN", "No resources found"),
        *("rolling update complete", "1000m"),
        *("secret/ai-agents-secrets patched", "successfully rolled out", "rolled back", "restarted", "annotated"),
        *("scaled", "deleted", "resource requirements updated", "previous terminated container", "--previous"),
        *(
            "--all-pods=true",
            "--ignore-errors=true",
            "-l app=ai-agents-api --tail=-1 --prefix",
            "kubectl",
            "k8s/",
        ),
        *("--tail", "-f", "--max-log-requests=20"),
        # KEDA names the autoscaler that it makes after the object.
        "keda-hpa-ai-agents-worker",
        # What an address there or the autoscaler is told; files that the reader makes; how a digest begins.
        *("/etc/ai-agents/authorities.pem", 'enableTLS: "true"', "owner.env", "newco.json", "sha256:"),
        # Docker, Debian and Prometheus.
        *("dpkg-query --show", "--pull --no-cache", "--config.file=/etc/prometheus/prometheus.yaml"),
        # Postgres and psql.
        *("active", "Lock", "<insufficient privilege>", "mean_ms", "used", "most", "(1 row)", "pg_stat_statements"),
        *("ALTER ROLE", '-c "SELECT 1;"', "pg_blocking_pids", "statement_timeout", "poll"),
        *("log_statement", "log_min_duration_statement"),
        *("synchronous_standby_names", "on", "remote_apply", "remote_write", "local", "off", "sync", "quorum"),
        *("?sslmode=verify-full&sslrootcert=FILE", "sslmode=verify-full", "verify-full", "require"),
        # PgBouncer.
        *("pool_mode = transaction", "default_pool_size", "tcp_keepidle"),
        # Celery's own keys in Redis.
        *("unacked_index", "unacked_mutex", "_kombu.binding"),
        # Redis.
        *("PONG", "OK", "NOAUTH", "WRONGPASS", "LLEN celery", "redis-cli", "ok"),
        *("used_memory_human", "maxmemory_human", "aof_last_write_status"),
        *("maxmemory-policy noeviction", "?ssl_ca_certs=FILE", "--tls"),
        # A name of SQLAlchemy's, and a function of Postgres's that it calls; the share of memory that Linux counts.
        *("Engine.connect", "set_config", "PSS"),
        # Zoho's Deluge, and the scopes and addresses of its desks.
        *("zoho.encryption.hmacsha256", "SDPOnDemand.requests.ALL", "SDPOnDemand.solutions.READ", "/app/<portal>"),
        # Docker's older command, Grafana's first user and its sign for a description, a name for an alert's runbook.
        *("docker-compose", "admin", "i", "runbook_url"),
        # The state of a Kubernetes job, and KEDA's annotation without its beginning.
        *("Failed", "paused=true"),
        # Why things are as they are: what was asked of Redis and of uvicorn before.
        *("LLEN celery + HLEN unacked", "Upgrade: h2c", "sqlalchemy < 2.1"),
        *("uvicorn --factory api.app:create_app", "loop.create_server", "uvicorn.Server"),
        # FastAPI's.
        "/openapi.json",
        # Options of uvicorn.
        "--http api.http_protocol:FrontDoorProtocol --ws none",
        # Written when the development system starts.
        ".devstack/state.json",
        # curl, openssl, sockets and the shell.
        *("date: ", "SHA2-256(stdin)= ", "timed out", "Name or service not known", "HTTP Error 401"),
        *("-hmac", "curl", "printf", "echo", "now", "body", "SECRET", "OLD", "$OLD", "NEW", "JOB", "NAME"),
    }
)

# Ids, names and values that stand for the reader's own.
EXAMPLES = tuple(
    re.compile(pattern)
    for pattern in (
        r"acme",
        # Keys in Redis: tests/documents/test_data_page.py holds their beginnings to the code.
        r"(?:answer|unusable|rate|delivery|desk-token):<\w+>(?::<\w+>)?",
        r"desk of acme",
        r"<(?:TICKET_ID|TENANT|JOB_ID)>",
        r"<JOB_ID>: (?:waiting|running|completed|skipped|failed)",
        r'"job_id": "<JOB_ID>"',
        r"Ref",
        r"12345|30000|60000|2000|40s|in 40s",
        r"[-_]",
        r"autoscaling\.keda\.sh/paused(?:-replicas)?(?:=\w+|-)?",
        r'\{"status":"ok"\}',
        r"malformed payload: ticket_id",
        r"<timestamp>(?:\.<body>)?",
        r'\{"tenant_id": "acme", "ticket_id": "12345"\}',
        r"X-ServiceDesk-Signature: sha256=<hex>",
    )
)

# The panels that were agreed, where no dashboard is in the tree.
AGREED = {
    "Operations Dashboard": (
        "Queue Depth", "Worker Health", "Error Rate", "External API Latency", "Failures by Reason", "Latency by Step",
        "Throughput", "Oldest Job", "Webhooks by Result", "Breaker State", "Jobs in Flight",
    ),
    "Baseline Metrics": ("Success Rate", "p95 Enhancement Latency", "Cost per Enhancement"),
}  # fmt: skip


def panels() -> frozenset[str]:
    """The dashboards' titles and their panels': of the files, or as agreed while there are none."""
    found = sources.panels() or {title: frozenset(panels) for title, panels in AGREED.items()}
    return frozenset(found) | frozenset(panel for panels in found.values() for panel in panels)
