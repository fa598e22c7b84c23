"""The desk's web pages: lists, a form, a ticket and its notes."""

import re
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from dev.simulators.servicedesk.desk import SimulatedDesk
from dev.simulators.servicedesk.desk_control import at_root, desk_of, ticket_of
from dev.simulators.servicedesk.shapes import CATEGORIES, PRIORITIES, is_in_progress
from dev.simulators.servicedesk.webhooks import WebhookSender

_MAX_SUBJECT_LENGTH = 250
_TAG = re.compile("<[^>]*>")
# A note's HTML is untrusted: no script runs and nothing is loaded, even if escaping failed.
_HEADERS = {
    "Content-Security-Policy": ("default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; form-action 'self'"),
    "Cache-Control": "no-store",
}


def _printable(value: str | None) -> str:
    """Replace characters that HTML does not allow; the template escapes the others."""
    text = "".join(char if char >= " " or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in value or "")
    return text.encode("utf-8", "replace").decode()


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %Y, %H:%M:%S UTC")


def _height(markup: str) -> int:
    """Estimate the height in pixels of framed HTML, which its page cannot measure."""
    paragraphs = markup.count("<p") + markup.count("<br") + markup.count("<h")
    text_length = len(_TAG.sub("", markup))
    return min(640, 56 + 32 * paragraphs + 24 * (markup.count("<li") + text_length // 130))


_ENVIRONMENT = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
_ENVIRONMENT.filters |= {"shown": _printable, "moment": _moment, "height": _height, "in_progress": is_in_progress}
_PAGE = _ENVIRONMENT.get_template("pages.html")


def _page(title: str, **values: Any) -> Response:
    return HTMLResponse(_PAGE.render(title=title, **values), headers=_HEADERS)


def _desk_page(desk: SimulatedDesk) -> Response:
    newest = sorted(desk.tickets.values(), key=lambda ticket: ticket.created_ms)[-500:][::-1]
    choices = {"priorities": PRIORITIES, "categories": CATEGORIES}
    return _page(f"Tickets of {desk.tenant}", desk=desk, newest=newest, **choices)


def _as_html(typed: str) -> str:
    return f"<div>{'<br>'.join(escape(line) for line in typed.splitlines())}</div>"


class DeskPages:
    """The pages of all desks of one server."""

    def __init__(self, desks: dict[str, SimulatedDesk], sender: WebhookSender) -> None:
        self._desks, self._sender = desks, sender

    def routes(self) -> list[Route]:
        return [
            Route("/", self._front, methods=["GET"]),
            # The address of a ticket's page on premises.
            Route("/WorkOrder.do", self._open_ticket, methods=["GET"]),
            Route("/desks/{tenant}", self._show_desk, methods=["GET"]),
            Route("/desks/{tenant}/tickets", self._create, methods=["POST"]),
            Route("/desks/{tenant}/tickets/{ticket_id}", self._ticket_page, methods=["GET"]),
            Route("/desks/{tenant}/tickets/{ticket_id}/{act}", self._act, methods=["POST"]),
        ]

    def _desk(self, request: Request) -> SimulatedDesk:
        return desk_of(self._desks, request.path_params["tenant"])

    async def _front(self, _request: Request) -> Response:
        desks = list(self._desks.values())
        return _desk_page(desks[0]) if len(desks) == 1 else _page("Desks", desks=desks)

    async def _show_desk(self, request: Request) -> Response:
        return _desk_page(self._desk(request))

    async def _open_ticket(self, request: Request) -> Response:
        desk = at_root(self._desks, request.query_params.get("PORTALID"))
        ticket = ticket_of(desk, request.query_params.get("woID", ""))
        return RedirectResponse(f"/desks/{desk.tenant}/tickets/{ticket.id}", status_code=303)

    async def _create(self, request: Request) -> Response:
        desk = self._desk(request)
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        subject = form.get("subject", "").strip()[:_MAX_SUBJECT_LENGTH]
        if not subject:
            raise HTTPException(422, "a ticket needs a subject")
        ticket = desk.create_ticket(subject, _as_html(form.get("description", "")))
        ticket.priority, ticket.category = form.get("priority") or None, form.get("category") or None
        desk.announce(desk, ticket, "created")
        return RedirectResponse(f"/desks/{desk.tenant}/tickets/{ticket.id}", status_code=303)

    async def _ticket_page(self, request: Request) -> Response:
        desk = self._desk(request)
        ticket = ticket_of(desk, request.path_params["ticket_id"])
        # The page reloads until a ticket in progress has a note.
        waits = not ticket.notes and is_in_progress(ticket) and not ticket.is_trashed
        about = {"ticket": ticket, "waits": waits, "delivery": self._sender.last(desk.tenant, ticket.id)}
        return _page(f"#{ticket.id} {ticket.subject}", desk=desk, **about)

    async def _act(self, request: Request) -> Response:
        desk = self._desk(request)
        ticket = ticket_of(desk, request.path_params["ticket_id"])
        match request.path_params["act"]:
            case "close" | "reopen" as act:
                desk.set_status(ticket, "Closed" if act == "close" else "Open")
            case "trash" | "restore" as act:
                desk.trash(ticket, trashed=act == "trash")
            case _:
                raise HTTPException(404, "no such action")
        return RedirectResponse(f"/desks/{desk.tenant}/tickets/{ticket.id}", status_code=303)
