"""Verbs on the checked database: settings, connection, time limit, exit status; and `ai-agents psql`."""

import asyncio
import contextlib
import errno
import os
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from typing import Any, TypeVar

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from config.exit_codes import AWAY_EXIT, CONFIGURATION_EXIT, INTERRUPTED_EXIT, UNFORESEEN_EXIT
from config.settings import ByHandSettings, JobSettings, ProcessSettings, SettingsError, load
from db.schema import DatabaseUnfitError, DatabaseUnreachableError, check
from db.session import DATABASE_FAILURES, Database, is_away
from observability import log_events
from observability.logging import log_event, refuse_start, start_logging

_AWAY = "the database does not answer"
_ENDING_SECONDS = 0.1
_SERVICE = "ai-agents"

Result = TypeVar("Result")
Settings = TypeVar("Settings", bound=JobSettings)


def run_with_database(work: Callable[[Database, ByHandSettings], Awaitable[int]]) -> int:
    """Run `work` on a checked database, no other server; see `run_with_settings`."""
    return run_with_settings(ByHandSettings, work)


def run_with_settings(
    kind: type[Settings],
    work: Callable[[Database, Settings], Awaitable[int]],
    away: Callable[[Settings], Awaitable[int]] | None = None,
    *,
    check_seconds: float = 5.0,
    seconds: float | None = None,
    **defaults: Any,
) -> int:
    """Run `work` on a checked database; return the exit status.

    `kind` is the class of settings, `defaults` replace missing ones. `away` runs in place of `work` while the
    database is away. `check_seconds` limit the database's check, `seconds` everything. 75: the database is away. 78:
    a configuration problem. 70: an unexpected failure, so that a script does not mistake it for a result. Standard
    output has the result only; log lines, refusals included, go to standard error.
    """
    settings = load_or_exit(kind, **defaults)
    start_logging(settings, sys.stderr)

    async def run() -> int:
        try:
            return await on_database(work, settings, check_seconds)
        except DatabaseUnreachableError:
            if away is None:
                raise
            return await away(settings)

    try:
        return asyncio.run(run()) if seconds is None else run_within(seconds, run())
    except (DatabaseUnfitError, DatabaseUnreachableError, TimeoutError) as failure:
        refuse_start([_AWAY if isinstance(failure, TimeoutError) else str(failure)])
        return CONFIGURATION_EXIT if isinstance(failure, DatabaseUnfitError) else AWAY_EXIT
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except Exception as failure:  # logged by its types and places, never with its message
        if isinstance(failure, OSError) and failure.errno in (errno.EPIPE, errno.ENOSPC):
            raise  # unwritable output: `cli.main` sets the status
        log_event(log_events.PROCESS_FAILED, failure=failure)
        return UNFORESEEN_EXIT


def load_or_exit(kind: type[ProcessSettings], **defaults: Any) -> ProcessSettings:
    try:
        return load(kind, **defaults)
    except SettingsError as failure:
        refuse_start(failure.problems, sys.stderr)
        raise SystemExit(CONFIGURATION_EXIT) from None


async def on_database(
    work: Callable[[Database, Settings], Awaitable[Result]], settings: Settings, check_seconds: float
) -> Result:
    """Check, then run `work`. Raises DatabaseUnfitError or DatabaseUnreachableError."""
    database = Database(settings.database_url, application_name="ai-agents by hand", pool_size=2)
    try:
        async with asyncio.timeout(check_seconds):
            await check(database)
        return await work(database, settings)
    except TimeoutError as failure:
        raise DatabaseUnreachableError(_AWAY) from failure
    except DATABASE_FAILURES as failure:
        if not is_away(failure):
            raise
        raise DatabaseUnreachableError(_AWAY) from failure
    finally:
        await database.close()


class LeavingExecutor(ThreadPoolExecutor):
    """Executor of daemon threads, so that slow DNS lookups do not delay exit."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> "Future[Result]":
        future: Future[Result] = Future()

        def call() -> None:
            # The loop may have cancelled the future.
            with contextlib.suppress(InvalidStateError):
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as failure:  # noqa: BLE001 -- raised where the result is awaited
                    future.set_exception(failure)

        threading.Thread(target=call, daemon=True).start()
        return future


def run_within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` in a daemon thread, which delays no exit. Raises TimeoutError."""
    result: Future[Result] = Future()

    async def complete() -> None:
        asyncio.get_running_loop().set_default_executor(LeavingExecutor())
        try:
            result.set_result(await work)
        except BaseException as failure:  # noqa: BLE001 -- raised where the result is awaited
            result.set_exception(failure)

    thread = threading.Thread(target=lambda: asyncio.run(complete()), daemon=True)
    thread.start()
    try:
        return result.result(seconds)
    finally:
        # Time for its connections to close.
        thread.join(_ENDING_SECONDS)


def run_psql(arguments: Sequence[str]) -> int:
    """Replace this process with psql at DATABASE_URL, without visible passwords; return 78 if psql can't run."""
    url = load_or_exit(ByHandSettings).database_url
    parameters = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    secrets = {"PGPASSWORD": parameters.pop("password", "")}
    if key_password := parameters.pop("sslpassword", ""):
        # psql has no variable for it. An unnamed file passes it, and disappears with psql.
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(f"[{_SERVICE}]\nsslpassword={key_password}\n".encode())
            file.seek(0)
            descriptor = os.dup(file.fileno())
        os.set_inheritable(descriptor, True)
        secrets |= {"PGSERVICE": _SERVICE, "PGSERVICEFILE": f"/dev/fd/{descriptor}"}
    command = ["psql", "--dbname", make_conninfo("", **parameters), *arguments]
    os.environ.update({name: value for name, value in secrets.items() if value})
    try:
        os.execvp(command[0], command)  # noqa: S606 -- no shell is wanted
    except (FileNotFoundError, PermissionError):  # the latter also where PATH has an unreadable folder
        refuse_start(["psql is not installed, or may not be run"], sys.stderr)
        return CONFIGURATION_EXIT
