"""Placeholders in a model's answer, as a real worker restores them."""

from tests.kit.world import World
from tests.system.outcomes import assert_one_note

SECRET = "Blue-Kestrel-88"


def test_the_name_of_a_column_never_becomes_a_password_in_the_note(around: World) -> None:
    """One of the columns ID_1 to ID_20 has the number of the password's placeholder."""
    around.openai_fault(kind="columns")
    ticket_id = around.create_ticket("Export is empty", description=f"My password is {SECRET}.")
    assert_one_note(around, ticket_id)
    around.clear_faults()
    (note,) = around.notes(ticket_id)
    assert "Columns: " + ", ".join(f"ID_{number}" for number in range(1, 21)) in note
