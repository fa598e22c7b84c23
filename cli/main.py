"""The `ai-agents` command: processes, migrations and operator verbs.

A verb's module is imported when it is chosen. Processes are referenced by name: the command depends on no room.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pkgutil import resolve_name

from cli.arguments import add_verbs
from cli.terminal import stop_printing
from config.exit_codes import AWAY_EXIT, CONFIGURATION_EXIT, UNFORESEEN_EXIT
from config.settings import MigrateSettings, SettingsError, load
from observability import log_events
from observability.logging import log_event, refuse_start, start_logging
from observability.startup import begin_loading, end_loading


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return 0, 75 (a server is away: retry) or 78 (configuration).

    Operator verbs also return 1, 2 and 70, see `cli.arguments`; `diagnose` returns one status a verdict.
    """
    if sys.stdout is None:
        print("The output can't be written: it is closed.", file=sys.stderr)
        return UNFORESEEN_EXIT
    chosen = build_parser().parse_args(arguments)
    begin_loading()
    match chosen.verb:
        case "api":
            return _api(chosen.host, chosen.port)
        case "worker":
            resolve_name("worker.app:app").worker_main(["worker"])
            return 0
        case "housekeeping":
            status: int = resolve_name("worker.scheduler.app:run")()
        case "console":
            status = resolve_name("console.main:print_link" if chosen.link else "console.main:run")(chosen)
        case "migrate":
            status = _written(_migrate)
        case "psql":
            status = resolve_name("cli.database:run_psql")(chosen.arguments)
        case verb:
            # `secrets status` is `run` of `cli.secrets.status`.
            run_verb = resolve_name(f"cli.{verb.replace('-', '_').replace(' ', '.')}:run")
            end_loading()
            status = _written(lambda: run_verb(chosen))
    return status


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ai-agents", description="Ticket enhancement for ServiceDesk Plus.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("worker", help="process jobs")
    verbs.add_parser("housekeeping", help="run scheduled work: copy desks, poll, purge")
    for name, port, description in (
        ("api", 8000, "receive webhooks and queue jobs"),
        ("console", 8010, "serve the web console"),
    ):
        process = verbs.add_parser(name, help=description)
        process.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        process.add_argument("--port", type=int, default=port, help=f"port to listen on (default: {port})")
        if name == "console":
            link_help = "print an address that logs the holder of CONSOLE_TOKEN_<NAME> in, once within five minutes"
            process.add_argument("--link", metavar="NAME", help=link_help)
    verbs.add_parser("migrate", help="create or upgrade the database schema (needs DATABASE_ADMIN_URL)")
    add_verbs(verbs)
    # All that follows is psql's, options included.
    psql = verbs.add_parser("psql", help="open psql on the database", prefix_chars="\0", add_help=False)
    psql.add_argument("arguments", nargs="*", metavar="ARGUMENT")
    return parser


def _written(command: Callable[[], int]) -> int:
    """Run a command and flush its output; return 70 if that can't be written.

    A failed flush at Python's exit would turn any status into 120.
    """
    status = 0
    try:
        status = command()
        sys.stdout.flush()
    except OSError as failure:
        if failure.filename is not None:
            raise  # a file, not the output
        stop_printing()
        if not isinstance(failure, BrokenPipeError):
            print(f"The output can't be written: {failure.strerror}.", file=sys.stderr)
            return UNFORESEEN_EXIT
    return status


def _api(host: str, port: int) -> int:
    import uvicorn  # noqa: PLC0415 -- each verb loads only its own process

    uvicorn.run(
        "api.app:create_app",
        factory=True,
        http="api.server:LimitedProtocol",
        ws="none",
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        # Senders' addresses are not used.
        proxy_headers=False,
        timeout_graceful_shutdown=20,
        # Longer than proxies' 60 s: a webhook on a connection that is just being closed is lost.
        timeout_keep_alive=75,
    )
    return 0


def _migrate() -> int:
    from db.migrate import migrate  # noqa: PLC0415
    from db.schema import DatabaseUnfitError, DatabaseUnreachableError  # noqa: PLC0415

    end_loading()
    try:
        settings = load(MigrateSettings)
        start_logging(settings)
        log_event(log_events.MIGRATED, revision=migrate(settings.database_admin_url, settings.database_url))
    except SettingsError as failure:
        refuse_start(failure.problems)
        return CONFIGURATION_EXIT
    except (DatabaseUnfitError, DatabaseUnreachableError) as failure:
        refuse_start([str(failure)])
        return CONFIGURATION_EXIT if isinstance(failure, DatabaseUnfitError) else AWAY_EXIT
    return 0


if __name__ == "__main__":
    sys.exit(main())
