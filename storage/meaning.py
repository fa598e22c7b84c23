"""Search by embeddings: similar texts in other words or languages.

Up to 5,000 embeddings of a collection are compared one by one, in milliseconds. A larger collection uses pgvector's
index if there is one (`storage.vector_index`), else its newest 5,000 and those with common words. No embedding is
cached in the process: each search reads them under row-level security.
"""

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from sqlalchemy import TextClause, text

from privacy.redaction.people import Person
from retrieval.terms import strength, strength_by_both
from storage.session import Database
from storage.vector_index import BY_INDEX, SCAN_WELL, distance, name_of

COMPARED = 5000
_LOOK_SECONDS = 60.0
# Words cannot help one without common words, so none of the others comes first.
_NEAREST = 2
_ASKED = "CAST(:terms AS integer[]), CAST(:weights AS real[]), CAST(:words AS integer[])"
FIND_TEXTS = f"find_texts(:collection, {_ASKED}, :budget, :through)"
FOUND = text(f"SELECT document, score, asked FROM {FIND_TEXTS}")  # noqa: S608 -- a constant
_KEPT = "SELECT e.document, e.language, e.embedding FROM embeddings e WHERE e.collection = :collection"
NEWEST = text(f"{_KEPT} AND e.model = :model ORDER BY e.document DESC LIMIT :compared").execution_options(binary=True)
_THESE = text(f"{_KEPT} AND e.model = :model AND e.document = ANY (CAST(:documents AS bigint[]))")
_LARGE = "EXISTS (SELECT FROM collection_sizes s WHERE s.collection = :collection AND s.documents > :compared)"


@lru_cache
def _nearest(model: int, dimensions: int) -> TextClause:
    # A literal: the partial index of this model must be visible to the planner.
    return text(f"""
        ({_KEPT} AND NOT {_LARGE} AND e.model = :model LIMIT :compared) UNION ALL
        ({_KEPT} AND {_LARGE} AND e.model = {model} ORDER BY {distance(dimensions)} LIMIT :through)
    """).execution_options(binary=True)


class AskedEmbedding(Protocol):
    """The embedding of a search text."""

    model: int
    language: str

    @property
    def vector(self) -> Sequence[float]:
        """Its direction, a number a dimension."""
        ...

    def nearness(self, kept: bytes) -> Sequence[float]:
        """Return the nearness to each of the concatenated embeddings."""
        ...


Ask = Callable[[str, str, str, Sequence[Person]], Awaitable[AskedEmbedding | None]]
"""Gives the embedding of a tenant's text in a language, which is of these people.

None for a tenant that has none, or while none can be had.
"""


class Weighed(NamedTuple):
    """Copies with their strengths, best first."""

    documents: list[int]
    strengths: list[float]


async def ask_for_none(_tenant_id: str, _text: str, _language: str, _people: Sequence[Person]) -> None:
    """Return no embedding, for any tenant."""


class Meaning:
    """Ranks copies by words and embeddings; compares at most `compared` one by one."""

    def __init__(self, database: Database, *, compared: int = COMPARED) -> None:
        self._database = database
        self._compared = compared
        self._indexed: dict[int, tuple[bool, float]] = {}

    async def weigh(self, tenant_id: str, asked: AskedEmbedding, words: Mapping[str, Any]) -> Weighed:
        """Return the best copies. Raises one of DATABASE_FAILURES.

        `words`: the parameters of `find_texts`.
        """
        values = {**words, "model": asked.model, "compared": self._compared}
        questions = [FOUND, NEWEST]
        if await self._is_indexed(asked.model):
            questions = [FOUND, SCAN_WELL, _nearest(asked.model, len(asked.vector))]
            values["vector"] = str(list(asked.vector))
        found, *_, compared = await self._database.call_as(tenant_id, *questions, **values)
        weighed = {row["document"]: strength(row["score"], row["asked"]) for row in found}
        missing = list(weighed.keys() - {row["document"] for row in compared})
        if missing:
            (others,) = await self._database.call_as(tenant_id, _THESE, **values, documents=missing)
            compared = [*compared, *others]
        # Embeddings of refused texts are empty.
        compared = [row for row in compared if row["embedding"]]
        nearness = await asyncio.to_thread(asked.nearness, b"".join(row["embedding"] for row in compared))
        nearest = heapq.nlargest(_NEAREST * words["through"], zip(nearness, range(len(compared)), strict=True))
        by_words = [(near, at) for at, near in enumerate(nearness) if compared[at]["document"] in weighed]
        for near, at in {*nearest, *by_words}:
            document, same = compared[at]["document"], compared[at]["language"] == asked.language
            weighed[document] = strength_by_both(weighed.get(document, 0.0), near, one_language=same)
        best = heapq.nsmallest(words["through"], weighed, key=lambda document: (-weighed[document], -document))
        return Weighed(best, [weighed[document] for document in best])

    async def _is_indexed(self, model: int) -> bool:
        found, until = self._indexed.get(model, (False, 0.0))
        if time.monotonic() >= until:
            found = bool(await self._database.call_for_one(BY_INDEX, name=name_of(model)))
            self._indexed[model] = found, time.monotonic() + _LOOK_SECONDS
        return found
