"""The desk's own part of `/_sim`: tickets, settings and webhooks."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.simulators.control import read_object
from dev.simulators.servicedesk.access import Access
from dev.simulators.servicedesk.desk import SimulatedDesk, TicketExistsError
from dev.simulators.servicedesk.operations import full_notes
from dev.simulators.servicedesk.records import StoredTicket
from dev.simulators.servicedesk.settings import DeskOptions
from dev.simulators.servicedesk.shapes import ticket_in_full
from dev.simulators.servicedesk.webhooks import Resend, WebhookSender

_GONE = 204


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TicketFields(_Order):
    """Fields of a ticket that a test may set at any time."""

    description: str | None = None
    priority: str | None = None
    category: str | None = None
    group: str | None = None
    site: str | None = None
    template: str | None = None


class NewTicket(TicketFields):
    """`POST /_sim/tickets`. Unlike the API it takes any priority, category and id."""

    tenant: str
    subject: str
    requester: str | None = None
    """A mail address; the desk's usual requester's by default."""
    send_webhook: bool = True
    id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")


class TicketState(TicketFields):
    """`PATCH /_sim/tickets/{tenant}/{id}`. A custom status needs `in_progress`."""

    status: str | None = None
    in_progress: bool | None = None
    is_trashed: bool | None = None
    subject: str | None = None
    closure_comments: str | None = None
    merged_into: str | None = None


class NewText(_Order):
    """`POST /_sim/tickets/{tenant}/{id}/mails` or `/worklogs`. The text is HTML."""

    text: str


class NewSolution(_Order):
    """`POST` or `PATCH` of `/_sim/solutions/{tenant}`; `PATCH` takes any field."""

    title: str
    description: str = ""
    topic: str = "General"
    approved: bool = True
    expiry_ms: int | None = None


class DeskControl:
    """Routes over the desks and the webhook sender of one server."""

    def __init__(self, desks: dict[str, SimulatedDesk], accesses: dict[str, Access], sender: WebhookSender) -> None:
        self._desks, self._accesses, self._sender = desks, accesses, sender

    def routes(self) -> list[Route]:
        ticket, solutions = "/_sim/tickets/{tenant}/{ticket_id}", "/_sim/solutions/{tenant}"
        return [
            Route("/_sim/tickets", self._create, methods=["POST"]),
            Route(ticket, self._show),
            Route(ticket, self._change, methods=["PATCH"]),
            Route(ticket, self._destroy, methods=["DELETE"]),
            Route(f"{ticket}/notes", self._remove_notes, methods=["DELETE"]),
            Route(f"{ticket}/mails", self._send, methods=["POST"]),
            Route(f"{ticket}/worklogs", self._log_work, methods=["POST"]),
            Route(solutions, self._add_solution, methods=["POST"]),
            Route(f"{solutions}/{{solution_id}}", self._change_solution, methods=["PATCH", "DELETE"]),
            Route("/_sim/webhooks", self._deliveries),
            Route("/_sim/webhooks/{tenant}/{ticket_id}", self._resend, methods=["POST"]),
            Route("/_sim/desks/{tenant}", self._configure, methods=["PATCH"]),
            Route("/_sim/desks/{tenant}/tokens", self._revoke, methods=["DELETE"]),
        ]

    def _ticket(self, request: Request) -> tuple[SimulatedDesk, StoredTicket]:
        desk = desk_of(self._desks, request.path_params["tenant"])
        return desk, ticket_of(desk, request.path_params["ticket_id"])

    async def _create(self, request: Request) -> Response:
        order = NewTicket.model_validate(await read_object(request))
        desk = desk_of(self._desks, order.tenant)
        try:
            ticket = desk.create_ticket(order.subject, "", ticket_id=order.id, requester=order.requester)
        except TicketExistsError:
            raise HTTPException(409, "a ticket with this id exists") from None
        _set(ticket, order, TicketFields.model_fields.keys())
        if order.send_webhook:
            desk.announce(desk, ticket, "created")
        return JSONResponse({"ticket_id": ticket.id, "id": ticket.id}, status_code=201)

    async def _show(self, request: Request) -> Response:
        return _ticket_response(*self._ticket(request))

    async def _change(self, request: Request) -> Response:
        desk, ticket = self._ticket(request)
        state = TicketState.model_validate(await read_object(request))
        if state.status is not None or state.in_progress is not None:
            desk.set_status(ticket, state.status or ticket.status, state.in_progress)
        if state.is_trashed is not None:
            desk.trash(ticket, trashed=state.is_trashed)
        _set(ticket, state, state.model_fields_set - {"status", "in_progress", "is_trashed"})
        desk.touch(ticket)
        return _ticket_response(desk, ticket)

    async def _send(self, request: Request) -> Response:
        desk, ticket = self._ticket(request)
        mail = desk.send(ticket, NewText.model_validate(await read_object(request)).text)
        return JSONResponse({"id": mail.id}, status_code=201)

    async def _log_work(self, request: Request) -> Response:
        desk, ticket = self._ticket(request)
        log = desk.log_work(ticket, NewText.model_validate(await read_object(request)).text)
        return JSONResponse({"id": log.id}, status_code=201)

    async def _remove_notes(self, request: Request) -> Response:
        _, ticket = self._ticket(request)
        ticket.notes.clear()
        return Response(status_code=_GONE)

    async def _destroy(self, request: Request) -> Response:
        desk, ticket = self._ticket(request)
        del desk.tickets[ticket.id]
        return Response(status_code=_GONE)

    async def _add_solution(self, request: Request) -> Response:
        order = NewSolution.model_validate(await read_object(request))
        desk = desk_of(self._desks, request.path_params["tenant"])
        solution = desk.add_solution(order.title, order.description, order.topic, approved=order.approved)
        solution.expiry_ms = order.expiry_ms
        return JSONResponse({"id": solution.id}, status_code=201)

    async def _change_solution(self, request: Request) -> Response:
        desk = desk_of(self._desks, request.path_params["tenant"])
        solution = desk.solutions[request.path_params["solution_id"]]
        if request.method == "DELETE":
            del desk.solutions[solution.id]
            return Response(status_code=_GONE)
        changed = await read_object(request)
        _set(solution, NewSolution.model_validate({"title": solution.title, **changed}), changed.keys())
        return JSONResponse({"changed": sorted(changed)})

    async def _deliveries(self, request: Request) -> Response:
        query = request.query_params
        deliveries = self._sender.deliveries(query.get("tenant"), query.get("ticket_id"))
        return JSONResponse({"deliveries": [asdict(delivery) for delivery in deliveries]})

    async def _resend(self, request: Request) -> Response:
        desk = desk_of(self._desks, request.path_params["tenant"])
        ticket_id = request.path_params["ticket_id"]
        order = Resend.model_validate(await read_object(request))
        if desk.settings.webhook_url is None:
            raise HTTPException(409, "the desk has no webhook URL")
        # A deleted ticket can be announced as well: webhooks may be late.
        ticket = desk.tickets.get(ticket_id)
        delivery = self._sender.prepare(desk, ticket_id, ticket.subject if ticket else "", order)
        await self._sender.send(delivery)
        return JSONResponse(asdict(delivery))

    async def _configure(self, request: Request) -> Response:
        settings = desk_of(self._desks, request.path_params["tenant"]).settings
        changed = await read_object(request)
        _set(settings, DeskOptions.model_validate({**settings.model_dump(), **changed}), changed.keys(), none=True)
        return JSONResponse({"changed": sorted(changed)})

    async def _revoke(self, request: Request) -> Response:
        self._accesses[desk_of(self._desks, request.path_params["tenant"]).tenant].revoke_tokens()
        return Response(status_code=_GONE)


def desk_of(desks: dict[str, SimulatedDesk], tenant: str) -> SimulatedDesk:
    if tenant not in desks:
        raise HTTPException(404, "no such desk")
    return desks[tenant]


def at_root(desks: Mapping[str, SimulatedDesk], portal_id: str | None) -> SimulatedDesk:
    """Return the desk of a portal, or the first one."""
    portals = (desk for desk in desks.values() if portal_id and desk.settings.portal_id == portal_id)
    return next(portals, next(iter(desks.values())))


def ticket_of(desk: SimulatedDesk, ticket_id: str) -> StoredTicket:
    if ticket_id not in desk.tickets:
        raise HTTPException(404, "no such ticket")
    return desk.tickets[ticket_id]


def _set(target: Any, order: BaseModel, names: Any, *, none: bool = False) -> None:
    for name in names:
        if none or getattr(order, name) is not None:
            setattr(target, name, getattr(order, name))


def _ticket_response(desk: SimulatedDesk, ticket: StoredTicket) -> Response:
    # ASCII: a ticket may contain lone surrogates, which have no UTF-8 encoding.
    whole = {**ticket_in_full(ticket, desk.settings.edition), "notes": full_notes(desk, ticket)}
    return Response(json.dumps(whole), media_type="application/json")
