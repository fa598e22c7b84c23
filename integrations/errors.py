"""Errors of external services, classed by the caller's reaction.

    ExternalError                       has the log line that support greps for, and a reason
    ├── TemporaryError                  the same call may succeed later
    │   ├── ModelTimeoutError           no content for too long, or not done before the deadline
    │   ├── ModelUnavailableError       429, 5xx, connection failures, a broken stream
    │   ├── DeskTimeoutError
    │   ├── DeskUnavailableError        429, 5xx, connection failures, an answer that is not the API's
    │   └── EmbeddingsUnavailableError
    ├── DeniedError                     no call succeeds until an operator acts
    │   ├── ModelDeniedError            no credit, no permission, no such model
    │   └── DeskDeniedError             401; for a note also 403, of several tickets in a row
    └── PermanentError                  a retry gives the same result
        ├── ModelRefusedError           400, 403, an unusable answer, a content filter
        ├── DeskRefusedError            400, 403, redirects, a desk that is not configured
        └── TextRefusedError            a text that is not embedded
    TicketGoneError                     expected: the job ends as skipped
    ├── TicketNotFoundError
    └── TicketClosedError
        └── TicketTrashedError          in the trash: deleted, as TicketNotFoundError is
    DeferredError                       nothing was called: the server is down, or its rate is used up

No class contains a server's text: it may be ticket text, and would be logged.
"""

from collections.abc import Mapping
from types import MappingProxyType

from observability import log_events
from observability.log_events import Phrase
from observability.logging import log_event

MODEL_UNAVAILABLE = "model unavailable"
"""Why a job is held back while the model is known to be down."""


class ExternalError(Exception):
    """A failed external call; `values` fill `phrase`, `also` extends its log line.

    `what` is a status, with words or without, or words of our own.
    """

    phrase: Phrase
    server = ""
    also: Mapping[str, object] = MappingProxyType({})

    def __init__(self, what: str) -> None:
        super().__init__(f"{self.server}: {what}" if self.server else what)
        self.reason = str(self)
        self.values: dict[str, object] = {"reason": what}

    def log(self) -> None:
        log_event(self.phrase, self.values, also=self.also)


class TemporaryError(ExternalError):
    """A retry may succeed, not before `retry_after` seconds if the server gave them.

    `outcome_unknown`: a change may have happened; never for reads. `down`: the server is down, not only busy (429) or
    unable to do this one thing.
    """

    def __init__(self, what: str, retry_after: float | None = None, *, outcome_unknown: bool = False) -> None:
        super().__init__(what)
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown
        self.down = what == "connection" or what.startswith(("5", "connection: proxy"))


class PermanentError(ExternalError):
    """A retry gives the same result."""


class DeniedError(ExternalError):
    """No call succeeds until an operator acts.

    `why` is a reason in `integrations.resilience`, whose Hold makes a DeferredError of it.
    """

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what)
        self.why = why


class _ModelError(ExternalError):
    phrase = log_events.OPENAI_FAILED
    server = "OpenAI API"


class _DeskError(ExternalError):
    phrase = log_events.DESK_FAILED
    server = "ServiceDesk Plus API"


class _EmbeddingsError(ExternalError):
    phrase = log_events.EMBEDDINGS_FAILED


class ModelTimeoutError(TemporaryError):
    """GPT-4 sent nothing for `seconds`, or its answer took longer than that in all."""

    phrase = log_events.GPT4_TIMEOUT

    def __init__(self, seconds: float) -> None:
        super().__init__("GPT-4 timeout")
        self.values = {"seconds": f"{seconds:g}"}
        self.down = True


class ModelUnavailableError(_ModelError, TemporaryError):
    """The model's service is down; `what` is a status with words, or `connection`."""


class ModelRefusedError(_ModelError, PermanentError):
    """The model's service refuses; `what` is a status or `invalid answer`."""


class ModelDeniedError(_ModelError, DeniedError):
    """The model's service refuses all questions."""


class DeskTimeoutError(TemporaryError):
    """ServiceDesk Plus did not answer in time."""

    phrase = log_events.DESK_TIMEOUT

    def __init__(self, *, outcome_unknown: bool = False) -> None:
        super().__init__("ServiceDesk Plus timeout", outcome_unknown=outcome_unknown)
        self.down = True


class DeskUnavailableError(_DeskError, TemporaryError):
    """ServiceDesk Plus fails; `what` is a status, `connection` or `invalid answer`."""

    @property
    def unusable(self) -> bool:
        """True if the answer is invalid, maybe only for this one request."""
        return self.values["reason"] == "invalid answer"


class DeskRefusedError(_DeskError, PermanentError):
    """ServiceDesk Plus refuses; `what` is a status, or the missing part."""


class DeskDeniedError(_DeskError, DeniedError):
    """ServiceDesk Plus refuses our credentials or their notes, or issues no token."""

    def __init__(self, what: str = "401", why: str = "desk credentials refused") -> None:
        super().__init__(what, why)


class NoteMissingError(DeskRefusedError):
    """The last check for a note of unknown outcome failed, and no attempt is left."""

    def __init__(self) -> None:
        super().__init__("note did not arrive")


class EmbeddingsUnavailableError(_EmbeddingsError, TemporaryError):
    """No embedding now; `what` is a status, `connection`, or a missing part."""


class TextRefusedError(_EmbeddingsError, PermanentError):
    """One of the texts is refused: it is too long, or a filter rejects it."""


class TicketGoneError(Exception):
    """The ticket needs no enhancement any more; `values` fill `phrase`.

    `deleted`: the desk has erased it, so every copy must be erased.
    """

    expected = True
    result = "skipped"
    deleted = False

    def __init__(self, phrase: Phrase, reason: str, **values: object) -> None:
        super().__init__(reason)
        self.phrase = phrase
        self.reason = reason
        self.values = values


class TicketNotFoundError(TicketGoneError):
    """The desk has no ticket of that id."""

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
    """The job is deferred for `seconds`, which costs it no attempt.

    `extends_deadline`: the wait is the system's choice (fairness, caution) and is added to the job's deadline; an
    outage is not.
    """

    expected = True
    result = "held back"

    def __init__(self, reason: str, seconds: float, *, extends_deadline: bool = True) -> None:
        super().__init__(f"held back: {reason}")
        self.reason = reason
        self.seconds = max(1.0, seconds)
        self.extends_deadline = extends_deadline


class NoteUnsettledError(DeferredError):
    """An attempt stopped while posting the note, which the desk may still store."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__("note may still arrive", wait_seconds)
