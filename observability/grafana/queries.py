"""The forms of query that the panels share, in PromQL.

`$tenant` and `$window` are the dashboards' variables. What counts something that should not happen gives 0, not
nothing, while the process that counts it is asked; with no process to ask it gives nothing, which Grafana shows.
"""

TENANT = 'tenant_id=~"$tenant"'
API = "ai_agents_jobs_recovered_total"
WORKER = "ai_agents_worker_concurrency"
HOUSEKEEPING = "ai_agents_reconcile_last_success_timestamp_seconds"
"""Series that each API process, each worker, and the leading housekeeping has: they show that somebody was asked."""
SERVER = 'server=~"(desk|model) of ($tenant)|.*model.* at .*"'
"""The desks and models of the chosen tenants, and the models that belong to none, as breakers and holds call them."""


def grown(metric: str, selector: str = "", by: str = "") -> str:
    """By how much a counter grew within the window, summed.

    `increase` does not see the first event of a series that is born with it, and most failures are born so: a series
    that was not there a window ago counts as a whole.
    """
    series = f"{metric}{{{selector}}}" if selector else metric
    total = f"sum by ({by})" if by else "sum"
    return f"{total} (({series} unless {series} offset $window) or increase({series}[$window]))"


def or_zero(query: str, witness: str, label: str = "") -> str:
    """Return the query, or 0 if it finds nothing while `witness` is there; `label` says none then."""
    zero = f"0 * count({witness})"
    if label:
        zero = f'label_replace({zero}, "{label}", "none", "", "")'
    return f"{query} or on () {zero}"


def named(query: str, label: str) -> str:
    """Return the query by `label` and `reason`, with both in the label: a legend of it can say that there is none."""
    return f'label_join({query}, "{label}", ": ", "{label}", "reason")'


def share(part: str, whole: str) -> str:
    """Return a part of a whole, 0 to 1; nothing while the whole is 0. Both by the same labels."""
    return f"({part} or 0 * ({whole})) / ({whole} > 0)"


def quantile(q: float, histogram: str, selector: str, by: str = "") -> str:
    """Return a quantile of what was observed within the window, in the histogram's unit."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({histogram}_bucket{{{selector}}}[$window])))"


def ended(outcomes: str, by: str = "", window: str = "$window") -> str:
    """Jobs that ended within the window with one of these outcomes (`completed|failed`)."""
    total = f"sum by ({by})" if by else "sum"
    return f'{total} (increase(ai_agents_job_duration_seconds_count{{outcome=~"{outcomes}", {TENANT}}}[{window}]))'
