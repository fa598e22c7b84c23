"""Runner of verbs that need the database: settings, connection, exit status."""

import asyncio
import errno
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from config.exits import AWAY_EXIT, CONFIGURATION_EXIT, INTERRUPTED_EXIT, UNFORESEEN_EXIT
from config.settings import ByHandSettings, JobSettings, ProcessSettings, SettingsRefused, load
from observability import phrases
from observability.logging import refuse_start, say, start_logging
from storage.schema import DatabaseUnfit, DatabaseUnreachable, check
from storage.session import DATABASE_FAILURES, Database, is_away
from support.leaving import run_within

_AWAY = "the database does not answer"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for the database: for its check, and in all (None: no limit)."""

    check_seconds: float = 5.0
    whole_seconds: float | None = None


Settings = TypeVar("Settings", bound=JobSettings)
Work = Callable[[Database, ByHandSettings], Awaitable[int]]


def ask(work: Work) -> int:
    """Run `work` on a checked database, without other servers; see `ask_with`."""
    return ask_with(ByHandSettings, work)


def ask_with(
    kind: type[Settings],
    work: Callable[[Database, Settings], Awaitable[int]],
    patience: Patience = Patience(),
    away: Callable[[Settings], Awaitable[int]] | None = None,
    **defaults: Any,
) -> int:
    """Run `work` on a checked database; return the exit status.

    `kind` is the class of settings, `defaults` replace missing ones. `away` runs in place of `work` while the
    database is away. 75: the database is away. 78: a configuration problem. 70: an unexpected failure, so that a
    script does not mistake it for a result. Standard output has the result only; log lines, refusals included, go to
    standard error.
    """
    settings = load_or_exit(kind, **defaults)
    start_logging(settings, sys.stderr)
    try:
        asked = _checked(work, settings, patience, away)
        return asyncio.run(asked) if patience.whole_seconds is None else run_within(patience.whole_seconds, asked)
    except (DatabaseUnfit, DatabaseUnreachable, TimeoutError) as refused:
        refuse_start([_AWAY if isinstance(refused, TimeoutError) else str(refused)])
        return CONFIGURATION_EXIT if isinstance(refused, DatabaseUnfit) else AWAY_EXIT
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except Exception as failure:  # logged by its types and places, never with its message
        if isinstance(failure, OSError) and failure.errno in (errno.EPIPE, errno.ENOSPC):
            raise  # unwritable output: `support.cli` sets the status
        say(phrases.PROCESS_FAILED, failure=failure)
        return UNFORESEEN_EXIT


def load_or_exit(kind: type[ProcessSettings], **defaults: Any) -> ProcessSettings:
    """Return a verb's settings; if they are refused, log why and exit with 78."""
    try:
        return load(kind, **defaults)
    except SettingsRefused as refused:
        refuse_start(refused.problems, sys.stderr)
        raise SystemExit(CONFIGURATION_EXIT) from None


async def _checked(
    work: Callable[[Database, Settings], Awaitable[int]],
    settings: Settings,
    patience: Patience,
    away: Callable[[Settings], Awaitable[int]] | None,
) -> int:
    try:
        return await _on_database(work, settings, patience)
    except DatabaseUnreachable:
        if away is None:
            raise
        return await away(settings)


async def _on_database(
    work: Callable[[Database, Settings], Awaitable[int]], settings: Settings, patience: Patience
) -> int:
    database = Database(settings.database_url, application_name="ai-agents by hand", pool_size=2)
    try:
        async with asyncio.timeout(patience.check_seconds):
            await check(database)
        return await work(database, settings)
    except TimeoutError as failure:
        raise DatabaseUnreachable(_AWAY) from failure
    except DATABASE_FAILURES as failure:
        if not is_away(failure):
            raise
        raise DatabaseUnreachable(_AWAY) from failure
    finally:
        await database.close()
