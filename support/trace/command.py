"""`ai-agents trace`: draws a job's trace from the spans that are kept here, or else its story from the database."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from config.diagnose_settings import TraceSettings
from config.exits import CONFIGURATION_EXIT, NOT_DONE_EXIT, NOT_UNDERSTOOD_EXIT
from config.loading import SettingsRefused, load
from config.trace_settings import TraceFileSettings
from observability.logging import refuse_start, start_logging
from observability.tracing import GPT4
from storage import by_hand
from storage.by_hand import Details
from storage.session import Database
from support.asking import ask_with
from support.diagnose.choosing import AskedAbout, choose, jobs_of
from support.show_job import trace_id
from support.tables import as_json, clean, terminal_width, when
from support.timeline import timeline
from support.trace.drawing import IN_COLOUR, PLAIN, DrawnSpan, Pen, draw
from support.trace.reading import KeptTrace, find
from support.trace.trees import may_go_on, of_timeline, of_trace

FROM_EVENTS = "from the job's events: no spans are kept here"
NOT_ENDED = "what goes on is not among them: a span is kept when it has ended (`ai-agents show` has the job's state)"
_MOST_OTHERS = 3


def run(chosen: argparse.Namespace) -> int:
    """Draw it; the exit status, 1 where nothing is known, 2 where several tenants have the ticket."""
    try:
        settings = load(TraceFileSettings)
    except SettingsRefused as refused:
        refuse_start(refused.problems, sys.stderr)
        return CONFIGURATION_EXIT
    asked = AskedAbout(chosen.ticket, chosen.tenant, chosen.job)
    place = chosen.traces or settings.traces_dir
    found = [] if place is None else _find(place, asked, is_named=bool(chosen.traces))
    if place is not None and found:
        start_logging(settings, sys.stderr)
        return _tell_of_files(place, asked, found, as_machine=chosen.json)

    async def work(database: Database, _settings: TraceSettings) -> int:
        return await _tell_of_events(database, asked, as_machine=chosen.json)

    return ask_with(TraceSettings, work)


def _find(place: Path, asked: AskedAbout, *, is_named: bool) -> list[KeptTrace]:
    """Return the traces that are kept there; where none is, say why, but for a usual folder that has none of it."""
    found: list[KeptTrace] = []
    why = "has no span of it" if is_named else ""
    try:
        found = find(place, asked)
    except OSError as failure:
        # The usual one is made by the first process that keeps a span.
        if is_named or not isinstance(failure, FileNotFoundError):
            why = f"can't be read ({failure.strerror})"
    if why and not found:
        print(f"{clean(str(place))} {why}: the database is asked.", file=sys.stderr)
    return found


def _tell_of_files(place: Path, asked: AskedAbout, found: Sequence[KeptTrace], *, as_machine: bool) -> int:
    owners = sorted({owner for trace in found if (owner := trace.tag("tenant_id"))})
    if asked.job_id is None and len(owners) > 1:
        return _ask_whose(owners)
    shown = _most_telling(found)
    about = {name: shown.tag(name) or None for name in ("job_id", "tenant_id", "ticket_id")}
    others = sorted({other for trace in found if (other := trace.tag("job_id"))} - {about["job_id"] or ""})
    about |= {"trace_id": shown.trace_id, "source": f"spans of {place}"}
    remark = NOT_ENDED if about["job_id"] and may_go_on(shown) else ""
    _tell(about, of_trace(shown), max(span.end for span in shown.spans), others, remark, as_machine=as_machine)
    return 0


def _most_telling(found: Sequence[KeptTrace]) -> KeptTrace:
    """Return the newest in which a model was asked, since the others stand behind it; else that of the newest job.

    What came again, or was refused, has traces of its own, which name that job or none.
    """
    of_jobs = [trace for trace in found if trace.tag("job_id")] or found
    of_newest = [trace for trace in of_jobs if trace.tag("job_id") == of_jobs[0].tag("job_id")]
    return next((trace for trace in found if trace.has(GPT4)), of_newest[-1])


async def _tell_of_events(database: Database, asked: AskedAbout, *, as_machine: bool) -> int:
    owners = await by_hand.owners(database, asked.ticket_id) if asked.ticket_id and not asked.tenant_id else []
    if len(owners) > 1:
        return _ask_whose(owners)
    job, others = await _job(database, asked, asked.tenant_id or (owners[0] if owners else None))
    if job is None:
        what = f"the job {asked.job_id}" if asked.job_id else f"the ticket {asked.ticket_id}"
        whose = f" of {asked.tenant_id}" if asked.tenant_id else ""
        print(f"Nothing is known of {what}{whose}, or it was purged by age.", file=sys.stderr)
        return NOT_DONE_EXIT
    told = timeline(job, await by_hand.events(database, job), job.asked_at)
    about = {"job_id": str(job.id), "tenant_id": job.tenant_id, "ticket_id": job.ticket_id, "trace_id": trace_id(job)}
    _tell(about | {"source": FROM_EVENTS}, of_timeline(told), told.end, others, as_machine=as_machine)
    return 0


async def _job(database: Database, asked: AskedAbout, tenant_id: str | None) -> tuple[Details | None, list[str]]:
    """Return the job that says most, and the ids of the ticket's others."""
    if asked.job_id is not None:
        job = await by_hand.details(database, asked.job_id)
        return (None if job is None or asked.tenant_id not in (None, job.tenant_id) else job), []
    jobs = [] if tenant_id is None else await jobs_of(database, tenant_id, asked.ticket_id or "")
    chosen = choose(jobs)
    if chosen is None:
        return None, []
    return await by_hand.details(database, chosen.id), [str(job.id) for job in jobs if job.id != chosen.id]


def _ask_whose(owners: Sequence[str]) -> int:
    print(f"Whose ticket is it? Say --tenant: {clean(', '.join(owners))}", file=sys.stderr)
    return NOT_UNDERSTOOD_EXIT


def _tell(
    about: Mapping[str, str | None],
    spans: Sequence[DrawnSpan],
    until: datetime,
    others: Sequence[str],
    remark: str = "",
    *,
    as_machine: bool,
) -> None:
    if as_machine:
        print(as_json({**about, "others": list(others), "spans": [asdict(span) for span in spans]}))
        return
    start = min(span.start for span in spans)
    job = f"job {about['job_id']}, " if about["job_id"] else ""
    seconds = (until - start).total_seconds()
    lines = [
        f"Trace {about['trace_id'] or 'unknown'}: {job}ticket {about['ticket_id']} of tenant {about['tenant_id']}",
        f"{about['source']}; from {when(start)}, {seconds:.1f} s",
    ]
    if remark:
        lines.append(remark)
    if others:
        more = ", ..." if len(others) > _MOST_OTHERS else ""
        lines.append(f"other jobs of the ticket ({len(others)}), see --job: {', '.join(others[:_MOST_OTHERS])}{more}")
    print("\n".join([*(clean(line) for line in lines), "", draw(spans, until, terminal_width(), _pen())]))


def _pen() -> Pen:
    """In colour where somebody looks at it, and the terminal says that it has the characters."""
    seen = sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf")
    return IN_COLOUR if seen else PLAIN
