"""The space that the embeddings of one model are in, and how near two texts are to each other in it.

What a model says of a text is half its language: a German ticket looks more like any other German one than like the
same trouble in English. Sentences that say the same in seven languages (`parallel.jsonl`, written for this) tell what
is of the language alone, and how near two texts are that have nothing in common; both are taken off. On the set in
benchmarks/retrieval that doubles what is found across languages (docs/adr/0028).
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
# What tells texts apart has .05 and more; what is all alike has none.
_LEAST_SPREAD = 0.01
_MOST_NEARNESS = 20.0
# At once: as numbers of 32 bits they are four times as large.
_ROWS = 1000

Vector = NDArray[np.float32]


@cache
def parallel_texts() -> Mapping[str, Sequence[str]]:
    """Return by language the texts that say the same in each, in one order."""
    rows: list[dict[str, str]] = [json.loads(line) for line in _FILE.read_text("utf-8").splitlines()]
    return {language: [row[language] for row in rows] for language in rows[0]}


class Space:
    """Made of the embeddings of `parallel_texts`, those as texts that ask and those as texts that are found.

    Some models take the two apart; for others they are the same. Raises ValueError where they tell no text from
    another.
    """

    def __init__(self, asked: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        self._asked, self._found = _centres(asked), _centres(found)
        self.dimensions = len(next(iter(self._found.values())))
        self._spread = self._measured(asked, found)
        if not self._spread >= _LEAST_SPREAD:
            raise ValueError("its embeddings tell no text from another")

    def _measured(self, asked: Mapping[str, Any], found: Mapping[str, Any]) -> float:
        """Return the standard deviation of cosines of texts that do not say the same."""
        asking = np.stack([[self._unit(each, self._asked, of) for each in asked[of]] for of in asked])
        finding = np.stack([[self._unit(each, self._found, of) for each in found[of]] for of in found])
        cosines = np.einsum("lnd,kmd->lknm", asking, finding)
        others = ~np.eye(cosines.shape[-1], dtype=bool)
        return float(cosines[..., others].std())

    def stored(self, embedding: Any, language: str) -> bytes:
        """Return the embedding of a text that is to be found, as it is kept: a byte for each dimension."""
        unit = self._unit(embedding, self._found, language)
        return bytes(np.rint(unit * (_LARGEST / max(float(np.abs(unit).max()), 1e-9))).astype(np.int8).tobytes())

    def asked(self, embedding: Any, language: str) -> Vector:
        """Return the direction of a text that asks."""
        return self._unit(embedding, self._asked, language)

    def nearness(self, asked: Vector, stored: bytes) -> list[float]:
        """Return how near a text that asks is to each of those that are kept behind one another.

        It is the cosine, in standard deviations of texts that have nothing in common: about 0 for those, and the same
        with each model.
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
        # Of a language that there are no sentences of, what is common to all of them goes.
        away: Vector = np.asarray(embedding, np.float32) - centres.get(language, centres[""])
        return away / np.float32(max(float(np.linalg.norm(away)), 1e-9))


def _centres(embeddings: Mapping[str, Any]) -> dict[str, Vector]:
    """Return the mean by language, and that of all of them as ""."""
    centres = {language: np.mean(np.asarray(each, np.float32), axis=0) for language, each in embeddings.items()}
    return centres | {"": np.mean(list(centres.values()), axis=0)}
