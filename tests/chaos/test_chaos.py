"""Nothing lost, nothing doubled, nothing paid twice: some faults here, all of them with `make chaos`."""

from pathlib import Path

from tests.chaos.run import line, run
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.stage import staged


def test_what_was_accepted_is_done_once_whatever_breaks(tmp_path: Path) -> None:
    with staged(tmp_path / "system") as stage:
        short = [scenario for scenario in SCENARIOS if scenario.short]
        broken = [(line(result), result.problems) for result in run(stage, short) if not result.holds]
        assert broken == [], f"seed {stage.seed}"
