"""One server's simulated desks: tenant lookup, journal, faults, response."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from dev.simulators.answers import METHODS, gone
from dev.simulators.control import Journal, control_routes, show_validation_error
from dev.simulators.faults import FaultBook
from dev.simulators.servicedesk.access import Access
from dev.simulators.servicedesk.desk import SimulatedDesk
from dev.simulators.servicedesk.desk_control import DeskControl, at_root
from dev.simulators.servicedesk.desk_faults import DeskFault, misbehave
from dev.simulators.servicedesk.desk_pages import DeskPages
from dev.simulators.servicedesk.operations import UNKNOWN, DeskCall, find_operation, perform, read_form
from dev.simulators.servicedesk.settings import DeskConfig
from dev.simulators.servicedesk.webhooks import WebhookSender


class DeskServer:
    """The API of all desks, at every path except control interface and pages."""

    def __init__(self, desks: dict[str, SimulatedDesk], accesses: dict[str, Access]) -> None:
        self._desks, self._accesses = desks, accesses
        self.faults: FaultBook[DeskFault] = FaultBook()
        self.journal = Journal()

    def _locate(self, request: Request) -> tuple[str, list[str]]:
        """Return the tenant and the rest of the path; at the root are the portals and the first desk."""
        segments = request.scope["path"].removeprefix("/").split("/")
        if segments[0] in self._desks:
            return segments[0], segments[1:]
        return at_root(self._desks, request.headers.get("PORTALID")).tenant, segments

    async def _parse_call(self, tenant: str, rest: list[str], request: Request) -> DeskCall:
        settings, form = self._desks[tenant].settings, await read_form(request)
        if settings.edition == "cloud" and (request.method, rest) == ("POST", ["oauth", "v2", "token"]):
            return DeskCall("token", None, None, form)
        # A desk on premises accepts both addresses.
        names_portal = rest[:2] == ["app", settings.portal]
        path = rest[2:] if names_portal else rest
        reached = path[:2] == ["api", "v3"] and (names_portal or settings.edition == "onpremises")
        return DeskCall(*find_operation(request.method, path[2:] if reached else [UNKNOWN]), form, names_portal)

    async def answer(self, request: Request) -> Response:
        tenant, rest = self._locate(request)
        call = await self._parse_call(tenant, rest, request)
        payload = {"fields": sorted(call.form)} if call.operation == "token" else call.input_data
        entry = self.journal.receive(request, call.operation, payload, tenant=tenant, ticket_id=call.ticket_id)

        def operate() -> Response:
            return perform(self._desks[tenant], self._accesses[tenant], call, request.headers)

        fault = self.faults.take(lambda order: order.hits(tenant, call.operation, call.ticket_id))
        if fault is None:
            response = operate()
            entry.status = response.status_code
            entry.end("answered")
            return response
        entry.fault = fault.kind
        try:
            return await misbehave(fault, request, entry, operate)
        except ClientDisconnect:
            if entry.outcome == "open":
                entry.end("client_left")
            raise


def create_desk(config: DeskConfig | Mapping[str, Any]) -> Starlette:
    """Return the ASGI app of all desks. Raises pydantic.ValidationError."""
    checked = DeskConfig.model_validate(config)
    sender = WebhookSender()
    desks = {tenant: SimulatedDesk(tenant, settings, sender.send_soon) for tenant, settings in checked.desks.items()}
    accesses = {tenant: Access(settings) for tenant, settings in checked.desks.items()}
    server = DeskServer(desks, accesses)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with sender:
            yield

    return Starlette(
        routes=[
            *control_routes(server.faults, DeskFault, server.journal),
            *DeskControl(desks, accesses, sender).routes(),
            *DeskPages(desks, sender).routes(),
            Route("/{path:path}", server.answer, methods=METHODS),
        ],
        exception_handlers={ValidationError: show_validation_error, ClientDisconnect: gone},
        lifespan=lifespan,
    )
