"""What a visitor is told when there is no page, by what was raised."""

import secrets
from collections.abc import Iterator

from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from observability import phrases
from observability.logging import say
from observability.outage import Outage
from storage.session import DATABASE_FAILURES, is_away
from support.console.answers import NotAllowed, NotHere, NotUnderstood
from support.console.forms import FormRefused
from support.console.turned_away import TurnedAway

_TOO_SLOW = "57014"
"""The SQLSTATE of a statement that took longer than it may."""
_HALF_DONE = " It is not known whether your change was made: look before you make it again."


class Troubles:
    """Makes a page's words of failures. That a store is away is said once a minute."""

    def __init__(self) -> None:
        self._database = Outage(phrases.DATABASE_UNREACHABLE)
        self._redis = Outage(phrases.REDIS_UNREACHABLE)

    def of(self, failure: Exception, *, changing: bool) -> TurnedAway:
        """Return what to tell; `changing`: the handler of a change was at work when it failed."""
        half_done = _HALF_DONE if changing else ""
        leaves = list(_leaves(failure))
        if any(isinstance(leaf, DATABASE_FAILURES) and is_away(leaf) for leaf in leaves):
            self._database.seen("a page of the console could not be made", failure)
            return _later("The database does not answer", f"Try again in a minute.{half_done}")
        if any(isinstance(leaf, TimeoutError) or _is_slow(leaf) for leaf in leaves):
            self._database.seen("a page of the console took too long", failure)
            return _later("This took too long", f"Try again in a minute, or ask for less.{half_done}")
        if any(isinstance(leaf, RedisError) for leaf in leaves):
            self._redis.seen("a page of the console could not be made", failure)
            return _later("Redis does not answer", f"Try again in a minute.{half_done}")
        return _asked_wrongly(failure) or _unforeseen(failure, half_done)


def _asked_wrongly(failure: Exception) -> TurnedAway | None:
    match failure:
        case TurnedAway():
            return failure
        case NotHere():
            return TurnedAway(404, "Not here", "There is no such thing, or it is not yours to see.")
        case NotUnderstood():
            return TurnedAway(400, "Not understood", str(failure) or "It is not written as it should be.")
        case NotAllowed():
            return TurnedAway(403, "Not allowed", str(failure) or "Your role does not include it.")
        case FormRefused():
            return TurnedAway(failure.status, "Not understood", str(failure))
        case _:
            return None


def _unforeseen(failure: Exception, half_done: str) -> TurnedAway:
    failure_id = secrets.token_hex(4)
    say(phrases.CONSOLE_FAILED, id=failure_id, failure=failure)
    return TurnedAway(500, "A fault of ours", f"The log says more of it, under {failure_id}.{half_done}")


def _later(heading: str, sentence: str) -> TurnedAway:
    return TurnedAway(503, heading, sentence, headers={"Retry-After": "30"})


def _is_slow(failure: BaseException) -> bool:
    return isinstance(failure, DBAPIError) and getattr(failure.orig, "sqlstate", None) == _TOO_SLOW


def _leaves(failure: BaseException) -> Iterator[Exception]:
    """Yield what failed; of tasks that ran together each."""
    if isinstance(failure, BaseExceptionGroup):
        for one in failure.exceptions:
            yield from _leaves(one)
    elif isinstance(failure, Exception):
        yield failure
