"""Where fixtures come from: each stands in the kit, or in its room, beside what it gives."""

import gc
import os
import signal
from collections.abc import Generator

import pytest

from tests.kit.shield import take_out

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
    """First the longest files: else one is left over at the end, for one process alone."""
    rooms = ("tests/dev/", "tests/docs/", "tests/observability/", "tests/privacy/", "tests/system/")
    longest = "tests/system/test_redis_faults.py"
    items.sort(key=lambda item: (not item.nodeid.startswith(longest), not item.nodeid.startswith(rooms)))
