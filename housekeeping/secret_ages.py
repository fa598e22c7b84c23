"""Since when each secret is there: known to the database, and told as a metric by the leader alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from config.tenant_directory import TenantDirectory
from observability import metrics, phrases, tracing
from observability.logging import say
from storage import known_secrets
from storage.known_secrets import RETIRED
from storage.session import DATABASE_FAILURES, Database, is_away, is_locked

_LOOK_SECONDS = 15.0
_RECORD_SECONDS = 3600.0
_ANSWER_SECONDS = 30.0


class SecretAges:
    """The secrets of all tenants and of the processes, as far as this process is given them.

    What is set is looked at every some seconds, and recorded when it has changed, and once an hour.
    """

    def __init__(
        self, database: Database, tenants: TenantDirectory, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._monotonic = monotonic
        self._recorded: dict[tuple[str, str], str] | None = None
        self._again_at = 0.0

    async def run(self, still_leads: Callable[[], Awaitable[None]]) -> None:
        """Look until cancelled, or until the lead is lost. Raises one of DATABASE_FAILURES, or TimeoutError."""
        try:
            while True:
                await still_leads()
                await self.look()
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            # Another one tells it from now on: two that do would count twice in a sum.
            metrics.SECRET_AGE.clear()
            self._recorded = None

    async def look(self) -> None:
        """Record what is set, if that is due. Raises one of DATABASE_FAILURES, or TimeoutError, if it is away."""
        there = self._tenants.secrets()
        now = self._monotonic()
        if there == self._recorded and now < self._again_at:
            return
        seen = [known_secrets.seen(*whose, secret) for whose, secret in there.items()]
        try:
            with tracing.untraced():
                async with asyncio.timeout(_ANSWER_SECONDS):
                    since = await known_secrets.know(self._database, seen)
                    await known_secrets.purge(self._database)
        except DATABASE_FAILURES as failure:
            if is_away(failure) and not is_locked(failure):
                raise
            say(phrases.SECRET_AGES_UNKNOWN, reason="not recorded", failure=failure)
            return
        self._recorded, self._again_at = there, now + _RECORD_SECONDS
        _show(since)


def _show(since: dict[tuple[str, str], datetime]) -> None:
    metrics.SECRET_AGE.clear()
    for (tenant_id, setting), moment in since.items():
        # A retired one opens nothing, however old it is.
        if setting != RETIRED:
            metrics.SECRET_AGE.labels(tenant_id, setting).set_function(_age(moment.timestamp()))


def _age(since: float) -> Callable[[], float]:
    # The database's clock may be ahead.
    return lambda: max(0.0, time.time() - since)
