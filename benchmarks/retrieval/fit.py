"""`python -m benchmarks.retrieval.fit`: the constants of `retrieval/strength.py`, from the half of the set for tuning.

Each find of a query is a point: its score, what was asked for, and whether it is of the family; among all earlier
tickets, and among some of them, as a desk has them that is new.
"""

import asyncio
import math
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text

from benchmarks.retrieval.methods import TENANT, CopiesInPostgres, said
from benchmarks.retrieval.sets import Incoming, Resolved, queries, tickets
from retrieval.language import languages_of
from retrieval.terms import asked_terms
from storage.session import Database

# How many earlier tickets, and how often so many are drawn: few tell less, each time.
_SIZES = {475: 1, 200: 2, 60: 4, 15: 8}
_STEPS = 30
_LEAST = (0.25, 0.3, 0.35, 0.4, 0.45)
_FINDS = text(
    "SELECT t.ticket_id, f.score, f.asked FROM find_texts('t', CAST(:terms AS integer[]), CAST(:weights AS real[]),"
    " CAST(:words AS integer[]), 20000, 3) f JOIN tickets t ON t.search_id = f.document"
)


class Point(NamedTuple):
    """One find; `weight` makes each size count the same."""

    score: float
    asked: float
    is_right: bool
    weight: float

    def logit(self, constants: Sequence[float]) -> float:
        """Return the logit of its strength."""
        by_score, by_asked, shift = constants
        return by_score * math.log(self.score) + by_asked * math.log(self.asked) + shift


async def _finds(url: str, earlier: Sequence[Resolved], asked: Sequence[Incoming], weight: float) -> list[Point]:
    families = {one.id: one.family for one in earlier}
    database, points = Database(url, application_name="benchmark"), []
    for one in asked:
        about = (one.subject, said(one.description))
        terms = asked_terms(*about, languages_of(" ".join(about)))
        (rows,) = await database.call_as(TENANT, _FINDS, **terms._asdict())
        points += [
            Point(
                row["score"],
                row["asked"],
                families[row["ticket_id"]] == one.family,
                weight,
            )
            for row in rows
        ]
    await database.close()
    return points


def measured(folder: Path) -> list[Point]:
    """Return the finds of the queries for tuning, among each number of earlier tickets."""
    points = []
    chance = random.Random(1)  # noqa: S311 -- the same ones each time
    asked = [one for one in queries() if one.is_for_tuning]
    for size, times in _SIZES.items():
        for number in range(times):
            earlier = chance.sample(tickets(), size)
            copies = CopiesInPostgres(folder / f"{size}-{number}", earlier)
            try:
                points += asyncio.run(_finds(copies.url, earlier, asked, 1 / times))
            finally:
                copies.close()
    return points


def fitted(points: Sequence[Point]) -> list[float]:
    """Return the constants of the logistic regression, by Newton's method."""
    constants = [1.0, -1.0, 0.0]
    for _ in range(_STEPS):
        slope, bend = [0.0] * 3, [[1e-6 * (row == column) for column in range(3)] for row in range(3)]
        for point in points:
            features = (math.log(point.score), math.log(point.asked), 1.0)
            likely = 1 / (1 + math.exp(-point.logit(constants)))
            for row in range(3):
                slope[row] += point.weight * (point.is_right - likely) * features[row]
                for column in range(3):
                    bend[row][column] += point.weight * likely * (1 - likely) * features[row] * features[column]
        constants = [constant + step for constant, step in zip(constants, _solved(bend, slope), strict=True)]
    return constants


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Return the solution of three equations, by Cramer's rule."""
    whole = _determinant(matrix)
    return [
        _determinant([[right[row] if at == column else matrix[row][at] for at in range(3)] for row in range(3)]) / whole
        for column in range(3)
    ]


def _determinant(m: list[list[float]]) -> float:
    return sum(
        m[0][at] * (m[1][(at + 1) % 3] * m[2][(at + 2) % 3] - m[1][(at + 2) % 3] * m[2][(at + 1) % 3])
        for at in range(3)
    )


def main() -> None:
    """Print the constants, and what each least strength would show among all earlier tickets."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)  # Postgres has a user of its own
        points = measured(Path(folder))
    constants = fitted(points)
    lines = [f"strength: {', '.join(f'{constant:.2f}' for constant in constants)}"]
    among_all = [point for point in points if point.weight == 1]
    for least in _LEAST:
        shown = [point for point in among_all if 1 / (1 + math.exp(-point.logit(constants))) >= least]
        right = [point for point in among_all if point.is_right]
        rights = sum(point.is_right for point in shown)
        lines.append(
            f"least {least}: {rights / len(shown):.2f} of what is shown is right, {rights / len(right):.2f} kept"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
