"""A free check that a tenant's model server answers: no key, no question."""

import asyncio

import httpx2

from config.settings import ModelAddressSettings
from config.tenants import Tenant
from integrations.http import connection_words, open_client
from integrations.looks import LOOK_SECONDS, ModelLook
from integrations.outward import Outward


async def look_at_model(tenant: Tenant, settings: ModelAddressSettings) -> ModelLook:
    if tenant.model.withdrawn:
        return ModelLook(failure="the tenant's own key was withdrawn")
    url = f"{tenant.model.base_url or settings.openai_base_url}/models"
    try:
        async with (
            asyncio.timeout(LOOK_SECONDS),
            open_client(connections=1, outward=Outward.to_models(settings)) as http,
            http.stream("GET", url, timeout=LOOK_SECONDS),
        ):
            return ModelLook(asked=True)
    except (TimeoutError, httpx2.TimeoutException):
        return ModelLook(asked=True, failure=f"it did not answer within {LOOK_SECONDS:g} s")
    except (httpx2.HTTPError, httpx2.InvalidURL) as failure:
        words = connection_words(failure) if isinstance(failure, httpx2.HTTPError) else "no address"
        return ModelLook(asked=True, failure=words)
