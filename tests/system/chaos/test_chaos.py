"""Nothing lost, nothing doubled, nothing paid twice, whatever breaks."""

from pathlib import Path

import pytest

from tests.system.chaos.run import header, line, run, verdict
from tests.system.chaos.scenarios import SCENARIOS
from tests.system.chaos.stage import staged


@pytest.mark.slow
@pytest.mark.parametrize("half", [0, 1])
def test_what_was_accepted_is_done_once_whatever_breaks(half: int, tmp_path: Path) -> None:
    """Half of the scenarios, since most of one is waiting: two systems go through them at once."""
    with staged(tmp_path / "system") as stage:
        results = list(run(stage, SCENARIOS[half::2]))
        table = [*header(), *map(line, results), "", verdict(results, len(stage.leases.ran_out))]
        print("", *table, sep="\n")  # noqa: T201 -- for whoever reads the run
        assert [f"seed {stage.seed}: {line(one)} {one.problems}" for one in results if not one.holds] == []
