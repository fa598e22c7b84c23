"""`ai-agents forget`: erasure of a ticket, a requester or a tenant that leaves.

Counts go to standard output, the log line `Erased` to standard error. `docs/data.md` defines the scope.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from config.exits import AWAY_EXIT, CONFIGURATION_EXIT, NOT_DONE_EXIT
from config.settings import ForgetSettings
from config.tenant_reading import names_tenant, read_environment
from dispatch.inbox import Inbox
from dispatch.outcome import How, Outcome, report_apart
from dispatch.queue import QueueUnreachable, open_redis
from observability import phrases, tracing
from observability.identifiers import bound, other_numbers
from observability.logging import say
from storage import erasure, jobs
from storage.erasure import EndedJob, Erased, Stored, Which, stored
from storage.jobs import Published
from storage.session import Database
from support.arguments import check_forget
from support.asking import ask_with
from support.confirming import NotAsked, confirmed
from support.erasing_keys import erase_keys
from support.tables import as_json, table

_REDIS_SECONDS = 2.0
_INTERRUPTED = "Not all is erased. What is gone stays so: run this again, and it goes on where it stopped."


@dataclass(frozen=True, slots=True)
class _Done:
    """Result of an erasure; `keys` of Redis are None if it did not answer."""

    erased: Erased
    keys: int | None


def run(chosen: argparse.Namespace) -> int:
    """Show the counts, confirm and erase; return the exit status.

    1 if declined, 2 if no prompt is possible, 75 if Redis did not answer, 78 for a whole tenant that still has
    settings.
    """
    check_forget(chosen)
    which = Which(chosen.tenant, chosen.ticket, chosen.requester)

    async def work(database: Database, settings: ForgetSettings) -> int:
        if which.all and names_tenant(read_environment(settings.secrets_dir)(), which.tenant_id):
            print(
                f"Not erased: {which.tenant_id} has settings, or SECRETS_DIR can't be listed, and the next copy of its "
                "desk would bring all back. Mend that, and run this again.",
                file=sys.stderr,
            )
            return CONFIGURATION_EXIT
        found = await stored(database, which)
        if not _wanted(found, chosen):
            return NOT_DONE_EXIT
        redis = open_redis(settings.redis_url, seconds=_REDIS_SECONDS)
        try:
            done = await _forget(database, redis, which, settings.job_deadline_seconds)
        except BaseException:
            # On any interruption, also by the operator.
            print(_INTERRUPTED, file=sys.stderr)
            raise
        finally:
            await redis.aclose()
        _log(which, done)
        print(as_json(_for_machines(which, found, done)) if chosen.json else _told(which, found, done))
        return 0 if done.keys is not None else AWAY_EXIT

    return ask_with(ForgetSettings, work)


def _wanted(found: Stored, chosen: argparse.Namespace) -> bool:
    """Show the counts and confirm; exit with status 2 if no prompt is possible."""
    if not chosen.yes:
        rows = [
            ("copies", str(found.copies)),
            ("answers of GPT-4", str(found.answers)),
            ("audit records", str(found.records)),
            ("jobs that have not ended", str(found.jobs)),
        ]
        print(table(("STORED", "COUNT"), rows, None))
        sys.stdout.flush()
    what = "all of this tenant" if chosen.all else "this ticket" if chosen.ticket else "all tickets of this requester"
    try:
        return confirmed(f"Erase {what} for good?", yes=chosen.yes)
    except NotAsked:
        chosen.refuse("standard input is no terminal: give --yes to erase this without being asked")
        raise


async def _forget(database: Database, redis: Redis, which: Which, deadline_seconds: int) -> _Done:
    def tell(ended: Sequence[EndedJob]) -> None:
        _log_ended(which, ended)

    if not which.all:
        erased = await erasure.erase(database, which, on_ended=tell)
        return _Done(erased, await _keys(redis, database, which))
    keys = None
    try:
        inbox = Inbox(redis)
        # A row for each, so that no message is left without one.
        for event in await inbox.of_tenant(which.tenant_id):
            await jobs.accept_late(database, event, deadline_seconds)
            await inbox.remove(event.job_id)
        # Before the rows, which map an answer in Redis to its tenant.
        keys = await erase_keys(redis, database, which)
    except QueueUnreachable:
        pass
    return _Done(await erasure.erase(database, which, job_rows=keys is not None, on_ended=tell), keys)


async def _keys(redis: Redis, database: Database, which: Which) -> int | None:
    try:
        return await erase_keys(redis, database, which)
    except QueueUnreachable:
        return None


def _log_ended(which: Which, ended: Sequence[EndedJob]) -> None:
    for job in ended:
        # A running job is reported by its worker.
        if not job.was_running:
            told = Published(job.job_id, which.tenant_id, job.ticket_id, 0, job.traceparent)
            other = other_numbers(job.ticket_id, job.desk_id, job.display_id)
            report_apart("Forget", told, Outcome(How.FORGOTTEN, jobs.FORGOTTEN), **other)


def _log(which: Which, done: _Done) -> None:
    with bound(tenant_id=which.tenant_id), tracing.span("Forget"):
        say(
            phrases.ERASED,
            tenant_id=which.tenant_id,
            copies=done.erased.copies,
            answers=done.erased.answers,
            jobs=len(done.erased.ended) + done.erased.rows,
            keys="unknown" if done.keys is None else done.keys,
        )


def _told(which: Which, found: Stored, done: _Done) -> str:
    erased = done.erased
    ended = len(erased.ended)
    rows = [
        ("copies", str(erased.copies)),
        ("answers of GPT-4", str(erased.answers)),
        ("audit records", str(erased.records)),
        ("jobs ended as skipped", str(ended)),
        *([("rows of jobs", str(erased.rows))] if which.all else []),
        ("keys in Redis", "it does not answer" if done.keys is None else str(done.keys)),
    ]
    parts = [table(("ERASED", "COUNT"), rows, None)]
    if which.ticket_id and not (erased.copies or erased.answers or erased.records or ended or done.keys):
        parts.append(
            f"Nothing was stored of {which.ticket_id}, nor under the other number of a cloud desk's ticket. See "
            "whether it is the right one: it is forgotten from now on."
        )
    if which.requester and not found.of_requester:
        parts.append("No stored data has this address. Check that it is the right one: it is forgotten from now on.")
    if done.keys is None:
        parts.append("Redis does not answer, and still has its part: run this again when it does.")
    if which.all and (ended or done.keys is None):
        parts.append("Rows of jobs stay, without text, while a message of theirs may come: run this again in an hour.")
    if erased.running:
        parts.append(
            f"Workers are at {erased.running} other jobs of this tenant, and may have read what was erased before it "
            "was: run this again when those have ended."
        )
    if found.unattributed:
        parts.append(
            f"Of {found.unattributed} copies and answers from before it was kept, it is not known whose they are: "
            "name their tickets, or run this again when the copies are a day older."
        )
    return "\n".join([*parts, "Notes in the desk, backups, traces and the model's provider are not reached."])


def _for_machines(which: Which, found: Stored, done: _Done) -> dict[str, Any]:
    erased = done.erased
    return {
        "tenant_id": which.tenant_id,
        "copies": erased.copies,
        "answers": erased.answers,
        "audit_records": erased.records,
        "jobs_ended": [job.job_id for job in erased.ended],
        "job_rows": erased.rows,
        "redis_keys": done.keys,
        "others_running": erased.running,
        "unattributed": found.unattributed,
    }
