"""`ai-agents forget`: erasure of a ticket, a requester or a tenant that leaves.

Counts go to standard output, the log line `Erased` to standard error. `docs/data.md` defines the scope.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from cli.database import run_with_settings
from cli.terminal import as_json, confirmed, table
from config.exit_codes import AWAY_EXIT, CONFIGURATION_EXIT, NOT_DONE_EXIT
from config.settings import ForgetSettings
from config.tenant_directory import names_tenant, read_environment
from db.session import Database, split
from integrations import rate_limit
from integrations.desks import KINDS
from jobs import repository
from jobs.details import numbers_of_jobs
from jobs.inbox import DELIVERY, Inbox
from jobs.outcomes import Outcome, OutcomeKind, report_in_new_span
from jobs.queue import QueueUnavailableError, open_redis
from jobs.repository import JobIdentity
from observability import log_events, tracing
from observability.identifiers import bound, other_ticket_ids
from observability.logging import log_event
from privacy import erasure, tombstones
from privacy.erasure import EndedJob, Erased, ErasureScope, Stored, stored
from workflow.stored_answers import StoredKind

_REDIS_SECONDS = 2.0
_INTERRUPTED = "Not everything is erased yet. Run this again to continue."
_NUMBER = re.compile(r"\d+")


def run(chosen: argparse.Namespace) -> int:
    """Show the counts, confirm and erase; return the exit status.

    1: declined. 2: no prompt is possible. 75: Redis did not answer. 78: the tenant to erase still has settings.
    """
    if chosen.json and not chosen.yes:
        chosen.refuse("--json needs --yes")
    scope = ErasureScope(chosen.tenant, chosen.ticket, chosen.requester)

    async def work(database: Database, settings: ForgetSettings) -> int:
        if scope.all and names_tenant(read_environment(settings.secrets_dir)(), scope.tenant_id):
            print(
                f"Not erased: {scope.tenant_id} still has settings, or SECRETS_DIR can't be listed. The next copy of "
                "its desk would restore the data. Fix that, then run this again.",
                file=sys.stderr,
            )
            return CONFIGURATION_EXIT
        counts = await stored(database, scope)
        if not chosen.yes:
            rows = [
                ("copies", str(counts.copies)),
                ("answers of GPT-4", str(counts.answers)),
                ("audit records", str(counts.records)),
                ("unfinished jobs", str(counts.unfinished_jobs)),
            ]
            print(table(("STORED", "COUNT"), rows, None))
        requester_text = "all tickets of this requester"
        subject = "all data of this tenant" if chosen.all else "this ticket" if chosen.ticket else requester_text
        if not confirmed(f"Erase {subject} permanently?", chosen, "erase this"):
            return NOT_DONE_EXIT
        redis = open_redis(settings.redis_url, seconds=_REDIS_SECONDS)
        try:
            erased, keys = await _forget(database, redis, scope, settings.job_deadline_seconds)
        except BaseException:
            # On any interruption, also by the operator.
            print(_INTERRUPTED, file=sys.stderr)
            raise
        finally:
            await redis.aclose()
        with bound(tenant_id=scope.tenant_id), tracing.span("Forget"):
            log_event(
                log_events.ERASED,
                tenant_id=scope.tenant_id,
                copies=erased.copies,
                answers=erased.answers,
                jobs=len(erased.ended) + erased.rows,
                keys="unknown" if keys is None else keys,
            )
        result = _for_machines(scope, counts, erased, keys) if chosen.json else _for_people(scope, counts, erased, keys)
        print(as_json(result) if isinstance(result, dict) else result)
        return 0 if keys is not None else AWAY_EXIT

    return run_with_settings(ForgetSettings, work)


async def _forget(
    database: Database, redis: Redis, scope: ErasureScope, deadline_seconds: int
) -> tuple[Erased, int | None]:
    def report_ended(ended: Sequence[EndedJob]) -> None:
        # A running job is reported by its worker.
        for job in (job for job in ended if not job.was_running):
            published = JobIdentity(job.job_id, scope.tenant_id, job.ticket_id, 0, job.traceparent)
            numbers = other_ticket_ids(job.ticket_id, job.desk_id, job.display_id)
            report_in_new_span("Forget", published, Outcome(OutcomeKind.FORGOTTEN, tombstones.FORGOTTEN), **numbers)

    erased, keys = None, None
    if not scope.all:
        erased = await erasure.erase(database, scope, on_ended=report_ended)
    try:
        if scope.all:
            inbox = Inbox(redis)
            # A row for each, so that no message is left without one.
            for event in await inbox.of_tenant(scope.tenant_id):
                await repository.accept_late(database, event, deadline_seconds)
                await inbox.remove(event.job_id)
        # Before the rows of a whole tenant, because they map an answer in Redis to its tenant.
        keys = await erase_keys(redis, database, scope)
    except QueueUnavailableError:
        pass
    if erased is None:
        erased = await erasure.erase(database, scope, job_rows=keys is not None, on_ended=report_ended)
    return erased, keys


async def erase_keys(redis: Redis, database: Database, scope: ErasureScope) -> int:
    """Erase Redis data of forgotten tickets; return the number of keys.

    Erased are answers and unusable texts of a ticket with a tombstone, or that name such a ticket. For a whole tenant
    all its keys are erased: call it before the rows are deleted, which map an answer to its tenant. Raises
    QueueUnavailableError, or one of DATABASE_FAILURES.
    """
    try:
        doomed = await _answer_keys(redis, database, scope)
        if scope.all:
            doomed += rate_limit.keys_of(scope.tenant_id)
            for begin in {*(kind.redis_prefix for kind in KINDS.values()), DELIVERY}:
                doomed += await _keys(redis, f"{begin}{scope.tenant_id}:*")
        return sum([int(await redis.delete(*keys)) for keys in split(doomed)])
    except (RedisError, OSError, TimeoutError) as failure:
        raise QueueUnavailableError from failure


async def _keys(redis: Redis, pattern: str) -> list[str]:
    return [str(key) async for key in redis.scan_iter(match=pattern, count=1000)]


async def _answer_keys(redis: Redis, database: Database, scope: ErasureScope) -> list[str]:
    doomed: list[str] = []
    candidates: list[tuple[str, UUID]] = []
    for key in [key for kind in StoredKind for key in await _keys(redis, f"{kind}:*")]:
        try:
            candidates.append((key, UUID(key.partition(":")[2])))
        except ValueError:
            continue  # not one of ours
    for batch in split(candidates):
        ours = await numbers_of_jobs(database, scope.tenant_id, [job_id for _, job_id in batch])
        for key, job_id in batch:
            if job_id not in ours:
                continue
            if not scope.all:
                # A number may have another meaning. Erasing a surplus answer is safe: it can be requested again.
                numbers = {*ours[job_id], *_NUMBER.findall(str(await redis.get(key) or ""))}
                if not await tombstones.forgotten_among(database, scope.tenant_id, numbers):
                    continue
            doomed.append(key)
    return doomed


def _for_people(scope: ErasureScope, counts: Stored, erased: Erased, keys: int | None) -> str:
    ended = len(erased.ended)
    rows = [
        ("copies", str(erased.copies)),
        ("answers of GPT-4", str(erased.answers)),
        ("audit records", str(erased.records)),
        ("jobs ended as skipped", str(ended)),
        *([("rows of jobs", str(erased.rows))] if scope.all else []),
        ("keys in Redis", "Redis does not answer" if keys is None else str(keys)),
    ]
    parts = [table(("ERASED", "COUNT"), rows, None)]
    if scope.ticket_id and not (erased.copies or erased.answers or erased.records or ended or keys):
        parts.append(
            f"No data of ticket {scope.ticket_id} was stored, under either number. Check the number: from now on its "
            "data is not kept."
        )
    if scope.requester and not counts.is_requester_known:
        parts.append("No stored data has this address. Check the address: from now on its data is not kept.")
    if keys is None:
        parts.append("Redis does not answer and still has data: run this again when it does.")
    if scope.all and (ended or keys is None):
        parts.append("Rows of jobs remain without text while their messages may arrive: run this again in an hour.")
    if erased.running:
        parts.append(
            f"{erased.running} other jobs of this tenant are running and may have read the erased data: run this "
            "again when they have ended."
        )
    if counts.unattributed:
        parts.append(
            f"{counts.unattributed} copies and answers have no known requester: erase them by ticket, or run this "
            "again when the copies are a day older."
        )
    return "\n".join([*parts, "Not covered: notes in the desk, backups, traces, and the model's provider."])


def _for_machines(scope: ErasureScope, counts: Stored, erased: Erased, keys: int | None) -> dict[str, Any]:
    return {
        "tenant_id": scope.tenant_id,
        "copies": erased.copies,
        "answers": erased.answers,
        "audit_records": erased.records,
        "jobs_ended": [job.job_id for job in erased.ended],
        "job_rows": erased.rows,
        "redis_keys": keys,
        "others_running": erased.running,
        "unattributed": counts.unattributed,
    }
