"""`make bench-retrieval ARGS="trackers folder=FOLDER"`: threshold and ranking as a desk grows.

The folder has a JSONL file for each desk, in the format of `sets/tickets/`; the family of a ticket without a duplicate
is empty. Public issue trackers with links between duplicates are such desks; their texts are not part of this project.
"""

import json
import random
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from dev.benchmarks.ours import MeasurementError
from dev.benchmarks.report import Benchmark, Goal, Report, table
from dev.benchmarks.retrieval.methods import CopiesInPostgres, Found, embed_query, peers
from dev.benchmarks.retrieval.sets import Incoming, Resolved, queries
from knowledge.search import no_embedding
from knowledge.terms import MIN

_MAX_QUERIES, _MAX_DUPLICATES = 100, 3
Recalls = Mapping[str, Mapping[str, float]]
"""Desk -> method -> recall@5."""

_METHODS = {"ours": no_embedding, "ours with embeddings": embed_query}
_PEERS = ("TF-IDF, subject times 3", "BM25, subject times 3", "embeddings", "hybrid")
_THRESHOLD = ("related finds removed", "foreign queries with nothing", "unrelated queries with nothing")


class _Desk(NamedTuple):
    """Tickets in the order of the desk's growth, and new ones: with duplicates, without, and of other desks."""

    tickets: Sequence[Resolved]
    related: Sequence[Incoming]
    unrelated: Sequence[Incoming]
    foreign: Sequence[Incoming]


def _read(file: Path) -> _Desk:
    families = defaultdict(list)
    for line in file.read_text("utf-8").splitlines():
        ticket = Resolved(**json.loads(line))
        if not ticket.resolution:
            raise MeasurementError(f"{file}: ticket {ticket.id} has no resolution, so no search finds it")
        families[ticket.family or ticket.id].append(ticket)
    groups = list(families.values())
    order = random.Random(0)  # noqa: S311 -- the same order in each run
    order.shuffle(groups)
    several = [group for group in groups if len(group) > 1]
    count = min(_MAX_QUERIES, len(several) // 2)
    related, unrelated = several[:count], several[count : 2 * count]
    others = [group for group in groups if len(group) == 1] + several[2 * count :]
    duplicates = [ticket for _, *group in related for ticket in group[:_MAX_DUPLICATES]]
    foreign = [query for query in queries() if query.language == "en" and query.family not in families]
    return _Desk(
        [*duplicates, *(ticket for group in others for ticket in group)],
        [_incoming(group[0]) for group in related],
        [_incoming(group[0]) for group in unrelated],
        order.sample(foreign, _MAX_QUERIES),
    )


def _incoming(ticket: Resolved) -> Incoming:
    return Incoming(ticket.id, ticket.family, "plain", ticket.language, ticket.subject, ticket.description)


def _report(folder: Path, options: Namespace) -> Report:
    thresholds, recalls = defaultdict(list), {}
    for file in sorted(Path(options.folder).glob("*.jsonl")):
        desk, copied = _read(file), 0
        with CopiesInPostgres(folder / file.stem, ()) as ours:
            for size in (size for size in options.sizes if size <= len(desk.tickets)):
                ours.add(desk.tickets[copied:size])
                copied = size
                ours.embed()
                there: Counter[str | None] = Counter(ticket.family for ticket in desk.tickets[:size])
                now = desk._replace(
                    tickets=desk.tickets[:size], related=[query for query in desk.related if there[query.family]]
                )
                found = {
                    name: ours.search_all([*now.related, *now.unrelated, *now.foreign], embed)
                    for name, embed in _METHODS.items()
                }
                thresholds[size].append([figure for finds in found.values() for figure in _threshold(now, finds)])
                if size == options.compared:
                    recalls[file.stem] = _recalls(now, there, found)
    if not thresholds:
        raise MeasurementError(f"no JSONL file with {min(options.sizes)} tickets in {options.folder}")
    means = {size: [fmean(values) for values in zip(*desks, strict=True)] for size, desks in thresholds.items()}
    lines = _lines(means, {size: len(desks) for size, desks in thresholds.items()}, recalls, options.compared)
    return Report(lines, {"thresholds": thresholds, "recalls": recalls}, _goals(means, recalls))


def _lines(
    means: Mapping[int, Sequence[float]], desks: Mapping[int, int], recalls: Recalls, compared: int
) -> list[str]:
    heads = [f"{figure}, {how}" for how in ("by words", "with embeddings") for figure in _THRESHOLD]
    rows = [[f"{size:,}", str(desks[size]), *map(_cell, figures)] for size, figures in means.items()]
    names = (*_METHODS, *_PEERS)
    ranked = [[desk, *(_cell(by_method[name]) for name in names)] for desk, by_method in recalls.items()]
    return [
        *table(["tickets", "desks", *heads], rows),
        "",
        *table([f"recall@5 of {compared:,} tickets", *names], ranked),
    ]


def _threshold(desk: _Desk, finds: Mapping[str, Found]) -> list[float]:
    family_of = {ticket.id: ticket.family for ticket in desk.tickets}
    removed = [
        find.strength < MIN
        for query in desk.related
        for find in finds[query.id].tickets[:3]
        if family_of[find.ticket_id] == query.family
    ]
    silent = [
        [not any(find.strength >= MIN for find in finds[query.id].tickets) for query in asked]
        for asked in (desk.foreign, desk.unrelated)
    ]
    return [fmean(values or [0.0]) for values in (removed, *silent)]


def _recalls(
    desk: _Desk, there: Mapping[str | None, int], found: Mapping[str, Mapping[str, Found]]
) -> dict[str, float]:
    """Return the share of the duplicates that are among the best five, by method."""
    family_of = {ticket.id: ticket.family for ticket in desk.tickets}
    rankings = {
        name: {query.id: [find.ticket_id for find in finds[query.id].tickets] for query in desk.related}
        for name, finds in found.items()
    } | dict(peers(desk.tickets, desk.related, unwrap=False))
    return {
        name: fmean(
            sum(family_of[ticket] == query.family for ticket in by_query[query.id][:5]) / min(5, there[query.family])
            for query in desk.related
        )
        for name, by_query in rankings.items()
    }


def _cell(figure: float) -> str:
    return f"{figure:.2f}"


def _goals(means: Mapping[int, Sequence[float]], recalls: Recalls) -> list[Goal]:
    removed = max(max(figures[0], figures[3]) for figures in means.values())
    silent = min(min(figures[1], figures[4]) for figures in means.values())
    behind = [max(by[peer] for peer in _PEERS[:-1]) - by["ours with embeddings"] for by in recalls.values()]
    means_of = {name: fmean(by[name] for by in recalls.values()) for name in ("ours with embeddings", "hybrid")}
    return [
        Goal("related finds removed, at the worst size", removed, most=0.1),
        Goal("foreign queries with nothing, at the worst size", silent, least=0.8),
        Goal("recall@5 of trackers behind the best single method, at the worst one", max(behind), most=0.03),
        Goal("recall@5 of trackers, to the hybrid", means_of["ours with embeddings"] / means_of["hybrid"], least=1.0),
    ]


BENCHMARK = Benchmark(
    "trackers",
    _report,
    {"folder": "trackers", "sizes": [100, 500, 2500, 10_000], "compared": 2500},
    {"sizes": [10], "compared": 10},
)
