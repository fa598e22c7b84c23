"""One question to an endpoint: whether it has left, what was paid for it, and how long it took."""

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
    """What is known of it so far; `on_paid` hears of each call that was paid for."""

    on_paid: Callable[[Usage], None]
    started: float = field(default_factory=time.monotonic)
    paid: Usage | None = None
    sent: bool = False
    """True if it has left the house, or may have."""

    def pay(self, usage: Usage) -> None:
        """Take in what a call has cost, and tell it."""
        self.paid = usage if self.paid is None else usage.plus(self.paid)
        self.on_paid(usage)

    @property
    def usage(self) -> Usage:
        """What all calls have cost."""
        return self.paid or Usage()

    @property
    def milliseconds(self) -> int:
        """How long it has taken."""
        return round((time.monotonic() - self.started) * 1000)

    def not_sent_by(self, failure: Exception, before: bool) -> None:
        """Take back that a call has sent it, where nobody was reached; `before`: whether an earlier one had."""
        if never_connected(failure):
            self.sent = before

    def unanswered(self, host: str, model: str, stopped: BaseException) -> Unanswered:
        """Return it as one that no usable answer came to."""
        reason = _STOPPED if isinstance(stopped, asyncio.CancelledError) else _UNFORESEEN
        if isinstance(stopped, (HeldBack, OutsideFailure)):
            reason = stopped.reason
        return Unanswered(host, model, reason, self.usage, self.milliseconds)
