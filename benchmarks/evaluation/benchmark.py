"""Validation of the judge: its findings on answers with known faults."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.evaluation.asking import ask_about_all
from benchmarks.evaluation.cases import EvaluatedTicket, chosen, evaluated
from benchmarks.evaluation.judge import Judgement, judged
from benchmarks.evaluation.models import AskedModel, rows_of
from benchmarks.evaluation.planted import KINDS, Inventions, Plant, Planted, PlantedModel
from benchmarks.evaluation.things import Thing, plain
from benchmarks.report import Benchmark, Goal, Report, table
from workflow.prompt import CURRENT

ALL = 1000
# A quoted label may be general knowledge, such as "Work Offline": none gets a mark.
_OF_ANYWHERE = "quoted"
# Rounds of inventions, so that each kind is planted in each language.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class JudgedPlant:
    """A planted answer with its judgement."""

    kind: Planted
    plant: Plant
    judgement: Judgement

    @property
    def is_found(self) -> bool:
        """Return True if the judge found the plant or, for a right answer, reported any fault."""
        one = self.judgement
        if self.kind == "invention":
            return _is_among(self.plant.invented.partition(": ")[2], one.inventions)
        if self.kind == "wrong sources":
            return one.wrong > 0 and one.right == 0
        if self.kind == "wrong fix":
            return one.fix_named is False
        return bool(self.accusations)

    @property
    def is_unmarked(self) -> bool:
        """Return True if the invention is in the note and not marked as unsupported."""
        return _is_among(self.plant.invented.partition(": ")[2], self.judgement.unmarked)

    @property
    def accusations(self) -> list[str]:
        one = self.judgement
        # Without a right find the answer names no fix, and states its uncertainty.
        lacks_fix = one.fix_named is False and bool(self.plant.made_of)
        accused = {"no fix": lacks_fix, "wrong sources": one.wrong > 0, "an invention": bool(one.inventions)}
        return [what for what, is_so in accused.items() if is_so]


def _is_among(planted: str, things: Sequence[Thing]) -> bool:
    wanted = plain(planted).strip("\"'«»#")
    found = [plain(thing.text) for thing in things]
    return any(wanted in each or (each in wanted and len(each) > 2) for each in found)


def judge_plants(cases: Sequence[EvaluatedTicket]) -> list[JudgedPlant]:
    """Return judgements of planted answers of each kind.

    A wrong fix is planted only for a ticket that has a right one.
    """
    plants, inventions = [], Inventions()
    more: list[Planted] = ["invention"] * (_ROUNDS - 1)
    for kind in [*KINDS, *more]:
        some = [case for case in cases if case.asked.family or kind != "wrong fix"]
        model = PlantedModel(kind, some, inventions)
        for asked in asyncio.run(ask_about_all(some, model)):
            plant = model.plants[asked.case.number]
            plants.append(JudgedPlant(kind, plant, judged(asked, plant.made_of)))
    return plants


def report_of(plants: Sequence[JudgedPlant]) -> Report:
    by_kind = {kind: [one for one in plants if one.kind == kind] for kind in KINDS}
    found: dict[str, float] = {kind: sum(one.is_found for one in some) / len(some) for kind, some in by_kind.items()}
    rights = by_kind["right"]
    models = [AskedModel(f"planted: {kind}", CURRENT, [one.judgement for one in of]) for kind, of in by_kind.items()]
    rows = [
        [kind, str(len(some)), str(sum(one.is_found for one in some)), f"{found[kind]:.3f}"]
        for kind, some in by_kind.items()
        if kind != "right"
    ]
    marked = sum(bool(one.judgement.marked) for one in rights) / len(rights)
    specific = [one for one in by_kind["invention"] if not one.plant.invented.startswith(_OF_ANYWHERE)]
    unmarked = sum(one.is_unmarked for one in specific)
    accused = [what for one in rights for what in one.accusations]
    told = ", ".join(f"{accused.count(what)} of {what}" for what in dict.fromkeys(accused)) or "of nothing"
    tells = sum(bool(one.plant.made_of) for one in rights)
    lines = [
        *table(["planted", "answers", "found", "part"], rows),
        "",
        f"Of {len(rights)} right answers, {tells} of which tell the fix, {sum(one.is_found for one in rights)} are "
        f"accused ({found['right']:.3f}): {told}. In {marked:.3f} something is marked as if it stood in no source.",
        "",
        f"Of {len(specific)} inventions that are no label in quotes, {unmarked} stand in the note without a mark.",
        "",
        *rows_of(models),
    ]
    figures = found | {"marked in vain": marked, "unmarked": unmarked / len(specific)}
    goals = [
        Goal("planted inventions that the judge finds", figures["invention"], least=1.0),
        Goal("planted wrong sources that the judge finds", figures["wrong sources"], least=1.0),
        Goal("planted wrong fixes that the judge finds", figures["wrong fix"], least=0.95),
        Goal("right answers that the judge accuses", figures["right"], most=0.05),
        Goal("right answers with something marked", figures["marked in vain"], most=0.05),
        Goal("inventions that a note has unmarked", figures["unmarked"], most=0.02),
    ]
    return Report(lines, figures, goals)


def _report(folder: Path, given: argparse.Namespace) -> Report:
    cases = evaluated(folder, chosen(given.tickets or ALL, given.seed))
    report = report_of(judge_plants(cases))
    families = {case.asked.family for case in cases} - {None}
    told = f"{len(cases)} tickets of {len(families)} families that nothing was tuned on; no model was asked."
    return Report([told, "", *report.lines], report.figures, report.goals)


def at_least_one(given: str) -> int:
    """Return a number of at least 1. Raises ArgumentTypeError."""
    if not (given.isascii() and given.isdecimal() and int(given) > 0):
        raise argparse.ArgumentTypeError(f"{given!r} is no number from 1 on")
    return int(given)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tickets", type=at_least_one, help="how many, spread over kinds and languages (default: see above)"
    )
    parser.add_argument("--seed", type=int, default=1, help="which ones (default: 1)")


BENCHMARK = Benchmark("evaluation", _report, {"tickets": ALL, "seed": 1}, {"tickets": 16})
