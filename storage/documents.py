"""Documents added from files: passages beside those of a desk's solutions."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from integrations.text import storable
from retrieval.language import LANGUAGES
from storage.copies import Passage
from storage.indexing import indexed
from storage.paging import split
from storage.session import Database

_FILE = "file:"
"""What the ids of their passages begin with, as `purge_passages` in functions.sql knows; those of a desk are digits."""


_AT_ONCE = 25


class AddedDocument(NamedTuple):
    """An added document."""

    path: str
    parts: int
    added_at: datetime


def of_desks() -> ColumnElement[bool]:
    return Passage.source_id.not_like(f"{_FILE}%")


async def delete_passages(database: Database, tenant_id: str, condition: ColumnElement[bool]) -> int:
    """Delete some passages; return their number.

    A few in a transaction: each decrements its terms' counts, which blocks other writers of the tenant.
    """
    key = tuple_(Passage.source_id, Passage.position)
    some = select(Passage.source_id, Passage.position).where(condition).limit(_AT_ONCE)
    deleted, count = 0, _AT_ONCE
    while count == _AT_ONCE:
        async with database.tenant(tenant_id) as session:
            gone = delete(Passage).where(key.in_(some)).returning(Passage.position)
            count = len((await session.scalars(gone)).all())
        deleted += count
    return deleted


async def save(
    database: Database,
    tenant_id: str,
    path: str,
    parts: Sequence[tuple[str, str]],
    languages: Sequence[str] = LANGUAGES,
) -> int:
    """Replace a document by these parts (title, text); return the old count.

    In several transactions: after an interruption, saving the document again completes it.
    """
    source = {"tenant_id": tenant_id, "source_id": storable(f"{_FILE}{path}")}
    rows = [
        {**source, "position": position, "title": title, "body": body} | indexed(title, body, languages)
        for position, (title, body) in enumerate((storable(title), storable(text)) for title, text in parts)
    ]
    before = await delete_passages(database, tenant_id, Passage.source_id == source["source_id"])
    for some in split(rows, _AT_ONCE):
        async with database.tenant(tenant_id) as session:
            await session.execute(insert(Passage).values(synced_at=func.now()), list(some))
    return before


async def remove(database: Database, tenant_id: str, path: str) -> int:
    return await save(database, tenant_id, path, ())


async def added(database: Database, tenant_id: str) -> list[AddedDocument]:
    path = func.substr(Passage.source_id, len(_FILE) + 1).label("path")
    question = (
        select(path, func.count().label("parts"), func.min(Passage.synced_at).label("added_at"))
        .where(~of_desks())
        .group_by(path)
        .order_by(path)
    )
    async with database.tenant(tenant_id) as session:
        return [AddedDocument(*row) for row in await session.execute(question)]
