"""Tombstones: keyed hashes of forgotten tickets and requesters.

The key is random for each tenant. Without it, a hash reveals no number or address and none can be tried out. The key's
row is also the lock between writers of copies (shared) and an eraser (exclusive).
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam, func, literal, literal_column, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.session import Database
from privacy.models import Tombstone

FORGOTTEN = "forgotten"
NAMED_FORGOTTEN = "its answer named what was forgotten"
"""Reasons of jobs that an erasure ends or repeats."""
_KEY_BYTES = 32
_NO_REQUESTER = b""
# A subquery: it is read once, however many are hashed.
_KEY = literal_column("(SELECT key FROM tombstone_keys)", BYTEA)
_FORGOTTEN_AMONG = text("SELECT forgotten_among(:numbers)").bindparams(bindparam("numbers", type_=ARRAY(Text)))


def of_ticket(ticket_id: str) -> ColumnElement[bytes]:
    """Return the keyed hash of a ticket; null while the tenant has no key."""
    return _hash("ticket", ticket_id)


def of_requester(address: str) -> ColumnElement[bytes]:
    """Return the keyed hash of a mail address: empty for none, null without a key."""
    folded = fold(address)
    return _hash("requester", folded) if folded else literal(_NO_REQUESTER)


def fold(address: str) -> str:
    """Return a mail address in the form that is hashed."""
    return address.strip().casefold()


def _hash(kind: str, value: str) -> ColumnElement[Any]:
    return func.sha256(_KEY.op("||")(func.convert_to(literal(kind + value), "UTF8")))


async def lock(session: AsyncSession, *, shared: bool) -> None:
    """Lock the tenant's key, made if missing, to the transaction's end.

    Shared to copy, exclusive to erase: no copy misses a tombstone, and no eraser misses a copy.
    """
    await make_key(session)
    await session.execute(SHARE_KEY if shared else _KEEP_KEY)


MAKE_KEY = text("""
    INSERT INTO tombstone_keys (tenant_id, key) VALUES (current_setting('app.tenant_id'), :key) ON CONFLICT DO NOTHING
""")
SHARE_KEY = text("SELECT tenant_id FROM tombstone_keys FOR SHARE")
"""Like `lock`, in one round trip with the copied rows; `key` is a `new_key`."""
_KEEP_KEY = text("SELECT tenant_id FROM tombstone_keys FOR UPDATE")


def new_key() -> bytes:
    """Return a random key, used if the tenant has none."""
    return secrets.token_bytes(_KEY_BYTES)


async def make_key(session: AsyncSession) -> None:
    await session.execute(MAKE_KEY, {"key": new_key()})


async def leave(session: AsyncSession, tenant_id: str, hashes: Iterable[ColumnElement[bytes]]) -> None:
    """Write tombstones; existing ones stay as they are."""
    for key_hash in hashes:
        tombstone = insert(Tombstone).values(tenant_id=tenant_id, hash=key_hash, left_at=func.now())
        await session.execute(tombstone.on_conflict_do_nothing())


OF_REQUESTER = """CASE WHEN :folded = '' THEN '' ELSE
    (SELECT sha256(k.key || convert_to('requester' || :folded, 'UTF8')) FROM tombstone_keys k) END"""
"""The SQL form of `of_requester`, for an address that is already folded."""
ARE_LEFT = text("""
    SELECT EXISTS (SELECT FROM tombstones WHERE hash = ANY (
        ARRAY(SELECT sha256(k.key || convert_to('ticket' || n, 'UTF8')) FROM tombstone_keys k, unnest(:numbers) n)
        || ARRAY(SELECT sha256(k.key || convert_to('requester' || :folded, 'UTF8')) FROM tombstone_keys k
                 WHERE :folded <> ''))) AS are_left
""").bindparams(bindparam("numbers", type_=ARRAY(Text)), bindparam("folded", type_=Text))
"""Test if one of a ticket's `numbers`, or the requester's address `folded`, was forgotten."""


async def are_left(session: AsyncSession, ticket_ids: Sequence[str], requester: str) -> bool:
    """Return True if one of a ticket's ids, or its requester, has a tombstone."""
    return bool(await session.scalar(ARE_LEFT, {"numbers": list(ticket_ids), "folded": fold(requester)}))


async def forgotten_among(database: Database, tenant_id: str, ticket_ids: Collection[str]) -> set[str]:
    """Return the ids that have a tombstone."""
    async with database.tenant(tenant_id) as session:
        return {*await session.scalars(_FORGOTTEN_AMONG, {"numbers": list(ticket_ids)})}
