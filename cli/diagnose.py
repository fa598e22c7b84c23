"""`ai-agents diagnose`: one verdict from all sources; changes nothing."""

import argparse
import asyncio
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from cli.check.findings import Loaded, load_parts
from cli.database import run_with_settings
from cli.terminal import as_json, stop_printing
from config.exit_codes import NOT_DONE_EXIT, NOT_UNDERSTOOD_EXIT
from config.settings import DiagnoseSettings
from config.tenant_directory import TenantDirectory, read_environment
from db.session import Database
from integrations.probes import DeskProbe, ModelProbe, NoteMarks, ProbeTarget, probe_desk, probe_model
from jobs.diagnosis.commands import commands_of
from jobs.diagnosis.facts import (
    STORE_SECONDS,
    AmbiguousTenantError,
    DiagnosisSubject,
    FactCollector,
    Facts,
    UnknownTenantError,
    within,
)
from jobs.diagnosis.report import document, document_url, evidence, log_line, not_checked, report, trace_of
from jobs.diagnosis.verdict_codes import Diagnosis
from jobs.diagnosis.verdict_rules import judge
from jobs.inbox import Inbox
from jobs.queue import open_redis
from jobs.statistics import queue_activity
from observability import tracing
from observability.formats import clean, when
from workflow.note import is_note, is_note_of

_REDIS_SECONDS = 0.5
_CHECK_SECONDS, _SECONDS = 0.9, 4.0
_INDENT = 10
_NO_TENANT = "the tenant has no settings here"
_NO_SETTINGS = "the settings of a worker are not set here"
_MARKS = NoteMarks(is_note_of, is_note)


class DirectProbes:
    """Lookups of a command, with the worker settings in `loaded`."""

    def __init__(self, tenants: TenantDirectory, loaded: Loaded, redis: Redis | None) -> None:
        self._tenants = tenants
        self._loaded = loaded
        self._redis = redis

    async def desk(self, tenant_id: str | None, sought: ProbeTarget) -> DeskProbe:
        tenant = self._tenants.get(tenant_id) if tenant_id else None
        if tenant is None or self._loaded.desks is None:
            return DeskProbe(failure=_NO_TENANT if tenant is None else _NO_SETTINGS)
        return await probe_desk(tenant, self._loaded.desks, self._redis, sought, _MARKS)

    async def model(self, tenant_id: str | None) -> ModelProbe:
        tenant = self._tenants.get(tenant_id) if tenant_id else None
        if tenant is None or self._loaded.worker is None:
            return ModelProbe(failure=_NO_TENANT if tenant is None else _NO_SETTINGS)
        return await probe_model(tenant, self._loaded.worker)


def run(chosen: argparse.Namespace) -> int:
    """Print the verdict; return its exit status.

    1 if there is no such job, 2 if the tenant is ambiguous or unknown. Stores, desk and model are queried as far as a
    worker's settings are here; none of them is required.
    """
    return run_with_settings(
        DiagnoseSettings,
        lambda database, settings: _diagnose(chosen, settings, database),
        lambda settings: _diagnose(chosen, settings, None),
        check_seconds=_CHECK_SECONDS,
        seconds=_SECONDS,
    )


async def _diagnose(chosen: argparse.Namespace, settings: DiagnoseSettings, database: Database | None) -> int:
    subject = DiagnosisSubject(chosen.ticket, chosen.tenant, chosen.job)
    loaded, _ = load_parts()
    directory = TenantDirectory(read_environment(settings.secrets_dir), keys=loaded.keys)
    redis = open_redis(loaded.stores.redis_url, seconds=_REDIS_SECONDS) if loaded.stores else None
    status, tenants = NOT_UNDERSTOOD_EXIT, list[str]()
    try:
        with tracing.untraced():
            probes = DirectProbes(directory, loaded, redis)
            facts: Facts | None
            if database is None:
                facts = await _facts_without_database(subject, redis, directory, probes)
            else:
                facts = await FactCollector(database, redis, directory, probes).facts(subject)
        if facts is not None:
            facts = replace(facts, commands=commands_of(settings))
            diagnosis = judge(facts)
            values = (facts, diagnosis, settings.jaeger_url, settings.docs_url)
            _print(as_json(for_machines(*values)) if chosen.json else for_people(*values))
            return diagnosis.verdict.status
        owner = f" of {chosen.tenant}" if chosen.tenant else ""
        status, message = NOT_DONE_EXIT, f"No job{owner} has the id {chosen.job}, or it was purged by age."
    except UnknownTenantError as unknown:
        tenants = unknown.tenants
        message = f"Tenant {chosen.tenant} is unknown here and has no such job. Known tenants: {unknown}"
    except AmbiguousTenantError as ambiguous:
        tenants, message = ambiguous.tenants, f"Several tenants have this ticket. Give --tenant: {ambiguous}"
    finally:
        if redis is not None:
            await redis.aclose()
    print(message, file=sys.stderr)
    if chosen.json:
        _print(as_json({"verdict": None, "exit_status": status, "says": message, "tenants": tenants}))
    return status


async def _facts_without_database(
    subject: DiagnosisSubject, redis: Redis | None, tenants: TenantDirectory, probes: DirectProbes
) -> Facts:
    """Return the facts that need no Postgres: from Redis, the desk and the model.

    Raises AmbiguousTenantError if the inbox has the ticket of more than one tenant.
    """
    (queue, failure), inbox_events = await asyncio.gather(
        queue_activity(redis, STORE_SECONDS), within(Inbox(redis).all()) if redis is not None else asyncio.sleep(0)
    )
    events = [
        event
        for event in inbox_events or ()
        if subject.tenant_id in (None, event.tenant_id)
        and (event.job_id == subject.job_id if subject.job_id else event.ticket_id == subject.ticket_id)
    ]
    owners = sorted({event.tenant_id for event in events})
    if len(owners) > 1:
        raise AmbiguousTenantError(owners)
    event = events[0] if events else None
    tenant_ids = [tenant.id for tenant in tenants.all()]
    tenant_id = event.tenant_id if event else subject.tenant_id or (tenant_ids[0] if len(tenant_ids) == 1 else None)
    ticket_id = event.ticket_id if event else subject.ticket_id or ""
    # Any job's note: without rows the ticket's job is unknown.
    desk = probes.desk(tenant_id, ProbeTarget(ticket_id, any_note=True)) if ticket_id else asyncio.sleep(0)
    desk_probe, model = await asyncio.gather(desk, probes.model(tenant_id))
    return Facts(
        datetime.now(UTC),
        tenant_id,
        ticket_id,
        inbox=event,
        queue=queue,
        queue_failure=failure,
        database_failure="it does not answer",
        desk=desk_probe or DeskProbe(failure="the ticket of the job is known only to the database"),
        model=model,
    )


def for_people(facts: Facts, diagnosis: Diagnosis, jaeger_url: str | None, docs_url: str | None = None) -> str:
    other_lines, page = [], document(diagnosis)
    trace = [part for part in trace_of(facts, jaeger_url) if part]
    if facts.job is not None and len(trace) == 1:
        trace.append(f"`ai-agents trace --job {facts.job.id}`")
    if facts.others:
        summaries = [f"{job.id} {job.state}" + (f" ({job.reason})" if job.reason else "") for job in facts.others[:3]]
        more = len(facts.others) - len(summaries)
        omitted = f", and {more} more: `ai-agents jobs --ticket {facts.ticket_id}`" if more > 0 else ""
        other_lines = [", ".join(summaries) + omitted]
    parts = [
        ("verdict", [f"{diagnosis.verdict} (exit status {diagnosis.verdict.status})"]),
        ("because", [f"{when(fact.at) if fact.at else 'now':<23}  {fact.what}" for fact in evidence(facts)]),
        ("unchecked", not_checked(facts)),
        ("do", diagnosis.actions or ["nothing"]),
        ("document", [document_url(page, docs_url) or page]),
        ("trace", trace),
        ("log", log_line(facts)),
        ("others", other_lines),
    ]
    lines = [clean(diagnosis.text), ""]
    for name, texts in parts:
        lines += [f"{name if not number else '':<{_INDENT}}{clean(each)}" for number, each in enumerate(texts)]
    return "\n".join(lines)


def for_machines(
    facts: Facts, diagnosis: Diagnosis, jaeger_url: str | None, docs_url: str | None = None
) -> dict[str, Any]:
    job = facts.job
    return report(facts, diagnosis, jaeger_url, docs_url) | {
        "exit_status": diagnosis.verdict.status,
        "tenant_id": facts.tenant_id,
        "ticket_id": facts.ticket_id or None,
        "job_id": job.id if job else facts.inbox.job_id if facts.inbox else None,
        "state": job.state if job else None,
        "reason": job.reason if job else None,
        "events": [asdict(event) for event in facts.events or ()],
        "others": [{"job_id": other.id, "state": other.state, "reason": other.reason} for other in facts.others],
    }


def _print(text: str) -> None:
    """Print the text; a closed pipe does not change the verdict's exit status."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        stop_printing()
