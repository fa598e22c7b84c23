"""Nothing lost, nothing doubled, nothing paid twice, whatever breaks."""

from pathlib import Path

import pytest

from tests.system.chaos.run import header, line, run, verdict
from tests.system.chaos.scenarios import SCENARIOS
from tests.system.chaos.stage import staged


@pytest.mark.slow
@pytest.mark.parametrize("quarter", range(4))
def test_what_was_accepted_is_done_once_whatever_breaks(quarter: int, tmp_path: Path) -> None:
    """A quarter of the scenarios, since most of one is waiting: four systems go through them at once.

    Two of them backwards, so that not all of them start processes anew at the same time.
    """
    chosen = SCENARIOS[quarter::4][:: -1 if quarter % 2 else 1]
    with staged(tmp_path / "system") as stage:
        results = list(run(stage, chosen))
        table = [*header(), *map(line, results), "", verdict(results, len(stage.leases.ran_out))]
        print("", *table, sep="\n")  # noqa: T201 -- for whoever reads the run
        assert [f"seed {stage.seed}: {line(one)} {one.problems}" for one in results if not one.holds] == []
