"""`python -m benchmarks.retrieval.fit`: the constants of `retrieval/strength.py`.

Fitted on the tuning half. Each find of a query is a point: its scores, and whether it is of the family; among all
earlier tickets, and among samples as on a new desk. First by words alone, then with those constants by both methods.
"""

import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from benchmarks.retrieval.methods import TENANT, CopiesInPostgres, embedded, said
from benchmarks.retrieval.sets import Incoming, Resolved, queries, tickets
from retrieval.language import languages_of
from retrieval.strength import logit_of_words, strength
from retrieval.terms import asked_terms
from storage.search import FOUND, NEWEST
from storage.session import Database

# Number of earlier tickets, and of samples: small samples carry less information each.
_SIZES = {475: 1, 200: 2, 60: 4, 15: 8}
_STEPS = 30
_LEAST = (0.25, 0.3, 0.35, 0.4, 0.45)
_MOST_BY_WORDS, _MOST_BY_BOTH = 3, 20
_NAMES = text("SELECT ticket_id, search_id FROM tickets")


class Point(NamedTuple):
    """One find: logarithms of its score and the query's, or both methods' strengths."""

    features: Sequence[float]
    is_right: bool
    weight: float
    """It makes each number of earlier tickets count the same."""


Points = tuple[list[Point], list[Point]]
"""Those by words, and those by both."""


async def _finds(url: str, earlier: Sequence[Resolved], asked: Sequence[Incoming], weight: float) -> Points:
    families = {one.id: one.family for one in earlier}
    database, embedder = Database(url, application_name="benchmark"), embedded()
    by_words: list[Point] = []
    by_both: list[Point] = []
    try:
        (names,) = await database.call_as(TENANT, _NAMES)
        family_of = {row["search_id"]: families[row["ticket_id"]] for row in names}
        for one in asked:
            about = (one.subject, said(one.description))
            languages = languages_of(" ".join(about))
            near = await embedder.asked("\n".join(about), languages[0])
            terms = asked_terms(*about, languages)._asdict() | {"collection": "t", "budget": 20_000, "through": 100}
            rows, kept = await database.call_as(TENANT, FOUND, NEWEST, **terms, model=near.model, compared=5000)
            found = {row["document"]: (row["score"], row["asked"]) for row in rows}
            ranked = sorted(found, key=lambda document: -found[document][0])
            for document in ranked[:_MOST_BY_WORDS]:
                right = family_of[document] == one.family
                by_words.append(Point([*np.log(found[document]), 1.0], right, weight))
            nearness = near.nearness(b"".join(row["embedding"] for row in kept))
            pairs = zip(nearness, kept, strict=True)
            nearest = sorted(((each, row["document"], row["language"]) for each, row in pairs), reverse=True)
            either = {*ranked[:_MOST_BY_BOTH], *(document for _, document, _ in nearest[:_MOST_BY_BOTH])}
            for nearby, document, language in nearest:
                if document in either:
                    words = logit_of_words(strength(*found.get(document, (0.0, 0.0))))
                    features = [words, words * (language == near.language), nearby, 1.0]
                    by_both.append(Point(features, family_of[document] == one.family, weight))
    finally:
        await database.close()
    return by_words, by_both


def measured(folder: Path) -> Points:
    """Return the finds of the tuning queries, for each number of earlier tickets."""
    by_words: list[Point] = []
    by_both: list[Point] = []
    chance = random.Random(1)  # noqa: S311 -- the same ones each time
    asked = [one for one in queries() if one.is_for_tuning]
    for size, times in _SIZES.items():
        for number in range(times):
            earlier = chance.sample(tickets(), size)
            copies = CopiesInPostgres(folder / f"{size}-{number}", earlier)
            try:
                copies.embed()
                words, both = asyncio.run(_finds(copies.url, earlier, asked, 1 / times))
            finally:
                copies.close()
            by_words += words
            by_both += both
    return by_words, by_both


def fitted(points: Sequence[Point]) -> NDArray[np.float64]:
    """Return the constants of the logistic regression, by Newton's method."""
    features = np.array([point.features for point in points])
    rights = np.array([point.is_right for point in points], float)
    weights = np.array([point.weight for point in points])
    constants = np.zeros(features.shape[1])
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-features @ constants))
        slope = features.T @ (weights * (rights - likely))
        bend = (features.T * (weights * likely * (1 - likely))) @ features + 1e-6 * np.eye(len(constants))
        constants += np.linalg.solve(bend, slope)
    return constants


def _told(points: Sequence[Point], constants: Any) -> list[str]:
    among_all = [point for point in points if point.weight == 1]
    strengths = 1 / (1 + np.exp(-np.array([point.features for point in among_all]) @ constants))
    rights = np.array([point.is_right for point in among_all])
    lines = [", ".join(f"{constant:.3f}" for constant in constants)]
    for least in _LEAST:
        shown = strengths >= least
        right, kept = rights[shown].mean(), rights[shown].sum() / rights.sum()
        lines.append(f"  least {least}: {right:.2f} of what is shown is right, {kept:.2f} kept")
    return lines


def main() -> None:
    """Print the constants, and the finds shown at each least strength among all tickets."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)  # the postgres user must reach it
        by_words, by_both = measured(Path(folder))
    lines = ["by words:", *_told(by_words, fitted(by_words)), "by both:", *_told(by_both, fitted(by_both))]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
