"""`ai-agents secrets rotate`: one repeatable step of a rotation.

The files hold the state: one secret (no rotation is open) or two (begun, not finished). A killed step leaves one of
these states. The new secret is only shown once or written to a file. If the files are not writable,
the step is printed as kubectl commands, which contain no secret.
"""

import argparse
import base64
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from cli.database import on_database, run_within
from cli.secrets.files import (
    NotWritableError,
    PlacesUnusableError,
    RotationStep,
    SecretLocations,
    alone,
    read_places,
    require_writable,
    sync_directory,
    write_new,
    writes,
)
from cli.secrets.status import FINISH, STATUS, last_used, still_signs, used_lately
from cli.terminal import as_json, confirmed, stop_printing
from config.exit_codes import (
    AWAY_EXIT,
    CONFIGURATION_EXIT,
    INTERRUPTED_EXIT,
    NOT_DONE_EXIT,
    NOT_UNDERSTOOD_EXIT,
    UNFORESEEN_EXIT,
)
from config.secret_files import secrets_dir
from config.settings import ByHandSettings, LogSettings, SettingsError, load
from config.tenants import setting_suffix
from db.schema import DatabaseUnfitError, DatabaseUnreachableError
from db.session import DATABASE_FAILURES, Database
from observability import log_events
from observability.formats import age
from observability.logging import log_event, refuse_start, start_logging
from privacy import secret_fingerprints
from privacy.secret_fingerprints import CURRENT, LATELY_HOURS, PREVIOUS, Remembered

_SECRET_BYTES = 32
_DATABASE_SECONDS = 4.0
_MEANWHILE = "The secrets of {tenant} were changed by another operator meanwhile. Run this again."
_IN = "ai-agents-secrets -n ai-agents-production"
_GET = f"kubectl get secret {_IN} -o jsonpath='{{.data.@SETTING@}}'"
_PATCH = f"kubectl patch secret {_IN} --type merge --patch-file=/dev/stdin"
_NEW = "NEW=$(openssl rand -base64 32 | tr -d '\\n' | base64 -w 0)"
_SHOW = 'printf %s "$NEW" | base64 -d && echo'
_OLD = f"OLD=$({_GET.replace('@SETTING@', 'WEBHOOK_SECRET_@NAME@')})"
_PREVIOUS = _GET.replace("@SETTING@", "PREVIOUS_WEBHOOK_SECRET_@NAME@")
# BEGIN and FINISH check the state, because another operator may have taken the step. No new secret is empty.
_COMMANDS: dict[RotationStep, tuple[str, ...]] = {
    RotationStep.BEGIN: (
        _OLD,
        # If the previous secret can't be read, OLD is cleared, so that nothing is written.
        f"OPEN=$({_PREVIOUS}) || OLD=",
        _NEW,
        '[ -n "$OLD" ] && [ -n "$NEW" ] && { [ -z "$OPEN" ] || [ "$OPEN" = "$OLD" ]; } && '
        'printf \'{"data":{"PREVIOUS_WEBHOOK_SECRET_@NAME@":"%s",'
        f'"WEBHOOK_SECRET_@NAME@":"%s"}}}}\' "$OLD" "$NEW" | {_PATCH} && {_SHOW}',
    ),
    RotationStep.FINISH: (
        f"OLD=$({_PREVIOUS})",
        '[ -n "$OLD" ] && printf \'{"data":{"RETIRED_WEBHOOK_SECRET_@NAME@":"%s",'
        f'"PREVIOUS_WEBHOOK_SECRET_@NAME@":null}}}}\' "$OLD" | {_PATCH}',
    ),
    RotationStep.LEAKED: (
        _OLD,
        _NEW,
        '[ -n "$NEW" ] && printf \'{"data":{"WEBHOOK_SECRET_@NAME@":"%s","PREVIOUS_WEBHOOK_SECRET_@NAME@":null,'
        f'"RETIRED_WEBHOOK_SECRET_@NAME@":"%s"}}}}\' "$NEW" "$OLD" | {_PATCH} && {_SHOW}',
    ),
    RotationStep.TOKEN: (
        _NEW,
        f'[ -n "$NEW" ] && printf \'{{"data":{{"WEBHOOK_TOKEN_@NAME@":"%s"}}}}\' "$NEW" | {_PATCH} && {_SHOW}',
    ),
}


class _Texts(NamedTuple):
    would: str
    done: str
    manual: str


_A_NEW_ONE = "a new one (`openssl rand -base64 32`)"
_HAND_OVER = "Send the new secret to the desk's admin over a safe channel"
_REFUSED_UNTIL = f"{_HAND_OVER}. Until it is set there, webhooks of the desk are refused."
_TEXTS = {
    RotationStep.BEGIN: _Texts(
        "add a new webhook secret of {tenant}, and keep the old one as {previous}",
        "Started: {current} is new, the old secret is in {previous}. Both are valid within seconds.\n"
        f"{_HAND_OVER}. {STATUS} shows their use; then {FINISH} ends the old one.",
        f"copy {{current}} to {{previous}}, and set {{current}} to {_A_NEW_ONE}",
    ),
    RotationStep.FINISH: _Texts(
        "end the old webhook secret of {tenant}, and keep it as {retired}, which is never accepted",
        "Ended: {previous} moved to {retired}, and is refused within seconds.\n"
        f"Webhooks signed with it are logged as `signed with the retired secret`; {STATUS} counts them.",
        "copy {previous} to {retired}, and remove {previous}",
    ),
    RotationStep.LEAKED: _Texts(
        "end {all} of {tenant} at once, and create a new one",
        f"Ended at once: within seconds {{current}} is new{{rest}}.\n{_REFUSED_UNTIL}",
        f"copy {{current}} to {{retired}}, set {{current}} to {_A_NEW_ONE}, and remove {{previous}}",
    ),
    RotationStep.TOKEN: _Texts(
        "end the token of {tenant} at once, and create a new one",
        f"{{token}} is new; the old token is refused within seconds.\n{_REFUSED_UNTIL}",
        f"set {{token}} to {_A_NEW_ONE}",
    ),
}
Result = TypeVar("Result")


class NotRotatedError(Exception):
    """Incomplete step: `lines` have the reason and action, `status` is the exit code."""

    def __init__(self, status: int, *lines: str) -> None:
        super().__init__(lines[0])
        self.status = status
        self.lines = lines


class UsesUnknownError(Exception):
    """The uses can't be read from the database; the text has the reason."""


def run(chosen: argparse.Namespace) -> int:
    """Take the step and print the next one; return the exit status.

    1: the step is not taken, is declined, or with `--yes` could only be printed as commands. 2: the tenant has no such
    secret. 75: the database does not report the old secret's use. 78: a setting must be fixed first.
    """
    if chosen.kind == "token" and (chosen.finish or chosen.leaked):
        chosen.refuse("a new token replaces the old one at once: --finish and --leaked do not apply")
    if chosen.force and not chosen.finish:
        chosen.refuse("--force needs --finish")
    if chosen.out and chosen.finish:
        chosen.refuse("--out does not apply to --finish, which creates no secret")
    if chosen.json and not (chosen.yes or chosen.dry_run):
        chosen.refuse("--json needs --yes")
    try:
        start_logging(load(LogSettings), sys.stderr)
        return _Rotation(chosen).run()
    except SettingsError as refused:
        refuse_start(refused.problems, sys.stderr)
    except PlacesUnusableError as unusable:
        refuse_start([str(unusable)], sys.stderr)
    except NotRotatedError as not_rotated:
        if chosen.json:
            print(as_json({"tenant_id": chosen.tenant, "written": False, "says": not_rotated.lines}))
        print("\n".join(not_rotated.lines), file=sys.stderr)
        return not_rotated.status
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except BrokenPipeError:
        stop_printing()
        return 0
    except Exception as failure:  # noqa: BLE001 -- logged by its types and places: its message may contain a secret
        log_event(log_events.PROCESS_FAILED, failure=failure)
        return UNFORESEEN_EXIT
    return CONFIGURATION_EXIT


class _Rotation:
    def __init__(self, chosen: argparse.Namespace) -> None:
        self._chosen = chosen
        self._tenant: str = chosen.tenant
        self._folder = secrets_dir()
        self._places = read_places(self._tenant, self._folder)
        self._lines: list[str] = []
        if chosen.kind == "token":
            self._step = RotationStep.TOKEN
            self._touched = [self._places.token]
        else:
            leaked = RotationStep.LEAKED if chosen.leaked else RotationStep.BEGIN
            self._step = RotationStep.FINISH if chosen.finish else leaked
            self._touched = [self._places.current, self._places.previous, self._places.retired]

    def run(self) -> int:
        chosen, places, step = self._chosen, self._places, self._step
        self._check_step()
        if step is RotationStep.FINISH:
            self._check_finish()
        try:
            folder = require_writable(self._folder, [place.name for place in self._touched])
        except NotWritableError as why:
            return self._print_commands(str(why))
        would = self._text(_TEXTS[step].would)
        if chosen.dry_run:
            self._lines.append(f"Would {would}. Nothing was changed.")
            return self._end(0, written=False)
        new = "" if step is RotationStep.FINISH else base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
        # Without a terminal or --out, a new secret would be lost or logged.
        if new and not chosen.out and (chosen.json or not sys.stdout.isatty()):
            chosen.refuse("the new secret is shown only on a terminal: give --out FILE (a new file)")
        if new and chosen.out and Path(chosen.out).exists():
            chosen.refuse(f"{chosen.out} exists: --out must be a new file")
        if self._lines and not chosen.yes:
            print("\n".join(self._lines), file=sys.stderr)
        if not confirmed(f"{would[0].upper()}{would[1:]}?", chosen, "do this"):
            return NOT_DONE_EXIT
        self._write(folder, new)
        self._lines += self._text(_TEXTS[step].done).split("\n")
        self._lines += [
            f"{place.name} is also set in the environment, but its file has precedence. Remove the variable: its value "
            "would be valid again without the file."
            for place in self._touched
            if place.in_environment and place is not places.retired and step is not RotationStep.FINISH
        ]
        status = 0
        if step is RotationStep.LEAKED and places.previous.in_environment:
            status = CONFIGURATION_EXIT
            name = places.previous.name
            self._lines.append(f"STILL VALID: {name} of the environment. Remove it there and restart the API.")
        if chosen.json:
            self._lines += self._record()
            return self._end(status, written=True, new=new)
        # The new secret is shown before the database is awaited.
        self._end(status, written=True, new=new)
        for line in self._record():
            print(line)
        return status

    def _text(self, template: str) -> str:
        places = self._places
        ending = "" if places.previous.in_environment else f", and no other webhook secret of {self._tenant} is valid"
        return template.format(
            tenant=self._tenant,
            current=places.current.name,
            previous=places.previous.name,
            retired=places.retired.name,
            token=places.token.name,
            all="both webhook secrets" if places.is_open else "the webhook secret",
            rest=ending,
        )

    def _check_step(self) -> None:
        places, step, tenant = self._places, self._step, self._tenant
        if step is RotationStep.TOKEN:
            if not places.token.secret:
                raise NotRotatedError(NOT_UNDERSTOOD_EXIT, f"{places.token.name} is not set here.")
            return
        if not (places.current.secret or places.previous.secret):
            token_hint = f": its webhooks use a token, see `ai-agents secrets rotate --tenant {tenant} --secret token`"
            none = f": no setting of tenant {tenant} exists" if not places.tenant_known else ""
            reason = token_hint if places.token.secret else none
            raise NotRotatedError(NOT_UNDERSTOOD_EXIT, f"{places.current.name} is not set here{reason}.")
        if step is RotationStep.BEGIN and not places.current.secret:
            problem = f"{places.current.name} is missing, but {places.previous.name} is set."
            action = f"Set {places.current.name}, or use `--leaked`."
            raise NotRotatedError(CONFIGURATION_EXIT, f"{problem} {action}")
        if step is RotationStep.BEGIN and places.is_open:
            again = "Not started again: that would end the old secret without notice."
            end = f"Next: {FINISH.format(tenant=tenant)} ends the old one."
            lost = f"If the new secret is lost: `ai-agents signing-kit --tenant {tenant} --form script --show-secret`."
            raise NotRotatedError(NOT_DONE_EXIT, *self._describe_open(), again, end, lost)
        if step is RotationStep.FINISH and not places.is_open:
            raise NotRotatedError(NOT_DONE_EXIT, f"No rotation of {tenant} is open: one secret is valid.")

    def _describe_open(self) -> list[str]:
        validity = f"{self._places.current.name} and {self._places.previous.name} are both valid."
        try:
            uses = _read_uses(self._tenant, self._places)
        except UsesUnknownError as unknown:
            return [f"A rotation is open: {validity}", f"Their use is unknown: {unknown}."]
        new = uses.get(CURRENT)
        since = f" since {age((new.read_at - new.first_seen_at).total_seconds())}" if new is not None else ""
        return [f"A rotation is open{since}: {validity}", *self._describe_uses(uses)]

    def _describe_uses(self, uses: dict[str, Remembered]) -> list[str]:
        lines = []
        for label, place, use in (
            ("the new one", self._places.current, uses.get(CURRENT)),
            ("the old one", self._places.previous, uses.get(PREVIOUS)),
        ):
            signed = "no known webhook."
            if use is not None and use.last_used_at is not None:
                many = f"{use.uses} webhooks in the last {LATELY_HOURS} hours"
                signed = f"{many}, most recently {last_used(use)}."
            lines.append(f"{place.name} ({label}) has signed {signed}")
        return lines

    def _check_finish(self) -> None:
        """Raise NotRotatedError if the old secret may not be ended.

        Without `--force`: it is used, the new one is unused, or the use is unknown. Even with `--force`: SECRETS_DIR is
        set and the environment has the old secret too. It would be valid again once its file is deleted.
        """
        force, previous = self._chosen.force, self._places.previous
        reason = ""
        try:
            uses = _read_uses(self._tenant, self._places)
        except UsesUnknownError as unknown:
            if not force:
                text = f"Not ended: the use of the secrets is unknown: {unknown}. To end the old one anyway: --force."
                raise NotRotatedError(AWAY_EXIT, text) from None
            reason = f"the use of the secrets is unknown: {unknown}"
        else:
            new, old = uses.get(CURRENT), uses.get(PREVIOUS)
            if still_signs(old, new):
                reason = "the old secret still signs webhooks"
            elif new is None or new.last_used_at is None:
                reason = "the new secret has not signed any webhook yet"
            elif used_lately(old):
                reason = "the old secret has signed webhooks within a day"
            if reason and not force:
                retry = "Ask the desk's admin to set and test the new one. To end the old one anyway: --force."
                raise NotRotatedError(NOT_DONE_EXIT, f"Not ended: {reason}.", *self._describe_uses(uses), retry)
        self._lines += [f"Forced: {reason}."] if reason else []
        if self._folder is not None and previous.in_environment:
            advice = f"keep it as {self._places.retired.name}"
            text = f"{previous.name} is set in the environment. Remove it there, {advice}, and restart the API."
            raise NotRotatedError(CONFIGURATION_EXIT, text)

    def _write(self, folder: Path, new: str) -> None:
        out = Path(self._chosen.out) if new and self._chosen.out else None
        is_valid = False
        try:
            with alone(folder):
                if read_places(self._tenant, self._folder).secrets != self._places.secrets:
                    raise NotRotatedError(NOT_DONE_EXIT, _MEANWHILE.format(tenant=self._tenant))
                try:
                    if out is not None:
                        write_new(out, f"{new}\n")
                except OSError as failure:
                    text = f"Nothing was changed: {out} can't be created ({failure.strerror})."
                    raise NotRotatedError(NOT_DONE_EXIT, text) from None
                try:
                    for write in writes(self._step, self._places, new):
                        write(folder)
                        sync_directory(folder)
                except BaseException:
                    is_valid = new in read_places(self._tenant, self._folder).secrets.values()
                    if is_valid:
                        self._show(new)
                    elif out is not None:
                        out.unlink(missing_ok=True)
                    raise
        except BlockingIOError:
            raise NotRotatedError(NOT_DONE_EXIT, _MEANWHILE.format(tenant=self._tenant)) from None
        except (OSError, UnicodeEncodeError) as failure:
            reason = getattr(failure, "strerror", None) or "the old secret is not UTF-8"
            warning = "The new secret is already valid: run this again only to replace it too."
            action = warning if is_valid else "Run this again to continue."
            raise NotRotatedError(NOT_DONE_EXIT, f"Not completed: {reason}. {action}") from None

    def _show(self, new: str) -> None:
        if self._chosen.out:
            print(f"The new secret is in {self._chosen.out}.", file=sys.stderr if self._chosen.json else sys.stdout)
        else:
            print(f"The new secret, which is not shown again:\n\n{new}\n")

    def _record(self) -> list[str]:
        try:
            present = read_places(self._tenant, self._folder).secrets
            seen = [secret_fingerprints.seen(self._tenant, setting, secret) for setting, secret in present.items()]
            _query(lambda database: secret_fingerprints.record(database, seen))
        except (UsesUnknownError, PlacesUnusableError) as failure:
            reason = str(failure)
        except KeyboardInterrupt:
            reason = "interrupted"
        else:
            return []
        return [f"Not recorded: {reason}. The age of the new secret counts from the first report of a process."]

    def _print_commands(self, reason: str) -> int:
        command_lines = commands(self._step, self._tenant)
        # With `--yes` the caller expects that the step was taken.
        status = NOT_DONE_EXIT if self._chosen.yes and not self._chosen.dry_run else 0
        if self._chosen.json:
            return self._end(status, written=False, reason=reason, command_lines=command_lines)
        texts = _TEXTS[self._step]
        report = [*self._lines, f"Not written: {reason}. To {self._text(texts.would)}:"]
        if self._folder is None:
            manual = self._text(texts.manual)
            report.append(f"With environment variables: {manual}; then restart the processes. In a cluster, run:")
        print("\n".join(report), file=sys.stderr)
        print("\n".join(command_lines))
        return status

    def _end(
        self, status: int, *, written: bool, new: str = "", reason: str = "", command_lines: list[str] | None = None
    ) -> int:
        if self._chosen.json:
            report = {"tenant_id": self._tenant, "step": self._step.value, "written": written, "says": self._lines}
            out = self._chosen.out if new else None
            print(as_json({**report, "not_written": reason or None, "commands": command_lines or [], "out": out}))
            return status
        print("\n".join(self._lines))
        if new:
            self._show(new)
        return status


def commands(step: RotationStep, tenant_id: str) -> list[str]:
    return [line.replace("@NAME@", setting_suffix(tenant_id)) for line in _COMMANDS[step]]


def _read_uses(tenant_id: str, places: SecretLocations) -> dict[str, Remembered]:
    return _query(lambda database: secret_fingerprints.remembered(database, tenant_id, places.secrets))


def _query(question: Callable[[Database], Awaitable[Result]]) -> Result:
    try:
        query = on_database(lambda database, _: question(database), load(ByHandSettings), _DATABASE_SECONDS)
        return run_within(_DATABASE_SECONDS, query)
    except SettingsError as failure:
        raise UsesUnknownError("; ".join(failure.problems)) from None
    except (DatabaseUnfitError, DatabaseUnreachableError) as failure:
        raise UsesUnknownError(str(failure)) from None
    except (*DATABASE_FAILURES, TimeoutError):
        raise UsesUnknownError("the database does not answer") from None
