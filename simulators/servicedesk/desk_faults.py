"""A desk's faults and their form on the wire."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator

from simulators.exchange import PORTAL, Answer, Exchange, maintenance_page
from simulators.faults import Fault, with_a_body
from simulators.servicedesk.desk_operations import OPERATIONS
from simulators.servicedesk.envelope import (
    CODE_OF_HTTP_STATUS,
    INTERNAL,
    RATE_LIMIT,
    RefusedError,
    failure,
    warning,
)

_PERFORMED = frozenset({"performed"})


class DeskFault(Fault):
    """A fault of a desk for requests of a tenant, ticket or operation, or any (null).

    `performed`: the operation is done despite the fault; false by default. For `slow` it sets the time: true (its
    default) at once, with a late answer; false at the end of the wait. `cut` and `cut_after` always do the operation.
    `html` has HTTP 200 unless a `code` is given. `token_refused` is a refusal by the accounts host: a 200 whose
    `error` is the `message`. `throttled` is the error of Zoho's security filter, or the API's own (`shape` code),
    under 400 unless a `code` is given; the wait is in the header `wait_in` (docs/dev/outside.md; unproved under a
    400).
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
    code: Annotated[int, AfterValidator(with_a_body)] = Field(default=500, ge=300, le=599)
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
    def _known_operation(cls, operation: str | None) -> str | None:
        if operation is not None and operation not in OPERATIONS:
            raise ValueError(f"unknown operation {operation!r}; known: {', '.join(sorted(OPERATIONS))}")
        return operation

    def hits(self, tenant: str, operation: str, ticket_id: str | None) -> bool:
        return (
            self.tenant in {None, tenant}
            and self.operation in {None, operation}
            and self.ticket_id in {None, ticket_id}
        )


def _html(fault: DeskFault) -> Answer:
    given = fault.model_fields_set
    page = maintenance_page(fault.message if "message" in given else PORTAL)
    return Answer.of_html(fault.code if "code" in given else 200, page)


def _throttled(fault: DeskFault) -> Answer:
    name = "URL_ROLLING_THROTTLES_LIMIT_EXCEEDED"
    status = {"status_code": 4000, "status": "failed", "messages": [{"type": "failed", "message": name}]}
    documents: dict[str, dict[str, Any]] = {
        "title": {"error": {"title": name, "error_type": "OPERATIONAL_VALIDATION_ERROR"}},
        "object": {"response_status": status},
        "list": {"response_status": [status]},
        "code": {"response_status": {"status_code": RATE_LIMIT, "status": "failed"}},
    }
    wait = fault.retry_after if fault.wait_in == "Retry-After" else f"retry_after={fault.retry_after}"
    headers = {} if fault.retry_after is None else {fault.wait_in.lower(): str(wait)}
    return Answer.of_json(fault.code if "code" in fault.model_fields_set else 400, documents[fault.shape], headers)


def _in_place_of_an_answer(fault: DeskFault, operation: str) -> Answer:
    match fault.kind:
        case "status":
            code = CODE_OF_HTTP_STATUS.get(fault.code, INTERNAL)
            answer = failure(RefusedError(code, fault.message), fault.code, fault.retry_after)
        case "throttled":
            answer = _throttled(fault)
        case "html":
            answer = _html(fault)
        case "inner_failure":
            answer = failure(RefusedError(fault.inner_code, fault.message), http_status=200)
        case "warning":
            answer = warning(fault.message, as_list=operation.startswith("list_"))
        case "redirect":
            answer = Answer(302, b"", {"location": fault.location})
        case "token_refused":
            answer = Answer.of_json(200, {"error": fault.message, "status": "failure"})
        case _:
            answer = Answer(200, b'{"request": {"id": "1", ', {"content-type": "application/json;charset=UTF-8"})
    return answer


Outcome = Literal["answered", "silent", "cut", "flooded"]


async def misbehave(
    fault: DeskFault, wire: Exchange, operation: str, perform: Callable[[], Answer]
) -> tuple[Outcome, int | None]:
    """Play a fault to its end; return the outcome and the status, if one was sent."""
    match fault.kind:
        case "slow":
            early = perform() if fault.performed is not False else None
            await wire.pause(fault.seconds)
            answer = early or perform()
        case "cut":
            answer = perform()
            await wire.answer_half(answer)
            return "cut", answer.status
        case "cut_after":
            perform()
            await wire.hang_up()
            return "cut", None
        case "huge":
            await wire.flood(b'{"request": {"id": "1", "description": "', fault.megabytes)
            return "flooded", 200
        case _:
            if fault.performed:
                perform()
            if fault.kind == "silence":
                await wire.pause(None)
            answer = _in_place_of_an_answer(fault, operation)
    await wire.answer(answer)
    return "answered", answer.status
