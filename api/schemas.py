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


class Malformed(Exception):
    """The body is not one readable JSON object that names one tenant."""


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


class Refused(BaseModel):
    """The answer to a webhook that was not taken."""

    detail: str


def read_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object.

    Raises Malformed; also for an object that has `tenant_id` or `ticket_id` twice: two readers could see two tenants.
    """
    try:
        text = body.decode("utf-8")
        if _too_deep(text):
            raise Malformed
        value = json.loads(text, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError):
        # ValueError covers bad UTF-8, bad JSON and numbers of thousands of digits.
        raise Malformed from None
    if not isinstance(value, dict):
        raise Malformed
    return value


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


def _no_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if names.count("tenant_id") > 1 or names.count("ticket_id") > 1:
        raise Malformed
    return dict(pairs)


def tenant_of(payload: dict[str, Any]) -> str:
    """The tenant id that the body names, to choose the secret with. Raises Malformed."""
    tenant_id = payload.get("tenant_id")
    if not isinstance(tenant_id, str) or not 1 <= len(tenant_id) <= 63:
        raise Malformed
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
