"""`make chaos`: all scenarios and the table; exit status 0 if nothing was lost.

Duplicates count as failures too.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.system.chaos.run import header, line, run, verdict
from tests.system.chaos.scenarios import SCENARIOS
from tests.system.chaos.stage import staged


def main(words: list[str]) -> int:
    """Run the scenarios whose names contain one of the words, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.chaos", description=__doc__)
    parser.add_argument("words", nargs="*", help="only scenarios with one of these in their names")
    parser.add_argument("--seed", type=int, help="of what happens at random; printed by an earlier run")
    given = parser.parse_args(words)
    chosen = [
        scenario for scenario in SCENARIOS if not given.words or any(word in scenario.name for word in given.words)
    ]
    results = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, staged(Path(folder), given.seed) as stage:
        sys.stdout.write("\n".join([f"Seed {stage.seed}\n", *header()]) + "\n")
        for result in run(stage, chosen):
            results.append(result)
            sys.stdout.write(line(result) + "\n")
            sys.stdout.flush()
            # Printed at once, because a run that is stopped has no verdict. Not part of the table.
            sys.stderr.write("".join(f"{result.fault}: {problem}\n" for problem in result.problems))
    sys.stdout.write(f"\n{verdict(results, len(stage.ran_out))}\n")
    return 0 if results and all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
