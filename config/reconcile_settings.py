"""How webhooks that never come are noticed: housekeeping's settings of it, and what each tenant has, checked."""

from collections.abc import Mapping

from pydantic import Field

from config.loading import LogSettings
from config.secret_files import UNREADABLE, unreadable
from config.tenant_names import setting_suffix

_CHOICES = {"WEBHOOK_MODE": ("push", "poll"), "RECONCILE": ("report", "on")}
"""A tenant's settings, each with its values, the default first."""


class ReconcileSettings(LogSettings):
    """What the process needs that compares each desk's new tickets with the jobs."""

    reconcile_interval_seconds: float = Field(
        300,
        gt=0,
        # A ticket that has waited for two of them is still within any window.
        le=1800,
        description="Time between two looks at a desk's new tickets; one that has had no webhook for so long has "
        "missed it ([Reconcile](reconcile.md)).",
    )
    reconcile_window_hours: int = Field(
        24,
        ge=1,
        le=168,
        description="How old a ticket may be whose webhook is missed, for its job to be made; not beyond "
        "half of `KEEP_JOBS_DAYS`.",
    )


def reconcile_problems(tenant_id: str, settings: Mapping[str, str]) -> list[str]:
    """Return the problems of a tenant's settings (named without the tenant) for webhooks that never come."""
    suffix = setting_suffix(tenant_id)
    wrong = [unreadable(f"{name}_{suffix}") for name in _CHOICES if settings.get(name) == UNREADABLE]
    if wrong:
        return wrong
    wrong = [
        f"{name}_{suffix} must be {' or '.join(choices)}"
        for name, choices in _CHOICES.items()
        if settings.get(name, choices[0]).lower() not in choices
    ]
    if is_polled(settings) and not any(name.startswith("SERVICEDESK_") for name in settings):
        wrong.append(f"SERVICEDESK_URL_{suffix} is missing, but WEBHOOK_MODE_{suffix} is poll")
    return wrong


def is_polled(settings: Mapping[str, str]) -> bool:
    """Return True if the tenant's desk sends no webhook, by its settings."""
    return settings.get("WEBHOOK_MODE", "push").lower() == "poll"


def recovers(settings: Mapping[str, str]) -> bool:
    """Return True if a job is to be made where the webhook never came."""
    return is_polled(settings) or settings.get("RECONCILE", "report").lower() == "on"
