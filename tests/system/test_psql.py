"""`ai-agents psql` on the real database, without exposing its password."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.pilot.postgres import Postgres
from tests.kit.world import wait_for
from tests.system.by_hand import here

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")


def psql(url: str, *arguments: str, path: str = os.environ["PATH"]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "psql", *arguments],
        env={"PATH": path, "DATABASE_URL": url},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_it_takes_questions_from_standard_input(server: Postgres) -> None:
    told, _ = psql(server.url, "-At").communicate("SELECT current_user || ' ' || 40 + 2;\nSELECT 2;\n", timeout=30)
    assert told == "ai_agents 42\n2\n"


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the machine does not show arguments there")
def test_nobody_reads_the_password_in_its_arguments(server: Postgres) -> None:
    password = server.url.split("@")[0].rpartition(":")[2]
    with psql(server.url) as running:
        # During exec it has no arguments for a moment.
        arguments = Path(f"/proc/{running.pid}/cmdline")
        seen = wait_for(lambda: told if "user=ai_agents" in (told := arguments.read_text(encoding="utf-8")) else "")
        assert ("--dbname" in seen, password in seen) == (True, False)
        running.communicate("", timeout=30)


# Prints its arguments, its environment and its service file, twice: `\\c` reads the file again.
FAKE = """#!/bin/sh
printf '%s\\n' "$@"
printf 'PGPASSWORD=%s\\n' "$PGPASSWORD"
cat "$PGSERVICEFILE" && cat "$PGSERVICEFILE"
"""


def test_nor_the_password_of_the_clients_key(tmp_path: Path) -> None:
    fake = tmp_path / "psql"
    fake.write_text(FAKE, encoding="utf-8")
    fake.chmod(0o700)
    url = "postgresql://me:first@host/db?sslcert=c&sslkey=k&sslpassword=it's%20second%3D"
    told, _ = psql(url, "-c", "SELECT 1", path=f"{tmp_path}:{os.environ['PATH']}").communicate(timeout=30)
    where, *rest = told.splitlines()[1:]
    assert where == "user=me dbname=db host=host sslcert=c sslkey=k"
    service = ["[ai-agents]", "sslpassword=it's second="]
    assert rest == ["-c", "SELECT 1", "PGPASSWORD=first", *service, *service]


def test_with_a_password_of_the_clients_key_it_still_asks(server: Postgres) -> None:
    mark = "&" if "?" in server.url else "?"
    url = f"{server.url}{mark}sslpassword=second"
    again = "SELECT 1;\n\\c\nSELECT 2;\n"
    told, _ = psql(url, "-At").communicate(again, timeout=30)
    assert [line for line in told.splitlines() if "connected" not in line] == ["1", "2"]


@pytest.mark.parametrize(
    ("url", "told"),
    [("", "DATABASE_URL is missing"), ("postgresql://me@host/db", "psql is not installed, or may not be run")],
)
@pytest.mark.usefixtures("untouched_logging")
def test_missing_parts_are_named(url: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "psql").touch(mode=0o600)
    refused = here("psql", DATABASE_URL=url, PATH=str(tmp_path))
    assert (refused.returncode, told in refused.stderr) == (78, True)
