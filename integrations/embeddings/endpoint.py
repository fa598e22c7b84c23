"""Embeddings of an OpenAI-compatible endpoint, which receives ticket texts.

API: https://developers.openai.com/api/reference/resources/embeddings/methods/create.
"""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx2
import openai

from integrations.embeddings.failures import EmbeddingsUnavailable, TextRefused
from integrations.errors import OutsideFailure, Permanent
from integrations.http import AnswerTooLarge
from integrations.model.failures import classed
from integrations.model.opening import open_openai
from integrations.outward import Outward

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
