"""No loss, no duplicate and no double payment under any fault."""

from pathlib import Path

import pytest

from tests.kit.loaded import LoadedPrograms
from tests.system.chaos.run import header, line, run, verdict
from tests.system.chaos.scenarios import SCENARIOS, Scenario
from tests.system.chaos.stage import staged

PARTS = 5


def part_of(number: int) -> list[Scenario]:
    """Return the scenarios of one part; all take about as long, since the longest are assigned first.

    Faults of desk and GPT-4 are last: meanwhile the relay publishes the messages that died with a worker.
    """
    parts: list[list[Scenario]] = [[] for _ in range(PARTS)]
    for scenario in sorted(SCENARIOS, key=lambda one: -one.seconds):
        min(parts, key=lambda part: sum(one.seconds for one in part)).append(scenario)
    return sorted(parts[number], key=lambda one: one.name.startswith(("desk", "GPT-4")))


def test_the_parts_are_all_there_is() -> None:
    there = [one.name for number in range(PARTS) for one in part_of(number)]
    assert sorted(there) == sorted(one.name for one in SCENARIOS)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(PARTS))
def test_what_was_accepted_is_done_once_whatever_breaks(number: int, tmp_path: Path, loaded: LoadedPrograms) -> None:
    """Most of a scenario is waiting, so several systems run a part each."""
    with staged(tmp_path / "system", launch=loaded) as stage:
        results = list(run(stage, part_of(number)))
        table = [*header(), *map(line, results), "", verdict(results, len(stage.ran_out))]
        print("", *table, sep="\n")  # noqa: T201 -- for readers of the run
        assert [f"seed {stage.seed}: {line(one)} {one.problems}" for one in results if not one.holds] == []
