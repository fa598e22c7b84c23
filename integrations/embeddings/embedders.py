"""Embeddings per tenant: none, local, or an endpoint's, by its desk's settings."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial

from config.settings import EmbeddingSettings
from config.tenant_directory import TenantDirectory
from integrations.embeddings.embedder import AskedText, Embedder
from integrations.embeddings.endpoint import EndpointModel
from integrations.embeddings.failures import EmbeddingsUnavailable, TextRefused
from integrations.embeddings.local import LocalModel
from integrations.errors import HeldBack
from integrations.outward import Outward
from observability import phrases
from observability.logging import say
from privacy.redaction.people import Person
from privacy.redaction.redaction import without_personal

_WAIT_SECONDS = 5.0
# Only the start of a longer text is embedded (see `embedder`); masked text may be longer than its placeholder.
_MOST_MASKED = 2000


class Embedders:
    """The embedders of one process, each made at its first use; `close()` them."""

    def __init__(self, tenants: TenantDirectory, settings: EmbeddingSettings) -> None:
        self._tenants = tenants
        self._settings = settings
        self._made: dict[str, Embedder] = {}
        self._told: set[str] = set()

    def of(self, tenant_id: str) -> Embedder | None:
        """Return the tenant's embedder by its current settings, or None.

        The first use of an endpoint logs the address that the tenant's texts are sent to.
        """
        tenant = self._tenants.get(tenant_id)
        kind = tenant.desk.embeddings if tenant is not None and tenant.desk is not None else "none"
        settings = self._settings
        if kind == "local":
            return self._made.get(kind) or self._made.setdefault(kind, Embedder(LocalModel()))
        if kind != "endpoint":
            self._told.discard(tenant_id)
            return None
        first = tenant_id not in self._told
        self._told.add(tenant_id)
        if settings.embeddings_base_url is None:
            if first:
                say(phrases.EMBEDDINGS_FAILED, reason="EMBEDDINGS_BASE_URL is not set", also={"tenant_id": tenant_id})
            return None
        embedder = self._made.get(kind) or self._made.setdefault(kind, self._endpoint(settings.embeddings_base_url))
        if first:
            say(phrases.EMBEDDINGS_SENT, tenant_id=tenant_id, server=embedder.server, model=settings.embeddings_model)
        return embedder

    def mask_of(self, tenant_id: str) -> Callable[[str, Iterable[Person]], str]:
        """Return the masking of a tenant's text, with its people, before embedding.

        For an endpoint, personal data become placeholders; a model in this process gets the text unchanged.
        """
        tenant = self._tenants.get(tenant_id)
        is_sent = tenant is not None and tenant.desk is not None and tenant.desk.embeddings == "endpoint"
        if tenant is None or not is_sent or tenant.note.masking == "none":
            return _as_it_is
        return partial(without_personal, network=tenant.note.masking == "all")

    async def asked(self, tenant_id: str, text: str, language: str, people: Iterable[Person] = ()) -> AskedText | None:
        """Return the query text, masked for these people.

        None for a tenant without embeddings, and while they fail: that is logged, and the search uses words alone.
        """
        embedder = self.of(tenant_id)
        # No job waits for the space to be measured.
        if embedder is None or not text.strip() or not embedder.begin():
            return None
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                return await embedder.asked(self.mask_of(tenant_id)(text[:_MOST_MASKED], people), language)
        except TimeoutError:
            with suppress(EmbeddingsUnavailable):
                embedder.fail(f"none in {_WAIT_SECONDS:g} s")
        except (EmbeddingsUnavailable, HeldBack):
            pass  # logged by the embedder
        except TextRefused as refused:
            say(refused.phrase, reason=f"{embedder.server}: {refused.reason}, of a ticket that came in")
        except Exception as failure:  # noqa: BLE001 -- an unexpected error must not end the job
            say(phrases.EMBEDDINGS_FAILED, reason="unexpected failure", failure=failure)
        return None

    def _endpoint(self, base_url: str) -> Embedder:
        settings = self._settings
        model = EndpointModel(
            base_url=base_url,
            api_key=settings.embeddings_api_key or "",
            name=settings.embeddings_model,
            outward=Outward.to_embeddings(settings),
        )
        return Embedder(model)

    def used(self) -> Sequence[Embedder]:
        found = (self.of(tenant.id) for tenant in self._tenants.all())
        return list({id(each): each for each in found if each is not None}.values())

    async def close(self) -> None:
        for embedder in self._made.values():
            await embedder.close()


def _as_it_is(text: str, _people: Iterable[Person]) -> str:
    return text
