"""The table of the evaluation: model x arm, with 95 % intervals."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean

from dev.benchmarks.report import table
from dev.evaluation.runner import CaseRun
from dev.evaluation.written import WrittenFigures

HEAD = (
    *("model", "arm", "cases", "cause right", "first step right", "claims in their source", "harmful"),
    *("abstained rightly", "no answer / verdict", "tokens in / out", "dollars", "s a case"),
)
_Z = 1.96


def share(hits: int, number: int) -> str:
    """Return a share with its Wilson interval."""
    if number == 0:
        return "none"
    rate, spread = hits / number, _Z * _Z / number
    middle = (rate + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(rate * (1 - rate) / number + spread / (4 * number)) / (1 + spread)
    return f"{rate:.2f} ({max(0.0, middle - half):.2f}-{min(1.0, middle + half):.2f})"


def rows_of(runs: Sequence[CaseRun]) -> list[str]:
    """Return the table's lines."""
    keys = dict.fromkeys((run.model, run.arm) for run in runs)
    return table(HEAD, [_row([run for run in runs if (run.model, run.arm) == key]) for key in keys])


def written_rows(half: str, rules: WrittenFigures, checked: WrittenFigures) -> list[str]:
    """Return the table of a half: by fixed rules only, and after the check of the claims."""

    def row(name: str, hits: Callable[[WrittenFigures], int], number: int, goal: str) -> list[str]:
        return [f"{name} ({half} half)", *(share(hits(each), number) for each in (rules, checked)), str(number), goal]

    rows = [
        row("wrong, shown unmarked with a source", lambda each: len(each.unmarked), rules.wrong, "0.10"),
        row("right, removed, marked or without its source", lambda each: len(each.damaged), rules.right, "0.03"),
    ]
    return table(("hand-written answers", "by rules", "with the check", "of", "goal"), rows)


def _row(runs: Sequence[CaseRun]) -> list[str]:
    judged = [run for run in runs if run.verdict is not None]
    with_fix = [run for run in judged if run.case.right_source]
    without_fix = [run for run in judged if not run.case.right_source]
    dollars = [run.usage.cost for run in runs if run.usage.cost is not None]
    answered = [run for run in runs if run.answer is not None]

    def of(among: Sequence[CaseRun], question: Callable[[CaseRun], bool]) -> str:
        return share(sum(map(question, among)), len(among))

    claims = [hit for run in judged if run.verdict for hit in run.verdict.entailed]
    return [
        *(runs[0].model, runs[0].arm, str(len(runs))),
        of(with_fix, lambda run: bool(run.verdict and run.verdict.root_cause_right)),
        of(with_fix, lambda run: bool(run.verdict and run.verdict.first_step_right)),
        share(sum(claims), len(claims)),
        of(judged, lambda run: bool(run.verdict and run.verdict.harmful)),
        of(without_fix, lambda run: bool(run.verdict and run.verdict.abstained_rightly)),
        f"{len(runs) - len(answered)} / {len(answered) - len(judged)}",
        f"{sum(run.usage.input_tokens for run in runs)} / {sum(run.usage.output_tokens for run in runs)}",
        f"{sum(dollars):.4f}" if dollars else "unknown",
        f"{fmean(run.seconds for run in answered):.1f}" if answered else "none",
    ]
