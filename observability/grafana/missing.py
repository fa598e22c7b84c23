"""The Operations Dashboard's panels of webhooks that did not come, and of the secrets that prove those that did."""

from observability.grafana.panels import Panel, Query
from observability.grafana.queries import API, HOUSEKEEPING, TENANT, grown, or_zero

_WEBHOOKS, _SECRETS = "WEBHOOK_TROUBLESHOOTING_RUNBOOK.md", "secret-rotation.md"

MISSING = (
    Panel(
        "Webhooks Missed",
        "short",
        (Query(f"max by (tenant_id) (ai_agents_reconcile_missed_tickets{{{TENANT}}})", "{{tenant_id}}"),),
        "0. Tickets that a desk has had for an interval of reconciliation, and that have no job; of the last hour.",
        "the desk's trigger is off or left these out, or it can't reach us. With `reconcile` on, they get jobs.",
        _WEBHOOKS,
        limits=(1,),
        decimals=0,
        nothing="no desk was compared yet",
    ),
    Panel(
        "Since the Last Webhook",
        "s",
        (
            Query(
                f"time() - max by (tenant_id) (ai_agents_reconcile_last_webhook_timestamp_seconds{{{TENANT}}})",
                "{{tenant_id}}",
            ),
        ),
        "each desk's usual: minutes by day, hours by night. One that is polled sends none.",
        "it climbs while Webhooks Missed is over 0: this desk's webhooks have stopped.",
        _WEBHOOKS,
        nothing="no webhook has come yet",
    ),
    Panel(
        "Since Tickets Were Compared",
        "s",
        (
            Query(
                f"time() - max by (tenant_id) (ai_agents_reconcile_last_success_timestamp_seconds{{{TENANT}}})",
                "{{tenant_id}}",
            ),
        ),
        "under the interval of reconciliation, 5 minutes, for each desk.",
        "what is missed is not noticed meanwhile. Is housekeeping up? Does this desk answer it (External API Errors)?",
        _WEBHOOKS,
        limits=(900, 3600),
        nothing="no desk is compared",
    ),
    Panel(
        "Found by Reconciliation",
        "short",
        (
            Query(
                or_zero(grown("ai_agents_reconcile_found_total", TENANT, "result"), HOUSEKEEPING, "result"),
                "{{result}}",
            ),
        ),
        "none. Counted over the window.",
        "`missed` and `recovered`: a webhook did not come; of a recovered one the job was made. `note removed`: "
        "somebody took the note out of the ticket. `reopened`: a ticket was skipped as closed, and is open again.",
        _WEBHOOKS,
        decimals=0,
    ),
    Panel(
        "Webhooks by Secret",
        "short",
        (
            Query(
                or_zero(grown("ai_agents_webhooks_proved_total", TENANT, "secret"), API, "secret"),
                "{{secret}}",
            ),
        ),
        "all by `current` or by `token`. Counted over the window.",
        "`previous`: a rotation is under way, and this many are still signed by the old one. `retired`: the desk signs "
        "with a secret that has ended, and is refused.",
        _SECRETS,
        decimals=0,
    ),
    Panel(
        "Age of Secrets",
        "s",
        (
            Query(
                'max by (tenant_id, setting) (ai_agents_secret_age_seconds{tenant_id=~"$tenant|[(]process[)]"})',
                "{{tenant_id}} {{setting}}",
            ),
        ),
        "under 90 days, since when it was first seen here. Those of `(process)` are no tenant's.",
        "`ai-agents secrets rotate` changes a webhook secret without losing one webhook; the runbook has the others.",
        _SECRETS,
        limits=(7_776_000,),
        nothing="housekeeping has recorded none yet",
    ),
)
