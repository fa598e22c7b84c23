"""`ai-agents replay`: audited requests repeated with another model or prompt.

It uses audit records only: no desk is called, no job's row is read or written. Its cost counts against the tenant's
daily limit, like that of jobs.
"""

import argparse
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any
from urllib.parse import urlsplit

from cli.audit import visible_sources
from cli.database import run_with_settings
from cli.terminal import as_json, terminal_width
from config.exit_codes import AWAY_EXIT, CONFIGURATION_EXIT, NOT_DONE_EXIT
from config.secret_files import secrets_dir
from config.settings import WorkerSettings
from config.tenant_directory import TenantDirectory, read_environment
from config.tenants import Tenant, key_name, setting_suffix
from db.session import Database
from integrations.errors import DeferredError, PermanentError, TemporaryError
from integrations.llm.clients import Endpoint, Models
from integrations.llm.spending import SpendingBook
from integrations.resilience import HoldReason
from integrations.values import ModelAnswer
from observability.formats import clean, dollars, when
from privacy import audit
from privacy.models import AuditRecord
from workflow.answer import Enhancement
from workflow.prompt import versions
from workflow.question import may_be_sent_again, prompt_again

_GAP = "  "
_NARROWEST = 20
_WIDTH = 120
"""Where standard output is no terminal."""
SideRow = tuple[str, Sequence[str], Sequence[str]]
"""What it is, and the paragraphs of both sides."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """New answer to a record's question, or the `failure` that prevented it."""

    record: AuditRecord
    prompt: str
    model: str
    answer: ModelAnswer[Enhancement] | None
    failure: str = ""


def run(chosen: argparse.Namespace) -> int:
    """Print both answers of each record as they arrive; return the exit status.

    1: a record is missing, may not be sent or got no usable answer. 2: the prompt is unknown. 75: the model is away.
    78: a key is missing, or the model's service needs the operator's action.
    """
    if chosen.prompt is not None and chosen.prompt not in versions():
        chosen.refuse(f"unknown prompt version {chosen.prompt!r}: choose from {', '.join(versions())}")
    tenants = TenantDirectory(read_environment(secrets_dir()))

    async def work(database: Database, settings: WorkerSettings) -> int:
        tenant = tenants.get(chosen.tenant)
        if tenant is None or not tenant.usable:
            # These settings restrict where its texts may go.
            print(f"Not sent: {chosen.tenant} has no usable settings here.", file=sys.stderr)
            return CONFIGURATION_EXIT
        requested = await _find_records(database, chosen, tenant.audit_days)
        records = [record for record in requested if may_be_sent_again(record, tenant.note)]
        if len(records) < len(requested):
            reason = f"they were redacted less than {key_name(tenant.id, 'masking')} requires now"
            count = f"{len(requested) - len(records)} of {len(requested)}"
            print(f"{count} records are left out: {reason}.", file=sys.stderr)
        if not records:
            print("Nothing to replay.", file=sys.stderr)
            return NOT_DONE_EXIT
        book = SpendingBook(database)
        models = Models(tenants, settings, book, connections=1)
        try:
            endpoint = models.first(tenant.id)
            if not endpoint.api_key:
                suffix = setting_suffix(tenant.id)
                print(f"No key: set OPENAI_API_KEY or OPENAI_API_KEY_{suffix}.", file=sys.stderr)
                return CONFIGURATION_EXIT
            if chosen.model:
                endpoint = replace(endpoint, name=chosen.model)
            status = await _replay(database, chosen, models, endpoint, tenant, records)
        finally:
            # Stores the spending.
            await models.close()
            await book.close()
        is_all = len(records) == (len(requested) if chosen.last else len(set(chosen.job)))
        return status or (0 if is_all else NOT_DONE_EXIT)

    # A tenant may have a key of its own.
    return run_with_settings(WorkerSettings, work, openai_api_key="")


async def _find_records(database: Database, chosen: argparse.Namespace, days: int) -> list[AuditRecord]:
    if chosen.last:
        return await audit.newest(database, chosen.tenant, chosen.last, days=days)
    by_job = await audit.last_of_jobs(database, chosen.tenant, chosen.job, days=days)
    for job_id in dict.fromkeys(chosen.job):
        if job_id not in by_job:
            print(f"Job {job_id} of {chosen.tenant} has no audit record with an answer.", file=sys.stderr)
    return [by_job[job_id] for job_id in dict.fromkeys(chosen.job) if job_id in by_job]


async def _replay(
    database: Database,
    chosen: argparse.Namespace,
    models: Models,
    endpoint: Endpoint,
    tenant: Tenant,
    records: Sequence[AuditRecord],
) -> int:
    print(
        f"Paid calls of {endpoint.name} at {urlsplit(endpoint.base_url).hostname or ''}: {len(records)}, plus one for "
        "each answer that needs a repair.",
        file=sys.stderr,
        flush=True,
    )
    answers = 0
    for number, record in enumerate(records):
        if not await audit.is_kept(database, record):
            print(f"The record of job {record.job_id} was removed meanwhile.", file=sys.stderr)
            continue
        prompt, version = prompt_again(record, tenant.note, chosen.prompt)
        try:
            await models.limits.check_fresh(tenant.id)
            client = models.client(endpoint)
            answer = await client.complete(prompt, Enhancement, lambda usage: models.limits.paid(tenant.id, usage))
            replayed = Replayed(record, version, answer.model, answer)
            answers += 1
        except PermanentError as refusal:
            replayed = Replayed(record, version, endpoint.name, None, refusal.reason)
        except (DeferredError, TemporaryError) as failure:
            print(f"Stopped after {number} of {len(records)}: {failure.reason}.", file=sys.stderr)
            return CONFIGURATION_EXIT if failure.reason in set(HoldReason) else AWAY_EXIT
        # A paid answer is shown before a later failure.
        if chosen.json:
            print(as_json(for_machines(replayed), indent=None), flush=True)
        else:
            print(f"{for_people(replayed, terminal_width())}\n", flush=True)
    return 0 if answers == len(records) else NOT_DONE_EXIT


def for_people(replayed: Replayed, width: int | None) -> str:
    record, now = replayed.record, replayed.answer
    titles = {source["id"]: source["title"] for source in record.sources}
    before = parts_of(record.answer or {}, titles)
    after = parts_of(now.content.model_dump(mode="json"), titles) if now else {}
    paid = f"{now.usage.input_tokens} + {now.usage.output_tokens}" if now else "-"
    rows: list[SideRow] = [
        ("", ["BEFORE"], ["NOW"]),
        ("model", [record.model], [replayed.model]),
        ("prompt", [record.prompt], [replayed.prompt]),
        *((name, paragraphs, after.get(name, [])) for name, paragraphs in before.items()),
        ("tokens", [f"{record.input_tokens} + {record.output_tokens}"], [paid]),
        ("dollars", [dollars(record.cost)], [dollars(now.usage.cost if now else None)]),
        ("seconds", [f"{record.seconds:.1f}"], [f"{now.milliseconds / 1000:.1f}" if now else "-"]),
    ]
    if now is None:
        rows.append(("failure", [], [replayed.failure]))
    head = f"Job {record.job_id}, ticket {record.ticket_id}, {when(record.at)}"
    return f"{head}\n\n{side_by_side(rows, width)}"


def side_by_side(rows: Sequence[SideRow], width: int | None) -> str:
    """Return a row for each in two columns; an equal right side is `same`."""
    size = max(len(name) for name, _, _ in rows)
    column = max(_NARROWEST, ((width or _WIDTH) - size - 2 * len(_GAP)) // 2)
    lines = []
    for name, left, right in rows:
        sides = [left, ["same"] if right and right == left else right]
        columns = [[line for each in side for line in textwrap.wrap(clean(each), column)] or [""] for side in sides]
        for number, (left_line, right_line) in enumerate(zip_longest(*columns, fillvalue="")):
            begin = name if number == 0 else ""
            lines.append(f"{begin.ljust(size)}{_GAP}{left_line.ljust(column)}{_GAP}{right_line}".rstrip())
    return "\n".join(lines)


def parts_of(answer: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the comparable parts of an answer; `titles` are its sources' by id.

    An answer of another release may have another form; a part that it lacks is `-`.
    """

    def claim(fields: Mapping[str, Any]) -> str:
        return f"{fields['text']} [{', '.join(fields['sources'])}]" if fields["sources"] else str(fields["text"])

    def source(fields: Mapping[str, Any]) -> str:
        # An answer of an earlier release describes its sources in its own words.
        return str(fields["gives"]) if "gives" in fields else f'{fields["same_problem"]}, "{fields["quote"]}"'

    parts: dict[str, Callable[[], list[str]]] = {
        "summary": lambda: [str(answer["summary"])],
        "cause": lambda: [claim(answer["likely_cause"])],
        "steps": lambda: [f"{number}. {claim(step)}" for number, step in enumerate(answer["next_steps"], 1)],
        "sources": lambda: [
            f"{each['id']} {titles.get(each['id'], '(not found)')}: {source(each)}" for each in answer["sources"]
        ],
        "questions": lambda: [*map(str, answer["questions"])],
    }
    texts = {}
    for name, part in parts.items():
        try:
            texts[name] = part()
        except (LookupError, TypeError):
            texts[name] = ["-"]
    return texts


def for_machines(replayed: Replayed) -> dict[str, Any]:
    record, answer = replayed.record, replayed.answer
    now: dict[str, Any] = {"prompt": replayed.prompt, "model": replayed.model, "failure": replayed.failure or None}
    if answer is not None:
        usage = answer.usage
        now |= {"answer": answer.content.model_dump(mode="json"), "seconds": answer.milliseconds / 1000}
        now |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "cost": usage.cost}
    fields = ("prompt", "model", "answer", "seconds", "input_tokens", "output_tokens", "cost")
    return {
        "job_id": record.job_id,
        "ticket_id": record.ticket_id,
        "at": record.at,
        "sources": visible_sources(record),
        "before": {name: getattr(record, name) for name in fields},
        "now": now,
    }
