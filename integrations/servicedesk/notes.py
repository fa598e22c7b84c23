"""The notes of a ticket: list, text, and search for ours."""

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from integrations.errors import DeskUnavailable, HeldBack
from integrations.servicedesk.answers import checked
from integrations.servicedesk.calls import DeskCalls
from integrations.servicedesk.contents import has_more, items_of, moment_of, plain_text

NOTE_KEYS = ("note", "request_note")
"""What a note is called in a body: on premises, and in the cloud. Builds differ."""
_MOST_ROWS = 100
_MOST_PAGES = 20
_ALWAYS_READ = 3
_DESK_CLOCK_SECONDS = 900.0


class DeskNotes:
    """The notes of one desk's tickets. Raises as `ServiceDeskPlus` does."""

    def __init__(self, calls: DeskCalls) -> None:
        self._calls = calls

    async def find(
        self,
        ticket_id: str,
        is_ours: Callable[[str], bool],
        since: datetime | None,
        *,
        unread: Sequence[str] | None,
        on_held_back: Callable[[list[str]], Awaitable[None]] | None,
    ) -> str | None:
        if unread is None:
            notes = await self._notes_to_read(ticket_id, since)
        else:
            notes = [(note_id, "") for note_id in unread]
        for number, (note_id, listed_text) in enumerate(notes):
            try:
                text = listed_text or await self.text(ticket_id, note_id)
            except HeldBack:
                if on_held_back is not None:
                    await on_held_back([left for left, _ in notes[number:]])
                raise
            if is_ours(plain_text(text)):
                return note_id
        return None

    async def _notes_to_read(self, ticket_id: str, since: datetime | None) -> list[tuple[str, str]]:
        oldest = 0.0 if since is None else since.timestamp() - _DESK_CLOCK_SECONDS
        newest_first = sorted(await self.listed(ticket_id), key=written_at, reverse=True)
        return [
            (str(item["id"]), str(item.get("description") or ""))
            for number, item in enumerate(newest_first)
            if number < _ALWAYS_READ or written_at(item) >= oldest
        ]

    async def listed(self, ticket_id: str) -> list[dict[str, Any]]:
        """Return all notes, 100 per call: no known sort field works in both editions."""
        notes: dict[str, dict[str, Any]] = {}
        for _ in range(_MOST_PAGES):
            wanted = {"list_info": {"row_count": _MOST_ROWS, "start_index": len(notes) + 1}}
            answer = await self._calls.make("GET", f"/requests/{ticket_id}/notes", wanted, who=ticket_id)
            listed = checked(answer, ticket_id)
            page = {str(item["id"]): item for item in items_of(listed, "notes", "request_notes")}
            if not has_more(listed):
                return list((notes | page).values())
            if page.keys() <= notes.keys():
                break  # the same page again
            notes |= page
        raise DeskUnavailable("invalid answer")

    async def text(self, ticket_id: str, note_id: str) -> str:
        """Return the HTML of a note; empty if it was deleted since it was listed."""
        answer = await self._calls.make("GET", f"/requests/{ticket_id}/notes/{note_id}", who=ticket_id)
        if answer.not_found:
            return ""
        single = checked(answer).body
        note = next((single[key] for key in NOTE_KEYS if key in single), None)
        # Another author's note may have no text, but it is a note.
        if not isinstance(note, dict) or not ("description" in note or note.get("id")):
            raise DeskUnavailable("invalid answer")
        return str(note.get("description") or "")


def written_at(note: dict[str, Any]) -> float:
    """Return the time of a listed note, in Unix seconds.

    It is `added_time` on premises, and `created_time` in the cloud and in older builds on premises. A note without a
    time counts as the newest, so that it is read.
    """
    moment = moment_of(note.get("added_time") or note.get("created_time"))
    return math.inf if moment is None else moment.timestamp()
