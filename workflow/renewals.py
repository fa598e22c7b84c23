"""Batches of claims that a process renews and returns, each in one statement."""

from dataclasses import dataclass, field

from dispatch.gathering import Gathering
from observability import tracing
from storage import claims
from storage.claims import Claim, LeaseLost
from storage.session import Database

_MOST = 500


@dataclass(slots=True)
class Renewals:
    """Renew claims for `lease_seconds`, in batches of those that arrive meanwhile.

    A thousand jobs make 70 renewals a second: one by one they would wait for longer than their lease lasts. A worker
    that stops returns a thousand at once.
    """

    database: Database
    lease_seconds: float
    _renewing: Gathering[Claim, bool] = field(init=False)
    _giving_back: Gathering[Claim, bool] = field(init=False)

    def __post_init__(self) -> None:
        self._renewing = Gathering(self._renew_all, _MOST)
        self._giving_back = Gathering(self._give_all_back, _MOST)

    async def renew(self, claim: Claim) -> None:
        """Renew the lease from now. Raises LeaseLost, and one of DATABASE_FAILURES."""
        if not await self._renewing.put(claim):
            raise LeaseLost

    async def give_back(self, claim: Claim) -> None:
        """Return a stopping worker's claim, before its message. Raises as `renew` does."""
        if not await self._giving_back.put(claim):
            raise LeaseLost

    async def _renew_all(self, held: list[Claim]) -> list[bool | Exception]:
        with tracing.untraced():
            return await claims.renew(self.database, held, self.lease_seconds)

    async def _give_all_back(self, held: list[Claim]) -> list[bool | Exception]:
        with tracing.untraced():
            return await claims.give_back(self.database, held)
