"""One process of pytest-xdist for all modules that share the system `quick`.

Every other process with one of them would start a system of its own.
"""

from pathlib import Path

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]  # it has no types
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # likewise

ON_QUICK = frozenset(
    f"test_{name}"
    for name in (
        "check",
        "cut_off",
        "endings",
        "full_log",
        "interruptions",
        "last_looks",
        "once",
        "outages",
        "placeholders",
        "redis_faults",
        "starts",
    )
)


class _Together(LoadFileScheduling):  # type: ignore[misc]  # likewise
    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "quick" if Path(file).stem in ON_QUICK else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Together | None:
    """Replace the scheduler of `--dist loadfile`."""
    return _Together(config, log) if config.getvalue("dist") == "loadfile" else None
