"""The limits of the signer's port: a desk that finds no place is logged."""

from api.server import Crowd, Port
from observability import phrases
from observability.logging import say

MOST_CONNECTIONS = 200
_MOST_IN_A_RUSH = 300


class DeskPort(Port):
    """The port of a desk."""

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__(seconds, Crowd(MOST_CONNECTIONS, _MOST_IN_A_RUSH))

    def log_turned_away(self) -> None:
        if self.is_due(phrases.WEBHOOK_LOST):
            say(phrases.WEBHOOK_LOST, status=503, reason="too many requests are being answered")
