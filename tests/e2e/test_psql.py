"""`ai-agents psql`: a question to the real database, whose password is nobody else's to read."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.postgres import Postgres
from tests.e2e.world import wait_for

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
        server.discard()


def psql(url: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "support.cli", "psql", *arguments],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_it_answers_a_question_and_takes_more_of_them_from_standard_input(postgres: Postgres) -> None:
    told, _ = psql(postgres.url, "-At", "-c", "SELECT current_user || ' ' || 40 + 2").communicate(timeout=30)
    assert told == "ai_agents 42\n"
    told, _ = psql(postgres.url, "-At").communicate("SELECT 1;\nSELECT 2;\n", timeout=30)
    assert told == "1\n2\n"


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the machine does not show arguments there")
def test_nobody_reads_the_password_in_its_arguments(postgres: Postgres) -> None:
    password = postgres.url.split("@")[0].rpartition(":")[2]
    with psql(postgres.url) as running:
        wait_for(lambda: "--dbname" in _arguments(running.pid))
        seen = _arguments(running.pid)
        assert "user=ai_agents" in seen
        assert password not in seen
        running.communicate("", timeout=30)


def test_what_is_missing_is_named() -> None:
    with psql("") as refused:
        told, _ = refused.communicate(timeout=30)
    assert (refused.returncode, "DATABASE_URL is missing" in told) == (78, True)


def _arguments(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")
