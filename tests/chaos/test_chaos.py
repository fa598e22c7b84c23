"""Nothing lost, nothing doubled, nothing paid twice: some faults in `make test`, all of them in `make test-slow`."""

from pathlib import Path

import pytest

from tests.chaos.run import line, run
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.stage import staged


def assert_kept(folder: Path, scenarios: list[Scenario]) -> None:
    with staged(folder) as stage:
        broken = [(line(result), result.problems) for result in run(stage, scenarios) if not result.holds]
        assert broken == [], f"seed {stage.seed}"


def test_what_was_accepted_is_done_once_whatever_breaks(tmp_path: Path) -> None:
    assert_kept(tmp_path / "system", [scenario for scenario in SCENARIOS if scenario.short])


@pytest.mark.slow
def test_what_was_accepted_is_done_once_in_every_scenario(tmp_path: Path) -> None:
    assert_kept(tmp_path / "system", SCENARIOS)
