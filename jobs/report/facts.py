"""Facts of the value report: counts and histograms that can be added up over tenants."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from math import sqrt
from statistics import NormalDist
from typing import Any, NamedTuple, Self, cast

from sqlalchemy import text

from config.prices import ModelPrices, cost
from config.tenants import Tenant
from db.session import Database, Row
from jobs.diagnosis.causes import BEHIND_ANOTHER, cause_of
from jobs.diagnosis.verdict_codes import VerdictCode
from jobs.feedback import TRIAGE_FIELDS, Vote
from jobs.missed_webhooks import MISSED_OF_TENANT
from jobs.repository import HELD_OUT

USED_FROM = 0.5  # least share of the resolution's terms in the note's steps, for a used note
MIN_COMPARED = 30  # closed tickets of each group, for the comparison with held-out tickets
_BUCKETS = 10  # of resolution times, in an hour
_NOTE, _HELD_OUT, _OPEN, _ENDED, _REPEATED = 5, 4, 3, 2, 1

_IN_RANGE = "j.tenant_id = :tenant AND j.accepted_at >= :since AND j.accepted_at < :until"
# One row a ticket, by the job with the highest rank: note, held out, open, ended, only repeated webhooks. Of equal ones
# that with a resolution time, which a closing sets for all earlier jobs, then the newest. A job that ended before its
# ticket was read has only the number of its webhook: it belongs to the ticket with this id, else to that with this
# display id. Sorting by bytes takes half the time.
_TICKETS = text(f"""
    WITH found AS (
        SELECT coalesce(j.desk_id, CASE WHEN j.state <> 'completed' THEN (
                   SELECT n.desk_id FROM jobs n
                   WHERE n.tenant_id = j.tenant_id AND n.display_id = j.ticket_id AND n.desk_id IS NOT NULL
                   AND NOT EXISTS (SELECT FROM jobs o WHERE o.tenant_id = j.tenant_id AND o.desk_id = j.ticket_id)
                   LIMIT 1)
               END, j.ticket_id) COLLATE "C" AS ticket, j.accepted_at, j.reason,
               j.resolution_seconds / 3600 AS hours,
               CASE WHEN j.state = 'completed' THEN {_NOTE} WHEN j.state = 'skipped' AND j.reason = :held_out
               THEN {_HELD_OUT} WHEN j.state IN ('waiting', 'running') THEN {_OPEN}
               WHEN j.state = 'skipped' AND j.reason = ANY (CAST(:repeated AS text[])) THEN {_REPEATED}
               ELSE {_ENDED} END AS rank
        FROM jobs j WHERE {_IN_RANGE}
    ), tickets AS (
        SELECT DISTINCT ON (ticket) * FROM found ORDER BY ticket, rank DESC, hours IS NULL, accepted_at DESC
    )
    SELECT rank, CASE WHEN rank = {_ENDED} THEN reason END AS reason, floor(hours * {_BUCKETS})::integer AS bucket,
           count(*) AS tickets, sum(hours) AS hours, sum(hours * hours) AS squares
    FROM tickets GROUP BY 1, 2, 3
""")  # noqa: S608 -- constants
# One job of a ticket has its decision, and each closing sets the time of this job.
_DECIDED = text(f"""
    SELECT held_out, holdout AS share, floor(hours * {_BUCKETS})::integer AS bucket, count(*) AS tickets,
           sum(hours) AS hours, sum(hours * hours) AS squares
    FROM (SELECT j.held_out, j.holdout, j.resolution_seconds / 3600 AS hours FROM jobs j
          WHERE {_IN_RANGE} AND j.held_out IS NOT NULL) j
    GROUP BY 1, 2, 3
""")  # noqa: S608
# `seconds` is null for a job without a note, and for a further note.
_NOTES = text(f"""
    SELECT j.model, j.dollars IS NOT NULL AS is_priced, j.state = 'completed' AS has_note, j.is_unchecked,
           CASE WHEN j.state = 'completed' AND j.refresh IS NULL
                THEN extract(epoch FROM j.finished_at - j.accepted_at)::integer END AS seconds,
           count(*) AS jobs, sum(CASE WHEN j.input_tokens + j.output_tokens > 0 THEN 1 ELSE 0 END) AS paid,
           sum(j.input_tokens) AS input_tokens, sum(j.output_tokens) AS output_tokens, sum(j.dollars) AS dollars
    FROM jobs j WHERE {_IN_RANGE} GROUP BY 1, 2, 3, 4, 5
""")  # noqa: S608
_FEEDBACK = text(f"""
    SELECT f.vote, f.reason, {", ".join(f"f.{name}_matched AS {name}" for name in TRIAGE_FIELDS)},
           f.taken_up IS NOT NULL AS measured, coalesce(f.taken_up >= {USED_FROM}, false) AS half,
           count(*) AS notes, coalesce(sum(f.taken_up::float8), 0) AS taken_up
    FROM feedback f JOIN jobs j ON j.id = f.job_id WHERE f.tenant_id = :tenant AND {_IN_RANGE}
    GROUP BY 1, 2, {", ".join(f"f.{name}_matched" for name in TRIAGE_FIELDS)}, 6, 7
""")  # noqa: S608
# A plan for any tenant reads the rows of all: with 1,000 small tenants beside a large one, it took ten times as long.
# The memory is for the sort of a million tickets. Without `enable_sort` only DISTINCT ON sorts: grouping the tickets by
# a hash takes a quarter of the time.
_PLAN_EACH = text(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('work_mem', '128MB', true),"
    " set_config('enable_sort', 'off', true)"
)
_OLDEST = text("SELECT min(j.accepted_at) AS at FROM jobs j WHERE j.tenant_id = :tenant")


class _Summable:
    """A dataclass whose fields are added one by one."""

    __slots__ = ()

    def __add__(self, other: Self) -> Self:
        names = [each.name for each in fields(cast(Any, self))]
        return type(self)(**{name: _sum(getattr(self, name), getattr(other, name)) for name in names})


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping) and not isinstance(one, Counter):
        return {**one, **other, **{key: one[key] + other[key] for key in one.keys() & other.keys()}}
    return one + other


def percentile(values: Counter[int], part: float) -> int | None:
    """Return the nearest-rank percentile of counted values; None without any."""
    rank, passed = part * values.total(), 0
    for value in sorted(values):
        passed += values[value]
        if passed >= rank:
            return value
    return None


@dataclass(frozen=True, slots=True)
class ResolutionTimes(_Summable):
    """Hours from creation to closing, of closed tickets. `buckets`: of a tenth hour."""

    hours: float = 0.0
    squares: float = 0.0
    buckets: Counter[int] = field(default_factory=Counter)

    @property
    def tickets(self) -> int:
        return self.buckets.total()

    @property
    def mean(self) -> float | None:
        return self.hours / self.tickets if self.tickets else None

    @property
    def median(self) -> float | None:
        """The median to a tenth of an hour, rounded down."""
        bucket = percentile(self.buckets, 0.5)
        return None if bucket is None else bucket / _BUCKETS

    @property
    def variance_of_mean(self) -> float:
        """Variance of the mean; `tickets` must be at least 2."""
        return max(0.0, self.squares - self.hours**2 / self.tickets) / (self.tickets - 1) / self.tickets


@dataclass(frozen=True, slots=True)
class ModelUse(_Summable):
    """Paid jobs of one model. `dollars` lack the jobs that are `unpriced`."""

    jobs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float = 0.0
    unpriced: int = 0


class Difference(NamedTuple):
    """Hours of tickets that were not held out minus those that were; 95 % confidence interval."""

    hours: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Facts(_Summable):
    """Facts of one tenant, or the sum over several."""

    with_note: int = 0
    without_note: Counter[str] = field(default_factory=Counter)
    """Verdict code of the cause -> tickets."""
    held_out: int = 0
    seen_before: int = 0
    """Tickets with repeated webhooks only, which an earlier job handled."""
    notes: int = 0
    unchecked: int = 0
    """Notes whose claims were not checked."""
    seconds_to_note: Counter[int] = field(default_factory=Counter)
    votes: Counter[str] = field(default_factory=Counter)
    vote_reasons: Counter[str] = field(default_factory=Counter)
    suggested: Counter[str] = field(default_factory=Counter)
    matched: Counter[str] = field(default_factory=Counter)
    measured: int = 0
    taken_up: float = 0.0
    taken_up_half: int = 0
    used: int = 0
    saved_minutes: float = 0.0
    models: Mapping[str, ModelUse] = field(default_factory=dict)
    resolved_with_note: ResolutionTimes = field(default_factory=ResolutionTimes)
    resolved_without_note: ResolutionTimes = field(default_factory=ResolutionTimes)
    resolved_held_out: ResolutionTimes = field(default_factory=ResolutionTimes)
    """Tickets that were chosen to get no note, with one or without: a person may have requested it."""
    resolved_not_held_out: ResolutionTimes = field(default_factory=ResolutionTimes)
    """Tickets that were chosen for a note, with one or without."""
    holdout_shares: Counter[int] = field(default_factory=Counter)
    """Share in percent -> tickets."""

    @property
    def seen(self) -> int:
        """Tickets that should have a note: all but held-out ones."""
        return self.with_note + self.without_note.total()

    @property
    def coverage(self) -> float | None:
        return self.with_note / self.seen if self.seen else None

    @property
    def further_notes(self) -> int:
        return self.notes - self.with_note

    @property
    def useful_share(self) -> float | None:
        return self.votes[Vote.USEFUL] / self.votes.total() if self.votes else None

    @property
    def mean_taken_up(self) -> float | None:
        return self.taken_up / self.measured if self.measured else None

    @property
    def use(self) -> ModelUse:
        return sum(self.models.values(), ModelUse())

    @property
    def dollars(self) -> float | None:
        """Dollars of the jobs with a known price; None if no paid job has one."""
        use = self.use
        return None if use.jobs and use.jobs == use.unpriced else use.dollars

    @property
    def dollars_per_note(self) -> float | None:
        """None also if some job has no price: the part would look like the whole."""
        is_complete = self.dollars is not None and not self.use.unpriced
        return (self.dollars or 0) / self.with_note if is_complete and self.with_note else None

    @property
    def difference(self) -> Difference | None:
        """Welch's comparison of means; None below MIN_COMPARED tickets in a group, or if the share changed."""
        others, held = self.resolved_not_held_out, self.resolved_held_out
        if len(self.holdout_shares) > 1:
            return None
        if min(others.tickets, held.tickets) < MIN_COMPARED or others.mean is None or held.mean is None:
            return None
        hours = others.mean - held.mean
        margin = NormalDist().inv_cdf(0.975) * sqrt(others.variance_of_mean + held.variance_of_mean)
        return Difference(hours, hours - margin, hours + margin)


class TenantFacts(NamedTuple):
    """A tenant's facts, and the time of its oldest stored job."""

    facts: Facts
    oldest: datetime | None


async def read_facts(
    database: Database, tenant: Tenant, since: datetime, until: datetime, *, prices: ModelPrices, minutes: float
) -> TenantFacts:
    """Return the facts of jobs accepted from `since` to before `until`.

    `minutes` are saved by a used note. The answers of jobs are not read. Raises one of DATABASE_FAILURES.
    """
    values = {"since": since, "until": until, "held_out": HELD_OUT, "repeated": sorted(BEHIND_ANOTHER)}
    # Both halves take as long.
    (_, tickets, decided), (_, notes, votes, (missed,), (oldest,)) = await asyncio.gather(
        database.call_as(tenant.id, _PLAN_EACH, _TICKETS, _DECIDED, **values),
        database.call_as(tenant.id, _PLAN_EACH, _NOTES, _FEEDBACK, MISSED_OF_TENANT, _OLDEST, **values),
    )
    facts = _of_tickets(tickets) + _of_decisions(decided) + _of_notes(notes, prices) + _of_feedback(votes, minutes)
    if missed["missed"]:
        facts += Facts(without_note=Counter({VerdictCode.WEBHOOK_MISSING.value: missed["missed"]}))
    return TenantFacts(facts, oldest["at"])


def _of_tickets(rows: Sequence[Row]) -> Facts:
    counts: Counter[int] = Counter()
    causes: Counter[str] = Counter()
    for row in rows:
        rank, tickets = row["rank"], row["tickets"]
        counts[rank] += tickets
        if rank in (_OPEN, _ENDED):
            verdict = VerdictCode.IN_PROGRESS if rank == _OPEN else cause_of(row["reason"]).verdict
            causes[verdict.value] += tickets
    return Facts(
        with_note=counts[_NOTE],
        without_note=causes,
        held_out=counts[_HELD_OUT],
        seen_before=counts[_REPEATED],
        resolved_with_note=_times(row for row in rows if row["rank"] == _NOTE),
        resolved_without_note=_times(row for row in rows if row["rank"] in (_OPEN, _ENDED)),
    )


def _of_decisions(rows: Sequence[Row]) -> Facts:
    shares: Counter[int] = Counter()
    for row in rows:
        shares[row["share"]] += row["tickets"]
    return Facts(
        resolved_held_out=_times(row for row in rows if row["held_out"]),
        resolved_not_held_out=_times(row for row in rows if not row["held_out"]),
        holdout_shares=shares,
    )


def _times(rows: Iterable[Row]) -> ResolutionTimes:
    hours, squares, buckets = 0.0, 0.0, Counter[int]()
    for row in rows:
        if row["bucket"] is not None:
            hours, squares = hours + row["hours"], squares + row["squares"]
            buckets[row["bucket"]] += row["tickets"]
    return ResolutionTimes(hours, squares, buckets)


def _of_notes(rows: Sequence[Row], prices: ModelPrices) -> Facts:
    notes, unchecked, seconds = 0, 0, Counter[int]()
    models: dict[str, ModelUse] = {}
    for row in rows:
        if row["has_note"]:
            notes += row["jobs"]
            unchecked += row["jobs"] * row["is_unchecked"]
        if row["seconds"] is not None:
            seconds[row["seconds"]] += row["jobs"]
        tokens = (row["input_tokens"], row["output_tokens"])
        paid = row["jobs"] if row["is_priced"] else row["paid"]
        if paid:
            model = row["model"] or "unknown model"
            dollars = cost(prices, row["model"] or "", *tokens, row["dollars"])
            use = ModelUse(paid, *tokens, dollars or 0.0, paid if dollars is None else 0)
            models[model] = models.get(model, ModelUse()) + use
    return Facts(notes=notes, unchecked=unchecked, seconds_to_note=seconds, models=models)


def _of_feedback(rows: Sequence[Row], minutes: float) -> Facts:
    votes, reasons, suggested, matched = (Counter[str]() for _ in range(4))
    measured, taken_up, half, used = 0, 0.0, 0, 0
    for row in rows:
        notes, vote = row["notes"], row["vote"]
        if vote is not None:
            votes[vote] += notes
        if row["reason"] is not None:
            reasons[row["reason"]] += notes
        for name in TRIAGE_FIELDS:
            suggested[name] += notes * (row[name] is not None)
            matched[name] += notes * bool(row[name])
        measured += notes * row["measured"]
        taken_up += row["taken_up"]
        half += notes * row["half"]
        used += notes * (vote == Vote.USEFUL or (row["half"] and vote != Vote.NOT_USEFUL))
    return Facts(
        votes=votes,
        vote_reasons=reasons,
        suggested=suggested,
        matched=matched,
        measured=measured,
        taken_up=taken_up,
        taken_up_half=half,
        used=used,
        saved_minutes=used * minutes,
    )
