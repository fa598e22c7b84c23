"""Which tenants have left: their settings are gone, and not for a moment only."""

import time
from collections.abc import Callable

_MISSED_SECONDS = 1800.0


class TenantsLeft:
    """Tenants of which no setting has been there for half an hour, as far as they were asked about.

    `names` tells whether there is a setting of a tenant, usable or not, or that nobody knows.
    """

    def __init__(self, names: Callable[[str], bool], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._names = names
        self._monotonic = monotonic
        self._missed_since: dict[str, float] = {}

    def has_left(self, tenant_id: str) -> bool:
        """Return True if the tenant was missed before, half an hour ago or more, and at each time since."""
        if self._names(tenant_id):
            self._missed_since.pop(tenant_id, None)
            return False
        now = self._monotonic()
        return now - self._missed_since.setdefault(tenant_id, now) >= _MISSED_SECONDS
