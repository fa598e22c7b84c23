"""`ai-agents secrets rotate`: each step, its files, and what stands in its way."""

import base64
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storage.known_secrets import CURRENT, PREVIOUS
from storage.session import Database
from support.secrets.files import RotationStep, read_places
from support.secrets.rotate import commands
from tests.kit.postgres import Table
from tests.support.shelf import OLD, OLDER, Shelf, address, read_of, use
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


def test_where_nothing_may_be_written_it_tells_what_to_type(shelf: Shelf) -> None:
    """In a cluster the secret is kept elsewhere; the commands contain no secret."""
    (shelf.path / "..data").mkdir()
    for settings in ({}, {"SECRETS_DIR": "", "WEBHOOK_SECRET_ACME": OLD}):
        answer = shelf.rotate(**settings)
        assert answer.returncode == 0, answer.stderr
        assert answer.stderr.startswith("Not written: ")
        lines = answer.stdout.splitlines()
        assert [line.partition("=")[0] for line in lines[:3]] == ["OLD", "OPEN", "NEW"]
        assert "kubectl patch secret ai-agents-secrets -n ai-agents-production" in lines[3]
        assert OLD not in answer.stdout + answer.stderr
        unasked = shelf.rotate("--json", "--yes", **settings)
        machine = json.loads(unasked.stdout)
        assert (unasked.returncode, machine["written"], machine["commands"]) == (1, False, lines)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_is_only_read_is_not_written(shelf: Shelf) -> None:
    shelf.path.chmod(0o500)
    answer = shelf.begin()
    shelf.path.chmod(0o700)
    assert "Not written: SECRETS_DIR can't be written by this process" in answer.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")
def test_a_file_of_another_user_stays_his(shelf: Shelf) -> None:
    """The processes cannot read a file owned by root."""
    os.chown(shelf.path / "WEBHOOK_SECRET_ACME", 10001, 10001)
    assert shelf.begin().returncode == 0
    assert {(path.stat().st_uid, path.stat().st_gid) for path in shelf.path.iterdir()} == {(10001, 10001)}


def test_a_file_goes_before_the_environment_and_that_is_said(shelf: Shelf) -> None:
    (shelf.path / "WEBHOOK_SECRET_ACME").unlink()
    begun = shelf.begin(WEBHOOK_SECRET_ACME=OLD)
    assert begun.returncode == 0, begun.stderr
    assert shelf.files() == {"WEBHOOK_SECRET_ACME": shelf.new, "PREVIOUS_WEBHOOK_SECRET_ACME": OLD}
    assert "WEBHOOK_SECRET_ACME stands in the environment here, too: its file goes before it" in begun.stdout


def test_what_the_environment_has_is_not_ended_by_a_file(shelf: Shelf) -> None:
    """The variable would be used again after the file is gone."""
    kept = {"PREVIOUS_WEBHOOK_SECRET_ACME": OLDER}
    finish = shelf.rotate("--finish", "--force", "--yes", **kept)
    assert finish.returncode == 78
    assert "PREVIOUS_WEBHOOK_SECRET_ACME stands in the environment: take it out there" in finish.stderr
    leaked = shelf.begin("--leaked", **kept)
    assert leaked.returncode == 78
    assert "STILL VALID: PREVIOUS_WEBHOOK_SECRET_ACME of the environment." in leaked.stdout
    assert "no other secret signs" not in leaked.stdout
    assert shelf.files()["WEBHOOK_SECRET_ACME"] == shelf.new


def test_what_the_environment_goes_on_with_is_not_retired(shelf: Shelf) -> None:
    """A secret that is both current and retired closes its tenant."""
    leaked = shelf.begin("--leaked", PREVIOUS_WEBHOOK_SECRET_ACME=OLD)
    assert leaked.returncode == 78
    assert shelf.files() == {"WEBHOOK_SECRET_ACME": shelf.new}


async def test_variables_alone_are_ended_by_hand_once_nobody_signs_with_the_old_one(
    told: Shelf, database: Database
) -> None:
    """As with a compose file without SECRETS_DIR."""
    told.write(PREVIOUS_WEBHOOK_SECRET_ACME=OLDER)
    settings = {f"{name}_ACME": secret for name, secret in read_of(told).items()} | {"SECRETS_DIR": ""}
    await use(database, told, **{CURRENT: 1, PREVIOUS: 1})
    refused = told.rotate("--finish", **settings)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Not ended: the old secret has signed webhooks within a day." in refused.stderr
    forced = told.rotate("--finish", "--force", **settings)
    assert forced.returncode == 0
    assert "set RETIRED_WEBHOOK_SECRET_ACME to what PREVIOUS_WEBHOOK_SECRET_ACME is, and take" in forced.stderr


@pytest.mark.parametrize("content", [b"", b"\xff\xfe"], ids=["empty", "no text"])
def test_a_file_that_says_nothing_is_not_replaced(content: bytes, shelf: Shelf) -> None:
    (shelf.path / "WEBHOOK_SECRET_ACME").write_bytes(content)
    answer = shelf.begin()
    assert answer.returncode == 78
    assert "Start refused: WEBHOOK_SECRET_ACME: its file" in answer.stderr
    assert not shelf.out.exists()


def test_two_who_rotate_at_once_do_not_end_each_others_secret(shelf: Shelf) -> None:
    descriptor = os.open(shelf.path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    answer = shelf.begin()
    os.close(descriptor)
    assert (answer.returncode, "Somebody else has changed the secrets of acme" in answer.stderr) == (1, True)
    assert shelf.files() == {"WEBHOOK_SECRET_ACME": OLD}
    assert not shelf.out.exists()


def test_files_are_as_open_as_those_before_and_no_more(shelf: Shelf) -> None:
    shelf.path.chmod(0o755)
    for mode, after in ((0o644, 0o644), (0o600, 0o600), (0o440, 0o640), (0o666, 0o644)):
        shelf.write(WEBHOOK_SECRET_ACME=OLD)
        (shelf.path / "WEBHOOK_SECRET_ACME").chmod(mode)
        begun = shelf.begin()
        assert begun.returncode == 0
        modes = {stat.S_IMODE((shelf.path / name).stat().st_mode) for name in shelf.files()}
        assert modes == {after}
        assert stat.S_IMODE(shelf.out.stat().st_mode) == 0o600
        for name in shelf.files():
            (shelf.path / name).unlink()


@pytest.mark.parametrize("step", [RotationStep.BEGIN, RotationStep.FINISH, RotationStep.LEAKED])
def test_a_kill_between_two_writes_leaves_what_the_next_run_understands(step: RotationStep, shelf: Shelf) -> None:
    """The tenant is never closed, and no secret ends unless it is withdrawn."""
    more = {} if step is RotationStep.BEGIN else {"PREVIOUS_WEBHOOK_SECRET_ACME": OLDER}
    for done in range(len(shelf.writes(step, **more)) + 1):
        for write in shelf.writes(step, **more)[:done]:
            write(shelf.path)
        # A temporary file of a write that was killed.
        shelf.write(**{".WEBHOOK_SECRET_ACME.new": "ha"})
        secrets = shelf.tenant().webhook_secrets
        assert secrets[0] in (OLD, "new")
        assert step is not RotationStep.BEGIN or OLD in secrets
        open_yet = step is RotationStep.BEGIN and done == 2
        assert read_places("acme", shelf.path).is_open == (open_yet or secrets == (OLD, OLDER))
        if step is RotationStep.BEGIN and not open_yet:
            assert shelf.begin().returncode == 0
            assert shelf.tenant().webhook_secrets == (shelf.new, OLD)
            assert ".WEBHOOK_SECRET_ACME.new" not in shelf.files()


def test_a_new_secret_that_counts_is_shown_though_the_step_came_to_no_end(shelf: Shelf) -> None:
    """A folder blocks the retired secret's file; the leaked one ends nevertheless."""
    (shelf.path / "RETIRED_WEBHOOK_SECRET_ACME" / "x").mkdir(parents=True)
    answer = shelf.begin("--leaked")
    assert answer.returncode == 1
    assert "Not done to its end: " in answer.stderr
    assert "run this again only to end that one, too" in answer.stderr
    assert f"The new secret is in {shelf.out}." in answer.stdout
    assert (shelf.path / "WEBHOOK_SECRET_ACME").read_text(encoding="utf-8") == shelf.new


RUNBOOK = Path(__file__).parents[2] / "docs/runbooks/secret-rotation.md"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
# A fake: the secret is a file, `get` reads a key, and `patch` merges.
KUBECTL = """
import json, pathlib, re, sys
path = pathlib.Path(sys.argv[0]).with_name("secret.json")
kept = json.loads(path.read_text())
if sys.argv[1] == "get":
    sys.stdout.write(kept.get(re.search(r"\\.data\\.(\\w+)", sys.argv[-1])[1], ""))
else:
    kept |= json.load(sys.stdin)["data"]
    path.write_text(json.dumps({name: value for name, value in kept.items() if value is not None}))
    print("patched")
"""


class ClusterSecret:
    """The secret `ai-agents-secrets` in plain text, and a shell."""

    def __init__(self, folder: Path, **values: str) -> None:
        self._folder = folder
        (folder / "kubectl").write_text(f"#!{sys.executable}\n{KUBECTL}", encoding="utf-8")
        (folder / "kubectl").chmod(0o755)
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
        (folder / "secret.json").write_text(json.dumps(encoded), encoding="utf-8")

    def type(self, step: RotationStep) -> str:
        done = self.typed("\n".join(commands(step, "acme-eu")))
        assert done.stderr == ""
        return done.stdout

    def typed(self, text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", text],
            env={"PATH": f"{self._folder}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )

    def lack(self, program: str, when: str = "") -> None:
        """Make a program fail if it is called with these words."""
        real = self._folder / program
        elsewhere = shutil.which(program) or "true"
        if real.exists():
            elsewhere = str(real.rename(real.with_name("real")))
        real.write_text(f'#!/bin/bash\n[[ "$*" == *"{when}"* ]] && exit 1\nexec {elsewhere} "$@"\n', encoding="utf-8")
        real.chmod(0o755)

    def values(self) -> dict[str, str]:
        kept = json.loads((self._folder / "secret.json").read_text(encoding="utf-8"))
        return {name: base64.b64decode(value).decode() for name, value in kept.items()}


@needs_openssl
def test_a_rotation_by_its_commands_changes_what_the_command_would_write(tmp_path: Path) -> None:
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET_ACME_EU="0ld", WEBHOOK_TOKEN_ACME_EU="t0ken")
    patched, new = cluster.type(RotationStep.BEGIN).split()
    begun = {"WEBHOOK_SECRET_ACME_EU": new, "PREVIOUS_WEBHOOK_SECRET_ACME_EU": "0ld", "WEBHOOK_TOKEN_ACME_EU": "t0ken"}
    assert (patched, len(new), cluster.values()) == ("patched", 44, begun)
    assert cluster.type(RotationStep.BEGIN).split() == []
    assert cluster.values() == begun
    assert cluster.type(RotationStep.FINISH).split() == ["patched"]
    ended = {"WEBHOOK_SECRET_ACME_EU": new, "RETIRED_WEBHOOK_SECRET_ACME_EU": "0ld", "WEBHOOK_TOKEN_ACME_EU": "t0ken"}
    assert cluster.values() == ended
    assert cluster.type(RotationStep.FINISH) == ""
    assert cluster.values() == ended
    _, token = cluster.type(RotationStep.TOKEN).split()
    assert cluster.values() == ended | {"WEBHOOK_TOKEN_ACME_EU": token}


@needs_openssl
@pytest.mark.parametrize("previous", [{}, {"PREVIOUS_WEBHOOK_SECRET_ACME_EU": "0lder"}])
def test_a_leaked_secret_leaves_one_that_counts(previous: dict[str, str], tmp_path: Path) -> None:
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET_ACME_EU="leaked", **previous)
    _, new = cluster.type(RotationStep.LEAKED).split()
    assert cluster.values() == {"WEBHOOK_SECRET_ACME_EU": new, "RETIRED_WEBHOOK_SECRET_ACME_EU": "leaked"}


@pytest.mark.parametrize("step", [RotationStep.BEGIN, RotationStep.LEAKED, RotationStep.TOKEN])
def test_without_a_new_secret_nothing_is_changed(step: RotationStep, tmp_path: Path) -> None:
    """An empty secret would close the tenant at the next start."""
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET_ACME_EU="0ld", WEBHOOK_TOKEN_ACME_EU="t0ken")
    cluster.lack("openssl")
    assert cluster.type(step) == ""
    assert cluster.values() == {"WEBHOOK_SECRET_ACME_EU": "0ld", "WEBHOOK_TOKEN_ACME_EU": "t0ken"}


@needs_openssl
def test_nothing_begins_while_nobody_knows_whether_a_rotation_is_open(tmp_path: Path) -> None:
    opened = {"WEBHOOK_SECRET_ACME_EU": "n3w", "PREVIOUS_WEBHOOK_SECRET_ACME_EU": "0ld"}
    cluster = ClusterSecret(tmp_path, **opened)
    cluster.lack("kubectl", when=".PREVIOUS")
    assert cluster.type(RotationStep.BEGIN) == ""
    assert cluster.values() == opened


@needs_openssl
def test_one_secret_in_both_places_is_no_open_rotation(tmp_path: Path) -> None:
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET_ACME_EU="0ne", PREVIOUS_WEBHOOK_SECRET_ACME_EU="0ne")
    _, new = cluster.type(RotationStep.BEGIN).split()
    assert cluster.values() == {"WEBHOOK_SECRET_ACME_EU": new, "PREVIOUS_WEBHOOK_SECRET_ACME_EU": "0ne"}


@pytest.mark.parametrize("kept", [True, False])
def test_the_old_secret_is_put_back_from_where_it_is_kept(kept: bool, tmp_path: Path) -> None:
    """The runbook allows this days later, in another shell."""
    retired = {"RETIRED_WEBHOOK_SECRET_ACME_EU": "0ld"} if kept else {}
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET_ACME_EU="n3w", **retired)
    (block,) = re.findall(r"```sh\n([^`]*\"RETIRED_WEBHOOK_SECRET_%s\":null[^`]*)```", RUNBOOK.read_text("utf-8"))
    assert cluster.typed(f"NAME=ACME_EU\n{block}").stdout == ("patched\n" if kept else "")
    put_back = {"PREVIOUS_WEBHOOK_SECRET_ACME_EU": "0ld"} if kept else {}
    assert cluster.values() == {"WEBHOOK_SECRET_ACME_EU": "n3w", **put_back}


@pytest.mark.parametrize("step", list(RotationStep))
def test_no_command_has_a_secret_or_a_place_to_fill(step: RotationStep) -> None:
    lines = "\n".join(commands(step, "acme-eu"))
    assert "ACME_EU" in lines
    assert "@" not in lines
