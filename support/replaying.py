"""Replay of an audited request on a tenant's model, with both answers."""

from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from config.settings import WorkerSettings
from config.tenant_directory import TenantDirectory
from config.tenants import Tenant
from integrations.errors import Permanent
from integrations.model.models import Endpoint, Models
from integrations.values import ModelAnswer, Usage
from storage.audit import is_kept
from storage.models import AuditRecord
from storage.session import Database
from storage.spending import SpendingBook
from support.audit_export import dollars, sources_told
from support.side_by_side import SideRow, parts_of, side_by_side
from support.tables import when
from workflow.enhancement import Enhancement
from workflow.replay import prompt_again


@dataclass(frozen=True, slots=True)
class Replayed:
    """New answer to a record's question, or the `failure` that prevented it."""

    record: AuditRecord
    prompt: str
    model: str
    answer: ModelAnswer[Enhancement] | None
    failure: str = ""


class Replaying:
    """Client of one tenant's model; leave its context to store the spending.

    There is no fallback: the question is this model's answer.
    """

    def __init__(
        self, database: Database, settings: WorkerSettings, tenants: TenantDirectory, tenant: Tenant, model: str | None
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._book = SpendingBook(database)
        self._models = Models(tenants, settings, self._book, connections=1)
        first = self._models.first(tenant.id)
        self.endpoint: Endpoint = replace(first, name=model) if model else first
        self.host = urlsplit(first.base_url).hostname or ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._models.close()
        await self._book.close()

    async def ask(self, record: AuditRecord, version: str | None) -> Replayed | None:
        """Return the new answer; None if the record was deleted since it was read.

        Raises HeldBack or Temporary if the other records would fail as well.
        """
        if not await is_kept(self._database, record):
            return None
        prompt, told = prompt_again(record, self._tenant.note, version)
        await self._models.limits.ask(self._tenant.id)
        try:
            with self._models.call(self.endpoint) as client:
                answer = await client.ask(prompt, Enhancement, self._paid)
        except Permanent as refused:
            return Replayed(record, told, self.endpoint.name, None, refused.reason)
        return Replayed(record, told, answer.model, answer)

    def _paid(self, usage: Usage) -> None:
        self._models.limits.paid(self._tenant.id, usage)


def story(replayed: Replayed, width: int | None) -> str:
    record, now = replayed.record, replayed.answer
    titles = {source["id"]: source["title"] for source in record.sources}
    before = parts_of(record.answer or {}, titles)
    after = parts_of(now.content.model_dump(mode="json"), titles) if now else {}
    rows: list[SideRow] = [
        ("", ["BEFORE"], ["NOW"]),
        ("model", [record.model], [replayed.model]),
        ("prompt", [record.prompt], [replayed.prompt]),
        *((name, said, after.get(name, [])) for name, said in before.items()),
        ("tokens", [_tokens(record.input_tokens, record.output_tokens)], [_paid_tokens(now)]),
        ("dollars", [dollars(record.cost)], [dollars(now.usage.cost if now else None)]),
        ("seconds", [f"{record.seconds:.1f}"], [f"{now.milliseconds / 1000:.1f}" if now else "-"]),
    ]
    if now is None:
        rows.append(("failure", [], [replayed.failure]))
    head = f"Job {record.job_id}, ticket {record.ticket_id}, {when(record.at)}"
    return f"{head}\n\n{side_by_side(rows, width)}"


def _tokens(asked: int, answered: int) -> str:
    return f"{asked} + {answered}"


def _paid_tokens(answer: ModelAnswer[Enhancement] | None) -> str:
    return _tokens(answer.usage.input_tokens, answer.usage.output_tokens) if answer else "-"


def for_machines(replayed: Replayed) -> dict[str, Any]:
    record, answer = replayed.record, replayed.answer
    now: dict[str, Any] = {"prompt": replayed.prompt, "model": replayed.model, "failure": replayed.failure or None}
    if answer is not None:
        usage = answer.usage
        now |= {"answer": answer.content.model_dump(mode="json"), "seconds": answer.milliseconds / 1000}
        now |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "cost": usage.cost}
    told = ("prompt", "model", "answer", "seconds", "input_tokens", "output_tokens", "cost")
    return {
        "job_id": record.job_id,
        "ticket_id": record.ticket_id,
        "at": record.at,
        "sources": sources_told(record),
        "before": {name: getattr(record, name) for name in told},
        "now": now,
    }
