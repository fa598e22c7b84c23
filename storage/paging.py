"""Paging through a tenant's rows, in short transactions."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, any_, literal, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute

from storage.session import Database

PAGE = 1000
Item = TypeVar("Item")


def split(items: Sequence[Item], size: int = PAGE) -> list[Sequence[Item]]:
    return [items[begin : begin + size] for begin in range(0, len(items), size)]


async def pages(
    database: Database, tenant_id: str, column: InstrumentedAttribute[Any], size: int = PAGE
) -> AsyncIterator[ColumnElement[bool]]:
    """Yield conditions for pages of about `size` rows, in the order of `column`.

    `column` needs an index. Rows of one value are in one page. Rows removed meanwhile do no harm; rows added behind the
    position are not seen.
    """
    rest: ColumnElement[bool] = true()
    while True:
        page = select(column.label("value")).where(rest).order_by(column).limit(size).subquery()
        last = select(page.c.value).order_by(page.c.value.desc()).limit(1)
        async with database.tenant(tenant_id) as session:
            upper = await session.scalar(last)
        if upper is None:
            return
        yield rest & (column <= upper)
        rest = column > upper


def among(column: InstrumentedAttribute[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    return column == any_(literal(list(values), ARRAY(column.type)))
