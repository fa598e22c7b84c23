"""Arguments of the operator verbs; imports no process."""

import argparse
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from config.exit_codes import OF_COMMANDS, OF_VERDICTS
from observability.formats import parse_moment

FORMS = ("script", "deluge", "token")
STATES = ("waiting", "running", "completed", "skipped", "failed")
MOST_RETRIED = 100
MOST_REPLAYED = 100
_MOST_DAYS = 3650
_EXIT_CODES = "\n".join(["exit status:", *(f"  {status:<3} {meaning}" for status, meaning in OF_COMMANDS.items())])
Verbs = Any
"""The subparsers of argparse, whose class has no public name."""


def moment(given: str) -> datetime:
    try:
        return parse_moment(given)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from None


def _job_id(given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{given!r} is no job id (a UUID, as the log lines have it)") from None


def _text(pattern: str, problem: str) -> Callable[[str], str]:
    def parse(given: str) -> str:
        if not re.fullmatch(pattern, given) or not (given.isprintable() and given.strip()):
            raise argparse.ArgumentTypeError(problem)
        return given.strip()

    return parse


def _number(most: int) -> Callable[[str], int]:
    def parse(given: str) -> int:
        if not (given.isascii() and given.isdecimal() and 0 < int(given) <= most):
            raise argparse.ArgumentTypeError(f"{given!r} is no number from 1 to {most}")
        return int(given)

    return parse


tenant = _text(r"[a-z0-9-]{1,63}", "a tenant's id has a-z, 0-9 and - only, at most 63 of them")
_ticket = _text(r"[0-9]{1,20}", "is no ticket's number of 1 to 20 digits")
_word = _text(r".*", "must be one line, and not empty")
_address = _text(r".*@.*", "is no mail address")
_webhook_url = _text(
    r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~-]+)*/webhook",
    "is no address like https://api.example.com/webhook, ending in /webhook",
)


def _path(given: str) -> str:
    if not given.strip():
        # An unset variable would otherwise name the current folder.
        raise argparse.ArgumentTypeError("is empty")
    return given


def add_verbs(verbs: Verbs) -> None:
    check = _verb(verbs, "check", "see whether all that a tenant's tickets need is in order; changes nothing")
    check.set_defaults(verb="check command")
    _add_tenant(check, "this tenant only")
    check.add_argument("--url", type=_word, metavar="URL", help="the public address of POST /webhook, for a probe")
    check.add_argument("--no-model", action="store_true", help="do not ask the model: no tiny call is paid")
    diagnose = _verb(verbs, "diagnose", "tell why a ticket has no enhancement, and what to do; changes nothing")
    _add_ticket_or_job(diagnose)
    by_verdict = ", ".join(f"{status} {code}" for code, status in sorted(OF_VERDICTS.items(), key=lambda one: one[1]))
    diagnose.epilog = f"{_EXIT_CODES}\n  by its verdict: {by_verdict}"
    trace = _verb(verbs, "trace", "draw a job's trace as a tree with times, or without one what its events tell")
    _add_ticket_or_job(trace)
    place = "a file of spans, or a folder of them (default: TRACES_DIR)"
    trace.add_argument("--traces", type=lambda given: Path(_path(given)), metavar="PATH", help=place)
    jobs = _verb(verbs, "jobs", "list jobs, newest first")
    jobs.add_argument("--tenant", metavar="ID", help="of this tenant only")
    jobs.add_argument("--ticket", metavar="ID", help="of this ticket only; either of a cloud desk's numbers")
    jobs.add_argument("--state", nargs="+", choices=STATES, action="extend", help="in one of these states only")
    jobs.add_argument("--since", type=moment, metavar="TIME", help="accepted, due, started or ended since: 2h, 3d, ISO")
    jobs.add_argument("--limit", type=_number(1_000_000), default=50, metavar="N", help="at most so many (default: 50)")
    show = _verb(verbs, "show", "tell one job's story, and what to do next")
    show.add_argument("job", type=_job_id, metavar="JOB", help="the job's id")
    show.add_argument("--events", action="store_true", help="tell each change of the job behind it, oldest first")
    retry = _verb(verbs, "retry", "let failed or skipped jobs wait again, with a deadline and attempts of their own")
    retry.add_argument("jobs", type=_job_id, nargs="*", metavar="JOB", help="ids of jobs")
    retry.add_argument("--failed", action="store_true", help="all that failed since --since")
    retry.add_argument("--since", type=moment, metavar="TIME", help="with --failed: 2h, 30m, 3d or an ISO time")
    retry.add_argument("--tenant", metavar="ID", help="with --failed: of this tenant only")
    oldest = f"with --failed: the oldest N (default: {MOST_RETRIED})"
    retry.add_argument("--limit", type=_number(1_000_000), metavar="N", help=oldest)
    retry.add_argument("--yes", action="store_true", help="with --failed: do not ask first")
    enhance = _verb(verbs, "enhance", "have a ticket enhanced, also one that has its note: at most once an hour")
    enhance.add_argument("--ticket", type=_ticket, metavar="ID", required=True, help="either number of the ticket")
    _add_tenant(enhance, "its tenant, where there are several")
    votes = _verb(verbs, "feedback", "tell how useful notes were, by tenant, prompt and model")
    _add_tenant(votes, "of this tenant only")
    days = "notes of the last N days (default: 30)"
    votes.add_argument("--days", type=_number(_MOST_DAYS), default=30, metavar="N", help=days)
    _add_audit(verbs)
    forget = _verb(verbs, "forget", "erase what is stored of a ticket, of a requester, or of a tenant that leaves")
    _add_tenant(forget, "the tenant", required=True)
    which = forget.add_mutually_exclusive_group(required=True)
    which.add_argument("--ticket", type=_word, metavar="ID", help="this ticket, by either number, now and for good")
    of_requester = "all tickets of this mail address, for good"
    which.add_argument("--requester", type=_address, metavar="ADDRESS", help=of_requester)
    which.add_argument("--all", action="store_true", help="all of the tenant, once its settings are gone")
    forget.add_argument("--yes", action="store_true", help="do not ask first")
    whats = _group(verbs, "documents", "add files to what context is found in, list them, and remove them")
    for what, told in {
        "add": "add files, or update them",
        "list": "list what was added",
        "remove": "remove what was added",
    }.items():
        verb = _verb(whats, what, told)
        if what != "list":
            verb.add_argument("paths", nargs="+", type=_path, metavar="PATH", help="files, or folders of them")
        _add_tenant(verb, "the tenant", required=True)
    _add_secrets(verbs)
    sync = _verb(verbs, "sync", "tell how much of each desk is copied; with --tenant, copy that one to its end first")
    _add_tenant(sync, "copy this tenant's desk, and tell of it alone")
    whats = _group(
        verbs, "config", "print what `tenants.toml` may have, or the file for variables of releases before it"
    )
    whats.add_parser("schema", help="print the JSON schema of the file")
    whats.add_parser("migrate", help="print the file that replaces the variables which are set here")
    kit = verbs.add_parser("signing-kit", help="print what to paste into a desk so that its webhooks come")
    _add_tenant(kit, "the tenant", required=True)
    kit.add_argument("--form", choices=FORMS, required=True, help="who signs, or a token: docs/connect says which")
    kit.add_argument("--url", type=_webhook_url, metavar="URL", help="the API's address; without it a place to fill")
    kit.add_argument("--show-secret", action="store_true", help="with the secret, from the settings here")


def _add_audit(verbs: Verbs) -> None:
    audit = _verb(verbs, "audit", "export the records of what a model was sent and what it answered, oldest first")
    _add_tenant(audit, "the tenant", required=True)
    audit.add_argument("--ticket", type=_word, metavar="ID", help="of this ticket only; either of its numbers")
    audit.add_argument("--job", type=_job_id, metavar="JOB", help="of this job only")
    audit.add_argument("--since", type=moment, metavar="TIME", help="answered since: 2h, 3d, or an ISO time")
    replay = _verb(
        verbs, "replay", "ask another prompt or model what jobs have asked, for pay, and compare the answers"
    )
    _add_tenant(replay, "the tenant, whose model it is", required=True)
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("--job", type=_job_id, nargs="+", action="extend", metavar="JOB", help="what these jobs asked")
    last = f"what was asked the last N times, {MOST_REPLAYED} at most"
    which.add_argument("--last", type=_number(MOST_REPLAYED), metavar="N", help=last)
    replay.add_argument("--model", type=_word, metavar="NAME", help="this model, where the tenant's own is")
    replay.add_argument("--prompt", type=_word, metavar="VERSION", help="this version; else what was told then")


def _add_secrets(verbs: Verbs) -> None:
    whats = _group(verbs, "secrets", "tell how old secrets are and who uses them, and rotate those of webhooks")
    status = _verb(whats, "status", "tell of each secret how old it is, when it was last used, and what to do")
    _add_tenant(status, "of this tenant only")
    status.set_defaults(verb="secrets status")
    rotate = _verb(whats, "rotate", "make a new webhook secret beside the old one, and later end the old one")
    rotate.set_defaults(verb="secrets rotate")
    _add_tenant(rotate, "the tenant", required=True)
    rotate.add_argument(
        "--secret", dest="kind", choices=("webhook", "token"), default="webhook", help="which one (default: webhook)"
    )
    which = rotate.add_mutually_exclusive_group()
    which.add_argument("--finish", action="store_true", help="end the old secret, once nobody signs with it any more")
    which.add_argument("--leaked", action="store_true", help="end every secret at once: others may know it")
    rotate.add_argument("--force", action="store_true", help="with --finish: end it though it is used")
    rotate.add_argument("--out", type=_path, metavar="FILE", help="write the new secret into this new file")
    rotate.add_argument("--dry-run", action="store_true", help="tell what would be done, and change nothing")
    rotate.add_argument("--yes", action="store_true", help="do not ask first")


def _add_tenant(parser: argparse.ArgumentParser, means: str, *, required: bool = False) -> None:
    parser.add_argument("--tenant", type=tenant, metavar="ID", required=required, help=means)


def _add_ticket_or_job(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--ticket", type=_ticket, metavar="ID", help="either number of the ticket")
    which.add_argument("--job", type=_job_id, metavar="JOB", help="this job, whichever others its ticket has")
    _add_tenant(parser, "whose ticket, where several have that number")


def _group(verbs: Verbs, name: str, does: str) -> Verbs:
    return verbs.add_parser(name, help=does, description=does).add_subparsers(dest="what", required=True)


def _verb(verbs: Verbs, name: str, does: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=does, description=does, epilog=_EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="for machines: JSON, with ISO times")
    parser.set_defaults(refuse=parser.error)
    return parser
