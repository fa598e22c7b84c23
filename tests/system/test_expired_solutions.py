"""Expiring solutions of the knowledge base: used in notes until that moment only."""

import time
from collections.abc import Iterator

import httpx2
import pytest

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for

pytestmark = pytest.mark.slow
LIVES_SECONDS = 20.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("expired")
    with System(folder, settings=SHORT | {"SYNC_INTERVAL_SECONDS": "1"}, openai_seconds=0.1, launch=loaded) as running:
        yield running


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


def test_a_note_rests_on_a_solution_until_it_expires(system: System, world: World) -> None:
    wait_for(lambda: copied(world))
    ends = time.time() + LIVES_SECONDS
    add(system, "Zeppelin hangar door, old way", "Zeppelin hangar door: turn the brass wheel.", time.time() - 60)
    add(system, "Zeppelin hangar door, new way", "Zeppelin hangar door: push the green knob.", ends)
    # As if an hour had passed: the lists are read again.
    with world.admin() as connection:
        connection.execute("UPDATE passes SET ended_at = now() - interval '2 hours', complete_from = NULL")
    wait_for(lambda: "Zeppelin hangar door, new way" in copied(world), LIVES_SECONDS / 2)
    # Nothing is copied from now on, so the existing copy has to be left out.
    assert system.housekeeping is not None
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
