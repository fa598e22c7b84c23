"""The note's statement that nothing similar was found."""

import pytest

from config.tenants import NoteSettings, Tenant
from integrations.servicedesk.parsing import plain_text
from storage import history
from tests.kit.desk import new_ticket, notes_of
from tests.kit.runner import ANSWER
from tests.workflow.place import WorkSite
from workflow.note import is_note_of, to_html

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
    copy: dict[str, str] | None, is_said: bool, place: WorkSite
) -> None:
    if copy is not None:
        await history.save_ticket(place.store.database, "acme", copy)
    ticket_id = new_ticket(place.desks, subject=COPY["subject"], description=COPY["description"])
    assert await place.run(await place.job(ticket_id)) == ("completed", None)
    (note,) = notes_of(place.desks, ticket_id)
    assert (NOTHING in str(note)) is is_said


def test_such_a_note_is_known_as_ours_and_one_that_does_not_know_says_nothing() -> None:
    assert is_note_of(7, plain_text(to_html(ANSWER.model_copy(update={"nothing_found": True}), 7, "m")))
    assert NOTHING not in to_html(ANSWER, 7, "m")


@pytest.mark.parametrize(("copy", "state"), [(COPY, "completed"), (OTHER, "skipped"), (None, "skipped")])
async def test_a_tenant_that_wants_no_note_then_gets_none_and_pays_nothing(
    copy: dict[str, str] | None, state: str, place: WorkSite
) -> None:
    place.tenant = Tenant("acme", note=NoteSettings(if_nothing_found=False))
    if copy is not None:
        await history.save_ticket(place.store.database, "acme", copy)
    ticket_id = new_ticket(place.desks, subject=COPY["subject"], description=COPY["description"])
    ended, reason = await place.run(await place.job(ticket_id))
    assert (ended, reason) == (state, None if state == "completed" else "nothing found")
    assert (len(notes_of(place.desks, ticket_id)), place.paid()) == ((1, 1) if state == "completed" else (0, 0))
