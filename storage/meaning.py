"""What the embeddings of copies add to a search: texts that say the same in other words, or in another language.

The embeddings of a collection of 5,000 copies at most are compared one by one, which takes milliseconds. Of a larger
one an index of pgvector gives the nearest, where there is one (`storage.vector_index`), else the newest 5,000 are
compared; and those that have words in common. No embedding is kept in the process: each search reads them under
row-level security, as all else.
"""

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from sqlalchemy import TextClause, text

from privacy.redaction.people import Person
from retrieval.strength import strength, strength_by_both
from storage.session import Database
from storage.vector_index import BY_INDEX, SCAN_WELL, distance, name_of

COMPARED = 5000
_LOOK_SECONDS = 60.0
# Of the others none comes first: words can't help one that has none in common.
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
    """Return all of a small collection, or the nearest of a large one, by the index of a model."""
    # As a number: the index is of this model alone, which has to be seen when it is planned.
    return text(f"""
        ({_KEPT} AND NOT {_LARGE} AND e.model = :model LIMIT :compared) UNION ALL
        ({_KEPT} AND {_LARGE} AND e.model = {model} ORDER BY {distance(dimensions)} LIMIT :through)
    """).execution_options(binary=True)


class AskedEmbedding(Protocol):
    """The embedding of a text that others are sought for."""

    model: int
    language: str

    @property
    def vector(self) -> Sequence[float]:
        """Its direction, as a number a dimension."""
        ...

    def nearness(self, kept: bytes) -> Sequence[float]:
        """Return how near it is to each text of which the embeddings are behind one another."""
        ...


Ask = Callable[[str, str, str, Sequence[Person]], Awaitable[AskedEmbedding | None]]
"""Gives the embedding of a tenant's text in a language, which is of these people.

None for a tenant that has none, or while none can be had.
"""


class Weighed(NamedTuple):
    """Copies, with how strong each is as a find; best first."""

    documents: list[int]
    strengths: list[float]


async def ask_for_none(_tenant_id: str, _text: str, _language: str, _people: Sequence[Person]) -> None:
    """Give no embedding, for any tenant."""


class Meaning:
    """Weighs copies by words and embeddings; `compared` at most of a collection one by one."""

    def __init__(self, database: Database, *, compared: int = COMPARED) -> None:
        self._database = database
        self._compared = compared
        self._indexed: dict[int, tuple[bool, float]] = {}

    async def weigh(self, tenant_id: str, asked: AskedEmbedding, words: Mapping[str, Any]) -> Weighed:
        """Return the best copies, for `words` as `find_texts` takes them. Raises one of DATABASE_FAILURES."""
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
        # One that was refused is empty.
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
        """Return True if there is an index of this model's embeddings; looked at once a minute."""
        found, until = self._indexed.get(model, (False, 0.0))
        if time.monotonic() >= until:
            found = bool(await self._database.call_for_one(BY_INDEX, name=name_of(model)))
            self._indexed[model] = found, time.monotonic() + _LOOK_SECONDS
        return found
