"""The desks of all tenants: one HTTP client, and one object per tenant."""

from collections.abc import Sequence
from functools import partial

from redis.asyncio import Redis

from config.settings import DeskClientSettings
from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from integrations.errors import DeferredError, DeskUnavailableError
from integrations.http import EgressConfig, open_client
from integrations.rate_limit import DeskRate
from integrations.resilience import PROBE_SECONDS, Breaker, DeskHoldReason, Hold
from integrations.servicedesk.auth import DeskTokens
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.transport import Limits
from integrations.values import DeskClient
from observability import metrics

_TENANTS_SHARE = 4
_LEAST_AT_ONCE = 4
_CLOSED_SECONDS = 30.0
_CHANGED_SECONDS = 1.0
CLOUD_PROBE_SECONDS = 300.0
"""How often a cloud desk that refuses the credentials is tried: each try may cost one of ten tokens in ten minutes."""


class Desks:
    """The desks by tenant; `close()` them.

    `connections` are for all of them, a quarter for one. `yields`: its calls wait until no job's does, however long.
    """

    def __init__(
        self,
        tenants: TenantDirectory,
        settings: DeskClientSettings,
        redis: Redis,
        *,
        connections: int,
        yields: bool = False,
    ) -> None:
        self._tenants = tenants
        self._redis = redis
        self._yields = yields
        self._timeout = settings.servicedesk_timeout_seconds
        self._most_at_once = max(_LEAST_AT_ONCE, connections // _TENANTS_SHARE)
        self._http = open_client(
            connections=connections, egress=EgressConfig.of(settings, settings.servicedesk_ca_bundle)
        )
        self._tokens = DeskTokens(self._http, redis, self._timeout)
        self._made: dict[str, tuple[DeskSettings, DeskClient]] = {}
        self._there: Sequence[Tenant] = ()

    def of(self, tenant_id: str) -> DeskClient:
        """Return the tenant's desk.

        Raises DeskUnavailableError if there is none: a new tenant may reach this process later than the API. Raises
        DeferredError until the tenant's settings are fixed: no number of retries would help.
        """
        self._forget_gone()
        tenant = self._tenants.get(tenant_id)
        if tenant is not None and tenant.desk is None and not tenant.usable:
            raise DeferredError("tenant closed", _CLOSED_SECONDS, extends_deadline=False)
        if tenant is None or tenant.desk is None:
            raise DeskUnavailableError("no desk configured")
        made = self._made.get(tenant_id)
        # Compares the desk alone: a rotated webhook secret must not reset the desk's state.
        if made is None or made[0] != tenant.desk:
            breaker = Breaker(_server(tenant_id), "desk unavailable")
            rate = DeskRate(tenant_id, tenant.desk.rate_per_minute, self._redis, yields=self._yields)
            hold_for = partial(
                Hold,
                breaker.server,
                gauge=metrics.DESK_HELD,
                probe_seconds=CLOUD_PROBE_SECONDS if tenant.desk.edition == "cloud" else PROBE_SECONDS,
            )
            limits = Limits(
                breaker,
                rate,
                self._most_at_once,
                check=partial(self._check_credentials, tenant_id, tenant.desk),
                hold=hold_for(reasons=[DeskHoldReason.CREDENTIALS_REFUSED]),
                note_hold=hold_for(reasons=[DeskHoldReason.NOTES_REFUSED]),
            )
            desk: DeskClient = ServiceDeskPlus(tenant, self._http, self._tokens, self._timeout, limits)
            self._made[tenant_id] = made = (tenant.desk, desk)
        return made[1]

    def _forget_gone(self) -> None:
        tenants = self._tenants.all()
        if tenants is self._there:
            return
        self._there = tenants
        there = {tenant.id for tenant in tenants if tenant.desk is not None}
        for tenant_id in self._made.keys() - there:
            del self._made[tenant_id]
            metrics.server_gone(_server(tenant_id))

    def _check_credentials(self, tenant_id: str, desk: DeskSettings) -> None:
        self.of(tenant_id)
        if self._made[tenant_id][0].credentials != desk.credentials:
            raise DeferredError("desk key changed", _CHANGED_SECONDS)

    async def close(self) -> None:
        await self._http.aclose()


def _server(tenant_id: str) -> str:
    return f"desk of {tenant_id}"
