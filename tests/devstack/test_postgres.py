"""The embedded Postgres: roles, restarts, and root's special case. One server per module."""

import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devstack import postgres_binaries
from devstack.postgres import Postgres
from devstack.postgres_binaries import UNPRIVILEGED, PostgresMissing, find_binaries, reachable_folder, remove_reachable
from devstack.processes import descendants, is_alive

# A client's first message: a length of 8, and the code that requests TLS. The answer is one byte.
SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root's case")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    # pytest's folders have mode 0700: as root, the server's user can't reach them.
    with Postgres(tmp_path_factory.mktemp("postgres")) as running:
        yield running


def one_row(url: str, statement: str) -> tuple[object, ...]:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row


def run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


ROLE = "SELECT current_user, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
OWNERS = (
    "SELECT pg_get_userbyid(datdba), pg_get_userbyid(nspowner) FROM pg_database, pg_namespace "
    "WHERE datname = current_database() AND nspname = 'public'"
)


@pytest.mark.parametrize(
    ("url", "statement", "row"),
    [
        ("url", ROLE, ("ai_agents", False, False)),
        ("admin_url", ROLE, ("ai_agents_owner", False, False)),
        ("admin_url", OWNERS, ("ai_agents_owner", "ai_agents_owner")),
        ("url", "SELECT lower('ÄÖÜ ÉÑ'), pg_encoding_to_char(6)", ("äöü éñ", "UTF8")),
        ("superuser_url", "SELECT count(*) > 0 FROM pg_stat_statements", (True,)),
    ],
)
def test_roles_owners_case_and_counted_statements(
    url: str, statement: str, row: tuple[object, ...], server: Postgres
) -> None:
    """No role bypasses row-level security."""
    assert one_row(getattr(server, url), statement) == row


def test_the_application_may_connect_and_nothing_else(server: Postgres) -> None:
    run(server.admin_url, "CREATE TABLE owned (a int); DROP TABLE owned")
    for statement in ("CREATE TABLE public.mine (a int)", "CREATE TEMP TABLE mine (a int)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(server.url, statement)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        run(re.sub(r":[^:@]+@", ":wrong@", server.url), "SELECT 1")


def test_a_restart_keeps_port_and_data(server: Postgres) -> None:
    run(server.admin_url, "CREATE TABLE kept AS SELECT 1 AS a")
    url = server.admin_url
    server.restart()
    assert server.admin_url == url
    assert one_row(url, "SELECT a FROM kept") == (1,)


def test_a_kill_leaves_no_process_and_loses_no_commit(server: Postgres) -> None:
    with psycopg.connect(server.admin_url) as connection:
        connection.execute("CREATE TABLE committed AS SELECT 2 AS a")
        connection.commit()
        pids = [server.process.pid, *descendants(server.process.pid)]
        server.kill()
    assert not any(map(is_alive, pids))
    server.start()
    assert one_row(server.admin_url, "SELECT a FROM committed") == (2,)


def test_a_paused_server_accepts_and_does_not_answer(server: Postgres) -> None:
    server.pause()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.3) as connection:
            connection.sendall(SSL_REQUEST)
            with pytest.raises(TimeoutError):
                connection.recv(1)
    finally:
        server.resume()
    assert one_row(server.url, "SELECT 1") == (1,)


@as_root
def test_as_root_only_the_server_changes_its_user(server: Postgres, tmp_path: Path) -> None:
    assert Path(f"/proc/{server.process.pid}").stat().st_uid == UNPRIVILEGED
    assert server.data is not None
    assert server.data.stat().st_uid == UNPRIVILEGED
    assert os.geteuid() == 0
    assert tmp_path.parent.stat().st_mode & 0o777 == 0o700


def test_nothing_is_left_of_a_reachable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary, private = tmp_path / "tmp", tmp_path / "private"
    temporary.mkdir()
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    folder = reachable_folder(private / "data")
    (folder / "file").touch()
    remove_reachable(folder)
    assert [*temporary.iterdir(), *private.iterdir()] == []


@as_root
def test_unreachable_programs_are_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a 0700 home the server's user could not run a virtual environment's programs."""
    reachable = tmp_path / "tmp"
    reachable.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(reachable))
    monkeypatch.setattr(postgres_binaries, "_open_to_others", lambda _path: False)
    original = postgres_binaries._of_the_wheel()
    assert original is not None
    copied = find_binaries()
    assert copied.is_relative_to(reachable)
    assert postgres_binaries.major_version(copied) == postgres_binaries.major_version(original)
    assert all(path.stat().st_mode & 0o055 == 0o055 for path in (copied, copied / "initdb", copied / "postgres"))
    again = find_binaries()
    assert again == copied
    assert len(list(reachable.iterdir())) == 1


def test_without_any_postgres_the_sentence_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_binaries, "_WHEEL", "no_such_package")
    with pytest.raises(PostgresMissing, match="make install"):
        find_binaries()
