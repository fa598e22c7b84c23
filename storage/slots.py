"""Fair slots for tenants."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class TenantSlots:
    """A semaphore that serves tenants in turn, and a tenant's callers in order."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """The tenant whose turn it is first. A slot is free only while nobody waits."""

    @asynccontextmanager
    async def take(self, tenant_id: str) -> AsyncIterator[None]:
        if self._free:
            self._free -= 1
        else:
            await self._wait(tenant_id)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, tenant_id: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._pass_on()  # the slot was assigned just when its task was cancelled
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            tenant_id, line = next(iter(self._waiting.items()))
            turn = line.popleft()
            if not line:
                del self._waiting[tenant_id]
            if not turn.done():
                if line:
                    self._waiting.move_to_end(tenant_id)
                turn.set_result(None)
                return
            # Callers that have left use no turn of their tenant.
        self._free += 1
