"""Which secrets there are, since when, and when each was last used: by fingerprints, never by their texts.

A fingerprint is a hash of a secret with a random key of its tenant (`storage.tombstones`): it says nothing by itself.
The text is hashed once before it leaves the process, so that a server which logs its statements never sees it.
"""

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import text

from storage.limits import SECRETS_KEPT, USES_KEPT
from storage.paging import split
from storage.session import Database
from storage.tombstones import new_key

OF_PROCESS = "(process)"
"""Stands for the tenant of a secret that is no tenant's; no tenant's id can be that."""
CURRENT, PREVIOUS, RETIRED = "WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "RETIRED_WEBHOOK_SECRET"
TOKEN = "WEBHOOK_TOKEN"  # noqa: S105 -- a setting's name
KEPT_KEYS = {"FEEDBACK_PREVIOUS_KEY": "FEEDBACK_KEY", "CONSOLE_PREVIOUS_KEY": "CONSOLE_KEY"}
"""Where a process has its key from before the last change -> where it has the one that came."""
# One that makes room for another is the same one in its new place; so is somebody's token by another name.
_KIND = {PREVIOUS: CURRENT, RETIRED: CURRENT} | KEPT_KEYS
_NAMED_TOKEN = "CONSOLE_TOKEN_"  # noqa: S105 -- how settings begin

_KNOW = text("SELECT * FROM know_secrets(CAST(:secrets AS jsonb))")
_PURGE = text("SELECT purge_secrets(:uses, :secrets)")
_KEY = text("SELECT key FROM tombstone_keys")
_REMEMBERED = text("""
    SELECT k.setting, k.fingerprint, k.first_seen_at, k.last_seen_at, k.last_used_at, now() AS asked_at,
           (SELECT coalesce(sum(u.uses), 0)::bigint FROM secret_uses u
            WHERE u.tenant_id = k.tenant_id AND u.fingerprint = k.fingerprint
            AND u.hour >= date_trunc('hour', now() - make_interval(hours => :hours))) AS uses
    FROM known_secrets k WHERE k.tenant_id = current_setting('app.tenant_id') ORDER BY k.last_seen_at DESC
""")
LATELY_HOURS = 24
# What is set is told of once an hour; what was not told of for so long is gone.
_TOLD_WITHIN = timedelta(hours=2)
AT_ONCE = 500
"""How many secrets the database is told of in one transaction."""


@dataclass(frozen=True, slots=True)
class SecretSeen:
    """A secret that a process has; `uses`: how many webhooks it has proved since that was last told."""

    tenant_id: str
    setting: str
    digest: bytes
    uses: int = 0


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of a secret. `uses` are of a day, its first hour whole; `asked_at` is the database's clock."""

    setting: str
    fingerprint: bytes
    first_seen_at: datetime
    last_seen_at: datetime
    last_used_at: datetime | None
    asked_at: datetime
    uses: int


def seen(tenant_id: str, setting: str, secret: str, uses: int = 0) -> SecretSeen:
    """Return a secret as it is told to the database; `tenant_id` is empty for one that is no tenant's."""
    return SecretSeen(tenant_id or OF_PROCESS, setting, digest(setting, secret), uses)


def digest(setting: str, secret: str) -> bytes:
    """Return the hash by which the database is told of a secret: the same in each of its places."""
    kind = _NAMED_TOKEN if setting.startswith(_NAMED_TOKEN) else _KIND.get(setting, setting)
    # A variable of the environment may be no UTF-8.
    return hmac.digest(f"ai-agents {kind}".encode(), secret.encode("utf-8", "surrogateescape"), sha256)


async def know(database: Database, secrets: Iterable[SecretSeen]) -> dict[tuple[str, str], datetime]:
    """Record that these secrets are there, and how often they were used; since when each is known.

    By tenant and setting; of two places with one secret the first counts. Raises one of DATABASE_FAILURES.
    """
    told: dict[tuple[str, bytes], dict[str, object]] = {}
    for secret in secrets:
        row = told.setdefault(
            (secret.tenant_id, secret.digest),
            {"tenant": secret.tenant_id, "setting": secret.setting, "digest": secret.digest.hex(), "uses": 0},
        )
        row |= {"uses": int(str(row["uses"])) + secret.uses, "key": new_key().hex()}
    since: dict[tuple[str, str], datetime] = {}
    # Some at a time: who tells of the same secrets meanwhile waits for their rows.
    for some in split(list(told.values()), AT_ONCE):
        rows = await database.call(_KNOW, secrets=json.dumps(some))
        since |= {(row["tenant_id"], row["setting"]): row["first_seen_at"] for row in rows}
    return since


async def remembered(database: Database, tenant_id: str, places: Mapping[str, str]) -> dict[str, Remembered]:
    """Return by setting what is known of the secrets in these `places` (setting -> secret) of a tenant."""
    key, rows = await database.call_as(tenant_id or OF_PROCESS, _KEY, _REMEMBERED, hours=LATELY_HOURS)
    by_fingerprint = {bytes(row["fingerprint"]): Remembered(**row) for row in rows}
    known = {
        setting: by_fingerprint.get(sha256(bytes(one["key"]) + digest(setting, secret)).digest())
        for one in key
        for setting, secret in places.items()
    }
    return {setting: found for setting, found in known.items() if found is not None}


async def last_seen(database: Database, tenant_id: str) -> dict[str, Remembered]:
    """Return by setting what is known of the secrets that a tenant's processes have told of within two hours."""
    (rows,) = await database.call_as(tenant_id or OF_PROCESS, _REMEMBERED, hours=LATELY_HOURS)
    found: dict[str, list[Remembered]] = {}
    for row in rows:
        if row["asked_at"] - row["last_seen_at"] < _TOLD_WITHIN:
            found.setdefault(row["setting"], []).append(Remembered(**row))
    return {setting: _oldest_in_use(told) for setting, told in found.items()}


def _oldest_in_use(told: Iterable[Remembered]) -> Remembered:
    """Return the oldest that was told of since the newest came: some process may not have been started anew."""
    *older, newest = sorted(told, key=lambda one: one.first_seen_at)
    return next((one for one in older if one.last_seen_at >= newest.first_seen_at), newest)


async def purge(database: Database) -> None:
    """Remove what is known of secrets that are long gone, and old counts."""
    await database.call(_PURGE, uses=USES_KEPT, secrets=SECRETS_KEPT)
