"""`ai-agents show JOB`: history and next step of one job.

It reads no text of ticket or answer, except the note that a dry run did not post.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from cli.database import run_with_database
from cli.terminal import as_json, table
from config.exit_codes import NOT_DONE_EXIT
from config.settings import ByHandSettings
from db.session import Database
from integrations.resilience import DeskHoldReason, HoldReason
from jobs import details
from jobs.details import Details, Happened, trace_id
from jobs.models import JobState
from jobs.repository import (
    ALREADY_ENHANCED,
    DRY_RUN,
    DUPLICATE,
    HELD_OUT,
    LEFT_OUT,
    NOTHING_FOUND,
    REFRESHED_LATELY,
    SIGNED_BY_PREVIOUS,
)
from observability.formats import duration, when
from observability.identifiers import other_ticket_ids
from privacy.tombstones import FORGOTTEN
from workflow.note import to_text

# The relay publishes within a second or two; past this it does not.
_RELAY_SECONDS = 10
_KEY = "`ai-agents check --tenant {tenant}` names its setting"
# Fixes that end a hold of the model or the desk.
_FIXES: dict[str, str] = {
    HoldReason.KEY_REFUSED: "give the model's service a valid key",
    HoldReason.OUT_OF_CREDIT: "add credit, or raise the spending limit, at the model's service",
    HoldReason.NOT_FOUND: "correct the model's name or address",
    HoldReason.NOT_PERMITTED: "ask the model's provider why it refuses requests from here",
    DeskHoldReason.CREDENTIALS_REFUSED: f"give the tenant's desk a valid key: {_KEY}",
    DeskHoldReason.NOTES_REFUSED: f"give the key or token of the tenant's desk the right to add notes: {_KEY}",
}
# Next steps of skipped jobs.
_SKIPPED = {
    DUPLICATE: "nothing: another job handles its webhook",
    ALREADY_ENHANCED: "nothing: another job wrote the note, or may have before it failed; for a second note, "
    "{retry}{tried}",
    DRY_RUN: "review the note of this dry run; once the tenant is live, {retry} {paid}",
    REFRESHED_LATELY: "nothing: a ticket is refreshed once an hour; later, {retry}",
    FORGOTTEN: "nothing: the data of its ticket was erased, and a retry would end the same way",
    LEFT_OUT: "nothing, unless the ticket or the tenant's rules have changed: {retry}",
    HELD_OUT: "nothing: the ticket is held out for comparison; for a note, {retry}",
    NOTHING_FOUND: "nothing, unless more of the desk was copied since: {retry}",
}


def run(chosen: argparse.Namespace) -> int:
    async def work(database: Database, _settings: ByHandSettings) -> int:
        job = await details.details(database, chosen.job)
        if job is None:
            print(f"No job has the id {chosen.job}, or it was purged by age.", file=sys.stderr)
            return NOT_DONE_EXIT
        happened = await details.events(database, job)
        events, remark = happened if chosen.events else None, details.remark_of(happened)
        is_dry_run = job.state == JobState.SKIPPED and job.reason == DRY_RUN
        answer = await details.answer_of(database, job.tenant_id, job.id) if is_dry_run else None
        note = None if answer is None else to_text(answer, job.id, job.model or "", job.refresh or "")
        values = (job, events, note, remark)
        print(as_json(for_machines(*values)) if chosen.json else for_people(*values))
        return 0

    return run_with_database(work)


def for_people(
    job: Details, events: Sequence[Happened] | None = None, note: str | None = None, remark: str | None = None
) -> str:
    """Return the row's history, the events if given, and a dry run's note.

    `remark` is the remark on its webhook.
    """

    def past(moment: datetime) -> str:
        return f"{when(moment)}, {duration((job.read_at - moment).total_seconds())} ago"

    labels = {"desk_id": "desk id {}", "display_id": "display id {}"}
    other_ids = other_ticket_ids(job.ticket_id, job.desk_id, job.display_id)
    ticket = [f"{job.ticket_id} of tenant {job.tenant_id}"]
    ticket += [labels[name].format(number) for name, number in other_ids.items()]
    ticket += [f"event {job.event}"] if job.event else []
    webhook_remark = f", {remark}: the desk still used the old secret" if remark == SIGNED_BY_PREVIOUS else ""
    answered = "yes, erased since" if job.model else "no"
    if job.answered:
        answered = f"yes, by {job.model}{', claims not checked' if job.is_unchecked else ''}"
    note_text = f"not confirmed: posting started {past(job.note_attempted_at)}" if job.note_attempted_at else "no"
    note_text = f"in the ticket, as {job.note_id}" if job.note_id else note_text
    ended = "no"
    if job.finished_at is not None:
        took = duration((job.finished_at - job.accepted_at).total_seconds())
        ended = f"{past(job.finished_at)}, {took} after it was accepted"
    left = (job.deadline_at - job.read_at).total_seconds()
    lines = [
        ("ticket", ", ".join(ticket)),
        ("accepted", f"{past(job.accepted_at)}{webhook_remark}"),
        ("queued", past(job.published_at) if job.published_at else "no"),
        ("started", f"{past(job.started_at)}, attempt {job.attempt}" if job.started_at else "no"),
        ("answered", answered),
        ("note", f"{note_text}, a further one: {job.refresh}" if job.refresh else note_text),
        ("ended", ended),
        ("reason", job.reason or "none"),
        ("deadline", past(job.deadline_at) if left <= 0 else f"{when(job.deadline_at)}, in {duration(left)}"),
        ("trace", trace_id(job) or "none"),
        ("lease", f"{job.lease_owner}, until {when(job.lease_until)}" if job.lease_until else "none"),
        ("next", next_step(job)),
    ]
    output = table(("Job", f"{job.id}: {job.state}"), lines, None)
    if events is not None:
        happened = [(when(event.at), str(event.attempt), event.what, event.reason or "") for event in events]
        output += f"\n\n{table(('AT', 'TRY', 'EVENT', 'REASON'), happened, None)}"
    return output if note is None else f"{output}\n\nNote that was not posted (dry run):\n\n{note}"


def next_step(job: Details) -> str:
    retry = f"`ai-agents retry {job.id}`"
    match job.state:
        case JobState.WAITING:
            return _next_step_of_waiting(job)
        case JobState.RUNNING if job.lease_until is not None and job.lease_until > job.read_at:
            return f"wait: a worker runs attempt {job.attempt}"
        case JobState.RUNNING:
            return "wait: its worker is lost, and the relay (in the API) queues it again within seconds"
        case JobState.COMPLETED:
            return "nothing: the note is in the ticket"
        case JobState.SKIPPED:
            template = _SKIPPED.get(job.reason or "", "nothing, unless the ticket was reopened: {retry}")
            tried = f"; a dry run of it: `ai-agents show {job.dry_run_job}`" if job.dry_run_job else ""
            paid = "posts this answer without a new call" if job.answered else "calls GPT-4 again"
            return template.format(retry=retry, tried=tried, paid=paid)
    reuse = " (the answer of GPT-4 is reused)" if job.answered else ""
    return f"fix the reason, then {retry}{reuse}"


def _next_step_of_waiting(job: Details) -> str:
    attempt = f"attempt {job.attempt + 1}"
    seconds = (job.read_at - job.due_at).total_seconds()
    if job.deadline_at <= job.read_at:
        return "its deadline has passed: the relay (in the API) ends it"
    if seconds < 0:
        fix = _FIXES.get(job.reason or "", "").format(tenant=job.tenant_id)
        then = f": {fix}; it then resumes by itself" if fix else ""
        return f"{attempt} is due in {duration(-seconds)}{then}"
    if job.published_at is not None:
        return (
            f"{attempt} queued for {duration(seconds)}, behind older jobs of its tenant; if that lasts, check that"
            " workers run and have capacity"
        )
    if seconds < _RELAY_SECONDS:
        return f"{attempt} is due: the relay (in the API) queues it within seconds"
    return f"due for {duration(seconds)} but not queued: check that the API runs and Redis answers"


def for_machines(
    job: Details, events: Sequence[Happened] | None = None, note: str | None = None, remark: str | None = None
) -> dict[str, Any]:
    fields = asdict(job)
    del fields["read_at"], fields["traceparent"]
    report = {"job_id": fields.pop("id"), **fields, "trace_id": trace_id(job), "next": next_step(job), "remark": remark}
    if note is not None:
        report["dry_run_note"] = note
    return report if events is None else {**report, "events": [asdict(event) for event in events]}
