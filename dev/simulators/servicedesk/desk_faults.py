"""A desk's faults and their form on the wire."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from dev.simulators.answers import PORTAL, HalfResponse, Json, flood, followed, hang_up, page, pause
from dev.simulators.control import Entry
from dev.simulators.faults import Fault, Status
from dev.simulators.servicedesk.envelope import (
    CODE_OF_HTTP_STATUS,
    INTERNAL,
    RATE_LIMIT,
    RefusedError,
    failure,
    warning,
)
from dev.simulators.servicedesk.operations import OPERATIONS

_PERFORMED = frozenset({"performed"})


class DeskFault(Fault):
    """A fault of a desk for requests of a tenant, ticket or operation (null: any).

    `performed`: the operation is done despite the fault; false by default. For `slow` it sets the time: true (its
    default) at once, with a late answer; false at the end of the wait. `cut` and `cut_after` always do the operation.
    `html` has HTTP 200 unless a `code` is given. `token_refused` is a refusal by the accounts host: a 200 with the
    `message` as its `error`. `throttled` is the error of Zoho's security filter, or the API's own (`shape` code). Its
    HTTP status is `code`, 400 by default; the header `wait_in` has the wait (docs/dev/outside.md; unproved with 400).
    """

    options: ClassVar = {
        "status": frozenset({"code", "retry_after", "message"}) | _PERFORMED,
        "throttled": frozenset({"code", "retry_after", "shape", "wait_in"}),
        "silence": _PERFORMED,
        "slow": frozenset({"seconds"}) | _PERFORMED,
        "cut": frozenset(),
        "cut_after": frozenset(),
        "html": frozenset({"code", "message"}) | _PERFORMED,
        "inner_failure": frozenset({"inner_code", "message"}) | _PERFORMED,
        "warning": frozenset({"message"}),
        "token_refused": frozenset({"message"}),
        "redirect": frozenset({"location"}) | _PERFORMED,
        "huge": frozenset({"megabytes"}),
        "not_json": _PERFORMED,
    }
    selectors: ClassVar = frozenset({"tenant", "ticket_id", "operation"})

    tenant: str | None = None
    ticket_id: str | None = None
    operation: str | None = None
    code: Status = 500
    retry_after: str | None = None
    message: str = "Internal error, please try again"
    inner_code: int = Field(default=INTERNAL, ge=4000)
    seconds: float = Field(default=5.0, ge=0)
    location: str = "https://elsewhere.example/login"
    megabytes: int = Field(default=50, ge=1, le=50)
    performed: bool | None = None
    shape: Literal["title", "object", "list", "code"] = "title"
    wait_in: Literal["Retry-After", "X-Rate-Limit"] = "Retry-After"

    @field_validator("operation")
    @classmethod
    def _check_operation(cls, operation: str | None) -> str | None:
        if operation is not None and operation not in OPERATIONS:
            raise ValueError(f"unknown operation {operation!r}; known: {', '.join(sorted(OPERATIONS))}")
        return operation

    def hits(self, tenant: str, operation: str, ticket_id: str | None) -> bool:
        pairs = ((self.tenant, tenant), (self.operation, operation), (self.ticket_id, ticket_id))
        return all(selector in {None, actual} for selector, actual in pairs)


def _throttled(fault: DeskFault) -> Response:
    name = "URL_ROLLING_THROTTLES_LIMIT_EXCEEDED"
    status = {"status_code": 4000, "status": "failed", "messages": [{"type": "failed", "message": name}]}
    documents: dict[str, dict[str, Any]] = {
        "title": {"error": {"title": name, "error_type": "OPERATIONAL_VALIDATION_ERROR"}},
        "object": {"response_status": status},
        "list": {"response_status": [status]},
        "code": {"response_status": {"status_code": RATE_LIMIT, "status": "failed"}},
    }
    wait = fault.retry_after if fault.wait_in == "Retry-After" else f"retry_after={fault.retry_after}"
    headers: dict[str, str] = {} if fault.retry_after is None else {fault.wait_in: str(wait)}
    return Json(documents[fault.shape], fault.code if "code" in fault.model_fields_set else 400, headers)


def _replacement(fault: DeskFault, operation: str) -> Response:
    fields = fault.model_fields_set
    match fault.kind:
        case "status":
            code = CODE_OF_HTTP_STATUS.get(fault.code, INTERNAL)
            return failure(RefusedError(code, fault.message), fault.code, fault.retry_after)
        case "throttled":
            return _throttled(fault)
        case "html":
            return page(fault.message if "message" in fields else PORTAL, fault.code if "code" in fields else 200)
        case "inner_failure":
            return failure(RefusedError(fault.inner_code, fault.message), http_status=200)
        case "warning":
            return warning(fault.message, as_list=operation.startswith("list_"))
        case "redirect":
            return Response(status_code=302, headers={"location": fault.location})
        case "token_refused":
            return Json({"error": fault.message, "status": "failure"})
        case _:
            return Response(b'{"request": {"id": "1", ', media_type=Json.media_type)


async def misbehave(fault: DeskFault, request: Request, entry: Entry, perform: Callable[[], Response]) -> Response:
    """Play a fault and return its answer, if any. Raises ClientDisconnect."""
    if fault.kind == "huge":
        entry.status = 200
        opening = b'{"request": {"id": "1", "description": "'
        return StreamingResponse(followed(entry, flood(opening, fault.megabytes)), media_type=Json.media_type)
    if fault.kind == "slow":
        early = perform() if fault.performed is not False else None
        await pause(request, fault.seconds)
        response = early or perform()
    elif fault.kind == "cut_after":
        perform()
        entry.end("cut")
        hang_up(request)
        await pause(request)
        raise ClientDisconnect
    elif fault.kind == "cut":
        whole = perform()
        response = HalfResponse(whole.body, whole.status_code, whole.headers)
    else:
        if fault.performed:
            perform()
        if fault.kind == "silence":
            await pause(request)
        response = _replacement(fault, entry.operation)
    entry.status = response.status_code
    entry.end("cut" if fault.kind == "cut" else "answered")
    return response
