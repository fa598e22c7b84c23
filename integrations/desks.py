"""The desks of all tenants: one HTTP client for the process, one object for each tenant as it is configured now."""

from redis.asyncio import Redis

from config.settings import DeskClientSettings
from config.tenants import Tenant, TenantDirectory
from integrations.desk_tokens import DeskTokens
from integrations.errors import DeskUnavailable
from integrations.http import open_client
from integrations.servicedesk_plus import ServiceDeskPlus


class Desks:
    """Finds a tenant's desk; `close()` it."""

    def __init__(
        self, tenants: TenantDirectory, settings: DeskClientSettings, redis: Redis, *, connections: int
    ) -> None:
        self._tenants = tenants
        self._timeout = settings.servicedesk_timeout_seconds
        self._http = open_client(connections=connections, ca_bundle=settings.servicedesk_ca_bundle)
        self._tokens = DeskTokens(self._http, redis, self._timeout)
        self._made: dict[str, tuple[Tenant, ServiceDeskPlus]] = {}

    def of(self, tenant_id: str) -> ServiceDeskPlus:
        """The tenant's desk.

        Raises DeskUnavailable when there is none: a tenant that the API knows already may reach this process later.
        """
        tenant = self._tenants.get(tenant_id)
        if tenant is None or tenant.desk is None:
            raise DeskUnavailable("no desk configured")
        made = self._made.get(tenant_id)
        if made is None or made[0] != tenant:
            made = (tenant, ServiceDeskPlus(tenant, self._http, self._tokens, self._timeout))
            self._made[tenant_id] = made
        return made[1]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
