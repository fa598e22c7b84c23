"""The desk's own part of `/_sim`: tickets, settings and webhooks."""

import json
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.control import read_object
from simulators.servicedesk.desk import SimulatedDesk, TicketExistsError
from simulators.servicedesk.door import Tenancy
from simulators.servicedesk.note_calls import kept_notes
from simulators.servicedesk.records import StoredTicket
from simulators.servicedesk.settings import DeskOptions
from simulators.servicedesk.shapes import ticket_in_full
from simulators.servicedesk.webhooks import Resend, WebhookSender


class NewTicket(BaseModel):
    """`POST /_sim/tickets`. Unlike the API it takes any priority, category and id."""

    model_config = ConfigDict(extra="forbid")

    tenant: str
    subject: str
    description: str = ""
    priority: str | None = None
    category: str | None = None
    group: str | None = None
    site: str | None = None
    template: str | None = None
    requester: str | None = None
    """A mail address; the desk's usual requester's by default."""
    send_webhook: bool = True
    id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")


class TicketState(BaseModel):
    """`PATCH /_sim/tickets/{tenant}/{id}`. A custom status needs `in_progress`."""

    model_config = ConfigDict(extra="forbid")

    status: str | None = None
    in_progress: bool | None = None
    is_trashed: bool | None = None
    subject: str | None = None
    description: str | None = None
    category: str | None = None
    group: str | None = None
    site: str | None = None
    template: str | None = None
    closure_comments: str | None = None
    merged_into: str | None = None


class NewMail(BaseModel):
    """`POST /_sim/tickets/{tenant}/{id}/mails`. The text is HTML."""

    model_config = ConfigDict(extra="forbid")

    text: str


class NewSolution(BaseModel):
    """`POST` or `PATCH` of `/_sim/solutions/{tenant}`; `PATCH` takes any of the fields."""

    model_config = ConfigDict(extra="forbid")

    title: str
    description: str = ""
    topic: str = "General"
    approved: bool = True
    expiry_ms: int | None = None


class DeskControl:
    """Routes over the desks and the webhook sender of one server."""

    def __init__(self, tenancies: dict[str, Tenancy], sender: WebhookSender) -> None:
        self._tenancies = tenancies
        self._sender = sender

    def routes(self) -> list[Route]:
        one = "/_sim/tickets/{tenant}/{ticket_id}"
        return [
            Route("/_sim/tickets", self._create, methods=["POST"]),
            Route(one, self._show, methods=["GET"]),
            Route(one, self._change, methods=["PATCH"]),
            Route(one, self._destroy, methods=["DELETE"]),
            Route(f"{one}/notes", self._remove_notes, methods=["DELETE"]),
            Route(f"{one}/mails", self._send, methods=["POST"]),
            Route("/_sim/solutions/{tenant}", self._add_solution, methods=["POST"]),
            Route("/_sim/solutions/{tenant}/{solution_id}", self._change_solution, methods=["PATCH", "DELETE"]),
            Route("/_sim/webhooks", self._deliveries, methods=["GET"]),
            Route("/_sim/webhooks/{tenant}/{ticket_id}", self._resend, methods=["POST"]),
            Route("/_sim/desks/{tenant}", self._configure, methods=["PATCH"]),
            Route("/_sim/desks/{tenant}/tokens", self._revoke, methods=["DELETE"]),
        ]

    def _tenancy(self, tenant: str) -> Tenancy:
        if tenant not in self._tenancies:
            raise HTTPException(404, "no such desk")
        return self._tenancies[tenant]

    def _ticket(self, request: Request) -> tuple[SimulatedDesk, StoredTicket]:
        desk = self._tenancy(request.path_params["tenant"]).desk
        ticket = desk.tickets.get(request.path_params["ticket_id"])
        if ticket is None:
            raise HTTPException(404, "no such ticket")
        return desk, ticket

    async def _create(self, request: Request) -> Response:
        order = NewTicket.model_validate(await read_object(request))
        desk = self._tenancy(order.tenant).desk
        try:
            ticket = desk.create_ticket(
                order.subject,
                order.description,
                priority=order.priority,
                category=order.category,
                ticket_id=order.id,
                requester=order.requester,
                announce=False,
            )
        except TicketExistsError:
            raise HTTPException(409, "a ticket of that id exists") from None
        ticket.group, ticket.site, ticket.template = order.group, order.site, order.template or ticket.template
        if order.send_webhook:
            desk.announce(desk, ticket, "created")
        return JSONResponse({"ticket_id": ticket.id, "id": ticket.id}, status_code=201)

    async def _show(self, request: Request) -> Response:
        return _shown(*self._ticket(request))

    async def _change(self, request: Request) -> Response:
        desk, ticket = self._ticket(request)
        state = TicketState.model_validate(await read_object(request))
        if state.status is not None or state.in_progress is not None:
            desk.set_status(ticket, state.status or ticket.status, state.in_progress)
        if state.is_trashed is not None:
            desk.trash(ticket, trashed=state.is_trashed)
        for name in state.model_fields_set - {"status", "in_progress", "is_trashed"}:
            if (value := getattr(state, name)) is not None:
                setattr(ticket, name, value)
        desk.touch(ticket)
        return _shown(desk, ticket)

    async def _send(self, request: Request) -> Response:
        desk, ticket = self._ticket(request)
        mail = desk.send(ticket, NewMail.model_validate(await read_object(request)).text)
        return JSONResponse({"id": mail.id}, status_code=201)

    async def _remove_notes(self, request: Request) -> Response:
        _, ticket = self._ticket(request)
        ticket.notes.clear()
        return Response(status_code=204)

    async def _destroy(self, request: Request) -> Response:
        desk, ticket = self._ticket(request)
        del desk.tickets[ticket.id]
        return Response(status_code=204)

    async def _add_solution(self, request: Request) -> Response:
        order = NewSolution.model_validate(await read_object(request))
        desk = self._tenancy(request.path_params["tenant"]).desk
        solution = desk.add_solution(order.title, order.description, order.topic, approved=order.approved)
        solution.expiry_ms = order.expiry_ms
        return JSONResponse({"id": solution.id}, status_code=201)

    async def _change_solution(self, request: Request) -> Response:
        desk = self._tenancy(request.path_params["tenant"]).desk
        solution = desk.solutions[request.path_params["solution_id"]]
        if request.method == "DELETE":
            del desk.solutions[solution.id]
            return Response(status_code=204)
        changed = await read_object(request)
        checked = NewSolution.model_validate({"title": solution.title, **changed})
        for name in changed:
            setattr(solution, name, getattr(checked, name))
        return JSONResponse({"changed": sorted(changed)})

    async def _deliveries(self, request: Request) -> Response:
        query = request.query_params
        found = self._sender.deliveries(query.get("tenant"), query.get("ticket_id"))
        return JSONResponse({"deliveries": [asdict(delivery) for delivery in found]})

    async def _resend(self, request: Request) -> Response:
        tenant, ticket_id = request.path_params["tenant"], request.path_params["ticket_id"]
        desk = self._tenancy(tenant).desk
        order = Resend.model_validate(await read_object(request))
        if desk.settings.webhook_url is None:
            raise HTTPException(409, "the desk has no webhook URL")
        # A deleted ticket can be announced as well: webhooks may be late.
        ticket = desk.tickets.get(ticket_id)
        delivery = self._sender.prepare(desk, ticket_id, ticket.subject if ticket else "", order)
        await self._sender.send(delivery)
        return JSONResponse(asdict(delivery))

    async def _configure(self, request: Request) -> Response:
        """Change settings of a running desk: the receiver's address, a rotated secret, a rate."""
        settings = self._tenancy(request.path_params["tenant"]).desk.settings
        changed = await read_object(request)
        checked = DeskOptions.model_validate({**settings.model_dump(), **changed})
        for name in changed:
            setattr(settings, name, getattr(checked, name))
        return JSONResponse({"changed": sorted(changed)})

    async def _revoke(self, request: Request) -> Response:
        self._tenancy(request.path_params["tenant"]).access.revoke_tokens()
        return Response(status_code=204)


def _shown(desk: SimulatedDesk, ticket: StoredTicket) -> Response:
    # ASCII: a ticket may contain lone surrogates, which have no UTF-8 encoding.
    return Response(json.dumps(_whole(desk, ticket)), media_type="application/json")


def _whole(desk: SimulatedDesk, ticket: StoredTicket) -> dict[str, Any]:
    return {**ticket_in_full(ticket, desk.settings.edition), "notes": kept_notes(desk, ticket)}
