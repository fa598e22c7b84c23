"""Running systems as test fixtures."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from cli.pilot.processes import Process
from dev.stack.environment import parted
from dev.stack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.world import World, wait_for
from tests.system.faq import Support
from tests.system.outcomes import figures

# Short, so that the failures named in the FAQ come within seconds.
SHORT = {"OPENAI_TIMEOUT_SECONDS": "2", "SERVICEDESK_TIMEOUT_SECONDS": "2", "CONTEXT_TIMEOUT_SECONDS": "3"}
SHORT |= {"WORKER_CONCURRENCY": "64", "NOTE_SETTLE_SECONDS": "2"}
# Fast detection of dead processes.
QUICK = {"LEASE_SECONDS": "3", "WORKER_GRACE_SECONDS": "1"}
QUICK |= {"SERVICEDESK_TIMEOUT_SECONDS": "5", "NOTE_SETTLE_SECONDS": "5"}
# A loop that hangs for 2 s ends its process.
IMPATIENT = {"WORKER_STUCK_SECONDS": "2", "SYNC_INTERVAL_SECONDS": "1", "WORKER_GRACE_SECONDS": "1"}
# A tenant that the API serves and the worker does not know.
UNKNOWN_TO_THE_WORKER = "initech"
# A tenant that no process can serve, and an invalid tenant id.
CLOSED = "hooli"
UNUSABLE = {"SERVICEDESK_URL_HOOLI": "nowhere", "WEBHOOK_SECRET_MY_ERRORS": "x"}

StartSystem = Callable[..., System]


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[LoadedPrograms]:
    folder = tmp_path_factory.getbasetemp()
    # The processes of pytest-xdist have a folder each, in one that they share.
    with closing(LoadedPrograms(folder.parent if hasattr(request.config, "workerinput") else folder)) as programs:
        yield programs


@pytest.fixture(scope="module")
def start_system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[StartSystem]:
    """Return a starter of systems by `System`'s options; they end with the module."""
    with ExitStack() as stack:

        def start(**options: Any) -> System:
            folder = tmp_path_factory.mktemp("system") / ".devstack"
            options = {"settings": SHORT, "launch": loaded, **options}
            return stack.enter_context(System(folder, **options))

        yield start


@pytest.fixture(scope="module", params=["text", pytest.param("json", marks=pytest.mark.slow)])
def system(request: pytest.FixtureRequest, start_system: StartSystem) -> System:
    """Start the whole system, in each of the two log formats."""
    running = start_system(settings=SHORT | {"LOG_FORMAT": request.param}, openai_seconds=0.5)
    log = running.housekeeping.log_path
    wait_for(lambda: "Sync completed: tenant_id=globex" in log.read_text(encoding="utf-8"))
    return running


@pytest.fixture(scope="module")
def outside(system: System) -> Iterator[World]:
    world = World(system)
    yield world
    world.close()


@pytest.fixture
def world(outside: World) -> Iterator[World]:
    yield outside
    outside.clear_faults()


@pytest.fixture(scope="module")
def support(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Support]:
    person = Support(system, tmp_path_factory.mktemp("bin"))
    yield person
    person.close()


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    """Start a system that finds dead processes fast, without housekeeping.

    GPT-4 takes 1.5 s. The settings of one of its tenants are unusable. The worker reads `SECRETS_DIR`, and does not
    know `initech` yet.
    """
    folder = tmp_path_factory.mktemp("quick")
    secrets = tmp_path_factory.mktemp("secrets")
    tenants = ("acme", "globex", UNKNOWN_TO_THE_WORKER, CLOSED)
    settings = SHORT | QUICK | UNUSABLE
    system = System(folder, tenants=tenants, settings=settings, openai_seconds=1.5, housekeeping=False, launch=loaded)
    (worker,) = system.workers
    worker.environment["SECRETS_DIR"] = str(secrets)
    for name in desk_settings(system, UNKNOWN_TO_THE_WORKER):
        del worker.environment[name]
    with system:
        yield system


@pytest.fixture
def around(quick: System) -> Iterator[World]:
    """Return the outside of `quick`.

    Afterwards faults are cleared, stopped processes restarted, and the worker too if a breaker is open.
    """
    outside = World(quick)
    yield outside
    outside.clear_faults()
    outside.close()
    for process in quick.processes:
        if not process.running:
            quick.restart(process)
    metrics = figures(quick, "worker")
    if any(metrics[name] for name in metrics if name.startswith("ai_agents_breaker_open{")):
        quick.restart(quick.workers[0])


def desk_settings(system: System, tenant: str) -> dict[str, str]:
    shape = re.compile(f"SERVICEDESK_.*_{tenant.upper()}")
    return {name: value for name, value in system.settings.items() if shape.fullmatch(name)}


@contextmanager
def other_settings(system: System, process: Process, settings: Mapping[str, object]) -> Iterator[None]:
    variables, keys = parted(settings)
    own: dict[str, object] = {name: process.environment.get(name, "") for name in variables}
    own |= {path: system.tenant_keys.get(path) for path in keys}
    system.restart(process, settings)
    try:
        yield
    finally:
        system.restart(process, own)
