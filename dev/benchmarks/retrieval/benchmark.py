"""`make bench-retrieval`: retrieval quality by kind of query and language."""

import math
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from dev.benchmarks.report import Benchmark, Goal, Report, table
from dev.benchmarks.retrieval.methods import CopiesInPostgres, Found, embed_query, peers
from dev.benchmarks.retrieval.sets import Article, Incoming, Resolved, articles, queries, tickets
from dev.benchmarks.retrieval.times import Times, multiply, timed
from knowledge.terms import MIN

Rankings = Mapping[str, Sequence[str]]
"""Query id -> families of the found tickets, best first."""
Group = tuple[str, list[Incoming]]
Recalls = Mapping[str, Mapping[str, float]]
"""Method -> group of queries -> recall@5."""

KINDS = ("plain", "short", "noisy", "log", "foreign")
_OURS, _BOTH, _NAIVE = "ours", "ours with embeddings", "Postgres' full text, any word"
# Rows of the tables; the figures for JSON have every method.
_SHOWN = (_OURS, _BOTH, _NAIVE, *(f"{name}, without wrapping" for name in ("TF-IDF", "BM25", "embeddings", "hybrid")))
_BANDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_LANGUAGES = ("en", "de", "fr", "es")
_BEHIND = 0.03
# The goal's rivals: subjects weighted as ours, on raw or unwrapped texts, whichever is better.
_RIVALS = ("TF-IDF, subject times 3", "BM25, subject times 3")


def recall(query: Incoming, families: Sequence[str], most: int) -> float:
    """Return the family's share of the best `most`; each family has more members."""
    return sum(family == query.family for family in families[:most]) / most


def hit(query: Incoming, families: Sequence[str], most: int) -> float:
    return float(query.family in families[:most])


def ndcg(query: Incoming, families: Sequence[str], most: int) -> float:
    """Return the discounted gain of the best `most`, relative to the family alone."""
    gains = [1 / math.log2(place + 2) for place in range(most)]
    return sum(gain for gain, family in zip(gains, families, strict=False) if family == query.family) / sum(gains)


def mean(
    queries: Sequence[Incoming],
    rankings: Rankings,
    measure: Callable[[Incoming, Sequence[str], int], float],
    most: int,
) -> float:
    """Return the mean over the queries that have a right answer; 0 if none has."""
    values = [measure(query, rankings.get(query.id, ()), most) for query in queries if query.family is not None]
    return fmean(values) if values else 0.0


def _report(folder: Path, options: Namespace) -> Report:
    earlier, incoming, texts = _select_families(options.families)
    families = {ticket.id: ticket.family for ticket in earlier}
    with CopiesInPostgres(folder / "quality", earlier, texts) as ours:
        by_words, naive = ours.search_all(incoming), ours.by_full_text(incoming)
        ours.embed()
        embedded = ours.search_all(incoming, embed_query)
        multiply(ours, options.tickets, options.others)
        size = f"{options.tickets:,} tickets of the tenant, {options.tickets + options.others:,} in all"
        times = {f"both searches, {size}": timed(ours, 1), "the same, 8 at once": timed(ours, 8)}
    ranked: dict[str, Mapping[str, Sequence[str]]] = {
        _OURS: {name: [find.ticket_id for find in finds.tickets] for name, finds in by_words.items()},
        _BOTH: {name: [find.ticket_id for find in finds.tickets] for name, finds in embedded.items()},
        _NAIVE: naive,
    }
    ranked |= peers(earlier, incoming, unwrap=False)
    ranked |= {f"{name}, without wrapping": ids for name, ids in peers(earlier, incoming, unwrap=True).items()}
    by_family: dict[str, Rankings] = {
        method: {name: [families[ticket] for ticket in ids] for name, ids in rankings.items()}
        for method, rankings in ranked.items()
    }
    related = [query for query in incoming if query.family is not None]
    kinds = [("all", related), *_groups(related, "kind", KINDS)]
    languages = _groups(related, "language", _LANGUAGES)
    kind_recalls, language_recalls = _recalls(by_family, kinds), _recalls(by_family, languages)
    lines = [
        f"{len(related)} new tickets of {len({query.family for query in related})} families, none used for tuning; "
        f"{len(earlier)} earlier tickets of {len(set(families.values()))} families.",
        "",
        *_quality(by_family, related, kinds, kind_recalls),
        "",
        *table(["recall@5", *_heads(languages)], [[name, *_cells(language_recalls[name])] for name in _SHOWN]),
        "",
        "By words:",
        "",
        *_strengths(by_words, families, incoming),
        "",
        *_documents(by_words, incoming),
        "",
        "With embeddings:",
        "",
        *_strengths(embedded, families, incoming),
        "",
        *_documents(embedded, incoming),
        "",
        *table(
            ["", "p50 ms", "p95 ms", "longest ms"], [[name, *(f"{ms:.1f}" for ms in times[name])] for name in times]
        ),
    ]
    return Report(lines, kind_recalls, [*_goals(kind_recalls, language_recalls), *_time_goals(times)])


def _select_families(most: int) -> tuple[list[Resolved], list[Incoming], list[Article]]:
    """Return the set without its tuning half, or its best documented families."""
    incoming = [query for query in queries() if not query.is_for_tuning]
    helped = Counter(family for article in articles() for family in article.families)
    names = sorted({query.family for query in incoming if query.family}, key=lambda name: (-helped[name], name))[:most]
    if len(names) < most:
        return tickets(), incoming, articles()
    alone = [query for query in incoming if query.family is None][:2]
    return (
        [ticket for ticket in tickets() if ticket.family in names],
        [query for query in incoming if query.family in names] + alone,
        [article for article in articles() if {*article.families} & {*names}],
    )


def _groups(incoming: Sequence[Incoming], field: str, values: Sequence[str]) -> list[Group]:
    return [(value, [query for query in incoming if getattr(query, field) == value]) for value in values]


def _recalls(ranked: Mapping[str, Rankings], groups: Sequence[Group]) -> Recalls:
    return {
        method: {name: mean(queries, rankings, recall, 5) for name, queries in groups}
        for method, rankings in ranked.items()
    }


def _heads(groups: Sequence[Group], prefix: str = "") -> list[str]:
    return [f"{prefix}{name} ({len(queries)})" for name, queries in groups]


def _cells(recalls: Mapping[str, float]) -> list[str]:
    return [f"{value:.2f}" for value in recalls.values()]


def _quality(
    ranked: Mapping[str, Rankings], incoming: Sequence[Incoming], kinds: Sequence[Group], recalls: Recalls
) -> list[str]:
    measures = ((recall, 3), (ndcg, 5), (hit, 3))
    rows = [
        [name, *(f"{mean(incoming, ranked[name], *measure):.2f}" for measure in measures), *_cells(recalls[name])]
        for name in _SHOWN
    ]
    return table(["", "recall@3", "nDCG@5", "one of 3", *_heads(kinds, "recall@5, ")], rows)


def _strengths(finds: Mapping[str, Found], families: Mapping[str, str], incoming: Sequence[Incoming]) -> list[str]:
    """Return, by strength of the best find, how many are of the family."""
    best = [(query, finds[query.id].tickets[0]) for query in incoming if finds[query.id].tickets]
    rows = []
    for low, high in pairwise(_BANDS):
        band = [(query, find) for query, find in best if low <= find.strength < high or find.strength == high == 1.0]
        if band:
            right = fmean(families[find.ticket_id] == query.family for query, find in band)
            rows.append([f"{low:.1f} to {high:.1f}", str(len(band)), f"{right:.2f}"])
    shown = [(query, find) for query in incoming for find in finds[query.id].tickets[:3] if find.strength >= MIN]
    right = fmean(families[find.ticket_id] == query.family for query, find in shown)
    firsts = [(query, find) for query, find in best if families[find.ticket_id] == query.family]
    kept = fmean(find.strength >= MIN for _, find in firsts)
    alone = [query for query in incoming if query.family is None]
    silent = fmean(not any(find.strength >= MIN for find in finds[query.id].tickets) for query in alone)
    summary = (
        f"Weaker than {MIN} counts as not found. {right:.0%} of the tickets that the model gets are of the family; "
        f"{kept:.0%} of the correct best results are kept; {silent:.0%} of {len(alone)} tickets without a related one "
        "get nothing."
    )
    return [*table(["strength of the best result", "queries", "of the same family"], rows), "", summary]


def _documents(finds: Mapping[str, Found], incoming: Sequence[Incoming]) -> list[str]:
    fits = {article.title: set(article.families) for article in articles()}
    helped = {family for families in fits.values() for family in families}
    related = [query for query in incoming if query.family in helped]
    firsts, top_three = (
        fmean(any(query.family in fits[find.title] for find in finds[query.id].documents[:most]) for query in related)
        for most in (1, 3)
    )
    return [f"A document helps {len(related)} of the tickets: it is the first result for {firsts:.0%}, "
            f"and among the first three for {top_three:.0%}."]  # fmt: skip


def _goals(kind_recalls: Recalls, language_recalls: Recalls) -> list[Goal]:
    by_words = [recalls for name, recalls in kind_recalls.items() if name.startswith(_RIVALS)]
    everything = {name: {**recalls, **language_recalls[name]} for name, recalls in kind_recalls.items()}
    both = everything.pop(_BOTH)
    single = [recalls for name, recalls in everything.items() if not name.startswith("hybrid")]
    hybrids = [recalls for name, recalls in kind_recalls.items() if name.startswith("hybrid")]
    every = (*KINDS, *_LANGUAGES)
    return [
        *_ahead(kind_recalls[_OURS], by_words, KINDS, "recall@5", "the better of TF-IDF and BM25"),
        *_ahead(both, single, every, "recall@5 with embeddings", "the best single method"),
        Goal(
            "recall@5 with embeddings over all, to the hybrid",
            both["all"] / max(recalls["all"] for recalls in hybrids),
            least=1.0,
        ),
    ]


def _ahead(
    ours: Mapping[str, float], theirs: Collection[Mapping[str, float]], kinds: Sequence[str], figure: str, rival: str
) -> list[Goal]:
    behind = {kind: max(figures[kind] for figures in theirs) - ours[kind] for kind in kinds}
    worst = max(behind, key=lambda kind: behind[kind])
    return [
        Goal(f"{figure} behind {rival} on the worst kind ({worst})", behind[worst], most=_BEHIND),
        Goal(f"{figure} over all, to {rival}", ours["all"] / max(figures["all"] for figures in theirs), least=1.0),
    ]


def _time_goals(times: Mapping[str, Times]) -> list[Goal]:
    single, concurrent = times.values()
    return [
        Goal(f"ms of {next(iter(times))}, p95", single.p95, most=25),
        Goal("ms of the same, 8 at once, p95", concurrent.p95, most=100),
    ]


BENCHMARK = Benchmark(
    "retrieval",
    _report,
    {"tickets": 50_000, "families": 1000, "others": 0},
    {"tickets": 2000, "others": 500, "families": 2},
    {"tickets": 200_000, "others": 800_000},
)
