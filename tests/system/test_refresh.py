"""Notes as the desk changes: further ones, and none that rest on an expired solution."""

import json
import re
import time

import httpx2
import pytest

from dev.stack.system import System
from tests.kit.system import SHORT, StartSystem
from tests.kit.world import World, wait_for
from tests.system.by_hand import Answer, here, job_to_come, sync_twice

LIVES_SECONDS = 20.0
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untouched_logging")]


@pytest.fixture(scope="module")
def system(start_system: StartSystem) -> System:
    return start_system(settings=SHORT | {"SYNC_INTERVAL_SECONDS": "1"}, openai_seconds=0.1)


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
    assert begins(world, ticket_id)[1].startswith("Updated on request.")
    wait_for(lambda: world.jobs(ticket_id)[-1]["state"] == "completed")
    for word in ("Job queued", "Task started", "Task completed"):
        assert any(f"{word}: job_id={job_id}" in process.log_path.read_text("utf-8") for process in system.processes)
    again = enhance(system, ticket_id, "--json")
    assert again.returncode == 1
    assert "was refreshed at" in json.loads(again.stdout)["why"]
    assert "Not requested: the ticket was refreshed at" in again.stderr


def test_a_ticket_without_webhook_gets_its_first_note(system: System, world: World) -> None:
    ticket_id = world.create_ticket("VPN does not connect, never told", send_webhook=False)
    nobody = enhance(system, ticket_id)
    assert (nobody.returncode, "with --tenant" in nobody.stderr) == (1, True)
    unknown = enhance(system, ticket_id, "--tenant", "acme")
    assert (unknown.returncode, "no tenant acme is set up here" in unknown.stderr) == (1, True)
    settings = {"DATABASE_URL": system.state["database_url"], "WEBHOOK_SECRET_ACME": "s" * 40}
    assert here("enhance", "--ticket", ticket_id, "--tenant", "acme", **settings).returncode == 0
    wait_for(lambda: len(begins(world, ticket_id)) == 1)
    assert begins(world, ticket_id)[0].startswith(("Cause", "Likely", "Possible"))
    # Another tenant may have a ticket of that number, so the tenant is not guessed.
    of_two = here("enhance", "--ticket", ticket_id, **settings, WEBHOOK_SECRET_GLOBEX="g" * 40)
    assert (of_two.returncode, "with --tenant: acme, globex" in of_two.stderr) == (1, True)


def test_one_that_is_under_way_is_told_of(system: System, world: World) -> None:
    job_id = job_to_come(world, "acme", "99887766")
    done = enhance(system, "99887766")
    assert (done.returncode, f"job {job_id} of this ticket has not ended" in done.stderr) == (1, True)
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


def add(system: System, title: str, text: str, expires_at: float) -> None:
    article = {"title": title, "description": text, "expiry_ms": round(expires_at * 1000)}
    httpx2.post(f"{system.state['desk_url']}/_sim/solutions/acme", json=article).raise_for_status()


def copied(world: World) -> set[str]:
    with world.admin() as connection:
        return {row[0] for row in connection.execute("SELECT title FROM passages WHERE tenant_id = 'acme'")}


def asked_with(world: World, subject: str) -> str:
    ticket_id = world.create_ticket(subject)
    assert world.ended(ticket_id)["state"] == "completed"
    return str(world.gpt4_requests(subject))


def test_a_note_uses_a_solution_until_it_expires(system: System, world: World) -> None:
    """It is the last test: housekeeping is stopped."""
    wait_for(lambda: copied(world))
    ends = time.time() + LIVES_SECONDS
    add(system, "Zeppelin hangar door, old way", "Zeppelin hangar door: turn the brass wheel.", time.time() - 60)
    add(system, "Zeppelin hangar door, new way", "Zeppelin hangar door: push the green knob.", ends)
    # As if an hour had passed: the lists are read again.
    with world.admin() as connection:
        connection.execute("UPDATE passes SET ended_at = now() - interval '2 hours', complete_from = NULL")
    wait_for(lambda: "Zeppelin hangar door, new way" in copied(world), LIVES_SECONDS / 2)
    # Nothing is copied from now on, so the existing copy has to be left out.
    system.housekeeping.stop(8)
    asked = asked_with(world, "Zeppelin hangar door stuck, monday")
    assert ("green knob" in asked, "brass wheel" in asked) == (True, False)
    # A job whose answer cites it waits until it has expired.
    held = world.create_ticket("Zeppelin hangar door stuck, held", send_webhook=False)
    wait = round(ends - time.time()) + 1
    world.desk_fault(kind="throttled", operation="add_note", ticket_id=held, times=1, retry_after=wait)
    world.send_webhook(held)
    wait_for(lambda: world.job(held).get("reason") == "desk throttled")
    assert world.ended(held)["state"] == "completed"
    assert time.time() > ends
    assert "green knob" in str(world.gpt4_requests("Zeppelin hangar door stuck, held"))
    (note,) = world.notes(held)
    assert ("green knob" in note, "new way" in note, "left out" in note) == (False, False, True)
    asked = asked_with(world, "Zeppelin hangar door stuck, tuesday")
    assert "Zeppelin hangar door stuck, tuesday" in asked
    assert "green knob" not in asked
    assert "brass wheel" not in asked
