"""`make chaos`: every scenario, the table, and a status that is not 0 unless nothing was lost or doubled."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.system.chaos.run import header, line, run, verdict
from tests.system.chaos.scenarios import SCENARIOS
from tests.system.chaos.stage import staged


def main(words: list[str]) -> int:
    """Run the scenarios whose names have one of the words in them, or all."""
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
            # At once, though the verdict has them: a run that is stopped has none. Not into the table.
            sys.stderr.write("".join(f"{result.fault}: {problem}\n" for problem in result.problems))
    sys.stdout.write(f"\n{verdict(results, len(stage.leases.ran_out))}\n")
    return 0 if results and all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
