"""Ages of secrets as a metric of the leader: those that it has, and those of all processes."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from observability import counting, phrases, tracing
from observability.logging import say
from storage import known_secrets
from storage.known_secrets import OF_PROCESS
from storage.session import DATABASE_FAILURES, Database, is_away, is_locked
from storage.told_secrets import LOOK_SECONDS, ToldSecrets

_ANSWER_SECONDS = 30.0


class SecretAges:
    """The `secrets` of this process (by tenant and setting), and those that other processes have told of.

    Tenants' secrets that other processes have are shown by those (`storage.told_secrets`).
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
        """Look until cancelled, or until the lead is lost. Raises one of DATABASE_FAILURES, or TimeoutError of that."""
        try:
            while True:
                await still_leads()
                # Who waits in line behind the copies for a connection looks the next time.
                with contextlib.suppress(TimeoutError):
                    await self.look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            # Another one tells it from now on: two that do would count twice in a sum.
            self._show({})
            self._told.forget()

    async def look(self) -> None:
        """Tell what is set here, and show how old all are.

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
