"""Which secret proves webhooks: counted in memory beside the requests, and told to the database every some seconds."""

import asyncio
import contextlib
from collections import Counter

from api.proof import Proof
from observability import counting, metrics, tracing
from storage import known_secrets
from storage.known_secrets import AT_ONCE, CURRENT, PREVIOUS, RETIRED, TOKEN
from storage.session import DATABASE_FAILURES, Database

_TELL_SECONDS = 5.0
_ANSWER_SECONDS = 5.0
_LAST_SECONDS = 1.0
_KINDS = {CURRENT: "current", PREVIOUS: "previous", RETIRED: "retired", TOKEN: "token"}


class SecretUses:
    """The uses of this process that the database has not heard of; a handful for each tenant, however long it is away.

    What a process had not told when it was killed is lost; what was committed while the answer to that was lost is
    counted twice.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._untold: Counter[tuple[str, str, str]] = Counter()

    def note(self, tenant_id: str, proof: Proof) -> None:
        """Count a webhook that this proves, or that the retired secret has signed."""
        counting.series(metrics.WEBHOOKS_PROVED, tenant_id, _KINDS[proof.setting]).inc()
        self._untold[tenant_id, proof.setting, proof.secret] += 1

    async def tell(self) -> None:
        """Tell the database; what it does not take is told the next time."""
        to_tell, self._untold = list(self._untold.items()), Counter()
        try:
            with tracing.untraced():
                async with asyncio.timeout(_ANSWER_SECONDS):
                    while some := to_tell[:AT_ONCE]:
                        seen = [known_secrets.seen(*whose, uses=uses) for whose, uses in some]
                        await known_secrets.know(self._database, seen)
                        # What one answer was for is not told again when the next one does not come.
                        del to_tell[:AT_ONCE]
        except BaseException:
            self._untold.update(dict(to_tell))
            raise

    async def run(self) -> None:
        """Tell it again and again, until cancelled."""
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            with contextlib.suppress(*DATABASE_FAILURES, TimeoutError):
                await self.tell()

    async def close(self) -> None:
        """Tell what is left, within a second."""
        with contextlib.suppress(*DATABASE_FAILURES, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self.tell()
