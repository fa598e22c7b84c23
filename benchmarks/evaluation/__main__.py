"""`python -m benchmarks.evaluation` (`make eval`): how good the notes are that a model's answers become.

With OPENAI_API_KEY (and OPENAI_BASE_URL, OPENAI_MODEL, as the worker reads them) that model is asked, about 40 tickets
unless told otherwise, and each answer is paid for. Without a key answers are planted, about all tickets of the half
that nothing was tuned on.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.evaluation.benchmark import ALL, JudgedPlant, arguments, at_least_one, judge_plants, report_of
from benchmarks.evaluation.cases import chosen, evaluated
from benchmarks.evaluation.models import ask_models, model_settings, rows_of
from config.settings import SettingsRefused
from workflow.prompt import CURRENT, Instructions

_TICKETS = 40


def main(words: Sequence[str] | None = None) -> int:
    """Query and judge; return 1 if no model answered, 2 for invalid settings or arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    arguments(parser)
    parser.add_argument(
        "--model", action="append", default=[], help="one to ask, several times (default: OPENAI_MODEL)"
    )
    parser.add_argument("--prompt", action="append", default=[], help=f"a version, several times (default: {CURRENT})")
    parser.add_argument("--at-once", type=at_least_one, default=4, help="answers that are waited for (default: 4)")
    parser.add_argument("--json", type=Path, help="file for all single judgements")
    given = parser.parse_args(words)
    try:
        settings = model_settings()
        versions = [Instructions(version=each).version for each in given.prompt or [CURRENT]]
    except SettingsRefused as refused:
        sys.stderr.write("\n".join((*refused.problems, "")))
        return 2
    except FileNotFoundError:
        parser.error("no such version of the prompt")
    if settings is None and given.model + given.prompt:
        parser.error("to ask a model needs OPENAI_API_KEY")
    if given.json:
        # Before any paid request: answers must not be lost because a folder is missing.
        try:
            given.json.write_text("[]\n", "utf-8")
        except OSError as failure:
            parser.error(f"--json: {failure.strerror}")
    answered = True
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)  # the postgres user must reach it
        number = given.tickets or (ALL if settings is None else _TICKETS)
        cases = evaluated(Path(folder), chosen(number, given.seed))
    if settings is None:
        plants = judge_plants(cases)
        lines, singles = [*report_of(plants).lines], [_told(one) for one in plants]
    else:
        models = given.model or [settings.openai_model]
        asked = asyncio.run(ask_models(cases, models, versions, settings, given.at_once))
        answered = any(not each.failed for one in asked for each in one.judgements)
        failed = Counter(each.failed for one in asked for each in one.judgements if each.failed)
        lines = [*rows_of(asked), *(f"No answer, {count} times: {why}" for why, count in failed.items())]
        singles = [
            asdict(each) | {"model": one.model, "prompt": one.prompt} for one in asked for each in one.judgements
        ]
    sys.stdout.write("\n".join((*lines, "")))
    if given.json:
        given.json.write_text(json.dumps(singles, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0 if answered else 1


def _told(one: JudgedPlant) -> dict[str, object]:
    planted = {"planted": one.kind, "invented": one.plant.invented, "found": one.is_found}
    return asdict(one.judgement) | planted | {"accusations": one.accusations}


if __name__ == "__main__":
    sys.exit(main())
