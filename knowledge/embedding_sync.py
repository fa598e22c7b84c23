"""Embeddings of copies, made in the background: new, changed, or of a new model."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from config.tenant_directory import TenantDirectory
from config.tenants import Tenant
from db.session import DATABASE_FAILURES, Database, split
from integrations.errors import DeferredError
from integrations.values import Person
from knowledge import embedding_repository
from knowledge.embedding_repository import UnembeddedCopy
from knowledge.embeddings import Embedder, EmbeddingsUnavailableError
from knowledge.language import LANGUAGES, languages_of, languages_of_tenant
from knowledge.models import people_kept
from knowledge.sync_repository import COLLECTIONS
from observability import log_events, metrics, tracing
from observability.logging import log_event

# Tickets, and passages, of a tenant before the next tenant's turn: a large desk's first embeddings take hours.
_COPIES_A_TURN = 80
# The two ends of a long ticket: the question and the solution.
_DESCRIPTION, _HELPED = 800, 400
_MAX_VALUE_LENGTH = 200

Mask = Callable[[str, Iterable[Person]], str]
"""Redacts a text, with the names of its people, before it is embedded."""


def unmasked(text: str, _people: Iterable[Person]) -> str:
    return text


class EmbeddingSync:
    """Makes missing embeddings, tenant by tenant.

    `embedder_of` returns a tenant's embedder or None; `mask_of` returns the masking of its texts.
    """

    def __init__(
        self,
        tenants: TenantDirectory,
        database: Database,
        embedder_of: Callable[[str], Embedder | None],
        mask_of: Callable[[str], Mask] = lambda _: unmasked,
    ) -> None:
        self._tenants = tenants
        self._database = database
        self._embedder_of = embedder_of
        self._mask_of = mask_of

    async def run_once(self) -> bool:
        """Make some embeddings for each tenant; return True if more are missing.

        Failures are only logged: copying and purging detect an unavailable database themselves.
        """
        more = False
        with tracing.untraced():
            for tenant in self._tenants.all():
                try:
                    more |= await self._embed_batch(tenant)
                except (EmbeddingsUnavailableError, DeferredError):
                    continue  # logged by the embedder
                except Exception as failure:  # noqa: BLE001 -- it must not end the sync
                    refused = isinstance(failure, DATABASE_FAILURES)
                    reason = "refused by the database" if refused else "unexpected failure"
                    log_event(
                        log_events.EMBEDDINGS_FAILED, reason=reason, failure=failure, also={"tenant_id": tenant.id}
                    )
        return more

    async def _embed_batch(self, tenant: Tenant) -> bool:
        if tenant.desk is not None and tenant.desk.embeddings == "none":
            await embedding_repository.remove_all(self._database, tenant.id)
            metrics.COPIES_TO_EMBED.labels(tenant.id).set(0)
        embedder = self._embedder_of(tenant.id)
        if embedder is None:
            return False
        model = await embedder.model_id()
        to_make = await embedding_repository.count_unembedded(self._database, tenant.id, model)
        metrics.COPIES_TO_EMBED.labels(tenant.id).set(to_make)
        if not to_make:
            return False
        languages, mask = languages_of_tenant(tenant), self._mask_of(tenant.id)
        count, remaining = await embed_some(self._database, tenant.id, embedder, languages, mask)
        metrics.COPIES_TO_EMBED.labels(tenant.id).set(remaining)
        log_event(log_events.EMBEDDED, tenant_id=tenant.id, copies=count, left=remaining)
        return bool(count) and remaining > 0


async def embed_some(
    database: Database,
    tenant_id: str,
    embedder: Embedder,
    languages: Sequence[str] = LANGUAGES,
    mask: Mask = unmasked,
) -> tuple[int, int]:
    """Make some missing embeddings; return how many were made and how many are left.

    Raises EmbeddingsUnavailableError or DeferredError, or one of DATABASE_FAILURES.
    """
    count, model = 0, await embedder.model_id()
    for collection in COLLECTIONS:
        copies = await embedding_repository.unembedded_copies(database, tenant_id, collection, model, _COPIES_A_TURN)
        for part in split(copies, embedder.batch_size):
            texts = await asyncio.to_thread(lambda batch: [_masked_text(copy, languages, mask) for copy in batch], part)
            embedded = await embedder.embed_documents(texts)
            rows = [(copy, language, each) for copy, (_, language), each in zip(part, texts, embedded, strict=True)]
            for copy, _, embedding in rows:
                if not embedding:
                    also = {"tenant_id": tenant_id, "copy": copy.name}
                    reason = "the model refuses a text, which is found by its words"
                    log_event(log_events.EMBEDDINGS_FAILED, reason=reason, also=also)
            await embedding_repository.save(database, tenant_id, collection, model, rows)
        count += len(copies)
    return count, await embedding_repository.count_unembedded(database, tenant_id, model)


def _masked_text(copy: UnembeddedCopy, languages: Sequence[str], mask: Mask) -> tuple[str, str]:
    text = "\n".join(filter(None, (copy.subject, copy.description[:_DESCRIPTION], copy.helped[:_HELPED])))
    people, parts = people_kept(copy.people), ((copy.description, _DESCRIPTION), (copy.helped, _HELPED))
    # A margin is masked and then cut off, because half a number would not be recognised.
    masked = [mask(part[: most + _MAX_VALUE_LENGTH], people)[:most] for part, most in parts]
    joined = "\n".join(filter(None, (mask(copy.subject, people), *masked)))
    return joined, languages_of(text, languages)[0]
