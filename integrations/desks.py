"""The kinds of desks, and the desks of all tenants over one HTTP client."""

from collections.abc import Sequence
from functools import partial

from redis.asyncio import Redis

from config.settings import DeskClientSettings
from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from integrations.errors import DeferredError, DeskUnavailableError
from integrations.http import EgressConfig, open_client
from integrations.ports import DeskClient, DeskKind, DeskLimits
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker, DeskHoldReason, Hold
from integrations.servicedesk.client import SERVICEDESK
from observability import metrics

KINDS: dict[str, DeskKind] = {"onpremises": SERVICEDESK, "cloud": SERVICEDESK}
"""Kinds of desks by `SERVICEDESK_EDITION_<TENANT>`."""
_TENANTS_SHARE = 4
_MIN_AT_ONCE = 4
_CLOSED_SECONDS = 30.0
_CHANGED_SECONDS = 1.0


def kind_of(desk: DeskSettings) -> DeskKind:
    """Return the kind for a desk's edition."""
    return KINDS[desk.edition]


class Desks:
    """The desks by tenant; `close()` them.

    One desk may use a quarter of the `connections`. `yields_to_jobs`: its calls wait until no job's call waits.
    """

    def __init__(
        self,
        tenants: TenantDirectory,
        settings: DeskClientSettings,
        redis: Redis,
        *,
        connections: int,
        yields_to_jobs: bool = False,
    ) -> None:
        self._tenants = tenants
        self._redis = redis
        self._yields = yields_to_jobs
        self._timeout = settings.servicedesk_timeout_seconds
        self._most_at_once = max(_MIN_AT_ONCE, connections // _TENANTS_SHARE)
        self._http = open_client(
            connections=connections, egress=EgressConfig.of(settings, settings.servicedesk_ca_bundle)
        )
        self._clients: dict[str, tuple[DeskSettings, DeskClient]] = {}
        self._known_tenants: Sequence[Tenant] = ()

    def of(self, tenant_id: str) -> DeskClient:
        """Return the tenant's desk.

        Raises DeskUnavailableError if there is none: a new tenant may reach this process later than the API. Raises
        DeferredError until unusable settings are fixed.
        """
        self._drop_removed()
        tenant = self._tenants.get(tenant_id)
        if tenant is not None and tenant.desk is None and not tenant.usable:
            raise DeferredError("tenant closed", _CLOSED_SECONDS, extends_deadline=False)
        if tenant is None or tenant.desk is None:
            raise DeskUnavailableError("no desk configured")
        entry = self._clients.get(tenant_id)
        # A rotated webhook secret must not reset the desk's state.
        if entry is None or entry[0] != tenant.desk:
            breaker = Breaker(f"desk of {tenant_id}", "desk unavailable")
            rate = DeskRate(tenant_id, tenant.desk.rate_per_minute, self._redis, yields_to_jobs=self._yields)
            kind = kind_of(tenant.desk)
            hold_for = partial(
                Hold, breaker.server, gauge=metrics.DESK_HELD, probe_seconds=kind.hold_seconds(tenant.desk)
            )
            limits = DeskLimits(
                breaker,
                rate,
                self._most_at_once,
                check=partial(self._check_credentials, tenant_id, tenant.desk),
                hold=hold_for(reasons=[DeskHoldReason.CREDENTIALS_REFUSED]),
                note_hold=hold_for(reasons=[DeskHoldReason.NOTES_REFUSED]),
            )
            desk = kind.open(tenant_id, tenant.desk, self._http, self._redis, self._timeout, limits)
            self._clients[tenant_id] = entry = (tenant.desk, desk)
        return entry[1]

    def _drop_removed(self) -> None:
        tenants = self._tenants.all()
        if tenants is self._known_tenants:
            return
        self._known_tenants = tenants
        configured = {tenant.id for tenant in tenants if tenant.desk is not None}
        for tenant_id in self._clients.keys() - configured:
            del self._clients[tenant_id]
            metrics.server_gone(f"desk of {tenant_id}")

    def _check_credentials(self, tenant_id: str, desk: DeskSettings) -> None:
        self.of(tenant_id)
        if self._clients[tenant_id][0].credentials != desk.credentials:
            raise DeferredError("desk key changed", _CHANGED_SECONDS)

    async def close(self) -> None:
        """Close the connections to all desks."""
        await self._http.aclose()
