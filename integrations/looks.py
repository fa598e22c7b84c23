"""A look at a tenant's desk and at its model, as plain values: what is looked for, and what was seen."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import StringConstraints, TypeAdapter

LOOK_SECONDS = 1.0
"""How long one look takes at most."""
TicketState = Literal["open", "closed", "gone"]
# They become parts of an address in the desk.
_Number = Annotated[str, StringConstraints(pattern="^[0-9]{1,20}$")]


@dataclass(frozen=True, slots=True)
class Sought:
    """A ticket, by any number of it, and what note is looked for in it, if any.

    `job_id`: the note of this job, posted not long before `since`; `note_id`: its id, where the desk has confirmed it.
    `any_note`: that of whichever job.
    """

    number: _Number
    job_id: UUID | None = None
    since: datetime | None = None
    note_id: _Number | None = None
    any_note: bool = False


@dataclass(frozen=True, slots=True)
class DeskLook:
    """What the desk says. `failure`: why it could not be asked, or did not answer, in our own words.

    `asked`: it was called. `ticket` and `note` are None where that was not seen; `numbers` are the ticket's, in the
    desk and for people.
    """

    asked: bool = False
    failure: str = ""
    ticket: TicketState | None = None
    note: bool | None = None
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelLook:
    """Whether the model's server answers at all: no question is asked. `failure` as for a desk."""

    asked: bool = False
    failure: str = ""


SOUGHT = TypeAdapter(Sought)
DESK_LOOK = TypeAdapter(DeskLook)
MODEL_LOOK = TypeAdapter(ModelLook)
"""How each is written as JSON and read, when one process looks for another."""
