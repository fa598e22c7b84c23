"""Known secrets by fingerprint: their age and last use, never their text.

A fingerprint is a hash of a secret with a random key of its tenant (`tombstone_keys`). The text is hashed once
before it leaves the process, so that a server which logs its statements never receives it. Each process reports its
secrets.
"""

import asyncio
import contextlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_hex
from typing import NamedTuple

from sqlalchemy import text

from db.session import DATABASE_FAILURES, Database, is_away, is_locked, split
from observability import log_events, metrics, tracing
from observability.logging import log_event

OF_PROCESS = "(process)"
"""Tenant value of secrets without a tenant; not a valid tenant id."""
CURRENT, PREVIOUS, RETIRED = "WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "RETIRED_WEBHOOK_SECRET"
TOKEN = "WEBHOOK_TOKEN"  # noqa: S105 -- a setting's name
KEPT_KEYS = {"FEEDBACK_PREVIOUS_KEY": "FEEDBACK_KEY", "CONSOLE_PREVIOUS_KEY": "CONSOLE_KEY"}
"""Setting of the previous key -> setting of the current one."""
# A rotated secret stays the same in its new place; so does a personal token under another name.
_KIND = {PREVIOUS: CURRENT, RETIRED: CURRENT} | KEPT_KEYS
_NAMED_TOKEN = "CONSOLE_TOKEN_"  # noqa: S105 -- how settings begin

_RECORD = text("SELECT * FROM know_secrets(CAST(:secrets AS jsonb))")
_KEY_BYTES = 32  # of a tenant's new key, as in `privacy.tombstones`
_USES_KEPT = timedelta(days=7)  # by the hour
_SECRETS_KEPT = timedelta(days=30)  # since a process had it: one that comes back is as old as it was
_PURGE = text("SELECT purge_secrets(:uses, :secrets)")
_KEY = text("SELECT key FROM tombstone_keys")
_REMEMBERED = text("""
    SELECT k.setting, k.fingerprint, k.first_seen_at, k.last_seen_at, k.last_used_at, now() AS read_at,
           (SELECT coalesce(sum(u.uses), 0)::bigint FROM secret_uses u
            WHERE u.tenant_id = k.tenant_id AND u.fingerprint = k.fingerprint
            AND u.hour >= date_trunc('hour', now() - make_interval(hours => :hours))) AS uses
    FROM known_secrets k WHERE k.tenant_id = current_setting('app.tenant_id') ORDER BY k.last_seen_at DESC
""")
LATELY_HOURS = 24
# Set secrets are reported once an hour; after this time without a report they count as gone.
_REPORTED_WITHIN = timedelta(hours=2)
MAX_BATCH = 500


class SecretSeen(NamedTuple):
    """A secret of a process; `uses`: webhooks it proved since the last report."""

    tenant_id: str
    setting: str
    digest: bytes
    uses: int = 0


class Remembered(NamedTuple):
    """A known secret; `uses` within a day, the first hour counted whole."""

    setting: str
    fingerprint: bytes
    first_seen_at: datetime
    last_seen_at: datetime
    last_used_at: datetime | None
    read_at: datetime
    uses: int


def seen(tenant_id: str, setting: str, secret: str, uses: int = 0) -> SecretSeen:
    """Return the report of a secret; an empty tenant means the process."""
    return SecretSeen(tenant_id or OF_PROCESS, setting, digest(setting, secret), uses)


def digest(setting: str, secret: str) -> bytes:
    """Return the hash sent to the database; equal for equal secrets."""
    kind = _NAMED_TOKEN if setting.startswith(_NAMED_TOKEN) else _KIND.get(setting, setting)
    # An environment variable may be invalid UTF-8.
    return hmac.digest(f"ai-agents {kind}".encode(), secret.encode("utf-8", "surrogateescape"), sha256)


async def record(database: Database, secrets: Iterable[SecretSeen]) -> dict[tuple[str, str], datetime]:
    """Record secrets and uses; return the first time that each was seen."""
    rows: dict[tuple[str, bytes], dict[str, object]] = {}
    for secret in secrets:
        row = rows.setdefault(
            (secret.tenant_id, secret.digest),
            {"tenant": secret.tenant_id, "setting": secret.setting, "digest": secret.digest.hex(), "uses": 0},
        )
        row |= {"uses": int(str(row["uses"])) + secret.uses, "key": token_hex(_KEY_BYTES)}
    since: dict[tuple[str, str], datetime] = {}
    # Batches are short, because concurrent reports of the same secrets wait for their rows.
    for batch in split(list(rows.values()), MAX_BATCH):
        recorded = await database.call(_RECORD, secrets=json.dumps(batch))
        since |= {(row["tenant_id"], row["setting"]): row["first_seen_at"] for row in recorded}
    return since


async def remembered(database: Database, tenant_id: str, places: Mapping[str, str]) -> dict[str, Remembered]:
    """Return setting -> known secret, for `places` (setting -> secret)."""
    key, rows = await database.call_as(tenant_id or OF_PROCESS, _KEY, _REMEMBERED, hours=LATELY_HOURS)
    by_fingerprint = {bytes(row["fingerprint"]): Remembered(**row) for row in rows}
    matches = {
        setting: by_fingerprint.get(sha256(bytes(row["key"]) + digest(setting, secret)).digest())
        for row in key
        for setting, secret in places.items()
    }
    return {setting: match for setting, match in matches.items() if match is not None}


async def last_seen(database: Database, tenant_id: str) -> dict[str, Remembered]:
    """Return setting -> its secret in use, as reported within two hours."""
    (rows,) = await database.call_as(tenant_id or OF_PROCESS, _REMEMBERED, hours=LATELY_HOURS)
    by_setting: dict[str, list[Remembered]] = {}
    for row in rows:
        if row["read_at"] - row["last_seen_at"] < _REPORTED_WITHIN:
            by_setting.setdefault(row["setting"], []).append(Remembered(**row))
    return {setting: _oldest_in_use(known) for setting, known in by_setting.items()}


def _oldest_in_use(secrets: Iterable[Remembered]) -> Remembered:
    """Return the oldest secret that a process not yet restarted may use."""
    *older, newest = sorted(secrets, key=lambda secret: secret.first_seen_at)
    return next((secret for secret in older if secret.last_seen_at >= newest.first_seen_at), newest)


async def purge(database: Database) -> None:
    """Delete uses and secrets past their retention."""
    await database.call(_PURGE, uses=_USES_KEPT, secrets=_SECRETS_KEPT)


CHECK_SECONDS = 15.0
_REPORT_SECONDS = 3600.0
_ANSWER_SECONDS = 30.0


@contextlib.asynccontextmanager
async def report_secrets(
    database: Database, secrets: Callable[[], Mapping[tuple[str, str], str]]
) -> AsyncIterator["SecretUsage"]:
    """Report the `secrets` beside the caller's work, later if the database is away.

    The ages of tenants' secrets are exported as a metric. The leader of housekeeping exports those of the processes.
    """
    usage = SecretUsage(database, secrets)

    async def report() -> None:
        while True:
            # Other parts of the process report that the database is away.
            with contextlib.suppress(*DATABASE_FAILURES, TimeoutError):
                earlier = usage.since
                await usage.report_if_due()
                if usage.since is not earlier:
                    of_tenants = {key: since for key, since in usage.since.items() if key[0] != OF_PROCESS}
                    metrics.secret_ages(of_tenants)
            await asyncio.sleep(CHECK_SECONDS)

    task = asyncio.create_task(report())
    try:
        yield usage
    finally:
        task.cancel()
        await asyncio.wait({task})


class SecretUsage:
    """Checks the secrets every some seconds; reports changes, and all once an hour.

    `secrets` returns each secret by tenant and setting; the tenant is empty for one of the process itself. `since`:
    when each became known, as of the last report.
    """

    def __init__(
        self,
        database: Database,
        secrets: Callable[[], Mapping[tuple[str, str], str]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._monotonic = monotonic
        self._reported: Mapping[tuple[str, str], str] | None = None
        self._due_at = 0.0
        self.since: Mapping[tuple[str, str], datetime] = {}

    async def report_if_due(self) -> None:
        """Report if due. Raises one of DATABASE_FAILURES, or TimeoutError."""
        secrets, now = self._secrets(), self._monotonic()
        if secrets == self._reported and now < self._due_at:
            return
        report = [seen(*key, secret) for key, secret in secrets.items()]
        try:
            with tracing.untraced():
                async with asyncio.timeout(_ANSWER_SECONDS):
                    self.since = await record(self._database, report)
        except DATABASE_FAILURES as failure:
            if is_away(failure) and not is_locked(failure):
                raise
            log_event(log_events.SECRET_AGES_UNKNOWN, reason="not recorded", failure=failure)
            return
        self._reported, self._due_at = secrets, now + _REPORT_SECONDS

    def forget(self) -> None:
        """Report all secrets again at the next look."""
        self._reported = None
