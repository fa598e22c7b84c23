"""`make bench-retrieval`: retrieval quality by kind of query and language."""

import math
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from dev.benchmarks.report import Benchmark, Goal, Report, table
from dev.benchmarks.retrieval.methods import MAX, CopiesInPostgres, Found, peers
from dev.benchmarks.retrieval.sets import Article, Incoming, Resolved, articles, queries, tickets
from dev.benchmarks.retrieval.times import Times, multiply, timed
from knowledge.terms import MIN

Rankings = Mapping[str, Sequence[str]]
"""Query id -> families of the found tickets, best first."""

KINDS = ("plain", "short", "noisy", "log", "foreign")
_OURS, _BOTH, _NAIVE = "ours", "ours with embeddings", "Postgres' full text, any word"
# Rows of the tables; the figures for JSON have every method.
_SHOWN = (_OURS, _BOTH, _NAIVE, *(f"{name}, without wrapping" for name in ("TF-IDF", "BM25", "embeddings")))
_BANDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_LANGUAGES = ("en", "de", "fr", "es")
_BEHIND = 0.03
# The goal's rivals: subjects weighted as ours, on raw or unwrapped texts, whichever is better.
_RIVALS = ("TF-IDF, subject times 3", "BM25, subject times 3")


def recall(query: Incoming, found: Sequence[str], most: int) -> float:
    """Return the family's share of the best `most`; each family has more members."""
    return sum(family == query.family for family in found[:most]) / most


def hit(query: Incoming, found: Sequence[str], most: int) -> float:
    return float(query.family in found[:most])


def ndcg(query: Incoming, found: Sequence[str], most: int) -> float:
    """Return the discounted gain of the best `most`, relative to the family alone."""
    gains = [1 / math.log2(place + 2) for place in range(most)]
    return sum(gain for gain, family in zip(gains, found, strict=False) if family == query.family) / sum(gains)


def mean(
    queries: Sequence[Incoming],
    rankings: Rankings,
    of: Callable[[Incoming, Sequence[str], int], float],
    most: int,
) -> float:
    """Return the mean over the queries that have a right answer; 0 if none has."""
    values = [of(query, rankings.get(query.id, ()), most) for query in queries if query.family is not None]
    return fmean(values) if values else 0.0


def _report(folder: Path, given: Namespace) -> Report:
    earlier, incoming, texts = _of_families(given.families)
    families = {one.id: one.family for one in earlier}
    with CopiesInPostgres(folder / "quality", earlier, texts) as ours:
        found, naive = ours.found(incoming, most=MAX, least=0.0), ours.by_full_text(incoming)
        ours.embed()
        near = ours.found(incoming, most=MAX, least=0.0)
        multiply(ours, given.tickets, given.others)
        size = f"{given.tickets:,} tickets of the tenant, {given.tickets + given.others:,} in all"
        times = {f"both searches, {size}": timed(ours, 1), "the same, 8 at once": timed(ours, 8)}
    ranked: dict[str, Mapping[str, Sequence[str]]] = {
        _OURS: {name: [find.ticket_id for find in finds.tickets] for name, finds in found.items()},
        _BOTH: {name: [find.ticket_id for find in finds.tickets] for name, finds in near.items()},
        _NAIVE: naive,
    }
    ranked |= peers(earlier, incoming, unwrap=False)
    ranked |= {f"{name}, without wrapping": ids for name, ids in peers(earlier, incoming, unwrap=True).items()}
    by_family: dict[str, Rankings] = {
        method: {name: [families[ticket] for ticket in ids] for name, ids in of.items()}
        for method, of in ranked.items()
    }
    wanted = [one for one in incoming if one.family is not None]
    shown = {method: by_family[method] for method in _SHOWN}
    lines = [
        f"{len(wanted)} new tickets of {len({one.family for one in wanted})} families, none used for tuning; "
        f"{len(earlier)} earlier tickets of {len(set(families.values()))} families.",
        "",
        *_quality(shown, wanted),
        "",
        *_by(shown, wanted, "language", _LANGUAGES),
        "",
        "By words:",
        "",
        *_strengths(found, families, incoming),
        "",
        *_documents(found, incoming),
        "",
        "With embeddings:",
        "",
        *_strengths(near, families, incoming),
        "",
        *_documents(near, incoming),
        "",
        *_times(times),
    ]
    figures = {
        name: {kind: mean(some, of, recall, 5) for kind, some in _kinds(wanted)} for name, of in by_family.items()
    }
    return Report(lines, figures, [*_goals(by_family, wanted), *_time_goals(times)])


def _of_families(most: int) -> tuple[list[Resolved], list[Incoming], list[Article]]:
    """Return the set without its tuning half, or its best documented families."""
    incoming = [one for one in queries() if not one.is_for_tuning]
    helped = Counter(family for article in articles() for family in article.families)
    names = sorted({one.family for one in incoming if one.family}, key=lambda name: (-helped[name], name))[:most]
    if len(names) < most:
        return tickets(), incoming, articles()
    alone = [one for one in incoming if one.family is None][:2]
    return (
        [one for one in tickets() if one.family in names],
        [one for one in incoming if one.family in names] + alone,
        [article for article in articles() if {*article.families} & {*names}],
    )


def _kinds(incoming: Sequence[Incoming]) -> list[tuple[str, list[Incoming]]]:
    return [("all", list(incoming)), *((kind, [one for one in incoming if one.kind == kind]) for kind in KINDS)]


def _quality(ranked: Mapping[str, Rankings], incoming: Sequence[Incoming]) -> list[str]:
    kinds = _kinds(incoming)
    head = ["", "recall@3", "nDCG@5", "one of 3", *(f"recall@5, {kind} ({len(some)})" for kind, some in kinds)]
    rows = [
        [
            name,
            *(f"{mean(incoming, of, measure, most):.2f}" for measure, most in ((recall, 3), (ndcg, 5), (hit, 3))),
            *(f"{mean(some, of, recall, 5):.2f}" for _, some in kinds),
        ]
        for name, of in ranked.items()
    ]
    return table(head, rows)


def _by(ranked: Mapping[str, Rankings], incoming: Sequence[Incoming], field: str, values: Sequence[str]) -> list[str]:
    groups = [(value, [one for one in incoming if getattr(one, field) == value]) for value in values]
    head = ["recall@5", *(f"{value} ({len(some)})" for value, some in groups)]
    return table(
        head, [[name, *(f"{mean(some, of, recall, 5):.2f}" for _, some in groups)] for name, of in ranked.items()]
    )


def _strengths(found: Mapping[str, Found], families: Mapping[str, str], incoming: Sequence[Incoming]) -> list[str]:
    """Return, by strength of the best find, how many are of the family."""
    best = [(one, found[one.id].tickets[0]) for one in incoming if found[one.id].tickets]
    rows = []
    for low, high in pairwise(_BANDS):
        some = [(one, find) for one, find in best if low <= find.strength < high or find.strength == high == 1.0]
        if some:
            right = fmean(families[find.ticket_id] == one.family for one, find in some)
            rows.append([f"{low:.1f} to {high:.1f}", str(len(some)), f"{right:.2f}"])
    shown = [(one, find) for one in incoming for find in found[one.id].tickets[:3] if find.strength >= MIN]
    right = fmean(families[find.ticket_id] == one.family for one, find in shown)
    firsts = [(one, find) for one, find in best if families[find.ticket_id] == one.family]
    kept = fmean(find.strength >= MIN for _, find in firsts)
    alone = [one for one in incoming if one.family is None]
    silent = fmean(not any(find.strength >= MIN for find in found[one.id].tickets) for one in alone)
    summary = (
        f"Weaker than {MIN} counts as not found. {right:.0%} of the tickets that the model gets are of the family; "
        f"{kept:.0%} of the correct best results are kept; {silent:.0%} of {len(alone)} tickets without a related one "
        "get nothing."
    )
    return [*table(["strength of the best result", "queries", "of the same family"], rows), "", summary]


def _documents(found: Mapping[str, Found], incoming: Sequence[Incoming]) -> list[str]:
    fits = {article.title: set(article.families) for article in articles()}
    helped = {family for families in fits.values() for family in families}
    some = [one for one in incoming if one.family in helped]
    firsts, threes = (
        fmean(any(one.family in fits[find.title] for find in found[one.id].documents[:most]) for one in some)
        for most in (1, 3)
    )
    return [f"A document helps {len(some)} of the tickets: it is the first result for {firsts:.0%}, "
            f"and among the first three for {threes:.0%}."]  # fmt: skip


def _goals(ranked: Mapping[str, Rankings], incoming: Sequence[Incoming]) -> list[Goal]:
    measured = {
        name: {kind: mean(some, of, recall, 5) for kind, some in _kinds(incoming)} for name, of in ranked.items()
    }
    by_language = {
        name: {of: mean([one for one in incoming if one.language == of], found, recall, 5) for of in _LANGUAGES}
        for name, found in ranked.items()
    }
    by_words = {name: of for name, of in measured.items() if name.startswith(_RIVALS)}
    singles = {name: of | by_language[name] for name, of in measured.items() if name != _BOTH}
    both = measured[_BOTH] | by_language[_BOTH]
    return [
        *_ahead(measured[_OURS], by_words.values(), KINDS, "recall@5", "the better of TF-IDF and BM25"),
        *_ahead(both, singles.values(), (*KINDS, *_LANGUAGES), "recall@5 with embeddings", "the best single method"),
    ]


def _ahead(
    ours: Mapping[str, float], theirs: Collection[Mapping[str, float]], kinds: Sequence[str], figure: str, rival: str
) -> list[Goal]:
    behind = {kind: max(of[kind] for of in theirs) - ours[kind] for kind in kinds}
    worst = max(behind, key=lambda kind: behind[kind])
    return [
        Goal(f"{figure} behind {rival} on the worst kind ({worst})", behind[worst], most=_BEHIND),
        Goal(f"{figure} over all, to {rival}", ours["all"] / max(of["all"] for of in theirs), least=1.0),
    ]


def _times(times: Mapping[str, Times]) -> list[str]:
    head = ["", "p50 ms", "p95 ms", "longest ms"]
    return table(head, [[name, *(f"{value:.1f}" for value in found)] for name, found in times.items()])


def _time_goals(times: Mapping[str, Times]) -> list[Goal]:
    one, many = times.values()
    return [
        Goal(f"ms of {next(iter(times))}, p95", one.p95, most=25),
        Goal("ms of the same, 8 at once, p95", many.p95, most=100),
    ]


BENCHMARK = Benchmark(
    "retrieval",
    _report,
    {"tickets": 50_000, "families": 1000, "others": 0},
    {"tickets": 2000, "others": 500, "families": 2},
    {"tickets": 200_000, "others": 800_000},
)
