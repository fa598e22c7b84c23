"""The connections of one listener, and which of them has to go when there are too many."""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

MOST_CONNECTIONS = 500
MOST_WAITING_REQUESTS = 32
"""Pipelined requests of one connection that wait for their turn."""
_MOST_IN_A_RUSH = 750
# Longer than the loop takes to read what has come already: a request may be among it.
_MOMENT_SECONDS = 0.1

Connection = TypeVar("Connection", bound=Hashable)


class Crowd(Generic[Connection]):
    """Connections that wait for their sender, the longest first, and those with a request that is being answered.

    A connection waits from its beginning, and again from each answer, until the whole of a request is there: a piece of
    one does not make it younger. One with pipelined requests waits until the last of them is being answered. Times are
    the event loop's.
    """

    def __init__(self, most: int = MOST_CONNECTIONS, in_a_rush: int = _MOST_IN_A_RUSH) -> None:
        self._most = most
        self._in_a_rush = in_a_rush
        self._served: set[Connection] = set()
        self._waiting: dict[Connection, float] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._served) + len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """True if as many as there may be have a request that is being answered: none of them can go."""
        return len(self._served) >= self._most

    def wait(self, connection: Connection, now: float) -> None:
        """Note that a connection waits for its sender, from now on or since before."""
        self._served.discard(connection)
        self._waiting.setdefault(connection, now)

    def serve(self, connection: Connection) -> None:
        """Note that a whole request is there."""
        self._waiting.pop(connection, None)
        self._served.add(connection)

    def leave(self, connection: Connection) -> None:
        """Forget a closed connection; harmless for one that has left."""
        self._waiting.pop(connection, None)
        self._served.discard(connection)

    def make_room(self, now: float) -> Iterator[Connection]:
        """Those that go, so that there are no more than there may be; each has left.

        A connection that has waited for less than 0.1 s is spared, unless there is a rush.
        """
        while self._waiting and len(self) > self._most:
            connection, since = next(iter(self._waiting.items()))
            if now - since < _MOMENT_SECONDS and len(self) <= self._in_a_rush:
                return
            self.leave(connection)
            yield connection
