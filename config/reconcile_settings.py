"""How webhooks that never come are noticed: housekeeping's settings of it."""

from pydantic import Field

from config.loading import LogSettings


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
