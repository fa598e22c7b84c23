"""Where no test module was rewritten before (a clean clone), the processes of pytest-xdist share that work.

pytest rewrites the assertions of each module, and keeps what it made beside it. All processes would do that for all
modules at the same time; so each begins at a place of its own, and finds done what the others have done meanwhile.
"""

import contextlib
import importlib

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import the test modules in an order of this process's own; the collection finds them imported."""
    config = session.config
    told: dict[str, str] | None = getattr(config, "workerinput", None)
    if told is None or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    names = _test_modules(config)
    own = len(names) * int(told["workerid"].removeprefix("gw")) // int(told["workercount"])
    for name in names[own:] + names[:own]:
        # Whatever it is: the collection meets it as well, and reports it.
        with contextlib.suppress(Exception, SystemExit, pytest.skip.Exception):
            importlib.import_module(name)


def _test_modules(config: pytest.Config) -> list[str]:
    """The name of each test module, as it is imported."""
    root = config.rootpath
    paths = [path for folder in config.getini("testpaths") for path in (root / folder).rglob("test_*.py")]
    return sorted(".".join(path.relative_to(root).with_suffix("").parts) for path in paths)
