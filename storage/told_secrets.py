"""Reports of each process's secrets to the database, for their ages."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime

from observability import counting, phrases, tracing
from observability.logging import say
from storage import known_secrets
from storage.known_secrets import OF_PROCESS
from storage.session import DATABASE_FAILURES, Database, is_away, is_locked

LOOK_SECONDS = 15.0
_TELL_SECONDS = 3600.0
_ANSWER_SECONDS = 30.0


@contextlib.asynccontextmanager
async def telling(
    database: Database, secrets: Callable[[], Mapping[tuple[str, str], str]]
) -> AsyncIterator["ToldSecrets"]:
    """Report the `secrets` beside the caller's work, later if the database is away.

    The ages of tenants' secrets are exported as a metric. The leader of housekeeping exports those of the processes.
    """
    told = ToldSecrets(database, secrets)

    async def tell() -> None:
        while True:
            # Other parts of the process report that the database is away.
            with contextlib.suppress(*DATABASE_FAILURES, TimeoutError):
                before = told.since
                await told.look()
                if told.since is not before:
                    of_tenants = {whose: since for whose, since in told.since.items() if whose[0] != OF_PROCESS}
                    counting.secret_ages(of_tenants)
            await asyncio.sleep(LOOK_SECONDS)

    task = asyncio.create_task(tell())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.wait({task})


class ToldSecrets:
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
        self._told: Mapping[tuple[str, str], str] | None = None
        self._again_at = 0.0
        self.since: Mapping[tuple[str, str], datetime] = {}

    async def look(self) -> None:
        """Report if due. Raises one of DATABASE_FAILURES, or TimeoutError."""
        there, now = self._secrets(), self._monotonic()
        if there == self._told and now < self._again_at:
            return
        seen = [known_secrets.seen(*whose, secret) for whose, secret in there.items()]
        try:
            with tracing.untraced():
                async with asyncio.timeout(_ANSWER_SECONDS):
                    self.since = await known_secrets.know(self._database, seen)
        except DATABASE_FAILURES as failure:
            if is_away(failure) and not is_locked(failure):
                raise
            say(phrases.SECRET_AGES_UNKNOWN, reason="not recorded", failure=failure)
            return
        self._told, self._again_at = there, now + _TELL_SECONDS

    def forget(self) -> None:
        self._told = None
