"""Nothing lost, nothing doubled, nothing paid twice, whatever breaks."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.run import line, run
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.stage import staged


def _not_kept(folder: Path, scenarios: Sequence[Scenario]) -> list[str]:
    """What was broken by which scenario, with the seed that repeats it."""
    with staged(folder) as stage:
        results = list(run(stage, scenarios))
        return [f"seed {stage.seed}: {line(one)} {one.problems}" for one in results if not one.holds]


def test_what_was_accepted_is_done_once_when_processes_die(tmp_path: Path) -> None:
    assert _not_kept(tmp_path / "system", [scenario for scenario in SCENARIOS if scenario.short]) == []


@pytest.mark.slow
def test_what_was_accepted_is_done_once_whatever_breaks(tmp_path: Path) -> None:
    assert _not_kept(tmp_path / "system", SCENARIOS) == []
