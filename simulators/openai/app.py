"""Assembly of the simulated endpoint."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.control import Control, show_validation_error
from simulators.faults import FaultBook
from simulators.journal import Journal
from simulators.openai.door import OpenAIDoor
from simulators.openai.openai_faults import OpenAIFault
from simulators.openai.settings import OpenAIConfig


def create_openai(config: OpenAIConfig | Mapping[str, Any]) -> Starlette:
    """Return the ASGI app of the endpoint. Raises pydantic.ValidationError."""
    faults: FaultBook[OpenAIFault] = FaultBook()
    journal = Journal()
    door = OpenAIDoor(OpenAIConfig.model_validate(config), faults, journal)

    async def answers(_request: Request) -> Response:
        return JSONResponse({"answers": list(door.answers)})

    async def forget(_request: Request) -> Response:
        door.answers.clear()
        return Response(status_code=204)

    return Starlette(
        routes=[
            *Control(faults, OpenAIFault, journal).routes(),
            Route("/_sim/answers", answers, methods=["GET"]),
            Route("/_sim/answers", forget, methods=["DELETE"]),
            Route("/{path:path}", door),
        ],
        exception_handlers={ValidationError: show_validation_error},
    )
