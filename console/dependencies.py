"""Dependencies of routes: user, stores, and validation of queries and forms."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Form, Path, Request
from fastapi.routing import APIRoute
from redis.asyncio import Redis
from starlette.exceptions import HTTPException
from starlette.responses import Response

from config.prices import ModelPrices
from config.tenant_directory import TenantDirectory
from config.tenants import is_tenant_id
from console.errors import CsrfFailed, NotFound
from console.sessions import Sessions, User
from db.session import Database
from jobs.diagnosis.commands import KUBERNETES, Commands
from jobs.diagnosis.facts import Probes


@dataclass(frozen=True, slots=True)
class Services:
    """Stores of the routes. `probes` check desk and model."""

    database: Database
    redis: Redis
    tenants: TenantDirectory
    probes: Probes
    jaeger_url: str | None = None
    job_deadline_seconds: int = 1800
    docs_url: str | None = None
    commands: Commands = KUBERNETES
    prices: ModelPrices = field(default_factory=dict)


class ConsoleRoute(APIRoute):
    """A route with HEAD beside GET, and a time limit."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        if self.methods and "GET" in self.methods:
            self.methods.add("HEAD")

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def limited(request: Request) -> Response:
            async with asyncio.timeout(request.app.state.page_seconds):
                return await handle(request)

        return limited


def app_part(name: str) -> Any:
    """Return a dependency on a part of the application's state."""

    def part(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(part)


def current_user(request: Request) -> User:
    user: User = request.state.session.user
    return user


ServicesDep = Annotated[Services, app_part("services")]
SessionsDep = Annotated[Sessions, app_part("sessions")]
CurrentUser = Annotated[User, Depends(current_user)]


def require_operator(user: CurrentUser) -> None:
    if user.role != "operator":
        raise HTTPException(403, "This needs the role operator.")


def check_origin(request: Request, sessions: SessionsDep) -> None:
    if not sessions.address.is_own(request):
        raise CsrfFailed


def verify_csrf(request: Request, sessions: SessionsDep, csrf: Annotated[str, Form()] = "") -> None:
    """Reject a form of another page or session; count the request as a change."""
    check_origin(request, sessions)
    if not sessions.is_csrf(csrf, request.state.session.id):
        raise CsrfFailed
    request.state.is_change = True


def visible_tenant(user: CurrentUser, tenant_id: str) -> str:
    """Return the URL's tenant. Raises NotFound for hidden and unknown ones alike."""
    if not is_tenant_id(tenant_id) or not user.sees(tenant_id):
        raise NotFound
    return tenant_id


def tenant_scope(user: CurrentUser, tenant: str = "") -> str | None:
    """Return the tenant of the query, else the user's own; None for all tenants."""
    return visible_tenant(user, tenant.strip()) if tenant.strip() else user.tenant_id


VisibleTenant = Annotated[str, Depends(visible_tenant)]
TenantScope = Annotated[str | None, Depends(tenant_scope)]
TicketId = Annotated[str, Path(pattern="^[0-9]{1,20}$")]
