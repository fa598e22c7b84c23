"""The Operations Dashboard's panels of what is slow, and of the servers that it waits for."""

from observability.grafana.panels import Panel, Query
from observability.grafana.queries import TENANT, grown, quantile, share

_FAILURES = "enhancement-failures.md"
_CALLS, _CALL_SECONDS = "ai_agents_external_calls_total", "ai_agents_external_call_duration_seconds"
_DESK, _MODEL = f'server="servicedesk", {TENANT}', 'server="gpt4"'


def _failed_calls(selector: str, by: str) -> str:
    return share(grown(_CALLS, f'{selector}, result="failed"', by), grown(_CALLS, selector, by))


SLOW = (
    Panel(
        "Latency by Step",
        "s",
        (
            Query(
                quantile(0.95, "ai_agents_step_duration_seconds", 'result=~"ok|failed|stopped"', "step"),
                "{{step}} p95",
            ),
        ),
        "gpt4 about 30 s, context and update within 2 s. A job takes about 45 s.",
        "the step that grew is the one to look at: gpt4 is the provider, update is the desk, context is the database "
        "and the desk.",
        _FAILURES,
        limits=(45,),
        logarithmic=True,
        nothing="no step ended",
    ),
    Panel(
        "External API Latency",
        "s",
        (
            Query(quantile(0.95, _CALL_SECONDS, _DESK, "tenant_id"), "desk of {{tenant_id}} p95"),
            Query(quantile(0.95, _CALL_SECONDS, _MODEL, "model"), "{{model}} p95"),
        ),
        "a desk answers within 2 s (the line), a model within about 30 s.",
        "a desk over 2 s: tell the client, its ServiceDesk Plus is slow. A model over its usual: see the provider's "
        "status page.",
        _FAILURES,
        limits=(2,),
        logarithmic=True,
        nothing="no call was made",
    ),
    Panel(
        "External API Errors",
        "percentunit",
        (
            Query(_failed_calls(_DESK, "tenant_id"), "desk of {{tenant_id}}"),
            Query(_failed_calls(f"{_MODEL}, {TENANT}", "tenant_id"), "GPT-4 for {{tenant_id}}"),
        ),
        "0. A ticket that is not found is an answer, and no failure.",
        "an alert comes at half of the calls for 5 minutes. One tenant only: its desk or key. GPT-4 for all: the "
        "provider, or our key.",
        _FAILURES,
        limits=(0.05, 0.5),
        likely=(0, 1),
        nothing="no call was made",
    ),
)
