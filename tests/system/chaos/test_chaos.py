"""Nothing lost, nothing doubled, nothing paid twice, whatever breaks."""

from pathlib import Path

import pytest

from tests.system.chaos.run import header, line, run, verdict
from tests.system.chaos.scenarios import SCENARIOS
from tests.system.chaos.stage import staged


@pytest.mark.slow
@pytest.mark.parametrize("third", [0, 1, 2])
def test_what_was_accepted_is_done_once_whatever_breaks(third: int, tmp_path: Path) -> None:
    """A third of the scenarios, since most of one is waiting: three systems go through them at once.

    One of them backwards, so that not all of them start processes anew at the same time.
    """
    chosen = SCENARIOS[third::3][:: -1 if third == 1 else 1]
    with staged(tmp_path / "system") as stage:
        results = list(run(stage, chosen))
        table = [*header(), *map(line, results), "", verdict(results, len(stage.leases.ran_out))]
        print("", *table, sep="\n")  # noqa: T201 -- for whoever reads the run
        assert [f"seed {stage.seed}: {line(one)} {one.problems}" for one in results if not one.holds] == []
