"""A desk, its accounts host and a model behind a proxy, and calls to them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trustme

from config.settings import WorkerSettings
from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from integrations.http import Outward, open_client
from integrations.model.models import Models
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker
from integrations.servicedesk.auth import DeskTokens
from integrations.servicedesk.calls import Limits
from integrations.servicedesk.client import ServiceDeskPlus
from tests.integrations.canned import CannedServer
from tests.integrations.street import BookInMemory, asked
from tests.kit.proxy import ConnectProxy

SERVERS: dict[str, Any] = {"database_url": "postgresql://a:b@db/x", "redis_url": "redis://redis:6379/0"}
TENANTS = TenantDirectory(
    lambda: {
        "WEBHOOK_SECRET_ACME": "long-enough-to-be-a-secret-of-acme",
        "SERVICEDESK_URL_ACME": "https://desk.test",
        "SERVICEDESK_API_KEY_ACME": "key-of-acme",
    }
)
TOKEN = b'{"access_token": "token-1", "expires_in": 3600}'


@dataclass
class OutsideServers:
    """Three servers behind the proxy, with certificates of a private authority."""

    proxy: ConnectProxy
    desk: CannedServer
    accounts: CannedServer
    model: CannedServer
    authority: trustme.CA
    bundle: Path

    def way(self, url: str = "", **changed: Any) -> Outward:
        """Return the outbound settings for the proxy."""
        return replace(Outward(url or f"http://127.0.0.1:{self.proxy.port}", "", self.bundle), **changed)

    async def read_ticket(self, outward: Outward, url: str = "https://desk.test", **settings: Any) -> str:
        desk = DeskSettings(**{"url": url, "edition": "onpremises", "api_key": "key-of-acme", **settings})
        limits = Limits(settings.pop("breaker", Breaker("desk", "desk unavailable")), DeskRate("a", 9999, None), 8)
        async with open_client(connections=2, outward=outward) as http:
            client = ServiceDeskPlus(Tenant("acme", desk=desk), http, DeskTokens(http, None, 5), 5, limits)
            return (await client.read_ticket("1")).subject

    async def ask(self, outward: Outward, url: str = "https://model.test") -> str:
        settings = WorkerSettings(
            **SERVERS,
            openai_api_key="sk-test",
            openai_base_url=f"{url}/v1",
            https_proxy=outward.proxy,
            no_proxy=outward.no_proxy,
            openai_ca_bundle=outward.ca_bundle,
        )
        models = Models(TENANTS, settings, BookInMemory(), connections=2)
        try:
            return (await asked(models.of("acme"))).content.summary
        finally:
            await models.close()
