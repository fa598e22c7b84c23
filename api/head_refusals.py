"""What the log and the sender are told when a request is refused before the application has it."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from opentelemetry.trace import SpanKind

from observability import counting, phrases, tracing
from observability.identifiers import bound
from observability.logging import say

_CROWDED_LINE_SECONDS = 10.0


@dataclass(eq=False)
class HeadRefused(Exception):
    """A request that is answered with `status`, for `reason`."""

    status: int
    reason: str


def tell(refused: HeadRefused) -> None:
    """Say and count that a request was refused, with a span of its own."""
    attributes = {"http.response.status_code": refused.status}
    with bound(), tracing.span(tracing.WEBHOOK, kind=SpanKind.SERVER, attributes=attributes):
        say(phrases.WEBHOOK_REJECTED, status=refused.status, reason=refused.reason)
    counting.webhook(refused.reason)


def last_answer(status: int, reason: str) -> bytes:
    """Return the whole of an answer after which the connection is closed."""
    body = f'{{"detail":"{reason}"}}'
    lines = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
        *(["retry-after: 30"] if status == HTTPStatus.SERVICE_UNAVAILABLE else []),
    )
    return "\r\n".join((*lines, "", body)).encode()


class CrowdLog:
    """The lines of one listener about senders that do not get as far as the application.

    Of too many connections one of each kind in ten seconds. `now` is in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._told: dict[phrases.Phrase, float] = {}

    def one_refused(self, refused: HeadRefused) -> None:
        """Say and count that a request was refused before the application had it."""
        tell(refused)

    def one_closed(self) -> None:
        """Say that a connection was closed for a newcomer."""
        if self.may_tell(phrases.CROWDED):
            say(phrases.CROWDED)

    def one_turned_away(self) -> None:
        """Say and count that a newcomer found no place."""
        counting.webhook("too many connections")
        if self.may_tell(phrases.WEBHOOK_NOT_TAKEN):
            say(phrases.WEBHOOK_NOT_TAKEN, status=503, reason="too many connections")

    def may_tell(self, phrase: phrases.Phrase) -> bool:
        """Return True once in ten seconds for each phrase."""
        now = self._now()
        if now - self._told.get(phrase, -_CROWDED_LINE_SECONDS) < _CROWDED_LINE_SECONDS:
            return False
        self._told[phrase] = now
        return True
