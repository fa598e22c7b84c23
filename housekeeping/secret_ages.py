"""Ages of secrets as a metric of the leader."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from observability import counting, phrases, tracing
from observability.logging import say
from storage import known_secrets
from storage.known_secrets import LOOK_SECONDS, OF_PROCESS, ToldSecrets
from storage.session import DATABASE_FAILURES, Database, is_away, is_locked

_ANSWER_SECONDS = 30.0


class SecretAges:
    """Ages of the `secrets` of this process and of others, by tenant and setting.

    Tenants' secrets of other processes are exported there (`storage.known_secrets`).
    """

    def __init__(
        self,
        database: Database,
        secrets: Callable[[], Mapping[tuple[str, str], str]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._told = ToldSecrets(database, secrets, monotonic=monotonic)
        self._shown: Mapping[tuple[str, str], datetime] = {}

    async def run(self, still_leads: Callable[[], Awaitable[None]]) -> None:
        """Look until cancelled or the lead is lost.

        Raises one of DATABASE_FAILURES, or TimeoutError.
        """
        try:
            while True:
                await still_leads()
                # If the copies take all connections, the next look does it.
                with contextlib.suppress(TimeoutError):
                    await self.look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            # Another leader exports it from now on: two would count twice in a sum.
            self._show({})
            self._told.forget()

    async def look(self) -> None:
        """Record this process's secrets, and export all ages.

        Raises one of DATABASE_FAILURES, or TimeoutError, if the database is away.
        """
        before = self._told.since
        await self._told.look()
        try:
            with tracing.untraced():
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if self._told.since is not before:
                        await known_secrets.purge(self._database)
                    of_processes = await known_secrets.last_seen(self._database, OF_PROCESS)
        except DATABASE_FAILURES as failure:
            if is_away(failure) and not is_locked(failure):
                raise
            say(phrases.SECRET_AGES_UNKNOWN, reason="not read", failure=failure)
            return
        own = {(OF_PROCESS, setting): known.first_seen_at for setting, known in of_processes.items()}
        self._show({**self._told.since, **own})

    def _show(self, since: Mapping[tuple[str, str], datetime]) -> None:
        if since == self._shown:
            return  # a scrape between the two lines would find none
        self._shown = since
        counting.secret_ages(since)
