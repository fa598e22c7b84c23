"""`python -m dev.evaluation` (`make eval`): quality of the notes of a model.

It needs OPENAI_API_KEY (and reads OPENAI_BASE_URL and OPENAI_MODEL, as the worker does). Each answer is paid for.
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

from config.settings import SettingsError, WorkerSettings, load
from dev.evaluation.cases import chosen, evaluated
from dev.evaluation.models import evaluate_models, rows_of
from workflow.prompt import CURRENT, Instructions

_UNUSED = {"database_url": "postgresql://nobody@127.0.0.1/none", "redis_url": "redis://127.0.0.1/0"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Query and judge; return 1 if no model answered, 2 for invalid arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m dev.evaluation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--tickets", type=positive_number, default=40, help="how many, spread over kinds and languages (default: 40)"
    )
    parser.add_argument("--seed", type=int, default=1, help="which ones (default: 1)")
    parser.add_argument("--model", action="append", help="one to ask, several times (default: OPENAI_MODEL)")
    parser.add_argument("--prompt", action="append", help=f"a version, several times (default: {CURRENT})")
    parser.add_argument("--at-once", type=positive_number, default=4, help="answers that are waited for (default: 4)")
    parser.add_argument("--json", type=Path, help="file for all single judgements")
    options = parser.parse_args(arguments)
    try:
        settings = load(WorkerSettings, **_UNUSED)
        versions = [Instructions(version=version).version for version in options.prompt or [CURRENT]]
    except SettingsError as refused:
        sys.stderr.write("\n".join((*refused.problems, "")))
        return 2
    except FileNotFoundError:
        parser.error("no such version of the prompt")
    if options.json:
        # Before any paid request: answers must not be lost because a folder is missing.
        try:
            options.json.write_text("[]\n", "utf-8")
        except OSError as failure:
            parser.error(f"--json: {failure.strerror}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)  # the postgres user must reach it
        cases = evaluated(Path(folder), chosen(options.tickets, options.seed))
    models = options.model or [settings.openai_model]
    results = asyncio.run(evaluate_models(cases, models, versions, settings, options.at_once))
    failed = Counter(judgement.failed for result in results for judgement in result.judgements if judgement.failed)
    lines = [*rows_of(results), *(f"No answer, {count} times: {reason}" for reason, count in failed.items())]
    sys.stdout.write("\n".join((*lines, "")))
    if options.json:
        pairs = [(result, judgement) for result in results for judgement in result.judgements]
        singles = [asdict(judgement) | {"model": model.model, "prompt": model.prompt} for model, judgement in pairs]
        options.json.write_text(json.dumps(singles, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0 if failed.total() < sum(len(result.judgements) for result in results) else 1


def positive_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
