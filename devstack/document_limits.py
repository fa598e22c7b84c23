"""The numbers that documents tell and that are no settings: each with the constant or the manifest that holds it."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import yaml

K8S = Path(__file__).resolve().parents[1] / "k8s"
# What it limits, and the constant; its name or its kind tells the unit.
LIMITS = (
    ("Body of a webhook, at the API and at the signer", "webhooks.bodies:LARGEST_BODY_BYTES"),
    ("Headers of a request", "api.http_protocol:LARGEST_HEAD_BYTES"),
    ("Signed timestamp: clocks may be apart by", "webhooks.signing:WINDOW_SECONDS"),
    ("Why a signature does not match is looked for at most every", "api.explainer:BETWEEN_SEARCHES_SECONDS"),
    ("A ticket id, in digits", "webhooks.fields:TICKET_ID"),
    ("A tenant's id, in characters", "config.tenant_problems:TENANT_ID"),
    ("Connections and requests at once of one API process", "serving.crowd:MOST_CONNECTIONS"),
    ("The same of a signer", "serving.bounded:MOST_CONNECTIONS"),
    ("The same of the page for feedback", "api.feedback_port:MOST_CONNECTIONS"),
    ("Votes that one API process records at once", "feedback.app:MOST_AT_ONCE"),
    ("A vote", "feedback.app:LARGEST_BODY_BYTES"),
    ("The link of a note works for, in days", "feedback.links:LASTS_DAYS"),
    ("Connections and requests at once of one console", "serving.bounded:MOST_CONNECTIONS"),
    ("A form of the console", "support.console.dependencies:LARGEST_FORM_BYTES"),
    ("Somebody is logged in to the console for", "support.console.sessions:LASTS_SECONDS"),
    ("The same without a page", "support.console.sessions:IDLE_SECONDS"),
    ("A login that has begun can be ended for", "support.console.sessions:LOGIN_SECONDS"),
    ("Failed logins in a minute that have a line each", "support.console.login:MOST_FAILURES"),
    ("Requests over one connection without waiting for an answer", "serving.crowd:MOST_WAITING_REQUESTS"),
    ("Silence of a new connection until it is closed", "api.http_protocol:FIRST_BYTE_SECONDS"),
    ("Wait for Postgres to take a webhook, then Redis takes it", "dispatch.acceptance:_DATABASE_SECONDS"),
    ("Wait for Redis to take it then", "dispatch.inbox:_PUT_SECONDS"),
    ("A second delivery is known as a duplicate for", "storage.limits:DELIVERY_KNOWN"),
    ("Its keys stay longer than that by", "storage.limits:KEYS_KEPT"),
    ("Refused webhooks, and tickets whose webhook never came, are kept for", "storage.limits:REJECTIONS_KEPT"),
    ("Jobs made in a minute for a tenant's missed webhooks", "storage.limits:MOST_RECOVERED_A_MINUTE"),
    ("Pages of a desk's new tickets that are read in a round", "housekeeping.new_tickets:MOST_PAGES"),
    ("Refused webhooks that are kept, of a tenant and a reason in an hour", "storage.rejections:MOST_PER_HOUR"),
    ("The same, of senders that proved nothing", "storage.rejections:MOST_OF_ANYONE_PER_HOUR"),
    ("How often a secret was used in an hour is kept for", "storage.limits:USES_KEPT"),
    ("A secret that no process has any more is known for", "storage.limits:SECRETS_KEPT"),
    ("An old secret is in use, if it has signed a webhook within", "support.secrets.telling:QUIET"),
    ("A secret is to be changed from this age on", "support.secrets.status:OLD"),
    ("Tenants with a waiting job that a claim looks at, at most", "storage.limits:TURN_LOOKS"),
    (
        "A job that waits for its tenant's limit has its deadline put off so long before it",
        "storage.limits:PUT_OFF_AHEAD",
    ),
    ("A start counts as a place for at least", "storage.limits:SHORTEST_TURN"),
    ("A refused webhook may come again, where too many jobs wait, after", "api.waiting_limit:RETRY_SECONDS"),
    ("A message in the hands of a dead worker is queued again after", "dispatch.shortage:_SURE_SECONDS"),
    ("Attempts at a job", "storage.limits:MOST_ATTEMPTS"),
    ("First wait for a retry, doubled each time", "workflow.retry:FIRST_SECONDS"),
    ("Longest wait for a retry", "workflow.retry:LONGEST_SECONDS"),
    ("A job ends at the latest, all holds counted, after", "storage.limits:LONGEST_LIFE"),
    ("A job that waits for another one of its ticket looks again after", "storage.limits:ANOTHER_FIRST_WAIT"),
    ("Failures in a row that open a breaker", "integrations.breaker:MOST_FAILURES"),
    ("An open breaker holds jobs back for", "integrations.breaker:REST_SECONDS"),
    ("A job past its tenant's spending limit looks again after", "integrations.model.spending:_LOOK_SECONDS"),
    ("A held model or desk is tried again, by one job of each worker, every", "integrations.holds:PROBE_SECONDS"),
    ("A held desk in the cloud, every", "integrations.servicedesk.desks:CLOUD_PROBE_SECONDS"),
    ("A desk that throttles and asks for no wait is left alone for", "integrations.rate:THROTTLED_SECONDS"),
    ("A desk that throttles is left alone at most", "integrations.rate:LONGEST_THROTTLE_SECONDS"),
    (
        "Tickets in a row whose note is refused (403), to hold a desk",
        "integrations.servicedesk.calls:MOST_REFUSED_TICKETS",
    ),
    ("A job of a held model or desk waits at most", "integrations.holds:LONGEST_WAIT_SECONDS"),
    ("Settings of tenants are read again every", "config.tenant_directory:_REREAD_SECONDS"),
    ("A changed file counts once it was left alone for", "config.secret_files:SETTLED_SECONDS"),
    ("A file that may still be being written holds its tenant's others back for", "config.secret_files:LONG_SECONDS"),
    ("An answer of a desk or a model", "integrations.http:LARGEST_ANSWER_BYTES"),
    ("Wait of a statement for a lock", "storage.session:_LOCK_SECONDS"),
    ("Silence of a session in a transaction until Postgres ends it", "storage.session:_IDLE_TRANSACTION_SECONDS"),
    ("Postgres has to be at least", "storage.schema:OLDEST_POSTGRES"),
    ("Wait of the signer for an answer of the API", "signer.forwarding:ANSWER_SECONDS"),
    ("First pause of the signer after a failure, doubled each time", "signer.verdicts:FIRST_PAUSE_SECONDS"),
    ("The same where a person has to mend something first", "signer.verdicts:FIRST_SLOW_PAUSE_SECONDS"),
    ("Longest pause of the signer", "signer.verdicts:LONGEST_PAUSE_SECONDS"),
    ("A webhook is told of as old once the signer has kept it for", "signer.forwarding:OLD_SECONDS"),
    ("Size on disk that a webhook counts for at the signer", "signer.spool:ENTRY_BYTES"),
    (
        "Spans in the files of `TRACES_DIR`, but for the one that each process is at",
        "observability.trace_files:FOLDER_BYTES",
    ),
    ("The console waits for housekeeping's look at a desk or a model for", "dispatch.asking:ASK_SECONDS"),
    ("Time between two purges by age", "housekeeping.app:_PURGE_SECONDS"),
    ("`retry --failed` takes at once, without `--limit`", "support.arguments:MOST_RETRIED"),
)


def rows(value: Callable[[str], Any] = resolve_name) -> list[tuple[str, ...]]:
    """Give one row a limit, with the file that says it."""
    told = [
        (what, _shown(name, value(name)), f"`{name.partition(':')[0].replace('.', '/')}.py`") for what, name in LIMITS
    ]
    return [("limit", "is", "said in"), *told]


def _shown(name: str, value: Any) -> str:
    """A value with its unit."""
    if isinstance(value, re.Pattern):
        (most,) = re.findall(r"\{1,(\d+)\}", value.pattern)
        return f"1 to {most}"
    if isinstance(value, timedelta):
        return _time(value.total_seconds())
    if name.endswith("_SECONDS"):
        return _time(value)
    if name.endswith("_BYTES"):
        return f"{value // 1024} KiB" if value % 1024 == 0 else f"{value / 1_000_000:g} MB"
    return str(value)


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def sizes() -> list[tuple[str, ...]]:
    """Give one row a process in Kubernetes: how many pods, what each may take, and its time to stop."""
    numbers = {one["metadata"]["name"]: one["spec"] for one in _objects("overlays/production/sizes.yaml")}
    (scaled,) = _objects("overlays/production/scaling.yaml")
    numbers |= {scaled["metadata"]["name"]: scaled["spec"]}
    found = []
    for name in ("api", "worker", "housekeeping"):
        (spec,) = [one["spec"] for one in _objects(f"base/{name}.yaml") if one["kind"] == "Deployment"]
        pod = spec["template"]["spec"]
        resources = pod["containers"][0]["resources"]
        number = numbers.get(f"ai-agents-{name}", spec)
        least, most = number.get("minReplicaCount"), number.get("maxReplicaCount")
        found.append(
            (
                f"`ai-agents-{name}`",
                f"{least} to {most}" if most else str(number.get("replicas", 1)),
                resources["requests"]["memory"],
                resources["limits"]["memory"],
                resources["requests"]["cpu"],
                f"{pod['terminationGracePeriodSeconds']} s",
            )
        )
    return [("deployment", "pods", "memory asked for", "memory at most", "CPU asked for", "time to stop"), *found]


def _objects(path: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all((K8S / path).read_text(encoding="utf-8")) if one]
