"""`python -m dev.evaluation` (`make eval`): quality of the notes.

Without OPENAI_API_KEY it measures hand-written answers only. With one it asks models about the cases (OPENAI_BASE_URL:
any compatible endpoint) and has their notes judged by a model of another family. Each call is paid for.
"""

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from config.settings import SettingsError, WorkerSettings, load
from dev.evaluation.cases import ARMS, EvaluationCase, cases
from dev.evaluation.report import rows_of, share, written_rows
from dev.evaluation.runner import CaseRun, agreement, in_parallel, preferences, run_case
from dev.evaluation.written import measured, verdicts_of_reader
from integrations.errors import MODEL_UNAVAILABLE
from integrations.http import EgressConfig
from integrations.llm.client import ModelClient, ModelOptions
from integrations.resilience import Breaker

_UNUSED = {"database_url": "postgresql://nobody@127.0.0.1/none", "redis_url": "redis://127.0.0.1/0"}
_NOT_RUN = "not run: no key here"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if no model answered, 2 for invalid arguments or settings."""
    parser = argparse.ArgumentParser(
        prog="python -m dev.evaluation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--half", choices=("first", "second"), default="first", help="of the hand-written answers")
    parser.add_argument("--cases", type=positive_number, default=60, help="how many (default: 60)")
    parser.add_argument("--model", action="append", help="one to ask, several times (default: OPENAI_MODEL)")
    parser.add_argument("--arm", action="append", choices=ARMS, help="several times (default: all)")
    parser.add_argument("--judge", help="the model that judges, of another family (JUDGE_BASE_URL, JUDGE_API_KEY)")
    parser.add_argument("--at-once", type=positive_number, default=4, help="cases at a time (default: 4)")
    parser.add_argument("--transcripts", type=Path, default=Path("evaluation.jsonl"), help="default: evaluation.jsonl")
    options = parser.parse_args(arguments)
    _print(written_rows(options.half, measured(options.half), measured(options.half, verdicts_of_reader())))
    if not os.environ.get("OPENAI_API_KEY"):
        _print([f"Models: {_NOT_RUN}.", f"Agreement of the judge with two readers on 100 claims: {_NOT_RUN}."])
        return 0
    try:
        settings = load(WorkerSettings, **_UNUSED)
    except SettingsError as refused:
        sys.stderr.write("\n".join((*refused.problems, "")))
        return 2
    models = options.model or [settings.openai_model]
    if options.judge is None or family(options.judge) in map(family, models):
        parser.error("--judge: name a model of another family than the evaluated ones")
    if os.environ.get("JUDGE_BASE_URL") and not os.environ.get("JUDGE_API_KEY"):
        parser.error("--judge: JUDGE_BASE_URL needs JUDGE_API_KEY; OPENAI_API_KEY is not sent there")
    try:  # before any paid call
        options.transcripts.write_text("", "utf-8")
    except OSError as failure:
        parser.error(f"--transcripts: {failure.strerror}")
    return asyncio.run(_evaluate(options, settings, models))


async def _evaluate(options: argparse.Namespace, settings: WorkerSettings, models: Sequence[str]) -> int:
    chosen, arms = cases()[: options.cases], options.arm or ARMS
    judge = _client(options.judge, settings, os.environ.get("JUDGE_BASE_URL"), os.environ.get("JUDGE_API_KEY"))
    clients = [_client(model, settings) for model in models]
    work = [(case, arm, client) for client in clients for arm in arms for case in chosen]
    sys.stderr.write(
        f"{len(work)} answers, their checks, and about {len(work) + 2 * len(chosen) + 100} judgements are paid for.\n"
    )

    async def one(item: tuple[EvaluationCase, str, ModelClient]) -> CaseRun:
        case, arm, client = item
        run = await run_case(case, arm, client, judge)
        with options.transcripts.open("a", encoding="utf-8") as file:
            file.write(json.dumps(run.transcript(), ensure_ascii=False) + "\n")
        return run

    try:
        runs = await in_parallel(work, one, options.at_once)
        _print(rows_of(runs))
        _print(sorted({f"No answer: {run.failed}" for run in runs if run.failed}))
        better = await preferences(runs, judge, options.at_once)
        if better:
            _print([f"With context better than without, both orders: {sum(better) / len(better):.2f} of {len(better)}"])
        agreed, number = await agreement(cases(), judge, options.at_once)
        _print([f"Agreement of the judge with two readers: {share(agreed, number)} of {number} claims"])
    finally:
        for client in (judge, *clients):
            await client.close()
    return 0 if any(run.answer for run in runs) else 1


def family(model: str) -> str:
    """Return the family of a model: `gpt` of `openai/gpt-6-luna`."""
    found = re.match(r"[a-z]*", model.rpartition("/")[2].lower())
    return found[0] if found else ""


def _client(name: str, settings: WorkerSettings, url: str | None = None, key: str | None = None) -> ModelClient:
    return ModelClient(
        api_key=key or settings.openai_api_key,
        base_url=url or settings.openai_base_url,
        model=name,
        idle_seconds=settings.openai_timeout_seconds,
        total_seconds=settings.openai_deadline_seconds,
        connections=16,
        breaker=Breaker(f"model {name}", MODEL_UNAVAILABLE),
        egress=EgressConfig.of(settings, settings.openai_ca_bundle),
        options=ModelOptions() if url else ModelOptions.of(settings),
    )


def positive_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _print(lines: Sequence[str]) -> None:
    if lines:
        sys.stdout.write("\n".join((*lines, "", "")))


if __name__ == "__main__":
    sys.exit(main())
