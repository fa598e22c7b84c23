"""One running system for each module that asks for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.system import System
from tests.kit.world import World, wait_for
from tests.system.faq import Support

# Short, so that the failures which the FAQ names come within seconds.
SHORT = {
    "OPENAI_TIMEOUT_SECONDS": "2",
    "SERVICEDESK_TIMEOUT_SECONDS": "2",
    "CONTEXT_TIMEOUT_SECONDS": "1.5",
    "WORKER_CONCURRENCY": "64",
    "NOTE_SETTLE_SECONDS": "2",
}
# And so that a process that dies is soon missed.
QUICK = {
    "LEASE_SECONDS": "3",
    "WORKER_GRACE_SECONDS": "1",
    "SERVICEDESK_TIMEOUT_SECONDS": "5",
    "NOTE_SETTLE_SECONDS": "5",
}


@pytest.fixture(scope="module", params=["text", pytest.param("json", marks=pytest.mark.slow)])
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system, in each of the two log formats."""
    folder = tmp_path_factory.mktemp("system")
    with System(folder, settings=SHORT | {"LOG_FORMAT": request.param}, openai_seconds=0.5) as running:
        assert running.housekeeping is not None
        log = running.housekeeping.log_path
        wait_for(lambda: "Sync completed: tenant_id=globex" in log.read_text(encoding="utf-8"))
        yield running


@pytest.fixture(scope="module")
def outside(system: System) -> Iterator[World]:
    """The outside of the module's `system`, for what all of the module's tests look at."""
    world = World(system)
    yield world
    world.close()


@pytest.fixture
def world(outside: World) -> Iterator[World]:
    """The same for one test, whose faults end with it."""
    yield outside
    outside.clear_faults()


@pytest.fixture(scope="module")
def support(system: System, tmp_path_factory: pytest.TempPathFactory) -> Support:
    """A support person at a shell."""
    folder: Path = tmp_path_factory.mktemp("bin")
    return Support(system, folder)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose leases and graces are short, and whose GPT-4 takes 1.5 s."""
    folder = tmp_path_factory.mktemp("quick")
    with System(folder, settings=SHORT | QUICK, openai_seconds=1.5, housekeeping=False) as running:
        yield running


@pytest.fixture
def around(quick: System) -> Iterator[World]:
    """The outside of that system; its faults end with the test."""
    outside = World(quick)
    yield outside
    outside.clear_faults()
    outside.close()
