"""Running a verb that asks the database: settings, connection, and what goes wrong with either."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from config.settings import ByHandSettings, SettingsRefused, load
from observability.logging import refuse_start, start_logging
from storage.schema import DatabaseUnfit, DatabaseUnreachable, check
from storage.session import DATABASE_FAILURES, Database, is_away

_CHECK_SECONDS = 5.0
_UNREACHABLE_EXIT = 75
_CONFIGURATION_EXIT = 78
_INTERRUPTED_EXIT = 130
_AWAY = "the database does not answer"

Work = Callable[[Database, ByHandSettings], Awaitable[int]]


def ask(work: Work) -> int:
    """Run `work` on a checked database; its exit status, or 75 (the database is away) or 78 (something to mend).

    Standard output is for what was asked for. Log lines, refusals among them, go to standard error.
    """
    try:
        settings = load(ByHandSettings)
    except SettingsRefused as refused:
        refuse_start(refused.problems, sys.stderr)
        return _CONFIGURATION_EXIT
    start_logging(settings, sys.stderr)
    try:
        return asyncio.run(_checked(work, settings))
    except DatabaseUnfit as unfit:
        refuse_start([str(unfit)])
        return _CONFIGURATION_EXIT
    except DatabaseUnreachable as away:
        refuse_start([str(away)])
        return _UNREACHABLE_EXIT
    except KeyboardInterrupt:
        return _INTERRUPTED_EXIT
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`); the interpreter must not try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


async def _checked(work: Work, settings: ByHandSettings) -> int:
    database = Database(settings.database_url, application_name="ai-agents by hand", pool_size=1)
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await check(database)
        status = await work(database, settings)
    except TimeoutError as failure:
        raise DatabaseUnreachable(_AWAY) from failure
    except DATABASE_FAILURES as failure:
        if not is_away(failure):
            raise
        raise DatabaseUnreachable(_AWAY) from failure
    finally:
        await database.close()
    sys.stdout.flush()
    return status
