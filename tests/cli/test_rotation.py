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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.secrets.files import RotationStep, read_places, writes
from cli.secrets.rotate import commands
from config.tenant_directory import read_environment
from config.tenant_validation import parse_tenants
from config.tenants import Tenant
from db.session import Database
from privacy import secret_fingerprints
from privacy.secret_fingerprints import CURRENT, PREVIOUS, RETIRED, TOKEN, seen
from tests.kit.postgres import Table
from tests.system.by_hand import Answer, here

OLD, OLDER = "the 0ld secret", "the 0lder secret"
NOWHERE = "postgresql://u:p@127.0.0.1:1/x"


class Shelf:
    """A `SECRETS_DIR`, and the command on it."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.path, self.url = folder / "secrets", database_url
        self.out = folder / "new"
        self.path.mkdir()
        self.write(WEBHOOK_SECRET_ACME=f"{OLD}\n")

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.path / name).write_text(text, encoding="utf-8")

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text(encoding="utf-8").strip() for path in self.path.iterdir()}

    def rotate(self, *words: str, **settings: str) -> Answer:
        given = {"SECRETS_DIR": str(self.path), "DATABASE_URL": self.url} | settings
        return here("secrets", "rotate", "--tenant", "acme", *words, **given)

    def begin(self, *words: str, **settings: str) -> Answer:
        """Run a step that makes a new secret; its output is in `out`."""
        self.out.unlink(missing_ok=True)
        return self.rotate(*words, "--yes", "--out", str(self.out), **settings)

    @property
    def new(self) -> str:
        return self.out.read_text(encoding="utf-8").strip()

    def writes(self, step: RotationStep, **more: str) -> list[Callable[[Path], object]]:
        for path in self.path.iterdir():
            path.unlink()
        self.write(WEBHOOK_SECRET_ACME=OLD, **more)
        return writes(step, read_places("acme", self.path), "new")

    def tenant(self) -> Tenant:
        """Return the tenant as a starting process reads it."""
        tenants, problems = parse_tenants(read_environment(self.path)())
        assert problems == []
        return tenants["acme"]


@pytest.fixture
def shelf(tmp_path: Path, untouched_logging: None) -> Shelf:  # noqa: ARG001 -- puts the log back
    return Shelf(tmp_path, NOWHERE)


@pytest.fixture
def told(tmp_path: Path, untouched_logging: None, server: Any, table: Table) -> Shelf:  # noqa: ARG001 -- as above
    return Shelf(tmp_path, server.url)


async def use(database: Database, shelf: Shelf, **uses: int) -> None:
    """Record signed webhooks as the API does."""
    files = shelf.files()
    await secret_fingerprints.record(
        database, [seen("acme", name, files[f"{name}_ACME"], each) for name, each in uses.items()]
    )


async def test_a_rotation_goes_step_by_step(told: Shelf, database: Database, table: Table) -> None:
    begun = told.begin()
    assert begun.returncode == 0, begun.stderr
    both = {"WEBHOOK_SECRET_ACME": told.new, "PREVIOUS_WEBHOOK_SECRET_ACME": OLD}
    assert (told.files(), told.tenant().webhook_secrets) == (both, (told.new, OLD))
    assert len(told.new) == 44
    assert told.new not in begun.stdout + begun.stderr
    assert "Both are valid within seconds" in begun.stdout
    again = told.rotate("--yes", "--out", f"{told.out}2")
    assert again.returncode == 1
    assert "A rotation is open since " in again.stderr
    assert "Not started again: that would end the old secret without notice." in again.stderr
    lost = re.search(r"`ai-agents (signing-kit [^`]*)`", again.stderr)
    assert lost is not None
    assert told.new in here(*lost[1].split(), SECRETS_DIR=str(told.path)).stdout
    nobody = told.rotate("--finish", "--yes")
    assert (nobody.returncode, "the new secret has not signed any webhook yet" in nobody.stderr) == (1, True)
    await use(database, told, **{CURRENT: 1, PREVIOUS: 4})
    refused = told.rotate("--finish", "--yes")
    assert refused.returncode == 1
    assert "Not ended: the old secret still signs webhooks." in refused.stderr
    assert "PREVIOUS_WEBHOOK_SECRET_ACME (the old one) has signed 4 webhooks in the last 24 hours" in refused.stderr
    # The reason comes before the question.
    unanswered = told.rotate("--finish", "--force")
    assert (unanswered.returncode, unanswered.stdout) == (2, "")
    assert unanswered.stderr.startswith("Forced: the old secret still signs webhooks.")
    assert told.files() == both
    table.run("UPDATE known_secrets SET last_used_at = now() - interval '25 hours' WHERE setting = %s", PREVIOUS)
    ended = told.rotate("--finish", "--yes")
    assert ended.returncode == 0, ended.stderr
    assert told.files() == {"WEBHOOK_SECRET_ACME": told.new, "RETIRED_WEBHOOK_SECRET_ACME": OLD}
    assert (told.tenant().webhook_secrets, told.tenant().retired_secret) == ((told.new,), OLD)
    # What is used is ended by force alone.
    told.begin()
    await use(database, told, **{CURRENT: 1, PREVIOUS: 1})
    forced = json.loads(told.rotate("--finish", "--force", "--yes", "--json").stdout)
    assert (forced["step"], forced["written"]) == ("finish", True)
    assert forced["says"][0] == "Forced: the old secret still signs webhooks."


def test_without_a_database_a_rotation_begins_and_is_not_finished_but_by_force(shelf: Shelf) -> None:
    begun = shelf.begin()
    assert begun.returncode == 0
    assert "Not recorded: the database does not answer" in begun.stdout
    finish = shelf.rotate("--finish", "--yes")
    assert (finish.returncode, "the use of the secrets is unknown" in finish.stderr) == (75, True)
    assert shelf.rotate("--finish", "--force", "--yes").returncode == 0
    assert shelf.files().keys() == {"WEBHOOK_SECRET_ACME", "RETIRED_WEBHOOK_SECRET_ACME"}


def test_an_interrupted_wait_for_the_database_keeps_the_new_secret(shelf: Shelf) -> None:
    """The database accepts the connection and never answers, until Ctrl-C."""
    ours, theirs = pty.openpty()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/x"
        settings = {"PATH": os.environ["PATH"], "SECRETS_DIR": str(shelf.path), "DATABASE_URL": url}
        command = [sys.executable, "-m", "cli.main", "secrets", "rotate", "--tenant", "acme", "--leaked", "--yes"]
        with subprocess.Popen(command, env=settings, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            asked, _ = silent.accept()
            with asked:
                process.send_signal(signal.SIGINT)
                assert process.wait(60) == 0
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert shelf.files()["WEBHOOK_SECRET_ACME"] in shown
    assert "Not recorded: interrupted." in shown


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
    assert "its webhooks use a token, see `ai-agents secrets rotate --tenant acme --secret token`" in wrong.stderr
    done = shelf.begin("--secret", "token")
    assert done.returncode == 0, done.stderr
    assert shelf.tenant().webhook_token == shelf.new


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--secret", "token", "--yes"], 2, "WEBHOOK_TOKEN_ACME is not set here."),
        (["--tenant", "hooli", "--yes"], 2, "WEBHOOK_SECRET_HOOLI is not set here: no setting of tenant hooli exists"),
        (["--finish", "--yes"], 1, "No rotation of acme is open: one secret is valid."),
        (["--finish", "--leaked"], 2, "not allowed with argument"),
        (["--secret", "token", "--finish"], 2, "a new token replaces the old one at once"),
        (["--force"], 2, "--force needs --finish"),
        (["--finish", "--out", "x"], 2, "--finish, which creates no secret"),
        (["--json"], 2, "--json needs --yes"),
        (["--yes"], 2, "the new secret is shown only on a terminal: give --out FILE"),
        (["--yes", "--out", os.devnull], 2, " exists: --out must be a new file"),
        (["--out", "/no/such/folder/x"], 2, "give --yes to do this without confirmation"),
        (["--yes", "--out", "/no/such/folder/x"], 1, "Nothing was changed: /no/such/folder/x can't be created ("),
    ],
)
def test_what_is_not_done_changes_nothing(words: list[str], status: int, says: str, shelf: Shelf) -> None:
    before = shelf.files()
    answer = shelf.rotate(*words)
    assert (answer.returncode, answer.stdout) == (status, "")
    assert says in answer.stderr
    assert shelf.files() == before


def test_a_dry_run_tells_what_it_would_do(shelf: Shelf) -> None:
    before = shelf.files()
    for words in ([], ["--leaked"]):
        answer = shelf.rotate("--dry-run", "--json", *words)
        assert answer.returncode == 0, answer.stderr
        document = json.loads(answer.stdout)
        assert document["written"] is False
        assert document["says"][0].startswith("Would ")
    assert shelf.files() == before


def test_without_write_access_the_commands_are_printed(shelf: Shelf) -> None:
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
def test_a_file_of_another_user_stays_unchanged(shelf: Shelf) -> None:
    """The processes cannot read a file owned by root."""
    os.chown(shelf.path / "WEBHOOK_SECRET_ACME", 10001, 10001)
    assert shelf.begin().returncode == 0
    assert {(path.stat().st_uid, path.stat().st_gid) for path in shelf.path.iterdir()} == {(10001, 10001)}


def test_a_secret_in_the_environment_is_not_retired_by_a_file(shelf: Shelf) -> None:
    """The variable would be used again after the file is gone."""
    (shelf.path / "WEBHOOK_SECRET_ACME").unlink()
    begun = shelf.begin(WEBHOOK_SECRET_ACME=OLD)
    assert begun.returncode == 0, begun.stderr
    assert shelf.files() == {"WEBHOOK_SECRET_ACME": shelf.new, "PREVIOUS_WEBHOOK_SECRET_ACME": OLD}
    assert "WEBHOOK_SECRET_ACME is also set in the environment, but its file has precedence" in begun.stdout
    (shelf.path / "PREVIOUS_WEBHOOK_SECRET_ACME").unlink()
    kept = {"PREVIOUS_WEBHOOK_SECRET_ACME": OLDER}
    finish = shelf.rotate("--finish", "--force", "--yes", **kept)
    assert finish.returncode == 78
    assert "PREVIOUS_WEBHOOK_SECRET_ACME is set in the environment. Remove it there" in finish.stderr
    leaked = shelf.begin("--leaked", **kept)
    assert leaked.returncode == 78
    assert "STILL VALID: PREVIOUS_WEBHOOK_SECRET_ACME of the environment." in leaked.stdout
    assert "no other webhook secret" not in leaked.stdout
    assert shelf.files()["WEBHOOK_SECRET_ACME"] == shelf.new
    # A secret that is both current and retired closes its tenant.
    current = shelf.new
    assert shelf.begin("--leaked", PREVIOUS_WEBHOOK_SECRET_ACME=current).returncode == 78
    assert current not in shelf.files().values()


async def test_variables_alone_are_ended_by_hand(told: Shelf, database: Database) -> None:
    told.write(PREVIOUS_WEBHOOK_SECRET_ACME=OLDER)
    settings = told.files() | {"SECRETS_DIR": ""}
    await use(database, told, **{CURRENT: 1, PREVIOUS: 1})
    refused = told.rotate("--finish", **settings)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Not ended: the old secret has signed webhooks within a day." in refused.stderr
    forced = told.rotate("--finish", "--force", **settings)
    assert forced.returncode == 0
    assert "copy PREVIOUS_WEBHOOK_SECRET_ACME to RETIRED_WEBHOOK_SECRET_ACME, and remove" in forced.stderr


def test_a_file_that_says_nothing_is_not_replaced(shelf: Shelf) -> None:
    for content in (b"", b"\xff\xfe"):
        (shelf.path / "WEBHOOK_SECRET_ACME").write_bytes(content)
        answer = shelf.begin()
        assert (answer.returncode, shelf.out.exists()) == (78, False)
        assert "Start refused: WEBHOOK_SECRET_ACME: its file" in answer.stderr


def test_two_who_rotate_at_once_do_not_end_each_others_secret(shelf: Shelf) -> None:
    descriptor = os.open(shelf.path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    answer = shelf.begin()
    os.close(descriptor)
    assert (answer.returncode, "The secrets of acme were changed by another operator" in answer.stderr) == (1, True)
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
def test_the_next_run_recovers_from_a_kill_between_two_writes(step: RotationStep, shelf: Shelf) -> None:
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


def test_a_valid_new_secret_is_shown_although_the_step_failed(shelf: Shelf) -> None:
    """A folder blocks the retired secret's file; the leaked one ends nevertheless."""
    (shelf.path / "RETIRED_WEBHOOK_SECRET_ACME" / "x").mkdir(parents=True)
    answer = shelf.begin("--leaked")
    assert (answer.returncode, "Not completed: " in answer.stderr) == (1, True)
    assert "run this again only to replace it too" in answer.stderr
    assert f"The new secret is in {shelf.out}." in answer.stdout
    assert (shelf.path / "WEBHOOK_SECRET_ACME").read_text(encoding="utf-8") == shelf.new


RUNBOOK = Path(__file__).parents[2] / "docs/runbooks/secret-rotation.md"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
# A fake: the secret is a file, `get` reads a key, and `patch` merges.
KUBECTL = """
import json, os, pathlib, re, sys
path = pathlib.Path(sys.argv[0]).with_name("secret.json")
kept = json.loads(path.read_text())
if sys.argv[1] == "get":
    setting = re.search(r"\\.data\\.(\\w+)", sys.argv[-1])[1]
    sys.exit(1) if setting == os.environ.get("FORBIDDEN") else sys.stdout.write(kept.get(setting, ""))
else:
    kept |= json.load(sys.stdin)["data"]
    path.write_text(json.dumps({name: value for name, value in kept.items() if value is not None}))
    print("patched")
"""


class ClusterSecret:
    """The secret `ai-agents-secrets` in plain text, and a shell."""

    def __init__(self, folder: Path, **values: str) -> None:
        self._folder = folder
        self.program("kubectl", f"#!{sys.executable}\n{KUBECTL}")
        encoded = {f"{name}_ACME_EU": base64.b64encode(value.encode()).decode() for name, value in values.items()}
        (folder / "secret.json").write_text(json.dumps(encoded), encoding="utf-8")

    def program(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, encoding="utf-8")
        (self._folder / name).chmod(0o755)

    def type(self, step: RotationStep, **environment: str) -> str:
        done = self.typed("\n".join(commands(step, "acme-eu")), **environment)
        assert done.stderr == ""
        return done.stdout

    def typed(self, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environment["PATH"] = f"{self._folder}:{os.environ['PATH']}"
        return subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True, check=False)

    def values(self) -> dict[str, str]:
        kept = json.loads((self._folder / "secret.json").read_text(encoding="utf-8"))
        return {name.removesuffix("_ACME_EU"): base64.b64decode(value).decode() for name, value in kept.items()}


@needs_openssl
def test_a_rotation_by_its_commands_changes_what_the_command_would_write(tmp_path: Path) -> None:
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET="0ld", WEBHOOK_TOKEN="t0ken")
    patched, new = cluster.type(RotationStep.BEGIN).split()
    begun = {CURRENT: new, PREVIOUS: "0ld", TOKEN: "t0ken"}
    assert (patched, len(new), cluster.values()) == ("patched", 44, begun)
    assert cluster.type(RotationStep.BEGIN) == ""
    assert cluster.values() == begun
    assert cluster.type(RotationStep.FINISH).split() == ["patched"]
    ended = {CURRENT: new, RETIRED: "0ld", TOKEN: "t0ken"}
    assert cluster.values() == ended
    assert cluster.type(RotationStep.FINISH) == ""
    assert cluster.values() == ended
    _, token = cluster.type(RotationStep.TOKEN).split()
    assert cluster.values() == ended | {TOKEN: token}


@needs_openssl
@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        (RotationStep.LEAKED, {CURRENT: "leaked"}, {RETIRED: "leaked"}),
        (RotationStep.LEAKED, {CURRENT: "leaked", PREVIOUS: "0lder"}, {RETIRED: "leaked"}),
        # One secret in both places is no open rotation.
        (RotationStep.BEGIN, {CURRENT: "0ne", PREVIOUS: "0ne"}, {PREVIOUS: "0ne"}),
    ],
)
def test_one_new_secret_counts(
    step: RotationStep, before: dict[str, str], after: dict[str, str], tmp_path: Path
) -> None:
    cluster = ClusterSecret(tmp_path, **before)
    _, new = cluster.type(step).split()
    assert cluster.values() == {CURRENT: new, **after}


@pytest.mark.parametrize("step", [RotationStep.BEGIN, RotationStep.LEAKED, RotationStep.TOKEN])
def test_without_a_new_secret_nothing_is_changed(step: RotationStep, tmp_path: Path) -> None:
    """An empty secret would close the tenant at the next start."""
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET="0ld", WEBHOOK_TOKEN="t0ken")
    cluster.program("openssl", "#!/bin/sh\nexit 1\n")
    assert cluster.type(step) == ""
    assert cluster.values() == {CURRENT: "0ld", TOKEN: "t0ken"}


@needs_openssl
def test_nothing_begins_while_nobody_knows_whether_a_rotation_is_open(tmp_path: Path) -> None:
    opened = {CURRENT: "n3w", PREVIOUS: "0ld"}
    cluster = ClusterSecret(tmp_path, **opened)
    assert cluster.type(RotationStep.BEGIN, FORBIDDEN="PREVIOUS_WEBHOOK_SECRET_ACME_EU") == ""
    assert cluster.values() == opened


@pytest.mark.parametrize("kept", [True, False])
def test_the_old_secret_is_put_back_from_where_it_is_kept(kept: bool, tmp_path: Path) -> None:
    cluster = ClusterSecret(tmp_path, WEBHOOK_SECRET="n3w", **({RETIRED: "0ld"} if kept else {}))
    (block,) = re.findall(r"```sh\n([^`]*\"RETIRED_WEBHOOK_SECRET_%s\":null[^`]*)```", RUNBOOK.read_text("utf-8"))
    assert cluster.typed(f"NAME=ACME_EU\n{block}").stdout == ("patched\n" if kept else "")
    assert cluster.values() == {CURRENT: "n3w", **({PREVIOUS: "0ld"} if kept else {})}


def test_no_command_has_a_secret_or_a_place_to_fill() -> None:
    for step in RotationStep:
        lines = "\n".join(commands(step, "acme-eu"))
        assert ("ACME_EU" in lines, "@" in lines) == (True, False)
