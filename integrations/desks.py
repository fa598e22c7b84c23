"""The desks of all tenants: one HTTP client for the process, one object for each tenant as it is configured now."""

from redis.asyncio import Redis

from config.settings import DeskClientSettings
from config.tenants import DeskSettings, TenantDirectory
from integrations.breaker import Breaker
from integrations.desk_calls import Limits
from integrations.desk_tokens import DeskTokens
from integrations.errors import DeskUnavailable
from integrations.http import open_client
from integrations.rate import DeskRate
from integrations.servicedesk_plus import ServiceDeskPlus

_TENANTS_SHARE = 4
_LEAST_AT_ONCE = 4


class Desks:
    """Finds a tenant's desk; `close()` it.

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
        self._http = open_client(connections=connections, ca_bundle=settings.servicedesk_ca_bundle)
        self._tokens = DeskTokens(self._http, redis, self._timeout)
        self._made: dict[str, tuple[DeskSettings, ServiceDeskPlus]] = {}

    def of(self, tenant_id: str) -> ServiceDeskPlus:
        """The tenant's desk.

        Raises DeskUnavailable when there is none: a tenant that the API knows already may reach this process later.
        """
        tenant = self._tenants.get(tenant_id)
        if tenant is None or tenant.desk is None:
            raise DeskUnavailable("no desk configured")
        made = self._made.get(tenant_id)
        # The desk alone: a rotated webhook secret is no reason to forget what is known of it.
        if made is None or made[0] != tenant.desk:
            breaker = Breaker(f"desk of {tenant_id}", "desk unavailable")
            rate = DeskRate(tenant_id, tenant.desk.rate_per_minute, self._redis, yields=self._yields)
            limits = Limits(breaker, rate, self._most_at_once)
            desk = ServiceDeskPlus(tenant, self._http, self._tokens, self._timeout, limits)
            self._made[tenant_id] = made = (tenant.desk, desk)
        return made[1]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
