"""`ai-agents secrets rotate`: one repeatable step of a rotation.

The files hold the state: one secret (no rotation is open) or two (begun, not finished). A killed step leaves one or
the other. The new secret is shown once or written to a file, and goes nowhere else.
"""

import argparse
import base64
import secrets
import sys
from pathlib import Path

from config.environment import secrets_dir
from config.exits import (
    CONFIGURATION_EXIT,
    INTERRUPTED_EXIT,
    NOT_DONE_EXIT,
    UNFORESEEN_EXIT,
)
from config.settings import LogSettings, SettingsRefused, load
from observability import phrases
from observability.logging import refuse_start, say, start_logging
from support.confirming import NotAsked, confirmed
from support.leaving import stop_printing
from support.secrets import asking, telling
from support.secrets.cluster import RotationStep, commands
from support.secrets.guards import NotRotated, insist_on_end, insist_on_no_variable, insist_on_step
from support.secrets.places import PlacesUnusable, SecretPlaces, read_places
from support.secrets.steps import touched, writes
from support.secrets.writing import (
    HeldBySomebody,
    NotWritable,
    alone,
    insist_on_writable,
    is_open_to_all,
    write_out,
)
from support.tables import as_json

_SECRET_BYTES = 32
_MEANWHILE = "Somebody else has changed the secrets of {tenant} meanwhile: run this again, and see how it stands."


def run(chosen: argparse.Namespace) -> int:
    """Take the step and print the next one; return the exit status.

    1 if it is not taken (also if declined, or for `--yes` where only commands can be printed), 2 if the tenant has no
    such secret, 75 if the database does not report the old secret's use, 78 if a setting must be fixed first.
    """
    try:
        start_logging(load(LogSettings), sys.stderr)
        return _Rotation(chosen).run()
    except SettingsRefused as refused:
        refuse_start(refused.problems, sys.stderr)
    except PlacesUnusable as unusable:
        refuse_start([str(unusable)], sys.stderr)
    except NotRotated as not_rotated:
        if chosen.json:
            print(as_json({"tenant_id": chosen.tenant, "written": False, "says": not_rotated.says}))
        print("\n".join(not_rotated.says), file=sys.stderr)
        return not_rotated.status
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except BrokenPipeError:
        stop_printing()
        return 0
    except Exception as failure:  # noqa: BLE001 -- logged by its types and places: its message may contain a secret
        say(phrases.PROCESS_FAILED, failure=failure)
        return UNFORESEEN_EXIT
    return CONFIGURATION_EXIT


class _Rotation:
    def __init__(self, chosen: argparse.Namespace) -> None:
        self._chosen = chosen
        self._tenant: str = chosen.tenant
        self._folder = secrets_dir()
        self._places = self._read()
        self._step = _step(chosen)
        self._told: list[str] = []
        self._counts = False

    def run(self) -> int:
        insist_on_step(self._step, self._tenant, self._places)
        if self._step is RotationStep.FINISH:
            self._told += insist_on_end(self._tenant, self._places, force=self._chosen.force)
            if self._folder is not None:
                insist_on_no_variable(self._places)
        try:
            places = touched(self._step, self._places)
            folder = insist_on_writable(self._folder, *(place.name for place in places))
        except NotWritable as why:
            return self._by_hand(str(why))
        if self._chosen.dry_run:
            self._told.append(f"Would {telling.would(self._step, self._tenant, self._places)}. Nothing was changed.")
            return self._end(0, written=False)
        new = _new_secret() if self._step is not RotationStep.FINISH else ""
        self._insist_on_receiver(new)
        if not self._wanted():
            return NOT_DONE_EXIT
        self._write(folder, new)
        self._told += telling.done(self._step, self._tenant, self._places)
        self._told += telling.left_in_environment(self._step, self._places)
        if new and any(is_open_to_all(folder, place.name) for place in places):
            self._told.append("As before, every user of this machine may read the file of it.")
        status = self._still_open()
        if self._chosen.json:
            self._told += self._record()
            return self._end(status, written=True, new=new)
        # The new secret is shown before the database is awaited.
        self._end(status, written=True, new=new)
        for line in self._record():
            print(line)
        return status

    def _read(self) -> SecretPlaces:
        return read_places(self._tenant, self._folder)

    def _insist_on_receiver(self, new: str) -> None:
        """Exit with status 2 if the new secret would be lost or logged."""
        if new and not self._chosen.out and (self._chosen.json or not sys.stdout.isatty()):
            self._chosen.refuse("the new secret is shown at a terminal only: give --out FILE, which must not be there")
        if new and self._chosen.out and Path(self._chosen.out).exists():
            self._chosen.refuse(f"{self._chosen.out} is there already: the new secret goes into a new file")

    def _wanted(self) -> bool:
        question = telling.would(self._step, self._tenant, self._places)
        if self._told and not self._chosen.yes:
            # Forced points are shown before the prompt.
            print("\n".join(self._told), file=sys.stderr)
        try:
            return confirmed(f"{question[0].upper()}{question[1:]}?", yes=self._chosen.yes)
        except NotAsked:
            self._chosen.refuse("standard input is no terminal: give --yes to do this without being asked")
            raise

    def _write(self, folder: Path, new: str) -> None:
        """Take the step. Raises NotRotated, after showing a new secret that is valid."""
        try:
            with alone(folder):
                if self._read().secrets != self._places.secrets:
                    raise NotRotated(NOT_DONE_EXIT, _MEANWHILE.format(tenant=self._tenant))
                self._write_out(new)
                self._take(folder, new)
        except HeldBySomebody:
            raise NotRotated(NOT_DONE_EXIT, _MEANWHILE.format(tenant=self._tenant)) from None
        except (OSError, UnicodeEncodeError) as failure:
            why = getattr(failure, "strerror", None) or "the secret before is no UTF-8"
            again = "The new one counts by now: run this again only to end that one, too."
            then = again if self._counts else "Run this again: it goes on from where it stands."
            raise NotRotated(NOT_DONE_EXIT, f"Not done to its end: {why}. {then}") from None

    def _write_out(self, new: str) -> None:
        try:
            if new and self._chosen.out:
                write_out(Path(self._chosen.out), new)
        except OSError as failure:
            says = f"Nothing was changed: {self._chosen.out} can't be made: {failure.strerror}."
            raise NotRotated(NOT_DONE_EXIT, says) from None

    def _take(self, folder: Path, new: str) -> None:
        try:
            for write in writes(self._step, self._places, new):
                write(folder)
        except BaseException:
            self._counts = new in self._read().secrets.values()
            if self._counts:
                self._show(new)
            elif new and self._chosen.out:
                Path(self._chosen.out).unlink(missing_ok=True)
            raise

    def _show(self, new: str) -> None:
        if self._chosen.out:
            print(f"The new secret is in {self._chosen.out}.", file=sys.stderr if self._chosen.json else sys.stdout)
        else:
            print(f"The new secret, which is not shown again:\n\n{new}\n")

    def _record(self) -> list[str]:
        """Record the secrets; return a line to print if that fails."""
        try:
            asking.record(self._tenant, self._read())
        except (asking.Untold, PlacesUnusable) as untold:
            why = str(untold)
        except KeyboardInterrupt:
            why = "it was interrupted"
        else:
            return []
        return [f"Not recorded: {why}. Since when the new one is there is known from when a process tells of it."]

    def _still_open(self) -> int:
        """Return the exit status: 78 if a leaked secret is still valid."""
        if self._step is not RotationStep.LEAKED or not self._places.previous.in_environment:
            return 0
        name = self._places.previous.name
        self._told.append(f"STILL VALID: {name} of the environment. Take it out there, and restart the API.")
        return CONFIGURATION_EXIT

    def _by_hand(self, why: str) -> int:
        lines = commands(self._step, self._tenant)
        # `--yes` expects the step to be done, and it was not.
        status = NOT_DONE_EXIT if self._chosen.yes and not self._chosen.dry_run else 0
        if self._chosen.json:
            return self._end(status, written=False, why=why, lines=lines)
        would = telling.would(self._step, self._tenant, self._places)
        here = [] if self._folder is not None else [telling.without_a_cluster(self._step, self._places)]
        print("\n".join([*self._told, f"Not written: {why}. This would {would}:", *here]), file=sys.stderr)
        print("\n".join(lines))
        return status

    def _end(self, status: int, *, written: bool, new: str = "", why: str = "", lines: list[str] | None = None) -> int:
        out = self._chosen.out if new else None
        if self._chosen.json:
            told = {"tenant_id": self._tenant, "step": self._step.value, "written": written, "says": self._told}
            print(as_json({**told, "not_written": why or None, "commands": lines or [], "out": out}))
            return status
        print("\n".join(self._told))
        if new:
            self._show(new)
        return status


def _step(chosen: argparse.Namespace) -> RotationStep:
    if chosen.kind == "token":
        return RotationStep.TOKEN
    return RotationStep.FINISH if chosen.finish else RotationStep.LEAKED if chosen.leaked else RotationStep.BEGIN


def _new_secret() -> str:
    return base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
