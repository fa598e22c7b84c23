"""Arguments of the operator verbs; imports no process."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from config.exit_codes import OF_COMMANDS, OF_VERDICTS
from config.tenants import parse_minutes, parse_zone
from observability.formats import parse_day, parse_moment

FORMS = ("script", "deluge", "token")
REPORT_FORMATS = ("text", "html", "csv", "json")
STATES = ("waiting", "running", "completed", "skipped", "failed")
MAX_RETRIED = 100
MAX_REPLAYED = 100
_MAX_DAYS = 3650
_EITHER = "(either number of a cloud ticket)"
_EXIT_CODES = "\n".join(["exit status:", *(f"  {status:<3} {meaning}" for status, meaning in OF_COMMANDS.items())])
Verbs = Any
"""The subparsers of argparse, whose class has no public name."""
Parsed = TypeVar("Parsed")


def _job_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a job id (a UUID, as in log lines)") from None


def _text(pattern: str, problem: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text) or not (text.isprintable() and text.strip()):
            raise argparse.ArgumentTypeError(problem)
        return text.strip()

    return parse


def _number(maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and 0 < int(text) <= maximum):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {maximum}")
        return int(text)

    return parse


def _of(parse: Callable[[str], Parsed]) -> Callable[[str], Parsed]:
    """Return `parse` with the text of its ValueError as the parser's message."""

    def parsed(text: str) -> Parsed:
        try:
            return parse(text)
        except ValueError as failure:
            raise argparse.ArgumentTypeError(str(failure)) from None

    return parsed


moment, _day, _zone, _minutes = _of(parse_moment), _of(parse_day), _of(parse_zone), _of(parse_minutes)
tenant = _text(r"[a-z0-9-]{1,63}", "a tenant id has 1 to 63 characters: a-z, 0-9 and -")
_ticket = _text(r"[0-9]{1,20}", "is not a ticket number of 1 to 20 digits")
_word = _text(r".*", "must be one line and not empty")
_address = _text(r".*@.*", "is not a mail address")
_webhook_url = _text(
    r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~-]+)*/webhook",
    "must be an address that ends in /webhook, like https://api.example.com/webhook",
)


def _path(text: str) -> str:
    if not text.strip():
        # An unset variable would otherwise name the current folder.
        raise argparse.ArgumentTypeError("is empty")
    return text


def add_verbs(verbs: Verbs) -> None:
    _add_pilot(verbs)
    check = _verb(verbs, "check", "check settings, servers, desks, models and webhooks; read-only")
    check.set_defaults(verb="check command")
    _add_tenant(check, "only this tenant")
    check.add_argument("--url", type=_word, metavar="URL", help="public address of POST /webhook, to send a probe to")
    check.add_argument("--no-model", action="store_true", help="skip the model, whose check is a small paid call")
    report_help = (
        "print findings and shapes of the desk's answers for an issue, without names, addresses, texts and keys"
    )
    check.add_argument("--report", action="store_true", help=report_help)
    diagnose = _verb(verbs, "diagnose", "explain why a ticket has no note, with the next step; read-only")
    _add_ticket_or_job(diagnose)
    verdicts = ", ".join(f"{status} {code}" for code, status in sorted(OF_VERDICTS.items(), key=lambda pair: pair[1]))
    diagnose.epilog = f"{_EXIT_CODES}\n  verdicts: {verdicts}"
    trace = _verb(verbs, "trace", "show a job's trace as a tree, or its events if no spans are kept")
    _add_ticket_or_job(trace)
    traces_help = "file of spans, or folder of such files (default: TRACES_DIR)"
    trace.add_argument("--traces", type=lambda text: Path(_path(text)), metavar="PATH", help=traces_help)
    jobs = _verb(verbs, "jobs", "list jobs, newest first")
    jobs.add_argument("--tenant", metavar="ID", help="only this tenant")
    jobs.add_argument("--ticket", metavar="ID", help=f"only this ticket {_EITHER}")
    jobs.add_argument("--state", nargs="+", choices=STATES, action="extend", help="only these states")
    jobs.add_argument("--since", type=moment, metavar="TIME", help="changed since: 2h, 3d or an ISO time")
    jobs.add_argument(
        "--limit", type=_number(1_000_000), default=50, metavar="N", help="maximum number of jobs (default: 50)"
    )
    show = _verb(verbs, "show", "show the history and next step of a job")
    show.add_argument("job", type=_job_id, metavar="JOB", help="job id")
    show.add_argument("--events", action="store_true", help="also list each event, oldest first")
    retry = _verb(verbs, "retry", "retry failed or skipped jobs with a new deadline and new attempts")
    retry.add_argument("jobs", type=_job_id, nargs="*", metavar="JOB", help="job ids")
    retry.add_argument("--failed", action="store_true", help="all jobs that failed since --since")
    retry.add_argument("--since", type=moment, metavar="TIME", help="with --failed: 2h, 30m, 3d or an ISO time")
    retry.add_argument("--tenant", metavar="ID", help="with --failed: only this tenant")
    limit_help = f"with --failed: the newest N failures (default: {MAX_RETRIED})"
    retry.add_argument("--limit", type=_number(1_000_000), metavar="N", help=limit_help)
    retry.add_argument("--yes", action="store_true", help="with --failed: do not ask for confirmation")
    enhance = _verb(verbs, "enhance", "enhance a ticket now, also if it has a note; at most once an hour")
    enhance.add_argument("--ticket", type=_ticket, metavar="ID", required=True, help=f"ticket {_EITHER}")
    _add_tenant(enhance, "tenant of the ticket, if there are several tenants")
    votes = _verb(verbs, "feedback", "report how useful notes were, by tenant, prompt and model")
    _add_tenant(votes, "only this tenant")
    days_help = "notes of the last N days (default: 30)"
    votes.add_argument("--days", type=_number(_MAX_DAYS), default=30, metavar="N", help=days_help)
    _add_report(verbs)
    _add_audit(verbs)
    forget = _verb(verbs, "forget", "erase stored data of a ticket, a requester or a leaving tenant")
    _add_tenant(forget, "tenant", required=True)
    target = forget.add_mutually_exclusive_group(required=True)
    target.add_argument("--ticket", type=_word, metavar="ID", help=f"this ticket {_EITHER}, permanently")
    requester_help = "all tickets of this mail address, permanently"
    target.add_argument("--requester", type=_address, metavar="ADDRESS", help=requester_help)
    target.add_argument("--all", action="store_true", help="all data of the tenant, after its settings were removed")
    forget.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    subcommands = _group(verbs, "documents", "manage documents that are searched for context")
    for name, description in {
        "add": "add or update files",
        "list": "list documents",
        "remove": "remove documents",
    }.items():
        verb = _verb(subcommands, name, description)
        if name != "list":
            verb.add_argument("paths", nargs="+", type=_path, metavar="PATH", help="files or folders")
        _add_tenant(verb, "tenant", required=True)
    _add_secrets(verbs)
    sync = _verb(verbs, "sync", "show how much of each desk is copied; with --tenant, copy that desk first")
    _add_tenant(sync, "copy and show only this tenant's desk")
    subcommands = _group(verbs, "config", "print the schema of `tenants.toml`, or migrate old variables")
    subcommands.add_parser("schema", help="print the JSON schema of `tenants.toml`")
    subcommands.add_parser("migrate", help="print a `tenants.toml` that replaces the old variables set here")
    kit = verbs.add_parser("signing-kit", help="print the script or settings with which a desk sends webhooks")
    _add_tenant(kit, "tenant", required=True)
    kit.add_argument("--form", choices=FORMS, required=True, help="way of sending, see docs/connect")
    kit.add_argument("--url", type=_webhook_url, metavar="URL", help="address of the API (default: a placeholder)")
    kit.add_argument("--show-secret", action="store_true", help="include the secret from the settings here")


def _add_pilot(verbs: Verbs) -> None:
    init = verbs.add_parser(
        "init",
        help="ask for a desk and a model, test both, and write the settings of a pilot",
        epilog="Without a terminal nothing is asked. Secrets are variables: SERVICEDESK_API_KEY, or in the cloud "
        "SERVICEDESK_CLIENT_SECRET with SERVICEDESK_REFRESH_TOKEN or SERVICEDESK_GRANT_CODE; OPENAI_API_KEY.",
    )
    init.add_argument("--url", type=_word, metavar="URL", help="address of the desk, in the cloud with /app/<portal>")
    init.add_argument("--edition", choices=("onpremises", "cloud"), help="edition of the desk")
    init.add_argument("--tenant", type=tenant, metavar="ID", help="short name for the desk")
    init.add_argument("--accounts-url", type=_word, metavar="URL", help="cloud: accounts host of the data centre")
    init.add_argument("--client-id", type=_word, metavar="ID", help="cloud: client id of the self client")
    init.add_argument("--model-url", type=_word, metavar="URL", help="address of the model's API")
    init.add_argument("--model", type=_word, metavar="NAME", help="name of the model")
    init.add_argument("--webhooks", action="store_true", help="wait for webhooks instead of polling the desk")
    init.add_argument("--overwrite", action="store_true", help="replace existing settings")
    init.add_argument("--report", action="store_true", help="also print the desk's part of `check --report`")
    init.set_defaults(verb="pilot init")
    up = verbs.add_parser("up", help="run a pilot on this machine: all processes, with Postgres and Redis")
    up.add_argument("--live", action="store_true", help="write notes into tickets (default: only show them)")
    up.add_argument("--port", type=_number(65_535), default=8010, help="port of the console (default: 8010)")
    up.set_defaults(verb="pilot up")
    for verb in (init, up):
        verb.add_argument("--folder", type=lambda text: Path(_path(text)), default=Path("pilot"), metavar="FOLDER",
                          help="folder of settings and data (default: pilot)")  # fmt: skip


def _add_report(verbs: Verbs) -> None:
    report = _verb(verbs, "report", "report coverage, speed, use and cost of notes")
    _add_tenant(report, "only this tenant")
    for option, dest, description in (
        ("--from", "first", "first day, like 2026-11-01 (default: 30 days in all)"),
        ("--to", "last", "last day, included (default: yesterday)"),
    ):
        report.add_argument(option, dest=dest, type=_day, metavar="DAY", help=description)
    zone_help = "time zone of the days, like Europe/Berlin (default: the tenant's)"
    report.add_argument("--timezone", type=_zone, metavar="ZONE", help=zone_help)
    minutes_help = "assumed minutes that a used note saves (default: the tenant's)"
    report.add_argument("--minutes", type=_minutes, metavar="N", help=minutes_help)
    report.add_argument("--format", choices=REPORT_FORMATS, default="text", help="format (default: text)")
    report.add_argument(
        "--output", type=lambda text: Path(_path(text)), metavar="FILE", help="write to this file, and replace it"
    )


def _add_audit(verbs: Verbs) -> None:
    audit = _verb(verbs, "audit", "export model requests and answers, oldest first")
    _add_tenant(audit, "tenant", required=True)
    audit.add_argument("--ticket", type=_word, metavar="ID", help=f"only this ticket {_EITHER}")
    audit.add_argument("--job", type=_job_id, metavar="JOB", help="only this job")
    audit.add_argument("--since", type=moment, metavar="TIME", help="answered since: 2h, 3d or an ISO time")
    replay = _verb(verbs, "replay", "repeat requests with another prompt or model and compare the answers (paid)")
    _add_tenant(replay, "tenant of the requests and the model", required=True)
    group = replay.add_mutually_exclusive_group(required=True)
    group.add_argument("--job", type=_job_id, nargs="+", action="extend", metavar="JOB", help="requests of these jobs")
    last_help = f"the last N requests, at most {MAX_REPLAYED}"
    group.add_argument("--last", type=_number(MAX_REPLAYED), metavar="N", help=last_help)
    replay.add_argument(
        "--model", type=_word, metavar="NAME", help="model at the tenant's endpoint (default: the tenant's)"
    )
    replay.add_argument("--prompt", type=_word, metavar="VERSION", help="prompt version (default: the recorded prompt)")


def _add_secrets(verbs: Verbs) -> None:
    subcommands = _group(verbs, "secrets", "show age and use of secrets; rotate webhook secrets")
    status = _verb(subcommands, "status", "show age, last use and next step of each secret")
    _add_tenant(status, "only this tenant")
    status.set_defaults(verb="secrets status")
    rotate = _verb(subcommands, "rotate", "add a new webhook secret, later end the old one")
    rotate.set_defaults(verb="secrets rotate")
    _add_tenant(rotate, "tenant", required=True)
    rotate.add_argument(
        "--secret",
        dest="kind",
        choices=("webhook", "token"),
        default="webhook",
        help="kind of secret (default: webhook)",
    )
    action = rotate.add_mutually_exclusive_group()
    action.add_argument("--finish", action="store_true", help="end the old secret once the desk uses the new one")
    action.add_argument("--leaked", action="store_true", help="end all webhook secrets at once, after a leak")
    rotate.add_argument("--force", action="store_true", help="with --finish: end it although it is in use")
    rotate.add_argument("--out", type=_path, metavar="FILE", help="write the new secret to this new file")
    rotate.add_argument("--dry-run", action="store_true", help="show the changes without making them")
    rotate.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def _add_tenant(parser: argparse.ArgumentParser, description: str, *, required: bool = False) -> None:
    parser.add_argument("--tenant", type=tenant, metavar="ID", required=required, help=description)


def _add_ticket_or_job(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--ticket", type=_ticket, metavar="ID", help=f"ticket {_EITHER}")
    which.add_argument("--job", type=_job_id, metavar="JOB", help="job id")
    _add_tenant(parser, "tenant, if several have that ticket number")


def _group(verbs: Verbs, name: str, does: str) -> Verbs:
    return verbs.add_parser(name, help=does, description=does).add_subparsers(dest="what", required=True)


def _verb(verbs: Verbs, name: str, does: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=does, description=does, epilog=_EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print JSON with ISO times")
    parser.set_defaults(refuse=parser.error)
    return parser
