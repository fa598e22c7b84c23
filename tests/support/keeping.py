"""Commands that read audit records, on real Postgres and a simulated model."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

from storage import audit
from tests.config.given import ACME
from tests.kit.postgres import Store
from tests.kit.simulators import Simulator
from tests.kit.tenants_toml import given
from tests.storage.exchanges import exchange
from tests.system.by_hand import Answer, here


async def kept(store: Store, *sources: str, ticket_id: str = "7", **changed: object) -> UUID:
    job_id = await store.accept(ticket_id=ticket_id)
    await audit.keep(store.database, "acme", job_id, exchange(*sources, **changed))
    return job_id


async def typed(
    url: str, *words: str, model: Simulator | None = None, more: Mapping[str, object] = MappingProxyType({})
) -> Answer:
    """Run a command with acme's settings and kept records; return its output."""
    settings = ACME | {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0"}
    if model is not None:
        settings |= {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "sk-test"}
    # The command runs its own event loop.
    return await asyncio.to_thread(here, *words, **given({**settings, "acme.audit_days": 30, **more}))
