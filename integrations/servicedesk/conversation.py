"""The conversation of a ticket: its last mails and notes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import islice

from integrations.errors import HeldBack, OutsideFailure
from integrations.servicedesk.contents import plain_text
from integrations.servicedesk.lists import DeskLists
from integrations.servicedesk.notes import DeskNotes, written_at
from integrations.values import DeskTicket
from retrieval.cleaning import lines_of, unwrapped

_MOST_MAILS = 5
_MOST_NOTES = 3
_LONGEST_NOTE = 50_000
# A job does not wait for a slow desk: the searches take only a second.
_SECONDS = 8.0


async def read_conversation(
    ticket: DeskTicket, lists: DeskLists, notes: DeskNotes, is_ours: Callable[[str], bool]
) -> list[str]:
    """Return the texts, oldest first, that were read before a failure or the timeout.

    Raises as `ServiceDeskPlus` does if nothing was read.
    """
    said: list[tuple[float, str]] = []
    try:
        async with asyncio.timeout(_SECONDS):
            async for at, text in _texts(ticket, lists, notes, is_ours):
                said.append((at, text))
    except TimeoutError:
        pass
    except (OutsideFailure, HeldBack):
        if not said:
            raise
    return [text for _, text in sorted(said, key=lambda each: each[0]) if text.strip()]


async def _texts(
    ticket: DeskTicket, lists: DeskLists, notes: DeskNotes, is_ours: Callable[[str], bool]
) -> AsyncIterator[tuple[float, str]]:
    if _was_answered(ticket):
        for mail_id, sent in reversed((await lists.mails(ticket.ticket_id))[-_MOST_MAILS:]):
            yield sent.timestamp() if sent.year > 1 else 0.0, await lists.mail(ticket.ticket_id, mail_id)
    if ticket.has_notes:
        newest_first = sorted(await notes.listed(ticket.ticket_id), key=written_at, reverse=True)
        for note in islice(newest_first, _MOST_NOTES):
            text = str(note.get("description") or "") or await notes.text(ticket.ticket_id, str(note["id"]))
            if not is_ours(plain_text(text)):
                yield written_at(note), unwrapped(lines_of(text)[:_LONGEST_NOTE])


def _was_answered(ticket: DeskTicket) -> bool:
    if ticket.conversation is not None:
        return ticket.conversation
    return ticket.changed_at is not None and ticket.changed_at != ticket.created_at
