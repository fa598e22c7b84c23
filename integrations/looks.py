"""Checks of a tenant's desk and model, as plain values: request and result."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import StringConstraints, TypeAdapter

LOOK_SECONDS = 1.0
"""How long one look takes at most."""
TicketState = Literal["open", "closed", "gone"]
# They become parts of a desk URL.
_Number = Annotated[str, StringConstraints(pattern="^[0-9]{1,20}$")]


@dataclass(frozen=True, slots=True)
class Sought:
    """A ticket, by any of its numbers, and optionally a note to find in it.

    `job_id`: the note of this job, posted not long before `since`; `note_id`: its id, if the desk has confirmed it.
    `any_note`: the note of any job.
    """

    number: _Number
    job_id: UUID | None = None
    since: datetime | None = None
    note_id: _Number | None = None
    any_note: bool = False


@dataclass(frozen=True, slots=True)
class DeskLook:
    """The state of a ticket in the desk; `failure` explains a missing answer.

    `asked`: the desk was called. `ticket` and `note` are None if unknown; `numbers` are the ticket's, in the desk and
    for people.
    """

    asked: bool = False
    failure: str = ""
    ticket: TicketState | None = None
    note: bool | None = None
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelLook:
    """Whether the model's server answers at all; no question is sent."""

    asked: bool = False
    failure: str = ""


SOUGHT = TypeAdapter(Sought)
DESK_LOOK = TypeAdapter(DeskLook)
MODEL_LOOK = TypeAdapter(ModelLook)
"""How each is written as JSON and read, when one process looks for another."""
