"""The HTTP entry point of all desks: tenant lookup, journal, faults, response."""

import time
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from simulators.exchange import Answer, ClientLeftError, Exchange
from simulators.faults import FaultBook
from simulators.journal import Entry, Journal, selected_headers
from simulators.servicedesk.access import Access
from simulators.servicedesk.call import DeskCall, read_form, read_input
from simulators.servicedesk.desk import SimulatedDesk
from simulators.servicedesk.desk_faults import DeskFault, misbehave
from simulators.servicedesk.desk_operations import UNKNOWN, find_operation, perform


@dataclass(frozen=True, slots=True)
class Tenancy:
    """A desk and its access check."""

    desk: SimulatedDesk
    access: Access


class DeskDoor:
    """The ASGI application for every path that is neither control interface nor page."""

    def __init__(self, tenancies: dict[str, Tenancy], faults: FaultBook[DeskFault], journal: Journal) -> None:
        self._tenancies = tenancies
        self._first = next(iter(tenancies))
        self._faults = faults
        self._journal = journal

    def _locate(self, path: str) -> tuple[str, list[str]]:
        """Return the tenant and the rest of the path; the first desk is at the root as well."""
        segments = path.removeprefix("/").split("/")
        if segments[0] in self._tenancies:
            return segments[0], segments[1:]
        return self._first, segments

    def _understand(self, tenant: str, rest: list[str], scope: Scope, body: bytes) -> DeskCall:
        settings, method = self._tenancies[tenant].desk.settings, scope["method"]
        form = read_form(method, scope["query_string"], body, _headers(scope).get("content-type", ""))
        if settings.edition == "cloud" and (method, rest) == ("POST", ["oauth", "v2", "token"]):
            return DeskCall("token", None, None, None, form)
        # A desk on premises accepts both addresses.
        names_portal = rest[:2] == ["app", settings.portal]
        behind = rest[2:] if names_portal else rest
        reached = behind[:2] == ["api", "v3"] and (names_portal or settings.edition == "onpremises")
        operation = find_operation(method, behind[2:] if reached else [UNKNOWN])
        return DeskCall(*operation, read_input(form), form, names_portal)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire = Exchange(scope, receive, send)
        tenant, rest = self._locate(scope["path"])
        try:
            body = await wire.read_body()
            call = self._understand(tenant, rest, scope, body)
            entry = self._remember(tenant, call, scope, body)
            await self._respond(wire, entry, tenant, call, _headers(scope))
        except ClientLeftError:
            return
        finally:
            wire.release()

    def _remember(self, tenant: str, call: DeskCall, scope: Scope, body: bytes) -> Entry:
        return self._journal.receive(
            method=scope["method"],
            path=scope["path"],
            operation=call.operation,
            payload=_payload(call),
            payload_bytes=len(body) + len(scope["query_string"]),
            headers=selected_headers(scope["headers"]),
            tenant=tenant,
            ticket_id=call.ticket_id,
        )

    async def _respond(
        self, wire: Exchange, entry: Entry, tenant: str, call: DeskCall, headers: dict[str, str]
    ) -> None:
        tenancy = self._tenancies[tenant]

        def operate() -> Answer:
            return perform(tenancy.desk, tenancy.access, call, headers)

        started = time.monotonic()
        fault = self._faults.take(lambda order: order.hits(tenant, call.operation, call.ticket_id))
        try:
            if fault is None:
                answer = operate()
                await wire.answer(answer)
                entry.outcome, entry.status = "answered", answer.status
            else:
                entry.fault = fault.kind
                entry.outcome, entry.status = await misbehave(fault, wire, call.operation, operate)
        except ClientLeftError:
            entry.outcome = "client_left"
        finally:
            entry.seconds = round(time.monotonic() - started, 4)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _payload(call: DeskCall) -> Any:
    if call.operation == "token":
        return {"fields": sorted(call.form)}
    return call.input_data
