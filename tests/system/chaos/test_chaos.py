"""Nothing lost, nothing doubled, nothing paid twice, whatever breaks."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.system.chaos.run import header, line, run, verdict
from tests.system.chaos.scenarios import SCENARIOS, Scenario
from tests.system.chaos.stage import staged


def _not_kept(folder: Path, scenarios: Sequence[Scenario], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was broken by which scenario, with the seed that repeats it; the table is printed in any case."""
    with staged(folder) as stage:
        results = list(run(stage, scenarios))
        with capsys.disabled():
            table = [*header(), *map(line, results), "", verdict(results, len(stage.leases.ran_out))]
            print("", *table, sep="\n")  # noqa: T201 -- for whoever reads the run
        return [f"seed {stage.seed}: {line(one)} {one.problems}" for one in results if not one.holds]


def test_what_was_accepted_is_done_once_when_a_worker_dies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _not_kept(tmp_path / "system", [scenario for scenario in SCENARIOS if scenario.short], capsys) == []


@pytest.mark.slow
def test_what_was_accepted_is_done_once_whatever_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _not_kept(tmp_path / "system", SCENARIOS, capsys) == []
