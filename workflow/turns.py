"""Tenant shares for each claim, so that each tenant gets its part of the worker."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from config.tenants import Tenant
from storage.claims import Shares
from storage.limits import SHORTEST_TURN


class Turns:
    """The current weights and limits of the tenants, and the slots of this process.

    A start occupies a slot for at least a second: jobs that are deferred or held back at once (a desk that is down, an
    unknown tenant) leave no job in flight, and would get every turn.
    """

    def __init__(
        self, tenants: Callable[[], Sequence[Tenant]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._tenants = tenants
        self._monotonic = monotonic
        self._charged: deque[tuple[float, str]] = deque()
        self._seen: Sequence[Tenant] | None = None
        self._shares = Shares()

    def shares(self) -> Shares:
        now = self._monotonic()
        while self._charged and self._charged[0][0] <= now:
            self._charged.popleft()
        tenants = self._tenants()
        if tenants is not self._seen:
            self._seen = tenants
            shares = [(tenant.id, tenant.share) for tenant in tenants]
            self._shares = Shares(
                weights={tenant_id: share.weight for tenant_id, share in shares if share.weight != 1},
                most_running={tenant_id: share.most_running for tenant_id, share in shares if share.most_running},
            )
        return replace(self._shares, charged=Counter(tenant_id for _, tenant_id in self._charged))

    @contextmanager
    def place(self, tenant_id: str) -> Iterator[None]:
        """Hold a slot for one job of the tenant, for the shortest turn at least."""
        until = self._monotonic() + SHORTEST_TURN.total_seconds()
        try:
            yield
        finally:
            if self._monotonic() < until:
                # Ordered by their ends: none is charged for more than twice that time.
                self._charged.append((until, tenant_id))
