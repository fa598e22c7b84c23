"""ServiceDesk Plus, on premises and in the cloud, as a kind of desk."""

from urllib.parse import urlsplit

import httpx2
from redis.asyncio import Redis

from config.tenants import DeskSettings, key_name, setting_suffix
from integrations.http import proxy_remedy
from integrations.ports import CheckStep, DeskLimits
from integrations.resilience import PROBE_SECONDS
from integrations.servicedesk.auth import KEY, AccessToken, SharedToken
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.transport import DeskCalls

CLOUD_PROBE_SECONDS = 300.0
"""How often a cloud desk that refuses the credentials is tried: each try may cost one of ten tokens in ten minutes."""
_REQUESTS = "SDPOnDemand.requests.ALL"
_SOLUTIONS = "SDPOnDemand.solutions.READ"


class ServiceDesk:
    """See `integrations.ports.DeskKind`."""

    redis_prefix = KEY

    def hold_seconds(self, desk: DeskSettings) -> float:
        return CLOUD_PROBE_SECONDS if desk.edition == "cloud" else PROBE_SECONDS

    def open(
        self,
        tenant_id: str,
        desk: DeskSettings,
        http: httpx2.AsyncClient,
        redis: Redis | None,
        timeout_seconds: float,
        limits: DeskLimits,
        *,
        probing: bool = False,
    ) -> ServiceDeskPlus:
        token = (SharedToken if probing else AccessToken)(tenant_id, desk, http, redis, timeout_seconds)
        return ServiceDeskPlus(desk, DeskCalls(tenant_id, desk, http, token, timeout_seconds, limits))

    def remedy(self, tenant_id: str, desk: DeskSettings, step: CheckStep, reason: str) -> str:
        suffix = setting_suffix(tenant_id)
        if "proxy" in reason:
            return proxy_remedy(urlsplit(desk.accounts_url if step == "authenticate" else desk.url).hostname or "")
        if step == "authenticate":
            return _token_remedy(tenant_id, reason)
        if step == "credentials":
            is_cloud = desk.edition == "cloud"
            setting = "SERVICEDESK_REFRESH_TOKEN" if is_cloud else "SERVICEDESK_API_KEY"
            scope = f", or lacks the scope {_REQUESTS}" if is_cloud else ""
            return f"renew {setting}_{suffix}: it is wrong or expired{scope}"
        if step == "address":
            return f"check that SERVICEDESK_URL_{suffix} is right, the desk runs, and this machine can reach it"
        if step == "portal":
            return (
                f"SERVICEDESK_URL_{suffix} must be the part before /api/v3, with /app/<portal> if the desk has portals"
            )
        scope = _SOLUTIONS if step == "solutions" else _REQUESTS
        return f"give the key's technician the right to see {step}, or the cloud's token the scope {scope}"


def _token_remedy(tenant_id: str, reason: str) -> str:
    """Return the action for a missing token. Only an answer of the accounts host is evidence about the secrets."""
    address = key_name(tenant_id, "servicedesk.accounts_url")
    if reason == "invalid answer" or reason.startswith(("connection", "5")):
        return f"check that {address} is the accounts host of the desk's region, and that this machine can reach it"
    if reason == "429":
        return "wait ten minutes: the accounts host issues ten tokens for a refresh token in that time"
    return f"renew {tenant_id}.servicedesk.client_id, its secret and refresh token for {address}"


SERVICEDESK = ServiceDesk()
