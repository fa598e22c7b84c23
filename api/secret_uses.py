"""Usage counts of webhook secrets, written to the database in batches."""

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
    """Usage counts of this process that are not in the database yet.

    The size is bounded by the number of tenants, also during an outage. Counts are lost if the process is killed, and
    counted twice if the answer to a commit is lost.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._untold: Counter[tuple[str, str, str]] = Counter()

    def note(self, tenant_id: str, proof: Proof) -> None:
        """Count a webhook with this proof, or one signed with the retired secret."""
        counting.series(metrics.WEBHOOKS_PROVED, tenant_id, _KINDS[proof.setting]).inc()
        self._untold[tenant_id, proof.setting, proof.secret] += 1

    async def tell(self) -> None:
        """Write the counts to the database; failed ones are retried at the next call."""
        to_tell, self._untold = list(self._untold.items()), Counter()
        try:
            with tracing.untraced():
                async with asyncio.timeout(_ANSWER_SECONDS):
                    while some := to_tell[:AT_ONCE]:
                        seen = [known_secrets.seen(*whose, uses=uses) for whose, uses in some]
                        await known_secrets.know(self._database, seen)
                        # Each committed batch is removed at once, so that a later failure does not repeat it.
                        del to_tell[:AT_ONCE]
        except BaseException:
            self._untold.update(dict(to_tell))
            raise

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            with contextlib.suppress(*DATABASE_FAILURES, TimeoutError):
                await self.tell()

    async def close(self) -> None:
        with contextlib.suppress(*DATABASE_FAILURES, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self.tell()
