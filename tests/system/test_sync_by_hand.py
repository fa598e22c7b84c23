"""`ai-agents sync`, without housekeeping: how much of each desk is copied, and copying one to its end."""

import json
from collections.abc import Iterator

import pytest

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World
from tests.system.by_hand import Answer, here
from tests.system.outcomes import assert_one_note

pytestmark = pytest.mark.usefixtures("untouched_logging")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("sync")
    with System(folder, settings=SHORT, openai_seconds=0.3, housekeeping=False, launch=loaded) as running:
        yield running


def sync(system: System, *words: str, **settings: str) -> Answer:
    environment = system.housekeeping.environment
    names = ("DATABASE_URL", "REDIS_URL")
    own = {name: value for name, value in environment.items() if name in names or name.startswith("SERVICEDESK_")}
    return here("sync", *words, **own | settings)


def rows(answer: Answer) -> dict[str, list[str]]:
    return {row.split()[0]: row.split() for row in answer.stdout.splitlines()[1:]}


def test_a_desk_is_copied_to_its_end_and_is_context_from_then_on(system: System, world: World) -> None:
    before = sync(system)
    assert before.returncode == 0
    assert before.stdout.splitlines()[0].split()[:2] == ["TENANT", "TICKETS"]
    assert {tenant: row[1:3] for tenant, row in rows(before).items()} == {"acme": ["0", "0"], "globex": ["0", "0"]}
    # The desk's list was never read to its end.
    assert rows(before)["acme"][3] == "0+"

    done = sync(system, "--tenant", "acme")
    assert done.returncode == 0, done.stderr
    (row,) = rows(done).values()
    assert int(row[1]) > 5
    assert int(row[2]) > 3
    assert row[3] == "0"
    ticket_id = world.create_ticket("VPN disconnects every few minutes")
    assert_one_note(world, ticket_id)
    lines = system.workers[0].output().splitlines()
    (context,) = [line for line in lines if "Context gathered" in line and f"ticket_id: {ticket_id}," in line]
    assert "ticket_history=Yes" in context


def test_for_machines_it_is_json(system: System) -> None:
    told = {each["tenant_id"]: each for each in json.loads(sync(system, "--json").stdout)}
    assert told.keys() == {"acme", "globex"}
    assert told["globex"].keys() >= {"tickets", "solutions", "to_read", "listed", "reaches_back_to", "seconds_left"}


def test_a_desk_that_does_not_answer_is_told_and_what_is_no_desk_too(system: System, world: World) -> None:
    world.desk_fault(kind="status", code=503, tenant="globex", times=99)
    failed = sync(system, "--tenant", "globex")
    assert failed.returncode == 1
    assert "Not all is copied: ServiceDesk Plus API: 503. Run it again" in failed.stderr
    unknown = sync(system, "--tenant", "initech")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "No desk is set for initech" in unknown.stderr
