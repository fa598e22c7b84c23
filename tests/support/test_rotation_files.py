"""`ai-agents secrets rotate` on files: owners, interrupted and refused writes."""

import fcntl
import json
import os
import stat

import pytest

from storage.known_secrets import CURRENT, PREVIOUS
from storage.session import Database
from support.secrets.files import RotationStep, read_places
from tests.support.shelf import OLD, OLDER, Shelf, read_of, use


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
