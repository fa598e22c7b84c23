"""Embeddings per tenant: none, local, or an endpoint's, and their nearness to a query text."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from zlib import crc32

from config.settings import EmbeddingSettings
from config.tenant_directory import TenantDirectory
from integrations.embeddings.models import EndpointModel, LocalModel
from integrations.errors import EmbeddingsUnavailable, HeldBack, TextRefused
from integrations.http import Outward
from observability import phrases
from observability.logging import say
from observability.outage import Outage
from privacy.redaction.people import Person
from privacy.redaction.redaction import without_personal

if TYPE_CHECKING:
    # NumPy is an optional dependency of embeddings.
    from retrieval.space import Space

# The start of a longer ticket describes it: on the set in benchmarks/retrieval it finds as much.
_MOST_ASKED = 500
# The input limit of a model with 512 tokens.
_MOST_KEPT = 2000
_VERSION = 1
_REST_SECONDS = 15.0
_WAIT_SECONDS = 5.0
# Only the start of a longer text is embedded (`_MOST_ASKED`); masked text may be longer than its placeholder.
_MOST_MASKED = 2000


class EmbeddingModel(Protocol):
    """A source of embeddings."""

    key: str
    """What it is, and where: embeddings of another one are not compared with its own."""
    server: str
    """Its name in lines."""
    two_sided: bool
    """True if it takes a text that asks apart from one that is to be found."""
    texts_at_once: int
    """Of one call."""
    asked_at_once: int
    """Texts that ask: who comes beyond that would wait too long."""

    async def embed(self, texts: Sequence[str], *, asked: bool) -> list[Sequence[float]]:
        """Return the embedding of each text.

        Raises TextRefused if one of them is refused, or EmbeddingsUnavailable.
        """
        ...

    async def close(self) -> None: ...


class AskedText:
    """A query text: its embedding in the model's space."""

    def __init__(self, model: int, space: "Space", embedding: Sequence[float], language: str) -> None:
        self.model = model
        self.language = language
        self._space, self._direction = space, space.asked(embedding, language)

    @property
    def vector(self) -> Sequence[float]:
        numbers: list[float] = self._direction.tolist()
        return numbers

    def nearness(self, kept: bytes) -> list[float]:
        """Return the nearness to each of the stored embeddings: see `Space.nearness`."""
        return self._space.nearness(self._direction, kept)


class Embedder:
    """A model and its space, measured at the first use; `close()` it.

    After a failure it logs a line and rests for 15 s: its methods raise EmbeddingsUnavailable, and HeldBack meanwhile.
    """

    def __init__(self, model: EmbeddingModel, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._model = model
        self._monotonic = monotonic
        self._rests_until = 0.0
        self._outage = Outage(phrases.EMBEDDINGS_FAILED, monotonic=monotonic)
        self._space: asyncio.Task[Space] | None = None
        self._asked: dict[tuple[str, str], asyncio.Task[AskedText]] = {}

    @property
    def server(self) -> str:
        return self._model.server

    @property
    def texts_at_once(self) -> int:
        return self._model.texts_at_once

    def begin(self) -> bool:
        """Return True if the space is measured; else start that, so that no job waits."""
        task = self._begun()
        return task.done() and not task.cancelled() and task.exception() is None

    async def model_id(self) -> int:
        """Return a number of the model and format; a new one means new embeddings."""
        return self._id_of(await self._measured())

    def _id_of(self, space: "Space") -> int:
        return crc32(f"{_VERSION} {self._model.key} {space.dimensions}".encode()) - (1 << 31)

    async def kept(self, texts: Sequence[tuple[str, str]]) -> list[bytes]:
        """Return the stored form of texts with languages; empty for a refused text.

        At most `texts_at_once` texts.
        """
        space = await self._measured()
        embeddings = await self._each([text[:_MOST_KEPT] for text, _ in texts])
        self._insist_on({space.dimensions}, [each for each in embeddings if each is not None])
        return [
            b"" if each is None else space.stored(each, language)
            for each, (_, language) in zip(embeddings, texts, strict=True)
        ]

    async def _each(self, texts: Sequence[str]) -> list[Sequence[float] | None]:
        try:
            return [*await self._embed(texts, asked=False)]
        except TextRefused:
            if len(texts) == 1:
                return [None]
            half = len(texts) // 2
            return [*await self._each(texts[:half]), *await self._each(texts[half:])]

    async def asked(self, text: str, language: str) -> AskedText:
        """Return a query text; concurrent requests for the same text share one call."""
        key = (text[:_MOST_ASKED], language)
        task = self._asked.get(key)
        if task is None:
            if len(self._asked) >= self._model.asked_at_once:
                raise HeldBack(f"{self.server}: busy", 1.0, extends_deadline=False)
            task = self._asked[key] = asyncio.create_task(self._ask(*key))
            task.add_done_callback(partial(self._answered, key))
        return await asyncio.shield(task)

    def _answered(self, key: tuple[str, str], done: asyncio.Task[AskedText]) -> None:
        self._asked.pop(key, None)
        _heed(done)

    async def _ask(self, text: str, language: str) -> AskedText:
        space = await self._measured()
        embeddings = await self._embed([text], asked=True)
        self._insist_on({space.dimensions}, embeddings)
        return AskedText(self._id_of(space), space, embeddings[0], language)

    def _insist_on(self, dimensions: set[int], embeddings: Sequence[Sequence[float]]) -> None:
        if not {len(each) for each in embeddings} <= dimensions:
            # The endpoint's model has changed.
            self._space = None
            self.fail("its embeddings are not as long as they were")

    async def _measured(self) -> "Space":
        return await asyncio.shield(self._begun())

    def _begun(self) -> "asyncio.Task[Space]":
        if self._space is None or (self._space.done() and (self._space.cancelled() or self._space.exception())):
            self._space = asyncio.create_task(self._measure())
            self._space.add_done_callback(_heed)
        return self._space

    async def _measure(self) -> "Space":
        try:
            from retrieval.space import Space, parallel_texts  # noqa: PLC0415 -- see above
        except ImportError as missing:
            self.fail("NumPy can't be loaded: install the extra embeddings", missing)
        texts, sides = parallel_texts(), []
        all_of_them = [text for each in texts.values() for text in each]
        count = len(all_of_them) // len(texts)
        for asked in (False, True) if self._model.two_sided else (False,):
            found: list[Sequence[float]] = []
            for start in range(0, len(all_of_them), self._model.texts_at_once):
                try:
                    found += await self._embed(all_of_them[start : start + self._model.texts_at_once], asked=asked)
                except TextRefused as refused:
                    self.fail(refused.reason, refused)
            self._insist_on({len(found[0])}, found)
            sides.append({of: found[at * count : (at + 1) * count] for at, of in enumerate(texts)})
        try:
            return await asyncio.to_thread(Space, sides[-1], sides[0])
        except ValueError as unusable:
            self.fail(str(unusable), unusable)

    async def _embed(self, texts: Sequence[str], *, asked: bool) -> list[Sequence[float]]:
        # No breaker: searches go on by words, so no job is held back.
        left = self._rests_until - self._monotonic()
        if left > 0:
            raise HeldBack(f"{self.server} failed", left, extends_deadline=False)
        try:
            embeddings = await self._model.embed(texts, asked=asked)
        except TextRefused:
            raise
        except EmbeddingsUnavailable as failure:
            self.fail(failure.reason, failure)
        self._outage.over()
        return embeddings

    def fail(self, reason: str, failure: Exception | None = None) -> NoReturn:
        """Log a line, once a minute, and rest. Raises EmbeddingsUnavailable."""
        self._rests_until = self._monotonic() + _REST_SECONDS
        self._outage.seen(f"{self.server}: {reason}")
        raise EmbeddingsUnavailable(reason) from failure

    async def close(self) -> None:
        for task in (self._space, *self._asked.values()):
            if task is not None:
                task.cancel()
        await self._model.close()


def _heed(done: asyncio.Task[Any]) -> None:
    """Retrieve the exception, because there may be no waiter left to do it."""
    if not done.cancelled():
        done.exception()


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
