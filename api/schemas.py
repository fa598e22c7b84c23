"""What a desk posts: untrusted, and with no fixed schema beyond tenant and ticket."""

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

LARGEST_BODY_BYTES = 64 * 1024
_DEEPEST = 100
# The closing quote may be missing: else the time for quotes that are never closed would grow with their square.
_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS = re.compile(r"[][{}]")
_TICKET_ID = re.compile(r"[0-9]{1,20}")
CHECK = "webhook.check"
"""The event of a webhook that only asks whether it would be taken."""
_NAMED_ONCE = ("tenant_id", "ticket_id")
# What the json module says, and what it means to who wrote the desk's template.
_MISTAKES = {
    "Expecting ',' delimiter": "a quote inside a value or a missing comma",
    "Invalid control character": "a line break or a tab inside a value",
    "Expecting property name": "a name without double quotes or a comma too many",
    "Illegal trailing comma": "a comma too many",
    "Expecting ':' delimiter": "a missing colon",
    "Unterminated string": "a quote that is never closed",
    "Invalid \\": "a backslash inside a value",
    "Expecting value": "no value where one has to stand",
    "Extra data": "something behind the end",
    "Unexpected UTF-8 BOM": "a byte order mark",
}


class Malformed(Exception):
    """The body is not one readable JSON object that names one tenant.

    `cause` says in our own words, and never in the body's, what is wrong with it.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Unusable(Exception):
    """Fields of a readable body have no usable value; `fields` names them."""

    def __init__(self, fields: list[str]) -> None:
        super().__init__(", ".join(fields))
        self.fields = fields


def _as_text(value: object) -> object:
    """Desks send ids as numbers or as text, some of them longer than a float holds."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class WebhookPayload(BaseModel):
    """The part of the body that the system reads; whatever else the desk's admin adds is ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    tenant_id: str = Field(description="The tenant, as in `WEBHOOK_SECRET_<TENANT>`.", examples=["acme"])
    ticket_id: Annotated[
        str,
        BeforeValidator(_as_text),
        Field(pattern=r"^[0-9]{1,20}$", description="The ticket, as text or number.", examples=["12345"]),
    ]
    event: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z0-9_.:/ -]{1,100}$", description="What happened.", examples=["ticket.created"]),
    ] = None


class Accepted(BaseModel):
    """The answer to a webhook that was taken."""

    job_id: str = Field(description="The job: its Celery task id and what the logs call it.")
    status: str = Field(description="`accepted`, or `duplicate` with the first job's id.")


class Checked(BaseModel):
    """The answer to a webhook that only asked whether it would be taken."""

    status: str = Field(description="`verified`")
    tenant_id: str


class Refused(BaseModel):
    """The answer to a webhook that was not taken."""

    detail: str


def read_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object.

    Raises Malformed; also for an object that has `tenant_id` or `ticket_id` twice: two readers could see two tenants.
    """
    value = load(decoded(body))
    if not isinstance(value, dict):
        raise Malformed("no JSON object")
    return value


def decoded(body: bytes) -> str:
    """The body's text. Raises Malformed."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as failure:
        raise Malformed(f"byte {failure.start + 1}: no UTF-8") from None
    if not text.strip():
        raise Malformed("nothing in it")
    return text


def load(text: str, *, named_once: Sequence[str] = _NAMED_ONCE, strict: bool = True) -> Any:
    """The value of a JSON text; not `strict`, texts in it may hold raw line breaks.

    Raises Malformed; also where an object has one of the names `named_once` twice.
    """

    def no_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        for name in named_once:
            if names.count(name) > 1:
                raise Malformed(f"{name} is there twice")
        return dict(pairs)

    if _too_deep(text):
        raise Malformed("nested too deep")
    try:
        return json.loads(text, object_pairs_hook=no_twins, strict=strict)
    except json.JSONDecodeError as failure:
        mistake = next((words for said, words in _MISTAKES.items() if failure.msg.startswith(said)), "no JSON")
        raise Malformed(f"line {failure.lineno} column {failure.colno}: {mistake}") from None
    except RecursionError:
        raise Malformed("nested too deep") from None
    except ValueError:
        raise Malformed("a number of thousands of digits") from None


def _too_deep(text: str) -> bool:
    """Return True if arrays and objects stand in each other deeper than anything that people send.

    How deep the json module goes differs between Python versions.
    """
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > _DEEPEST:
            return True
    return False


def tenant_of(payload: dict[str, Any]) -> str:
    """The tenant id that the body names, to choose the secret with. Raises Malformed."""
    if "tenant_id" not in payload:
        raise Malformed("tenant_id is missing")
    tenant_id = payload["tenant_id"]
    if not isinstance(tenant_id, str) or not 1 <= len(tenant_id) <= 63:
        raise Malformed("tenant_id is no text of 1 to 63 characters")
    return tenant_id


def ticket_of(payload: dict[str, Any]) -> str | None:
    """The ticket id for a line about a refused webhook; None unless it is well-formed."""
    ticket_id = _as_text(payload.get("ticket_id"))
    return ticket_id if isinstance(ticket_id, str) and _TICKET_ID.fullmatch(ticket_id) else None


def parse(payload: dict[str, Any]) -> WebhookPayload:
    """The payload, checked. Raises Unusable."""
    try:
        return WebhookPayload.model_validate(payload)
    except ValidationError as failure:
        raise Unusable(sorted({str(problem["loc"][0]) for problem in failure.errors()})) from None


def is_check(payload: dict[str, Any]) -> bool:
    """Return True if the webhook is about no ticket, and asks for nothing but to be verified."""
    return payload.get("event") == CHECK and "ticket_id" not in payload
