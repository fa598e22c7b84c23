"""pytest-xdist: shared assertion rewriting, one process for the system `quick`.

Every other process with a module on `quick` would start a system of its own. pytest caches a rewritten module beside
its source; on a clean clone each process starts at another place, and finds the others' results.
"""

import contextlib
import importlib
from pathlib import Path

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]  # it has no types
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # likewise

ON_QUICK = {f"test_{name}" for name in ("check", "endings", "interruptions", "outages", "redis_faults", "starts")}


class _Together(LoadFileScheduling):  # type: ignore[misc]  # likewise
    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "quick" if Path(file).stem in ON_QUICK else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Together | None:
    """Replace the scheduler of `--dist loadfile`."""
    return _Together(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import the test modules before the collection, in this process's own order."""
    config = session.config
    worker_input: dict[str, str] | None = getattr(config, "workerinput", None)
    if worker_input is None or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    names = _test_modules(config)
    own = len(names) * int(worker_input["workerid"].removeprefix("gw")) // int(worker_input["workercount"])
    for name in names[own:] + names[:own]:
        # The collection meets the same error and reports it.
        with contextlib.suppress(Exception, SystemExit, pytest.skip.Exception):
            importlib.import_module(name)


def _test_modules(config: pytest.Config) -> list[str]:
    root = config.rootpath
    paths = [path for folder in config.getini("testpaths") for path in (root / folder).rglob("test_*.py")]
    return sorted(".".join(path.relative_to(root).with_suffix("").parts) for path in paths)
