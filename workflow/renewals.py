"""The claims of a process, renewed and given back: many in one statement."""

from dataclasses import dataclass, field

from dispatch.gathering import Gathering
from observability import tracing
from storage import leases
from storage.claims import Claim, LeaseLost
from storage.session import Database

_MOST = 500


@dataclass(slots=True)
class Renewals:
    """Renews each claim for `lease_seconds`, and together those that come while others are being renewed.

    A thousand jobs come 70 times a second: one by one they would wait in line for longer than their lease lasts. A
    worker that stops gives a thousand back at one moment.
    """

    database: Database
    lease_seconds: float
    _renewing: Gathering[Claim, bool] = field(init=False)
    _giving_back: Gathering[Claim, bool] = field(init=False)

    def __post_init__(self) -> None:
        self._renewing = Gathering(self._renew_all, _MOST)
        self._giving_back = Gathering(self._give_all_back, _MOST)

    async def renew(self, claim: Claim) -> None:
        """Hold the job for that time from now. Raises LeaseLost, and one of DATABASE_FAILURES."""
        if not await self._renewing.put(claim):
            raise LeaseLost

    async def give_back(self, claim: Claim) -> None:
        """Undo the claim of a worker that stops; its message goes back into the list right after. Raises as above."""
        if not await self._giving_back.put(claim):
            raise LeaseLost

    async def _renew_all(self, held: list[Claim]) -> list[bool | Exception]:
        with tracing.untraced():
            return await leases.renew(self.database, held, self.lease_seconds)

    async def _give_all_back(self, held: list[Claim]) -> list[bool | Exception]:
        with tracing.untraced():
            return await leases.give_back(self.database, held)
