"""The embedding space of one model, and the nearness of two texts in it.

Half of an embedding is its language: a German ticket is nearer to any other German one than to the same trouble in
English. Equivalent sentences in seven languages (`parallel.jsonl`, written for this) give each language's mean and the
nearness of unrelated texts; both are subtracted. On the set in benchmarks/retrieval that doubles the finds across
languages (docs/adr/0028).
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
_LEAST_SPREAD = 0.01
_MOST_NEARNESS = 20.0
# Rows per step: as 32-bit numbers they are four times as large.
_ROWS = 1000

Vector = NDArray[np.float32]


@cache
def parallel_texts() -> Mapping[str, Sequence[str]]:
    """Return equivalent texts by language, in the same order."""
    rows: list[dict[str, str]] = [json.loads(line) for line in _FILE.read_text("utf-8").splitlines()]
    return {language: [row[language] for row in rows] for language in rows[0]}


class Space:
    """Made of the embeddings of `parallel_texts`, as queries and as documents.

    Some models separate the two; for others they are equal. Raises ValueError if they discriminate no texts.
    """

    def __init__(self, asked: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        self._asked, self._found = _centres(asked), _centres(found)
        self.dimensions = len(next(iter(self._found.values())))
        self._spread = self._measured(asked, found)
        if not self._spread >= _LEAST_SPREAD:
            raise ValueError("its embeddings tell no text from another")

    def _measured(self, asked: Mapping[str, Any], found: Mapping[str, Any]) -> float:
        asking = np.stack([[self._unit(each, self._asked, of) for each in asked[of]] for of in asked])
        finding = np.stack([[self._unit(each, self._found, of) for each in found[of]] for of in found])
        cosines = np.einsum("lnd,kmd->lknm", asking, finding)
        others = ~np.eye(cosines.shape[-1], dtype=bool)
        return float(cosines[..., others].std())

    def stored(self, embedding: Any, language: str) -> bytes:
        """Return the stored form of a document's embedding: a byte for each dimension."""
        unit = self._unit(embedding, self._found, language)
        return bytes(np.rint(unit * (_LARGEST / max(float(np.abs(unit).max()), 1e-9))).astype(np.int8).tobytes())

    def asked(self, embedding: Any, language: str) -> Vector:
        return self._unit(embedding, self._asked, language)

    def nearness(self, asked: Vector, stored: bytes) -> list[float]:
        """Return the nearness of a query to each of the concatenated stored texts.

        It is the cosine, in standard deviations of unrelated texts: about 0 for those, and comparable between models.
        """
        rows = np.frombuffer(stored, np.int8).reshape(-1, self.dimensions)
        found = [self._near(asked, rows[at : at + _ROWS].astype(np.float32)) for at in range(0, len(rows), _ROWS)]
        return [float(each) for each in np.concatenate([*found, np.zeros(0)])]

    def _near(self, asked: Vector, rows: Vector) -> Vector:
        norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))
        near: Vector = rows @ asked / np.maximum(norms, 1e-9) / self._spread
        return np.clip(np.nan_to_num(near), -_MOST_NEARNESS, _MOST_NEARNESS)

    @staticmethod
    def _unit(embedding: Any, centres: Mapping[str, Vector], language: str) -> Vector:
        # A language without sentences uses the mean of all languages.
        away: Vector = np.asarray(embedding, np.float32) - centres.get(language, centres[""])
        return away / np.float32(max(float(np.linalg.norm(away)), 1e-9))


def _centres(embeddings: Mapping[str, Any]) -> dict[str, Vector]:
    centres = {language: np.mean(np.asarray(each, np.float32), axis=0) for language, each in embeddings.items()}
    return centres | {"": np.mean(list(centres.values()), axis=0)}
