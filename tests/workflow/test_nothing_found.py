"""A note says that nothing like the ticket was found, where that is so."""

import pytest

from integrations.servicedesk.contents import plain_text
from storage import history
from tests.kit.desk import new_ticket, notes_of
from tests.kit.runner import ANSWER
from tests.workflow.place import Place
from workflow.enhancement import is_note_of, to_html

NOTHING = "No earlier ticket and no document like it was found: this is general advice."
COPY = {
    "ticket_id": "77",
    "subject": "Scanner jams",
    "description": "It jams at each page.",
    "resolution": "Cleaned the rollers.",
    "status": "Closed",
}
OTHER = COPY | {"subject": "Payslip is wrong", "description": "The sum of March.", "resolution": "Corrected."}


@pytest.mark.parametrize(("copy", "is_said"), [(COPY, False), (OTHER, True), (None, True)])
async def test_where_nothing_is_like_it_the_note_says_so(
    copy: dict[str, str] | None, is_said: bool, place: Place
) -> None:
    if copy is not None:
        await history.save_ticket(place.store.database, "acme", copy)
    ticket_id = new_ticket(place.desks, subject=COPY["subject"], description=COPY["description"])
    assert await place.run(await place.job(ticket_id)) == ("completed", None)
    (note,) = notes_of(place.desks, ticket_id)
    assert (NOTHING in str(note)) is is_said


def test_such_a_note_is_known_as_ours_and_one_that_does_not_know_says_nothing() -> None:
    assert is_note_of(7, plain_text(to_html(ANSWER, 7, "m", nothing_found=True)))
    assert NOTHING not in to_html(ANSWER, 7, "m")
