"""Audit records: model requests and answers of jobs, for tenants that keep them.

They contain no more than was sent: masked texts stay masked. A record outlives its job's row, so it names its ticket
and requester itself.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, bindparam, func, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION

from db.session import Database, among
from privacy import tombstones
from privacy.models import AuditRecord

_PAGE = 100


@dataclass(frozen=True, slots=True)
class ModelExchange:
    """A request to a model and its answer or failure, exactly as sent and received."""

    prompt: str
    model: str
    """The model named in the answer, else the requested one."""
    host: str
    masking: str
    system: str
    sent: str
    answer: dict[str, Any] | None
    sources: Sequence[dict[str, str]]
    """Sources given to the model: id, kind, title, and a ticket's number and `desk_id` if they differ."""
    input_tokens: int
    output_tokens: int
    cost: float | None
    """In dollars, if the endpoint returns it."""
    seconds: float
    reason: str | None = None


# The requester of each source is stored with it, because its copy may be gone when that person is forgotten. Nothing is
# stored if the ticket, the requester or a source was forgotten. The transaction shares the tenant's key, so an eraser
# runs before it or finds its row.
_KEEP = text("""
    INSERT INTO audit_records (tenant_id, job_id, at, ticket_id, desk_id, display_id, requester, prompt, model, host,
        masking, system, sent, answer, reason, sources, input_tokens, output_tokens, cost, seconds)
    SELECT current_setting('app.tenant_id'), j.id, clock_timestamp(), j.ticket_id, j.desk_id, j.display_id,
        j.requester, :prompt, :model, :host, :masking, :system, :sent, CAST(:answer AS jsonb), :reason, (
            SELECT coalesce(jsonb_agg(s.told || CASE WHEN t.requester IS NULL OR t.requester = '' THEN '{}' ELSE
                jsonb_build_object('requester', encode(t.requester, 'hex')) END ORDER BY s.place), '[]')
            FROM jsonb_array_elements(CAST(:sources AS jsonb)) WITH ORDINALITY s (told, place)
            LEFT JOIN tickets t ON s.told ->> 'kind' = 'ticket' AND t.tenant_id = current_setting('app.tenant_id')
                AND t.ticket_id = coalesce(s.told ->> 'desk_id', s.told ->> 'number')),
        :input_tokens, :output_tokens, :cost, :seconds
    FROM jobs j WHERE j.id = :id AND j.reason IS DISTINCT FROM :forgotten AND NOT EXISTS (
        SELECT FROM tombstones WHERE hash = j.requester OR hash = ANY (ARRAY(
            SELECT sha256(k.key || convert_to('ticket' || n, 'UTF8')) FROM tombstone_keys k,
            unnest(array_remove(ARRAY[j.ticket_id, j.desk_id, j.display_id] || :named, NULL)) n)))
""").bindparams(
    bindparam("named", type_=ARRAY(Text)),
    bindparam("cost", type_=DOUBLE_PRECISION),
    bindparam("seconds", type_=DOUBLE_PRECISION),
    *(
        bindparam(name, type_=Text)
        for name in ("prompt", "model", "host", "masking", "system", "sent", "answer", "reason", "sources", "forgotten")
    ),
)
_TENANTS = text("SELECT tenant_id FROM tenants_with_records()")
_PURGE = text("""
    DELETE FROM audit_records WHERE (job_id, at) IN (
        SELECT job_id, at FROM audit_records WHERE at <= now() - make_interval(days => :days) ORDER BY at LIMIT :most)
""")


async def keep(database: Database, tenant_id: str, job_id: UUID, exchange: ModelExchange) -> None:
    """Store a record, unless its ticket, requester or a source was forgotten."""
    values = {name: getattr(exchange, name) for name in ModelExchange.__dataclass_fields__}
    answer = None if exchange.answer is None else json.dumps(exchange.answer)
    values |= {"answer": answer, "sources": json.dumps(list(exchange.sources))}
    keys = ("number", "desk_id")
    numbers = [source[name] for source in exchange.sources for name in keys if name in source]
    values |= {"id": job_id, "named": numbers, "forgotten": tombstones.FORGOTTEN, "key": tombstones.new_key()}
    await database.call_as(tenant_id, tombstones.MAKE_KEY, tombstones.SHARE_KEY, _KEEP, **values)


async def records(
    database: Database,
    tenant_id: str,
    *,
    ticket_id: str | None = None,
    job_id: UUID | None = None,
    since: datetime | None = None,
    days: int | None = None,
    page: int = _PAGE,
) -> AsyncIterator[AuditRecord]:
    """Yield a tenant's records that meet all conditions, oldest first."""
    query = select(AuditRecord).order_by(AuditRecord.at, AuditRecord.job_id).limit(page)
    if days is not None:
        query = query.where(_kept_for(days))
    if ticket_id is not None:
        numbers = (AuditRecord.ticket_id, AuditRecord.desk_id, AuditRecord.display_id)
        query = query.where(or_(*(number == ticket_id for number in numbers)))
    if job_id is not None:
        query = query.where(AuditRecord.job_id == job_id)
    if since is not None:
        query = query.where(AuditRecord.at >= since)
    page_query = query
    while True:
        async with database.tenant(tenant_id) as session:
            rows = (await session.scalars(page_query)).all()
        for record in rows:
            yield record
        if len(rows) < page:
            return
        page_query = query.where(tuple_(AuditRecord.at, AuditRecord.job_id) > (rows[-1].at, rows[-1].job_id))


def _kept_for(days: int) -> ColumnElement[bool]:
    return AuditRecord.at > func.now() - func.make_interval(0, 0, 0, days)


def _answered(days: int) -> Select[AuditRecord]:
    of_enhancement = AuditRecord.prompt.regexp_match("^[0-9]")  # other families begin with a word
    return select(AuditRecord).where(AuditRecord.answer.is_not(None), of_enhancement, _kept_for(days))


async def newest(database: Database, tenant_id: str, most: int, *, days: int) -> list[AuditRecord]:
    """Return up to `most` answered enhancements of the last `days`, newest first."""
    async with database.tenant(tenant_id) as session:
        return [*await session.scalars(_answered(days).order_by(AuditRecord.at.desc()).limit(most))]


async def last_of_jobs(
    database: Database, tenant_id: str, job_ids: Sequence[UUID], *, days: int
) -> dict[UUID, AuditRecord]:
    """Return job id -> last answered record of the last `days`."""
    async with database.tenant(tenant_id) as session:
        query = _answered(days).where(among(AuditRecord.job_id, job_ids)).order_by(AuditRecord.at)
        return {record.job_id: record for record in await session.scalars(query)}


async def is_kept(database: Database, record: AuditRecord) -> bool:
    """Return True if the record is still stored: it may be purged or erased."""
    async with database.tenant(record.tenant_id) as session:
        conditions = (AuditRecord.job_id == record.job_id, AuditRecord.at == record.at)
        return await session.scalar(select(AuditRecord.job_id).where(*conditions)) is not None


async def tenants(database: Database) -> list[str]:
    """Return the ids of all tenants with records."""
    return [row["tenant_id"] for row in await database.call(_TENANTS)]


async def purge(database: Database, tenant_id: str, days: int, most: int) -> int:
    """Delete up to `most` records older than `days`; return their number."""
    async with database.tenant(tenant_id) as session:
        result = await session.execute(_PURGE, {"days": days, "most": most})
        return int(result.rowcount)  # type: ignore[attr-defined]
