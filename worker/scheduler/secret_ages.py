"""Ages of secrets, recorded and exported by the leader (`db.known_secrets`)."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from db import known_secrets
from db.known_secrets import LOOK_SECONDS, OF_PROCESS, SecretUsage
from db.session import DATABASE_FAILURES, Database, is_away, is_locked
from observability import log_events, metrics, tracing
from observability.logging import log_event

_ANSWER_SECONDS = 30.0


class SecretAges:
    """Exports the ages of the `secrets` of this process and of others, by tenant and setting.

    Tenants' secrets of other processes are exported there (`db.known_secrets`).
    """

    def __init__(
        self,
        database: Database,
        secrets: Callable[[], Mapping[tuple[str, str], str]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._usage = SecretUsage(database, secrets, monotonic=monotonic)
        self._exported: Mapping[tuple[str, str], datetime] = {}

    async def run(self, check_lead: Callable[[], Awaitable[None]]) -> None:
        """Look until cancelled or the lead is lost."""
        try:
            while True:
                await check_lead()
                # If the sync takes all connections, the next look does it.
                with contextlib.suppress(TimeoutError):
                    await self.look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            # The next leader exports them: both together would count twice in a sum.
            self._export({})
            self._usage.forget()

    async def look(self) -> None:
        """Record this process's secrets, and export all ages.

        Raises one of DATABASE_FAILURES, or TimeoutError, if the database is away.
        """
        before = self._usage.since
        await self._usage.look()
        try:
            with tracing.untraced():
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if self._usage.since is not before:
                        await known_secrets.purge(self._database)
                    of_processes = await known_secrets.last_seen(self._database, OF_PROCESS)
        except DATABASE_FAILURES as failure:
            if is_away(failure) and not is_locked(failure):
                raise
            log_event(log_events.SECRET_AGES_UNKNOWN, reason="not read", failure=failure)
            return
        own = {(OF_PROCESS, setting): known.first_seen_at for setting, known in of_processes.items()}
        self._export({**self._usage.since, **own})

    def _export(self, since: Mapping[tuple[str, str], datetime]) -> None:
        # A scrape while unchanged ages are set again would find none.
        if since != self._exported:
            self._exported = since
            metrics.secret_ages(since)
