"""Detection of tenants that have left: their settings are gone for some time."""

import time
from collections.abc import Callable

_MISSED_SECONDS = 1800.0


class TenantsLeft:
    """Tenants whose settings have been missing for half an hour, as far as queried.

    `names` returns True if a tenant has a setting, usable or not, or if that is unknown.
    """

    def __init__(self, names: Callable[[str], bool], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._names = names
        self._monotonic = monotonic
        self._missed_since: dict[str, float] = {}

    def has_left(self, tenant_id: str) -> bool:
        if self._names(tenant_id):
            self._missed_since.pop(tenant_id, None)
            return False
        now = self._monotonic()
        return now - self._missed_since.setdefault(tenant_id, now) >= _MISSED_SECONDS
