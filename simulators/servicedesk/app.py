"""Assembly of one server's simulated desks."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.routing import Route

from simulators.control import Control, show_validation_error
from simulators.faults import FaultBook
from simulators.journal import Journal
from simulators.servicedesk.access import Access
from simulators.servicedesk.desk import SimulatedDesk
from simulators.servicedesk.desk_control import DeskControl
from simulators.servicedesk.desk_faults import DeskFault
from simulators.servicedesk.desk_pages import DeskPages
from simulators.servicedesk.door import DeskDoor, Tenancy
from simulators.servicedesk.settings import DeskConfig
from simulators.servicedesk.webhooks import WebhookSender


def create_desk(config: DeskConfig | Mapping[str, Any]) -> Starlette:
    """Return the ASGI app of all desks. Raises pydantic.ValidationError."""
    checked = DeskConfig.model_validate(config)
    tenancies = {
        tenant: Tenancy(SimulatedDesk(tenant, settings), Access(settings)) for tenant, settings in checked.desks.items()
    }
    sender = WebhookSender()
    for tenancy in tenancies.values():
        tenancy.desk.announce = sender.send_soon
    faults: FaultBook[DeskFault] = FaultBook()
    journal = Journal()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await sender.open()
        try:
            yield
        finally:
            await sender.close()

    return Starlette(
        routes=[
            *Control(faults, DeskFault, journal).routes(),
            *DeskControl(tenancies, sender).routes(),
            *DeskPages(tenancies, sender).routes(),
            Route("/{path:path}", DeskDoor(tenancies, faults, journal)),
        ],
        exception_handlers={ValidationError: show_validation_error},
        lifespan=lifespan,
    )
