"""Check of a tenant's embeddings."""

import asyncio

from config.settings import EmbeddingSettings
from config.tenant_directory import TenantDirectory
from integrations.embeddings import Embedders
from integrations.errors import EmbeddingsUnavailable, HeldBack, TextRefused
from support.check.findings import Finding, Findings, checks_of

NAMES = checks_of("embeddings")
_SECONDS = 20.0
_REMEDY = {
    "local": "install ai-agents with the extra `embeddings`, as its image has it",
    "endpoint": "see that EMBEDDINGS_BASE_URL, EMBEDDINGS_MODEL and EMBEDDINGS_API_KEY are right, and that it runs",
}


class EmbeddingsCheck:
    """Calls each embedder once for all tenants. Close it after use."""

    def __init__(self, tenants: TenantDirectory, settings: EmbeddingSettings) -> None:
        self._tenants = tenants
        self._embedders = Embedders(tenants, settings)
        self._asked: dict[str, str] = {}

    async def rows(self, tenant_id: str) -> list[Finding]:
        rows = Findings(NAMES, tenant_id)
        tenant = self._tenants.get(tenant_id)
        kind = tenant.desk.embeddings if tenant is not None and tenant.desk is not None else "none"
        if kind == "none":
            rows.not_checked("the tenant wants none", *NAMES)
        elif kind in self._asked:
            rows.not_checked(f"they are those of {self._asked[kind]}, asked above", *NAMES)
        else:
            self._asked[kind] = tenant_id
            await self._ask(rows, tenant_id, kind)
        return rows.all

    async def _ask(self, rows: Findings, tenant_id: str, kind: str) -> None:
        embedder = self._embedders.of(tenant_id)
        if embedder is None:
            rows.failed("embeddings answer", "EMBEDDINGS_BASE_URL is not set", _REMEDY[kind])
            return
        try:
            async with asyncio.timeout(_SECONDS):
                await embedder.model_id()
        except TimeoutError:
            rows.failed("embeddings answer", f"none in {_SECONDS:g} s", _REMEDY[kind])
        except (EmbeddingsUnavailable, TextRefused, HeldBack) as failure:
            rows.failed("embeddings answer", failure.reason, _REMEDY[kind])
        else:
            rows.ok(f"{embedder.server} answers", "embeddings answer")

    async def close(self) -> None:
        await self._embedders.close()


def embeddings_not_asked(tenant_id: str, why: str) -> list[Finding]:
    return Findings(NAMES, tenant_id, why).all
