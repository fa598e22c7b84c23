"""Found tickets and documents as sources of a note."""

from collections.abc import Callable

from knowledge.models import Document, SimilarTicket
from workflow.answer import NoteSource, cut
from workflow.defanging import without_links
from workflow.ports import Desk

_MAX_TITLE_LENGTH = 120

LinkOf = Callable[[SimilarTicket | Document], str]
"""Returns the browser URL of a find; empty if unknown."""


def link_in(desk: Desk, found: SimilarTicket | Document) -> str:
    if isinstance(found, SimilarTicket):
        return desk.link_to(found.ticket_id)
    return desk.link_to_solution(found.solution_id) if found.solution_id else ""


def note_source(source_id: str, found: SimilarTicket | Document, link_of: LinkOf, quote: str = "") -> NoteSource:
    link = link_of(found)
    if isinstance(found, Document):
        title = _title(found.title) or source_id
        return NoteSource(
            id=source_id, kind="document", title=title, link=link, quote=quote, expires_at=found.expires_at
        )
    return NoteSource(
        id=source_id,
        kind="ticket",
        number=found.shown,
        title=_title(found.subject),
        day=found.created_at.date() if found.created_at else None,
        link=link,
        quote=quote,
    )


def _title(text: str) -> str:
    return cut(without_links(text), _MAX_TITLE_LENGTH)
