"""One question to an endpoint: whether it was sent, its cost and its duration."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from integrations.errors import HeldBack, OutsideFailure
from integrations.http import never_connected
from integrations.values import Unanswered, Usage

_STOPPED = "stopped while it was asked"
_UNFORESEEN = "unexpected failure"


@dataclass(slots=True)
class Asking:
    """The state of a question; `on_paid` is called for each paid call."""

    on_paid: Callable[[Usage], None]
    started: float = field(default_factory=time.monotonic)
    paid: Usage | None = None
    sent: bool = False
    """True if it has left the house, or may have."""

    def pay(self, usage: Usage) -> None:
        self.paid = usage if self.paid is None else usage.plus(self.paid)
        self.on_paid(usage)

    @property
    def usage(self) -> Usage:
        return self.paid or Usage()

    @property
    def milliseconds(self) -> int:
        return round((time.monotonic() - self.started) * 1000)

    def not_sent_by(self, failure: Exception, before: bool) -> None:
        """Undo `sent` if the call never connected; `before` is the earlier value."""
        if never_connected(failure):
            self.sent = before

    def unanswered(self, host: str, model: str, stopped: BaseException) -> Unanswered:
        reason = _STOPPED if isinstance(stopped, asyncio.CancelledError) else _UNFORESEEN
        if isinstance(stopped, (HeldBack, OutsideFailure)):
            reason = stopped.reason
        return Unanswered(host, model, reason, self.usage, self.milliseconds)
