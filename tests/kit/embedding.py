"""A fake embedding model with meanings and languages set by the test."""

import time
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from knowledge.embedding_space import parallel_texts
from knowledge.embeddings import Embedder, EmbeddingsUnavailableError, TextRefusedError

DIMENSIONS = 64
# As in real models, the language weighs more than the meaning.
_OF_LANGUAGE = 3.0


class MeaningModel:
    """Maps a word of the text to its meaning by `meanings`.

    Other texts are their own meaning.
    """

    key = server = "meanings"
    separate_queries = False
    batch_size = 16
    max_queries = 8

    def __init__(self, **meanings: str) -> None:
        self.meanings = meanings
        self.texts: list[str] = []
        """Received texts, without the sentences that measure the space."""
        self.fails = False
        self.refuses = ""
        """A refused word."""
        self.dimensions = DIMENSIONS
        self.fixed_answer: list[float] = []
        self._rows = {text: (of, number) for of, texts in parallel_texts().items() for number, text in enumerate(texts)}

    async def embed(self, texts: Sequence[str], *, is_query: bool) -> list[Sequence[float]]:  # noqa: ARG002 -- one side
        if self.fails:
            raise EmbeddingsUnavailableError("503")
        if self.refuses and any(self.refuses in text for text in texts):
            raise TextRefusedError("400 Bad Request")
        self.texts += [text for text in texts if text not in self._rows]
        return [self.fixed_answer or self._embedded(text)[: self.dimensions] for text in texts]

    async def close(self) -> None:
        """Nothing is open."""

    def _embedded(self, text: str) -> Sequence[float]:
        language, about = self._rows.get(text, ("", text))
        if not language:
            language = "de" if " der " in text or " ist " in text else "en"
            about = next((meaning for word, meaning in self.meanings.items() if word in text), text)
        vector: list[float] = (_direction(about) + _OF_LANGUAGE * _direction(f"in {language}")).tolist()
        return vector


def _direction(about: object) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    chance = np.random.default_rng(zlib.crc32(str(about).encode()))
    direction = chance.normal(size=DIMENSIONS)
    return direction / np.linalg.norm(direction)


class OneEmbedder:
    """The same embedder for these tenants, none for others, as in production."""

    def __init__(self, model: MeaningModel, *tenant_ids: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.embedder = Embedder(model, monotonic=monotonic)
        self.tenant_ids = set(tenant_ids)

    def of(self, tenant_id: str) -> Embedder | None:
        return self.embedder if tenant_id in self.tenant_ids else None
