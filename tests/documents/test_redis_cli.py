"""The stand-in for redis-cli: on a machine without one it prints what a real one prints."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.free_ports import free_port
from devstack.valkey import Valkey

_PASSWORD = "s3cret"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey that wants a password."""
    with Valkey(tmp_path_factory.mktemp("valkey"), password=_PASSWORD) as running:
        yield running


@pytest.fixture(params=["by itself", "the machine's"])
def path(request: pytest.FixtureRequest) -> str:
    """A PATH that has the machine's redis-cli, or has none; its first folder is the stand-in's own."""
    if request.param == "by itself":
        return "/nowhere"
    real = shutil.which("redis-cli")
    if real is None:
        pytest.skip("redis-cli is not installed")
    return os.pathsep.join(["/nowhere", str(Path(real).parent)])


def _ask(path: str, port: int, *words: str, password: str = _PASSWORD) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "tests.kit.kubectl.redis_cli", "-h", "redis", *words]
    given = {"PATH": path, "REDISCLI_AUTH": password} if password else {"PATH": path}
    told = {"STANDIN_REDIS": f"127.0.0.1:{port}", "STANDIN_POD": "ai-agents-api-1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | given | told)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("PING", "PONG\n"),
        ("LLEN celery", "0\n"),
        ("GET nothing", "\n"),
        ("LRANGE celery 0 -1", "\n"),
        ("CONFIG GET maxmemory-policy", "maxmemory-policy\nnoeviction\n"),
        ("NOSUCH", "ERR unknown command 'NOSUCH', with args beginning with: \n\n"),
    ],
)
def test_an_answer_is_printed_as_into_a_pipe(words: str, printed: str, path: str, server: Valkey) -> None:
    assert _ask(path, server.port, *words.split()) == (0, printed, "")


def test_a_report_is_printed_as_it_is(path: str, server: Valkey) -> None:
    status, printed, _ = _ask(path, server.port, "INFO", "persistence")
    assert status == 0
    assert "\naof_enabled:0\n" in printed


def test_a_wrong_password_is_told_and_none_is_asked_for(path: str, server: Valkey) -> None:
    refused = "NOAUTH Authentication required.\n\n"
    status, printed, complaint = _ask(path, server.port, "PING", password="old")
    assert (status, printed) == (0, refused)
    assert complaint.startswith("AUTH failed: WRONGPASS ")
    assert _ask(path, server.port, "PING", password="") == (0, refused, "")


def test_a_server_that_is_away_is_told(path: str) -> None:
    port = free_port()
    away = f"Could not connect to Redis at 127.0.0.1:{port}: Connection refused\n"
    assert _ask(path, port, "PING") == (1, "", away)
