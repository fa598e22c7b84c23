"""The renewal of a process's claims, of many in one statement."""

from dataclasses import dataclass, field

from dispatch.gathering import Gathering
from observability import tracing
from storage.claims import Claim, LeaseLost
from storage.leases import renew_leases
from storage.session import DATABASE_FAILURES, Database, is_locked

_MOST = 500


@dataclass(slots=True)
class Renewals:
    """Renews each claim for `lease_seconds`, and together those that come while others are being renewed.

    A thousand jobs come 70 times a second: one by one they would wait in line for longer than their lease lasts.
    """

    database: Database
    lease_seconds: float
    _gathering: Gathering[Claim, bool] = field(init=False)

    def __post_init__(self) -> None:
        self._gathering = Gathering(self._renew_all, _MOST)

    async def renew(self, claim: Claim) -> None:
        """Hold the job for that time from now. Raises LeaseLost, and one of DATABASE_FAILURES."""
        if not await self._gathering.put(claim):
            raise LeaseLost

    async def _renew_all(self, held: list[Claim]) -> list[bool | Exception]:
        with tracing.untraced():
            try:
                return [*await renew_leases(self.database, held, self.lease_seconds)]
            except DATABASE_FAILURES as failure:
                if len(held) == 1 or not is_locked(failure):
                    raise
            # Somebody holds the row of one of them: that must not cost the others theirs.
            return [await self._renew_alone(claim) for claim in held]

    async def _renew_alone(self, claim: Claim) -> bool | Exception:
        try:
            return (await renew_leases(self.database, [claim], self.lease_seconds))[0]
        except DATABASE_FAILURES as failure:
            return failure
