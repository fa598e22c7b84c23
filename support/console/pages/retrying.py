"""Retrying by hand: one job, or several that a preview has shown."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from storage import ends
from storage.by_hand import NotRetried, why_not
from storage.ends import Behind, JobEnd
from storage.models import JobState
from storage.session import DATABASE_FAILURES
from support.arguments import MOST_RETRIED
from support.console.answers import Asked, GoTo, NotAllowed, NotHere, NotUnderstood, Page
from support.console.figures.asking import is_silent
from support.console.figures.failures import EndedRow, ended_row, reasons_of
from support.console.figures.story import caution, costs
from support.console.pages.asked import job_id
from support.console.pages.failures import Chosen, behind_of, chosen, failures, written
from support.console.pages.ticket import job_of
from support.retry_jobs import is_its_tickets_last, retry_and_tell

_CAUSE = "cause:"
_LOOK = 100
_MOST_LOOKED_AT = 1_000
_LOOK_SECONDS, _RETRY_SECONDS = 5.0, 10.0
_IN_DOUBT = "not known: the database did not answer"


@dataclass(slots=True)
class Preview:
    """Which jobs would be retried, the last to end first. `left_out`: another job of the ticket did it, or may.

    `more`: there are others behind them, which ended before; `behind` is the last one that was looked at.
    """

    rows: list[EndedRow]
    left_out: int
    more: bool
    behind: Behind | None = None

    @property
    def job_ids(self) -> str:
        """The ids, as the form sends them back."""
        return ",".join(row.job_id for row in self.rows)

    @property
    def kept(self) -> int:
        """How many have their answer already."""
        return sum(row.answered for row in self.rows)

    @property
    def cautions(self) -> Mapping[str, int]:
        """What speaks against it, as on a ticket's page, and of how many."""
        told = [said for row in self.rows if (said := caution(row.reason))]
        return {said: told.count(said) for said in sorted(set(told))}

    @property
    def by_tenant(self) -> Mapping[str, int]:
        """How many are of each tenant."""
        tenants = [row.tenant_id for row in self.rows]
        return {tenant_id: tenants.count(tenant_id) for tenant_id in sorted(set(tenants))}


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one: `refusal` is empty where it waits again."""

    job_id: str
    tenant_id: str
    ticket_id: str
    refusal: str


async def retry_one(asked: Asked) -> Page | GoTo:
    """Let one job wait again, and lead to its ticket; a page that says why where it can't."""
    job = await job_of(asked, job_id(asked.path["job_id"]))
    try:
        await retry_and_tell(asked.sources.database, job.id, asked.sources.job_deadline_seconds)
    except NotRetried as refused:
        tried = [Tried(str(job.id), job.tenant_id, job.ticket_id, str(refused))]
        return Page("retried.html", {"tried": tried, "done": 0, "broke_off": False, "rest": ""}, status=409)
    return GoTo(f"/tickets/{job.tenant_id}/{job.ticket_id}?job={job.id}")


async def preview(asked: Asked) -> Page:
    """Show which jobs a retry of the chosen causes would let wait again, and what that costs; changes nothing."""
    _only_operators(asked)
    codes = frozenset(name.removeprefix(_CAUSE) for name in asked.query if name.startswith(_CAUSE))
    if not codes:
        page = await failures(asked)
        return replace(page, values={**page.values, "notice": "Choose a cause: not all that ever failed is meant."})
    what = chosen(asked, codes)
    if what.state != "failed":
        raise NotUnderstood("What was skipped is retried one by one.")
    behind = behind_of(asked.query.get("before", ""))
    found = await _previewed(asked, what, behind)
    older = "" if found.behind is None or not found.more else written(found.behind)
    values = {
        "preview": found,
        "chosen": what,
        "most": MOST_RETRIED,
        "costs": costs,
        "older": older,
        "is_first": behind is None,
    }
    return Page("preview.html", values)


async def retry_several(asked: Asked) -> Page:
    """Let those wait again that a preview has shown, and say of each what became of it."""
    _only_operators(asked)
    given = [part for part in asked.form.get("jobs", "").split(",") if part]
    if not given or len(given) > MOST_RETRIED:
        raise NotUnderstood(f"From 1 to {MOST_RETRIED} jobs are retried at a time.")
    tried: list[Tried] = []
    broke_off = False
    wanted = list(dict.fromkeys(job_id(part) for part in given))
    try:
        async with asyncio.timeout(_RETRY_SECONDS):
            for each in wanted:
                await _retry(asked, each, tried)
    except (*DATABASE_FAILURES, TimeoutError) as failure:
        if not (is_silent(failure) or isinstance(failure, TimeoutError)):
            raise
        # Of those before it has to be told what became of them; of this one nobody knows whether it was done.
        broke_off = True
        tried.append(Tried(str(wanted[len(tried)]), "", "", _IN_DOUBT))
    values = {
        "tried": tried,
        "done": sum(not one.refusal for one in tried),
        "broke_off": broke_off,
        "rest": ",".join(str(each) for each in wanted[len(tried) :]),
    }
    return Page("retried.html", values, 503 if broke_off else 200)


def _only_operators(asked: Asked) -> None:
    if asked.visitor.role != "operator":
        raise NotAllowed("Several jobs at once are an operator's to retry.")


async def _retry(asked: Asked, wanted: UUID, tried: list[Tried]) -> None:
    database = asked.sources.database
    try:
        job = await job_of(asked, wanted)
    except NotHere:
        tried.append(Tried(str(wanted), "", "", "no job has this id"))
        return
    refusal = _why_not(job.state)
    if not refusal and not await is_its_tickets_last(database, job):
        refusal = "another job of the ticket did it, or may"
    if not refusal:
        try:
            await retry_and_tell(database, job.id, asked.sources.job_deadline_seconds)
        except NotRetried as refused:
            refusal = str(refused)
    tried.append(Tried(str(job.id), job.tenant_id, job.ticket_id, refusal))


def _why_not(state: str) -> str:
    """Return why a job of this state is not one of several; empty for one that failed."""
    if state == JobState.SKIPPED:
        return "it was skipped: it is retried on its ticket's page"
    return "" if state == JobState.FAILED else why_not(state)


async def _previewed(asked: Asked, what: Chosen, behind: Behind | None) -> Preview:
    """Look through the jobs until there are enough, or enough were looked at. Raises TimeoutError if none was found."""
    found = Preview([], 0, more=True, behind=behind)
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            async for job, is_last in _looked_at(asked, what, behind):
                if len(found.rows) == MOST_RETRIED:
                    return found
                if is_last:
                    found.rows.append(ended_row(job, datetime.now(UTC)))
                else:
                    found.left_out += 1
                found.behind = Behind(job.finished_at, job.id)
    except TimeoutError:
        if found.behind is behind:
            raise
        return found
    found.more = found.left_out + len(found.rows) >= _MOST_LOOKED_AT
    return found


async def _looked_at(asked: Asked, what: Chosen, behind: Behind | None) -> AsyncIterator[tuple[JobEnd, bool]]:
    """Yield the jobs that are meant, and whether each is its ticket's last; not more than anybody waits for."""
    database = asked.sources.database
    reasons = reasons_of(await ends.causes(database, what.tenant_id, what.state, what.since), set(what.codes))
    for _ in range(_MOST_LOOKED_AT // _LOOK):
        page = await ends.ended(
            database, what.tenant_id, what.state, what.since, reasons=reasons, behind=behind, most=_LOOK
        )
        for job in page:
            yield job, asked.visitor.sees(job.tenant_id) and await is_its_tickets_last(database, job)
        if len(page) < _LOOK:
            return
        behind = Behind(page[-1].finished_at, page[-1].id)
