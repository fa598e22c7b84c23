"""Further notes on a running system: by command, webhook and reopening."""

import json
import re
from collections.abc import Iterator

import pytest

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import Answer, here, job_to_come, sync_twice

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untouched_logging")]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("refresh") / ".devstack"
    settings = SHORT | {"SYNC_INTERVAL_SECONDS": "1"}
    with System(folder, settings=settings, openai_seconds=0.1, launch=loaded) as running:
        yield running


def enhance(system: System, ticket_id: str, *words: str) -> Answer:
    return here("enhance", "--ticket", ticket_id, *words, DATABASE_URL=system.state["database_url"])


def begins(world: World, ticket_id: str) -> list[str]:
    return [re.sub("<[^>]+>", "", note)[:40] for note in world.notes(ticket_id)]


def test_a_person_asks_for_a_note_and_is_told_when_not(system: System, world: World) -> None:
    ticket_id = world.create_ticket("VPN does not connect, asked again")
    assert world.ended(ticket_id)["state"] == "completed"
    done = enhance(system, ticket_id)
    assert done.returncode == 0, done.stderr
    job_id = re.search(r"job (\S+)\.", done.stdout)[1]  # type: ignore[index]
    assert f"Refresh asked for: job_id={job_id}, ticket_id={ticket_id}" in done.stderr
    wait_for(lambda: len(begins(world, ticket_id)) == 2)
    assert begins(world, ticket_id)[1].startswith("Updated because it was asked for.")
    wait_for(lambda: world.jobs(ticket_id)[-1]["state"] == "completed")
    for word in ("Job queued", "Task started", "Task completed"):
        assert any(f"{word}: job_id={job_id}" in process.log_path.read_text("utf-8") for process in system.processes)
    again = enhance(system, ticket_id, "--json")
    assert again.returncode == 1
    assert "was refreshed at" in json.loads(again.stdout)["why"]
    assert "Not asked for: the ticket was refreshed at" in again.stderr


def test_a_ticket_without_webhook_gets_its_first_note(system: System, world: World) -> None:
    ticket_id = world.create_ticket("VPN does not connect, never told", send_webhook=False)
    nobody = enhance(system, ticket_id)
    assert (nobody.returncode, "Say --tenant" in nobody.stderr) == (1, True)
    unknown = enhance(system, ticket_id, "--tenant", "acme")
    assert (unknown.returncode, "no tenant acme is set up here" in unknown.stderr) == (1, True)
    settings = {"DATABASE_URL": system.state["database_url"], "WEBHOOK_SECRET_ACME": "s" * 40}
    assert here("enhance", "--ticket", ticket_id, "--tenant", "acme", **settings).returncode == 0
    wait_for(lambda: len(begins(world, ticket_id)) == 1)
    assert begins(world, ticket_id)[0].startswith("Enhancement")
    # Another tenant may have a ticket of that number, so the tenant is not guessed.
    of_two = here("enhance", "--ticket", ticket_id, **settings, WEBHOOK_SECRET_GLOBEX="g" * 40)
    assert (of_two.returncode, "Say --tenant: acme, globex" in of_two.stderr) == (1, True)


def test_one_that_is_under_way_is_told_of(system: System, world: World) -> None:
    job_id = job_to_come(world, "acme", "99887766")
    done = enhance(system, "99887766")
    assert (done.returncode, f"job {job_id} is at this ticket" in done.stderr) == (1, True)
    assert enhance(system, "12a").returncode == 2


def test_a_ticket_that_is_reopened_gets_a_further_note(system: System, world: World) -> None:
    ticket_id = world.create_ticket("VPN does not connect, and comes back")
    assert world.ended(ticket_id)["state"] == "completed"
    for status in ("Closed", "Open"):
        world.change_ticket(ticket_id, status=status)
        sync_twice(system)
    wait_for(lambda: len(begins(world, ticket_id)) == 2)
    assert begins(world, ticket_id)[1].startswith("Updated because the ticket was reopen")
    sync_twice(system)
    assert len(world.jobs(ticket_id)) == 2
