"""`ai-agents secrets rotate` with write access: each step and its messages."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from storage.known_secrets import CURRENT, PREVIOUS
from storage.session import Database
from tests.kit.postgres import Table
from tests.support.shelf import OLD, OLDER, Shelf, address, use
from tests.system.by_hand import here


async def test_a_rotation_goes_from_step_to_step_and_says_each_time_how_it_stands(
    told: Shelf, database: Database
) -> None:
    begun = told.begin()
    assert begun.returncode == 0, begun.stderr
    assert told.files() == {"WEBHOOK_SECRET_ACME": told.new, "PREVIOUS_WEBHOOK_SECRET_ACME": OLD}
    assert told.tenant().webhook_secrets == (told.new, OLD)
    assert len(told.new) == 44
    assert told.new not in begun.stdout + begun.stderr
    assert "Both count within seconds" in begun.stdout
    again = told.rotate("--yes", "--out", f"{told.out}2")
    assert again.returncode == 1
    assert "A rotation is open since 0s" in again.stderr
    assert "It is not begun again: the old secret would end unannounced." in again.stderr
    lost = re.search(r"`ai-agents (signing-kit [^`]*)`", again.stderr)
    assert lost is not None
    assert told.new in here(*lost[1].split(), SECRETS_DIR=str(told.path)).stdout
    nobody = told.rotate("--finish", "--yes")
    assert (nobody.returncode, "nobody has signed with the new secret yet" in nobody.stderr) == (1, True)
    await use(database, told, **{CURRENT: 1, PREVIOUS: 4})
    refused = told.rotate("--finish", "--yes")
    assert refused.returncode == 1
    assert "Not ended: the old secret still signs webhooks." in refused.stderr
    assert "PREVIOUS_WEBHOOK_SECRET_ACME (the old one) has signed 4 webhooks of the last 24 hours" in refused.stderr
    assert told.files().keys() == {"WEBHOOK_SECRET_ACME", "PREVIOUS_WEBHOOK_SECRET_ACME"}


async def test_the_old_secret_is_ended_once_it_was_silent_for_a_day(
    told: Shelf, database: Database, table: Table
) -> None:
    told.begin()
    await use(database, told, **{CURRENT: 1, PREVIOUS: 4})
    table.run("UPDATE known_secrets SET last_used_at = now() - interval '25 hours' WHERE setting = %s", PREVIOUS)
    ended = told.rotate("--finish", "--yes")
    assert ended.returncode == 0, ended.stderr
    assert told.files() == {"WEBHOOK_SECRET_ACME": told.new, "RETIRED_WEBHOOK_SECRET_ACME": OLD}
    assert (told.tenant().webhook_secrets, told.tenant().retired_secret) == ((told.new,), OLD)
    done = told.rotate("--finish", "--yes")
    assert (done.returncode, "No rotation of acme is open" in done.stderr) == (1, True)


async def test_what_is_used_is_ended_by_force_alone(told: Shelf, database: Database) -> None:
    told.begin()
    await use(database, told, **{CURRENT: 1, PREVIOUS: 1})
    forced = told.rotate("--finish", "--force", "--yes", "--json")
    assert forced.returncode == 0, forced.stderr
    said = json.loads(forced.stdout)
    assert (said["step"], said["written"]) == ("finish", True)
    assert said["says"][0] == "Forced: the old secret still signs webhooks."


async def test_who_forces_an_end_is_told_why_before_the_question(told: Shelf, database: Database) -> None:
    told.begin()
    await use(database, told, **{CURRENT: 1, PREVIOUS: 1})
    unanswered = told.rotate("--finish", "--force")
    assert (unanswered.returncode, unanswered.stdout) == (2, "")
    assert unanswered.stderr.startswith("Forced: the old secret still signs webhooks.")


def test_without_a_database_a_rotation_begins_and_is_not_finished_but_by_force(shelf: Shelf) -> None:
    begun = shelf.begin()
    assert begun.returncode == 0
    assert "Not recorded: the database does not answer" in begun.stdout
    finish = shelf.rotate("--finish", "--yes")
    assert (finish.returncode, "who signs with which is not known" in finish.stderr) == (75, True)
    assert shelf.rotate("--finish", "--force", "--yes").returncode == 0
    assert shelf.files().keys() == {"WEBHOOK_SECRET_ACME", "RETIRED_WEBHOOK_SECRET_ACME"}


def test_who_is_tired_of_waiting_for_the_database_has_the_new_secret_by_then(shelf: Shelf) -> None:
    """The database accepts the connection and never answers, until Ctrl-C."""
    ours, theirs = pty.openpty()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        settings = {"SECRETS_DIR": str(shelf.path), "DATABASE_URL": f"postgresql://u:p@{address(silent)}/x"}
        with subprocess.Popen(
            [sys.executable, "-m", "support.cli", "secrets", "rotate", "--tenant", "acme", "--leaked", "--yes"],
            env={"PATH": os.environ["PATH"], **settings},
            cwd=Path(__file__).parents[2],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            asked, _ = silent.accept()
            with asked:
                process.send_signal(signal.SIGINT)
                assert process.wait(60) == 0
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert shelf.files()["WEBHOOK_SECRET_ACME"] in shown
    assert "Not recorded: it was interrupted." in shown


@pytest.mark.parametrize("begun", [False, True])
def test_a_leaked_secret_ends_at_once_though_the_database_has_no_address(shelf: Shelf, begun: bool) -> None:
    if begun:
        shelf.write(PREVIOUS_WEBHOOK_SECRET_ACME=OLDER)
    ended = shelf.begin("--leaked", DATABASE_URL="")
    assert ended.returncode == 0, ended.stderr
    assert "Not recorded: DATABASE_URL is missing" in ended.stdout
    assert (shelf.tenant().webhook_secrets, shelf.tenant().retired_secret) == ((shelf.new,), OLD)


def test_a_token_has_one_place_and_ends_at_once(shelf: Shelf) -> None:
    (shelf.path / "WEBHOOK_SECRET_ACME").unlink()
    shelf.write(WEBHOOK_TOKEN_ACME="t0ken" * 8)
    wrong = shelf.begin()
    assert wrong.returncode == 2
    assert "its webhooks bring a token, see `ai-agents secrets rotate --tenant acme --secret token`" in wrong.stderr
    done = shelf.begin("--secret", "token")
    assert done.returncode == 0, done.stderr
    assert shelf.tenant().webhook_token == shelf.new


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--secret", "token", "--yes"], 2, "WEBHOOK_TOKEN_ACME is not set here."),
        (["--finish", "--yes"], 1, "No rotation of acme is open: one secret is valid."),
        (["--finish", "--leaked"], 2, "not allowed with argument"),
        (["--secret", "token", "--finish"], 2, "a token has one place"),
        (["--force"], 2, "--force goes with --finish"),
        (["--finish", "--out", "x"], 2, "--finish makes no new secret"),
        (["--json"], 2, "--json needs --yes"),
        (["--yes"], 2, "the new secret is shown at a terminal only: give --out FILE"),
        (["--yes", "--out", os.devnull], 2, "is there already"),
        (["--out", "/no/such/folder/x"], 2, "give --yes to do this without being asked"),
        (["--yes", "--out", "/no/such/folder/x"], 1, "Nothing was changed: /no/such/folder/x can't be made: "),
    ],
)
def test_what_is_not_done_changes_nothing(words: list[str], status: int, says: str, shelf: Shelf) -> None:
    before = shelf.files()
    answer = shelf.rotate(*words)
    assert (answer.returncode, answer.stdout) == (status, "")
    assert says in answer.stderr
    assert shelf.files() == before


def test_a_tenant_of_no_setting_is_told_of(shelf: Shelf) -> None:
    answer = here("secrets", "rotate", "--tenant", "hooli", "--yes", SECRETS_DIR=str(shelf.path))
    assert answer.returncode == 2
    assert "WEBHOOK_SECRET_HOOLI is not set here: there is no setting of a tenant hooli." in answer.stderr


def test_a_dry_run_tells_what_it_would_do(shelf: Shelf) -> None:
    before = shelf.files()
    for words in ([], ["--leaked"]):
        answer = shelf.rotate("--dry-run", "--json", *words)
        assert answer.returncode == 0, answer.stderr
        said = json.loads(answer.stdout)
        assert said["written"] is False
        assert said["says"][0].startswith("Would ")
    assert shelf.files() == before
