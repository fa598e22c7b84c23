"""Exit status of commands whose output cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.postgres import Postgres
from tests.support.spans import STORY, kept

FULL = Path("/dev/full")
KIT = "signing-kit --tenant acme --url https://api.example.com/webhook --form"


def printed(words: str, output: int, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run the command with buffered output."""
    return subprocess.run(
        [sys.executable, "-m", "support.cli", *words.split()],
        env={"PATH": os.environ["PATH"], **settings},
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "words",
    [
        *("trace --ticket 124", "jobs --json", "check", f"{KIT} token", f"{KIT} script", "migrate"),
        *("--help", "check --help"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_a_full_disk_is_status_70_with_its_reason(
    words: str, more: dict[str, str], tmp_path: Path, server: Postgres
) -> None:
    settings = {"DATABASE_URL": server.url, "DATABASE_ADMIN_URL": server.admin_url}
    with FULL.open("wb") as full:
        told = printed(words, full.fileno(), TRACES_DIR=str(kept(tmp_path, **STORY)), **settings, **more)
    assert (told.returncode, "Traceback" in told.stderr, "Exception ignored" in told.stderr) == (70, False, False)
    assert told.stderr.endswith("The output can't be written: No space left on device.\n")


@pytest.mark.parametrize(
    ("words", "status"), [(f"{KIT} token", 0), (f"{KIT} script", 0), ("check --json", 78), ("--help", 0)]
)
def test_a_reader_that_has_left_changes_no_status(words: str, status: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    told = printed(words, writing)
    os.close(writing)
    assert (told.returncode, told.stderr) == (status, "")


@pytest.mark.parametrize("words", ["--help", "check --help", "check", "migrate", "worker"])
def test_a_closed_output_is_refused_before_anything_is_done(words: str) -> None:
    command = ["sh", "-c", '"$@" >&-', "-", sys.executable, "-m", "support.cli", *words.split()]
    told = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (told.returncode, told.stderr) == (70, "The output can't be written: it is closed.\n")
