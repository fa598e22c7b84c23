"""What came with a request: its query and its form, bounded, one text a name."""

import asyncio
from urllib.parse import parse_qsl

from starlette.requests import Request

from support.console.answers import NotUnderstood
from webhooks.bodies import read_within

LARGEST_FORM_BYTES = 64 * 1024
_FORM_SECONDS = 5.0
_MOST_FIELDS = 500
_FORM = "application/x-www-form-urlencoded"


class FormRefused(Exception):
    """A form that is not read: `status` says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def query_of(request: Request) -> dict[str, str]:
    """Return the query. Raises NotUnderstood."""
    return _fields(request.scope["query_string"])


async def form_of(request: Request) -> dict[str, str]:
    """Return the form. Raises FormRefused, NotUnderstood, and ClientDisconnect."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise FormRefused(415, "A form of this console is sent as a form.")
    try:
        async with asyncio.timeout(_FORM_SECONDS):
            body = await read_within(request.stream(), LARGEST_FORM_BYTES)
    except TimeoutError:
        raise FormRefused(408, "The form did not come within its time.") from None
    if body is None:
        raise FormRefused(413, f"A form has {LARGEST_FORM_BYTES // 1024} kB at most.")
    return _fields(body)


def _fields(encoded: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(encoded.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise NotUnderstood("It is not written as a browser writes it.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise NotUnderstood("It names something twice.")
    # No text of ours has one, and Postgres takes none.
    if any("\0" in part for pair in pairs for part in pair):
        raise NotUnderstood("It has a character that there is not.")
    return fields
