"""Where fixtures come from: each stands in the kit, or in its room, beside what it gives."""

import gc
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.kit.shield import take_out

_TESTS = Path(__file__).parent
# Before anything reads them: tests say themselves what they set.
take_out(os.environ)

# What a shell without job control runs in the background ignores Ctrl-C, and so would the processes of tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.containers.stack",
    "tests.integrations.street",
    "tests.kit.logs",
    "tests.kit.postgres",
    "tests.kit.redis",
    "tests.kit.simulators",
    "tests.kit.system",
    "tests.kit.parallel",
    "tests.kubernetes.rendering",
    "tests.dev.simulators.doors",
    "tests.knowledge.site",
    "tests.console.site",
    "tests.system.console_ground",
    "tests.system.door",
    "tests.workflow.place",
    "tests.api.feedback_visits",
    "tests.console.fake_issuer",
    "tests.docs.faq_ground",
]


# A fifth of what loading and collecting all tests costs each process, in vain: next to nothing of it is garbage.
gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect garbage from then on; xdist's own process too, which collects no tests."""
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_runtest_teardown() -> None:
    """Thaw what a command called in this process froze: else it would hide what tests leave unclosed."""
    gc.unfreeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Look for unclosed things once: pytest would look through all modules five times, for 2 s."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix files that wait, on whole systems, with those that compute; begin with the longest."""
    files = sorted({item.path for item in items}, key=lambda path: (path.stem != "test_redis_faults", path))
    places: dict[Path, float] = {}
    for waits, share in ((True, 0.8), (False, 1)):
        some = [path for path in files if (path.relative_to(_TESTS).parts[0] in ("dev", "docs", "system")) == waits]
        places |= {path: number / len(some) * share for number, path in enumerate(some)}
    items.sort(key=lambda item: places[item.path])
