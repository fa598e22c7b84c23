"""The control interface of both simulators, under `/_sim`.

It orders faults and shows the recorded requests. It has no authentication: simulators listen on loopback and hold no
real data.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.simulators.faults import F, FaultBook

MAX_ENTRIES = 20_000
_FILTERS = ("operation", "tenant", "ticket_id")
_SHOWN_HEADERS = ("accept", "content-type", "content-length", "user-agent", "traceparent", "idempotency-key")


@dataclass(slots=True)
class Entry:
    """A received request. `time` is Unix seconds, `status` None until answered."""

    time: float
    method: str
    path: str
    operation: str
    payload: Any
    headers: dict[str, str]
    tenant: str | None = None
    ticket_id: str | None = None
    fault: str | None = None
    status: int | None = None
    outcome: str = "open"
    seconds: float | None = None

    def end(self, outcome: str) -> None:
        self.outcome, self.seconds = outcome, round(time.time() - self.time, 4)


class Journal:
    """The newest 20,000 requests, in order."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)

    def receive(
        self, request: Request, operation: str, payload: Any, *, ticket_id: str | None, tenant: str | None = None
    ) -> Entry:
        """Record a request before its response, so that unanswered requests appear too."""
        # No credentials.
        headers = {name: request.headers[name] for name in _SHOWN_HEADERS if name in request.headers}
        entry = Entry(
            time.time(), request.method, request.scope["path"], operation, payload, headers, tenant, ticket_id
        )
        self.entries.append(entry)
        return entry


def show_validation_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ValidationError):
        raise error
    problems = [
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].removeprefix('Value error, ')}".lstrip(": ")
        for problem in error.errors(include_url=False, include_context=False)
    ]
    return JSONResponse({"error": "; ".join(problems)}, status_code=422)


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request, {} for an empty body, or raise 422."""
    try:
        return dict(await request.json()) if await request.body() else {}
    except (ValueError, TypeError):
        raise HTTPException(422, "the body is not a JSON object") from None


def control_routes(faults: FaultBook[F], fault_type: type[F], journal: Journal) -> list[Route]:
    """Return the routes, which must precede any catch-all."""

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def order(request: Request) -> Response:
        faults.order(fault_type.model_validate(await read_object(request)))
        return JSONResponse({}, status_code=201)

    async def list_faults(_request: Request) -> Response:
        return JSONResponse({"faults": faults.listing()})

    async def list_requests(request: Request) -> Response:
        filters = {name: request.query_params[name] for name in _FILTERS if name in request.query_params}
        return JSONResponse({"requests": [asdict(entry) for entry in journal.entries if _matches(entry, filters)]})

    return [
        Route("/_sim/health", health),
        Route("/_sim/faults", order, methods=["POST"]),
        Route("/_sim/faults", list_faults),
        Route("/_sim/faults", clearing(faults.clear), methods=["DELETE"]),
        Route("/_sim/requests", list_requests),
        Route("/_sim/requests", clearing(journal.entries.clear), methods=["DELETE"]),
    ]


def _matches(entry: Entry, filters: Mapping[str, str]) -> bool:
    return all(getattr(entry, name) == value for name, value in filters.items())


def clearing(clear: Callable[[], None]) -> Callable[[Request], Response]:
    def endpoint(_request: Request) -> Response:
        clear()
        return Response(status_code=204)

    return endpoint
