"""Shared assertion rewriting for the processes of pytest-xdist on a clean clone.

pytest caches the rewritten module beside its source. All processes would rewrite all modules at the same time; so
each starts at another place, and finds the others' results.
"""

import contextlib
import importlib

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import the test modules in an order of this process's own, before the collection."""
    config = session.config
    told: dict[str, str] | None = getattr(config, "workerinput", None)
    if told is None or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    names = _test_modules(config)
    own = len(names) * int(told["workerid"].removeprefix("gw")) // int(told["workercount"])
    for name in names[own:] + names[:own]:
        # The collection meets the same error and reports it.
        with contextlib.suppress(Exception, SystemExit, pytest.skip.Exception):
            importlib.import_module(name)


def _test_modules(config: pytest.Config) -> list[str]:
    root = config.rootpath
    paths = [path for folder in config.getini("testpaths") for path in (root / folder).rglob("test_*.py")]
    return sorted(".".join(path.relative_to(root).with_suffix("").parts) for path in paths)
