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
from dev.evaluation.models import ask_models, rows_of
from workflow.prompt import CURRENT, Instructions

_UNUSED = {"database_url": "postgresql://nobody@127.0.0.1/none", "redis_url": "redis://127.0.0.1/0"}


def main(words: Sequence[str] | None = None) -> int:
    """Query and judge; return 1 if no model answered, 2 for invalid arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m dev.evaluation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--tickets", type=at_least_one, default=40, help="how many, spread over kinds and languages (default: 40)"
    )
    parser.add_argument("--seed", type=int, default=1, help="which ones (default: 1)")
    parser.add_argument("--model", action="append", help="one to ask, several times (default: OPENAI_MODEL)")
    parser.add_argument("--prompt", action="append", help=f"a version, several times (default: {CURRENT})")
    parser.add_argument("--at-once", type=at_least_one, default=4, help="answers that are waited for (default: 4)")
    parser.add_argument("--json", type=Path, help="file for all single judgements")
    given = parser.parse_args(words)
    try:
        settings = load(WorkerSettings, **_UNUSED)
        versions = [Instructions(version=each).version for each in given.prompt or [CURRENT]]
    except SettingsError as refused:
        sys.stderr.write("\n".join((*refused.problems, "")))
        return 2
    except FileNotFoundError:
        parser.error("no such version of the prompt")
    if given.json:
        # Before any paid request: answers must not be lost because a folder is missing.
        try:
            given.json.write_text("[]\n", "utf-8")
        except OSError as failure:
            parser.error(f"--json: {failure.strerror}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)  # the postgres user must reach it
        cases = evaluated(Path(folder), chosen(given.tickets, given.seed))
    results = asyncio.run(ask_models(cases, given.model or [settings.openai_model], versions, settings, given.at_once))
    failed = Counter(each.failed for one in results for each in one.judgements if each.failed)
    lines = [*rows_of(results), *(f"No answer, {count} times: {reason}" for reason, count in failed.items())]
    sys.stdout.write("\n".join((*lines, "")))
    if given.json:
        singles = [
            asdict(each) | {"model": one.model, "prompt": one.prompt} for one in results for each in one.judgements
        ]
        given.json.write_text(json.dumps(singles, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0 if failed.total() < sum(len(one.judgements) for one in results) else 1


def at_least_one(given: str) -> int:
    if not (given.isascii() and given.isdecimal() and int(given) > 0):
        raise argparse.ArgumentTypeError(f"{given!r} is no number from 1 on")
    return int(given)


if __name__ == "__main__":
    sys.exit(main())
