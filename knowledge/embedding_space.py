"""The embedding space of one model, and the nearness of two texts in it.

Half of an embedding is its language: a German ticket is nearer to any other German ticket than to the same problem in
English. Equivalent sentences in seven languages (`parallel.jsonl`, written for this) give each language's mean and the
nearness of unrelated texts; both are subtracted. On the set in dev/benchmarks/retrieval that doubles the finds across
languages (docs/adr/0026).
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FILE = Path(__file__).with_name("parallel.jsonl")
_LARGEST = 127
# Models that discriminate have .05 and more; constant embeddings have 0.
_MIN_SPREAD = 0.01
_MAX_NEARNESS = 20.0
# Rows per step: as 32-bit numbers they are four times as large.
_ROWS = 1000

Vector = NDArray[np.float32]


@cache
def parallel_texts() -> Mapping[str, Sequence[str]]:
    """Return equivalent texts by language, in the same order."""
    rows: list[dict[str, str]] = [json.loads(line) for line in _FILE.read_text("utf-8").splitlines()]
    return {language: [row[language] for row in rows] for language in rows[0]}


class EmbeddingSpace:
    """A space measured by the embeddings of `parallel_texts`.

    They are embedded as queries and as documents; some models separate the two. Raises ValueError if the embeddings do
    not discriminate texts.
    """

    def __init__(self, queries: Mapping[str, Any], documents: Mapping[str, Any]) -> None:
        self._queries, self._documents = _centres(queries), _centres(documents)
        self.dimensions = len(next(iter(self._documents.values())))
        self._spread = self._measure_spread(queries, documents)
        if not self._spread >= _MIN_SPREAD:
            raise ValueError("its embeddings do not distinguish texts")

    def _measure_spread(self, queries: Mapping[str, Any], documents: Mapping[str, Any]) -> float:
        query_units = np.stack([[self._unit(each, self._queries, of) for each in queries[of]] for of in queries])
        document_units = np.stack(
            [[self._unit(each, self._documents, of) for each in documents[of]] for of in documents]
        )
        cosines = np.einsum("lnd,kmd->lknm", query_units, document_units)
        unrelated = ~np.eye(cosines.shape[-1], dtype=bool)
        return float(cosines[..., unrelated].std())

    def document_bytes(self, embedding: Any, language: str) -> bytes:
        """Return the stored form of a document's embedding: a byte for each dimension."""
        unit = self._unit(embedding, self._documents, language)
        return bytes(np.rint(unit * (_LARGEST / max(float(np.abs(unit).max()), 1e-9))).astype(np.int8).tobytes())

    def query_vector(self, embedding: Any, language: str) -> Vector:
        return self._unit(embedding, self._queries, language)

    def nearness(self, query: Vector, documents: bytes) -> list[float]:
        """Return the nearness of a query to each of the concatenated documents.

        It is the cosine, in standard deviations of unrelated texts: about 0 for those, and comparable between models.
        """
        rows = np.frombuffer(documents, np.int8).reshape(-1, self.dimensions)
        parts = [self._near(query, rows[at : at + _ROWS].astype(np.float32)) for at in range(0, len(rows), _ROWS)]
        return [float(each) for each in np.concatenate([*parts, np.zeros(0)])]

    def _near(self, query: Vector, rows: Vector) -> Vector:
        norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))
        near: Vector = rows @ query / np.maximum(norms, 1e-9) / self._spread
        return np.clip(np.nan_to_num(near), -_MAX_NEARNESS, _MAX_NEARNESS)

    @staticmethod
    def _unit(embedding: Any, centres: Mapping[str, Vector], language: str) -> Vector:
        # A language without sentences uses the mean of all languages.
        away: Vector = np.asarray(embedding, np.float32) - centres.get(language, centres[""])
        return away / np.float32(max(float(np.linalg.norm(away)), 1e-9))


def _centres(embeddings: Mapping[str, Any]) -> dict[str, Vector]:
    centres = {language: np.mean(np.asarray(each, np.float32), axis=0) for language, each in embeddings.items()}
    return centres | {"": np.mean(list(centres.values()), axis=0)}
