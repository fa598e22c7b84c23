"""The control interface of both simulators, under `/_sim`.

It has no authentication: simulators listen on loopback and hold no real data.
"""

from dataclasses import asdict
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.faults import Fault, FaultBook
from simulators.journal import Journal

F = TypeVar("F", bound=Fault)
_FILTERS = ("operation", "tenant", "ticket_id")


def show_validation_error(_request: Request, error: Exception) -> Response:
    """Return a 422 that names each invalid field."""
    if not isinstance(error, ValidationError):
        raise error
    problems = [
        {
            "field": ".".join(str(part) for part in problem["loc"]),
            "problem": problem["msg"].removeprefix("Value error, "),
        }
        for problem in error.errors(include_url=False, include_context=False)
    ]
    summary = "; ".join(f"{problem['field']}: {problem['problem']}".lstrip(": ") for problem in problems)
    return JSONResponse({"error": summary, "problems": problems}, status_code=422)


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in a control request, {} for an empty body, or raise a 422."""
    try:
        return dict(await request.json()) if await request.body() else {}
    except (ValueError, TypeError):
        raise HTTPException(422, "the body is not a JSON object") from None


class Control(Generic[F]):
    """The `/_sim` routes of one server, over its faults and its journal."""

    def __init__(self, faults: FaultBook[F], fault_type: type[F], journal: Journal) -> None:
        self._faults = faults
        self._fault_type = fault_type
        self._journal = journal

    def routes(self) -> list[Route]:
        """Return the routes, which must precede any catch-all."""
        return [
            Route("/_sim/health", self._health, methods=["GET"]),
            Route("/_sim/faults", self._order, methods=["POST"]),
            Route("/_sim/faults", self._list, methods=["GET"]),
            Route("/_sim/faults", self._clear, methods=["DELETE"]),
            Route("/_sim/requests", self._requests, methods=["GET"]),
            Route("/_sim/requests", self._forget, methods=["DELETE"]),
        ]

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _order(self, request: Request) -> Response:
        fault = self._fault_type.model_validate(await read_object(request))
        self._faults.order(fault)
        return JSONResponse({}, status_code=201)

    async def _list(self, _request: Request) -> Response:
        return JSONResponse({"faults": self._faults.listing()})

    async def _clear(self, _request: Request) -> Response:
        self._faults.clear()
        return Response(status_code=204)

    async def _requests(self, request: Request) -> Response:
        equal = {name: request.query_params[name] for name in _FILTERS if name in request.query_params}
        return JSONResponse({"requests": [asdict(entry) for entry in self._journal.entries(**equal)]})

    async def _forget(self, _request: Request) -> Response:
        self._journal.clear()
        return Response(status_code=204)
