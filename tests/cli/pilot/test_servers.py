"""The embedded Postgres and Valkey: roles, passwords, restarts, kills, and root's special case."""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from cli.pilot import postgres_binaries
from cli.pilot.postgres import Postgres
from cli.pilot.postgres_binaries import find_binaries, reachable_folder, remove_reachable
from cli.pilot.processes import descendants, is_alive
from cli.pilot.valkey import Valkey

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root's case")
ROLE = "SELECT current_user, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
OWNERS = (
    "SELECT pg_get_userbyid(datdba), pg_get_userbyid(nspowner) FROM pg_database, pg_namespace "
    "WHERE datname = current_database() AND nspname = 'public'"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    # pytest's folders have mode 0700: as root, the server's user can't reach them.
    with Postgres(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def run(url: str, statement: str) -> tuple[object, ...] | None:
    with psycopg.connect(url, autocommit=True) as connection:
        done = connection.execute(statement.encode())
        return done.fetchone() if done.description else None


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
    assert run(getattr(server, url), statement) == row


def test_the_application_may_connect_and_nothing_else(server: Postgres) -> None:
    run(server.admin_url, "CREATE TABLE owned (a int)")
    for statement in ("CREATE TABLE public.mine (a int)", "CREATE TEMP TABLE mine (a int)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(server.url, statement)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        run(re.sub(r":[^:@]+@", ":wrong@", server.url), "SELECT 1")


def test_a_restart_and_a_kill_keep_port_and_commits_and_leave_no_process(server: Postgres) -> None:
    run(server.admin_url, "CREATE TABLE kept AS SELECT 1 AS a")
    url = server.admin_url
    server.restart()
    assert run(url, "SELECT a FROM kept") == (1,)
    pids = [server.process.pid, *descendants(server.process.pid)]
    server.kill()
    assert not any(map(is_alive, pids))
    server.start()
    assert run(url, "SELECT a FROM kept") == (1,)


def test_nothing_is_left_of_a_reachable_folder(temporary: Path, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    folder = reachable_folder(private / "data")
    (folder / "file").touch()
    remove_reachable(folder)
    assert [*temporary.iterdir(), *private.iterdir()] == []


@as_root
def test_unreachable_programs_are_copied_once(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a 0700 home the server's user could not run a virtual environment's programs."""
    monkeypatch.setattr(postgres_binaries, "_open_to_others", lambda _path: False)
    copied = find_binaries()
    assert copied.is_relative_to(temporary)
    assert postgres_binaries.major_version(copied) > 0
    assert all(path.stat().st_mode & 0o055 == 0o055 for path in (copied, copied / "initdb", copied / "postgres"))
    assert find_binaries() == copied
    assert len(list(temporary.iterdir())) == 1


@pytest.mark.parametrize("appendonly", [True, False])
def test_only_appendonly_preserves_pushed_entries(appendonly: bool, tmp_path: Path) -> None:
    with Valkey(tmp_path, appendonly=appendonly) as server:
        with Redis.from_url(server.url) as redis:
            assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            redis.lpush("celery", "job")
        if not appendonly:
            server.kill()
        server.restart()
        with Redis.from_url(server.url) as redis:
            assert redis.lrange("celery", 0, -1) == [b"job"] * appendonly


def test_it_asks_for_its_password_and_has_another_one_from_its_next_start_on(tmp_path: Path) -> None:
    with Valkey(tmp_path, password="first") as server:
        first = server.url
        server.change_password("second")
        with Redis.from_url(first) as redis:
            assert redis.ping()
        server.restart()
        with Redis.from_url(server.url) as redis:
            assert redis.ping()
        with Redis.from_url(first) as redis, pytest.raises(AuthenticationError):
            redis.ping()
