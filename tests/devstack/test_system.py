"""The whole system: start, second start in a folder, failures with reasons, clean end."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devstack.processes import ProcessFailed, is_alive
from devstack.state_file import State, read_state
from devstack.system import System


def up(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "devstack", "up", "--folder", folder, "--workers", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def await_state(folder: Path, process: "subprocess.Popen[str]") -> State:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        state = read_state(folder)
        if state is not None:
            return state
        time.sleep(0.05)
    raise AssertionError(process.communicate()[1])


def test_up_runs_until_it_is_told_to_end_and_alone_in_its_folder(tmp_path: Path) -> None:
    with up(tmp_path) as first:
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(first.kill)
            state = await_state(tmp_path, first)
            with up(tmp_path) as second:
                _, refusal = second.communicate(timeout=30)
            on_failure.pop_all()
        assert second.returncode == 1
        assert f"devstack {first.pid}" in refusal
        assert all(is_alive(pid) for pid in state["pids"].values())
        first.send_signal(signal.SIGTERM)
        told, complaints = first.communicate(timeout=30)
    assert (first.returncode, complaints) == (0, "")
    assert state["api_url"] in told
    assert state["console_url"] in told
    assert state["console_token"] not in told
    assert not [name for name, pid in state["pids"].items() if is_alive(pid)]
    assert f"set -a; . {tmp_path}/settings.env; set +a" in told
    assert not (tmp_path / "settings.env").exists()
    assert read_state(tmp_path) is None
    assert not any(secret in told for secret in state["tenants"].values())
    assert all(Path(log).exists() for log in state["logs"].values())


def test_only_a_system_that_is_asked_to_uses_the_callers_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://theirs/x")
    monkeypatch.setenv("DATABASE_ADMIN_URL", "postgresql://theirs-admin/x")
    monkeypatch.setenv("REDIS_URL", "redis://theirs/0")
    own = System(tmp_path / "demo").api.environment
    assert "theirs" not in own["DATABASE_URL"] + own["REDIS_URL"]
    asked = System(tmp_path / "up", external=True)
    assert (asked.api.environment["DATABASE_URL"], asked.api.environment["REDIS_URL"]) == (
        "postgresql://theirs/x",
        "redis://theirs/0",
    )
    with pytest.raises(RuntimeError, match="no embedded one"):
        _ = asked.postgres


def test_a_process_that_does_not_come_up_is_named_and_everything_ends(tmp_path: Path) -> None:
    system = System(tmp_path, settings={"DATABASE_URL": "mysql://nowhere"})
    with pytest.raises(ProcessFailed, match=r"migrate ended with status(.|\n)*DATABASE_URL is wrong"):
        system.start()
    assert not any(process.running for process in system.processes)
    assert not system.postgres.process.running
    assert read_state(tmp_path) is None
