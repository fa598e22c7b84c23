"""A small desk, whose closed tickets are of few kinds."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dev.stack.system import System
from tests.kit.world import World
from tests.system.by_hand import here
from tests.system.outcomes import assert_one_note

# Subject, description and fix of 24 tickets each.
KINDS = [
    ("Printer prints blank pages", "It prints blank pages after the toner change.", "The drum seal was left in place."),
    ("Outlook asks for the password", "Outlook asks again and again since Monday.", "Removed the stored credentials."),
    ("No network in room 214", "The wall socket gives no link light.", "Patched the port on the switch."),
    (
        "Excel file is locked",
        "Locked for editing by another user who is away.",
        "Closed the open session on the server.",
    ),
    ("Badge does not open the door", "The reader blinks red at the east entrance.", "Activated the new badge number."),
]


@pytest.mark.slow
@pytest.mark.usefixtures("untouched_logging")
def test_a_find_in_a_desk_of_a_hundred_tickets_is_kept(tmp_path: Path) -> None:
    with System(tmp_path / "system", tenants=("acme",), openai_seconds=0.2, housekeeping=False) as system:
        world = World(system)

        def close(number: int) -> None:
            subject, description, fix = KINDS[number % len(KINDS)]
            text = f"<p>{description} Workplace {number}.</p>"
            ticket_id = world.create_ticket(subject, description=text, send_webhook=False)
            world.change_ticket(ticket_id, status="Closed", closure_comments=fix)

        with ThreadPoolExecutor(8) as desks:
            list(desks.map(close, range(120)))
        done = here("sync", "--tenant", "acme", **system.workers[0].environment)
        assert done.returncode == 0, done.stderr
        subject, fix = "Pages come out blank since we changed the toner", KINDS[0][2]
        ticket_id = world.create_ticket(subject, description="<p>All pages are white.</p>")
        assert_one_note(world, ticket_id)
        assert fix.rstrip(".") in world.notes(ticket_id)[0]
        other = world.create_ticket("The coffee machine leaks", description="<p>There is water below it.</p>")
        assert_one_note(world, other)
        assert "No similar ticket" in world.notes(other)[0]
        world.close()
