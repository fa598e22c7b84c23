"""Errors of external services, classed by the caller's reaction.

    ExternalError                       has the log line that support greps for, and a reason
    ├── TemporaryError                  the same call may succeed later
    │   ├── ModelTimeoutError           no content for too long, or not done before the deadline
    │   ├── ModelUnavailableError       429, 5xx, connection failures, a broken stream
    │   ├── DeskTimeoutError
    │   └── DeskUnavailableError        429, 5xx, connection failures, an answer that is not the API's
    ├── DeniedError                     no call succeeds until an operator acts
    │   ├── ModelDeniedError            no credit, no permission, no such model
    │   └── DeskDeniedError             401; for a note also 403, of several tickets in a row
    └── PermanentError                  a retry gives the same result
        ├── ModelRefusedError           400, 403, an unusable answer, a content filter
        └── DeskRefusedError            400, 403, redirects, a desk that is not configured
    TicketGoneError                     expected: the job ends as skipped
    ├── TicketNotFoundError             deleted
    └── TicketClosedError
        └── TicketTrashedError          deleted
    DeferredError                       nothing was called: the server is down, or its rate is used up

No class contains a server's text: it may be ticket text, and would be logged.
"""

from collections.abc import Mapping
from types import MappingProxyType

from observability import log_events
from observability.log_events import Phrase
from observability.logging import log_event

MODEL_UNAVAILABLE = "model unavailable"


class ExternalError(Exception):
    """A failed call. `cause`: a status or fixed words. `also` extends the log line."""

    phrase: Phrase
    server = ""
    also: Mapping[str, object] = MappingProxyType({})

    def __init__(self, cause: str) -> None:
        super().__init__(f"{self.server}: {cause}" if self.server else cause)
        self.reason = str(self)
        self.values: dict[str, object] = {"reason": cause}

    def log(self) -> None:
        """Log the phrase that support greps for, with the reason."""
        log_event(self.phrase, self.values, also=self.also)


class TemporaryError(ExternalError):
    """A retry may succeed, not before `retry_after` seconds if the server gave them.

    `outcome_unknown`: a change may have happened; never for reads. `down`: the server is down, not only busy (429) or
    unable to do this one thing.
    """

    def __init__(self, cause: str, retry_after: float | None = None, *, outcome_unknown: bool = False) -> None:
        super().__init__(cause)
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown
        self.down = cause == "connection" or cause.startswith(("5", "connection: proxy"))


class PermanentError(ExternalError):
    """A retry gives the same result."""


class DeniedError(ExternalError):
    """A refusal until an operator acts; a Hold for `hold_reason` defers the jobs."""

    def __init__(self, cause: str, hold_reason: str) -> None:
        super().__init__(cause)
        self.hold_reason = hold_reason


class _ModelError(ExternalError):
    phrase = log_events.OPENAI_FAILED
    server = "OpenAI API"


class _DeskError(ExternalError):
    phrase = log_events.DESK_FAILED
    server = "ServiceDesk Plus API"


class ModelTimeoutError(TemporaryError):
    """GPT-4 sent nothing for `seconds`, or its answer took longer than that in all."""

    phrase = log_events.GPT4_TIMEOUT

    def __init__(self, seconds: float) -> None:
        super().__init__("GPT-4 timeout")
        self.values = {"seconds": f"{seconds:g}"}
        self.down = True


class ModelUnavailableError(_ModelError, TemporaryError):
    """The model's service is down or busy."""


class ModelRefusedError(_ModelError, PermanentError):
    """The model's service refuses this question."""


class ModelDeniedError(_ModelError, DeniedError):
    """The model's service refuses all questions."""


class DeskTimeoutError(TemporaryError):
    """The desk did not answer in time."""

    phrase = log_events.DESK_TIMEOUT

    def __init__(self, *, outcome_unknown: bool = False) -> None:
        super().__init__("ServiceDesk Plus timeout", outcome_unknown=outcome_unknown)
        self.down = True


class DeskUnavailableError(_DeskError, TemporaryError):
    """The desk is down or busy, or its answer is invalid."""

    @property
    def unusable(self) -> bool:
        """True if the desk sent an answer that is not the API's."""
        return self.values["reason"] == "invalid answer"


class DeskRefusedError(_DeskError, PermanentError):
    """The desk refuses this call."""


class DeskDeniedError(_DeskError, DeniedError):
    """The desk refuses the credentials or their notes, or issues no token."""

    def __init__(self, cause: str = "401", hold_reason: str = "desk credentials refused") -> None:
        super().__init__(cause, hold_reason)


class TicketGoneError(Exception):
    """The ticket needs no enhancement any more. `deleted`: its copies must be erased."""

    expected = True
    result = "skipped"
    deleted = False

    def __init__(self, phrase: Phrase, reason: str, **values: object) -> None:
        super().__init__(reason)
        self.phrase = phrase
        self.reason = reason
        self.values = values


class TicketNotFoundError(TicketGoneError):
    """The desk has no such ticket."""

    deleted = True

    def __init__(self, ticket_id: str) -> None:
        super().__init__(log_events.TICKET_NOT_FOUND, "ticket not found", ticket_id=ticket_id)


class TicketClosedError(TicketGoneError):
    """The ticket is closed or in the trash."""

    def __init__(self) -> None:
        super().__init__(log_events.TICKET_CLOSED, "ticket deleted or closed")


class TicketTrashedError(TicketClosedError):
    """The ticket is in the trash."""

    deleted = True


class DeferredError(Exception):
    """Defer the job for `seconds`, at no attempt.

    `extends_deadline`: the system chose to wait (fairness, caution), so the wait is added to the job's deadline.
    """

    expected = True
    result = "held back"

    def __init__(self, reason: str, seconds: float, *, extends_deadline: bool = True) -> None:
        super().__init__(f"held back: {reason}")
        self.reason = reason
        self.seconds = max(1.0, seconds)
        self.extends_deadline = extends_deadline
