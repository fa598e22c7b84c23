"""The whole system: its start, its state and settings, failures with reasons, its end; and `make audit`."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from cli.pilot.processes import ProcessFailedError, is_alive
from cli.pilot.programs import ROOT, machine_environment
from cli.pilot.state_file import FolderLock, State, read_state, write_state
from dev.stack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.world import wait_for


def up(folder: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "dev.stack", "up", "--folder", folder, "--workers", "0", "--free-ports", *options],
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


def listening_addresses(pids: Iterable[int]) -> set[str]:
    """Return the addresses of listening sockets, from the tables of Linux (proc_pid_net(5))."""
    held = {str(fd.readlink()) for pid in pids for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = [row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in held]
    return {socket.inet_ntoa(bytes.fromhex(each)[::-1]) if len(each) == 8 else each for each in listening}


def test_up_names_the_option_for_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with up(tmp_path, "--desk-port", str(port)) as refused:
            _, refusal = refused.communicate(timeout=30)
    assert refused.returncode == 1
    assert f"Port {port} (desk) is in use. --desk-port changes it." in refusal
    assert 'make dev ARGS="--desk-port ' in refusal
    assert not (tmp_path / "state.json").exists()


@pytest.mark.slow
def test_up_restarts_processes_until_it_is_told_to_end_and_is_alone_in_its_folder(tmp_path: Path) -> None:
    with up(tmp_path) as first:
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(first.kill)
            state = await_state(tmp_path, first)
            with up(tmp_path) as second:
                _, refusal = second.communicate(timeout=30)
            on_failure.pop_all()
        assert second.returncode == 1
        assert f"process {first.pid}" in refusal
        assert all(is_alive(pid) for pid in state["pids"].values())
        assert listening_addresses(state["pids"].values()) == {"127.0.0.1"}
        os.kill(state["pids"]["console"], signal.SIGKILL)
        wait_for(lambda: (now := read_state(tmp_path)) and now["pids"]["console"] != state["pids"]["console"])
        state = await_state(tmp_path, first)
        assert is_alive(state["pids"]["console"])
        first.send_signal(signal.SIGTERM)
        told, complaints = first.communicate(timeout=30)
    assert (first.returncode, complaints) == (0, "")
    assert state["api_url"] in told
    assert re.search(rf"{state['console_url']}/login/link\?link=\S+", told)
    assert f"console ended with status -9: started again as process {state['pids']['console']}" in told
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
    with pytest.raises(RuntimeError, match="not an embedded one"):
        _ = asked.postgres


def test_a_process_that_does_not_come_up_is_named_and_everything_ends(tmp_path: Path, loaded: LoadedPrograms) -> None:
    system = System(tmp_path, settings={"DATABASE_URL": "mysql://nowhere"}, launch=loaded)
    with pytest.raises(ProcessFailedError, match=r"migrate ended with status(.|\n)*DATABASE_URL is wrong"):
        system.start()
    assert not any(process.running for process in system.processes)
    assert not system.postgres.process.running
    assert read_state(tmp_path) is None


def test_state_and_settings_are_readable_by_their_user_only_until_the_end(tmp_path: Path) -> None:
    odd = 'it\'s $HOME; `id`\n"x"'
    write_state(tmp_path, {"pids": {"devstack": os.getpid()}}, {})
    lock = FolderLock(tmp_path)
    lock.take()
    assert read_state(tmp_path) is None
    write_state(tmp_path, {"api_url": "http://127.0.0.1:2"}, {"FEEDBACK_KEY": odd, "REDIS_URL": "redis://x"})
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("s*")} == {0o600}
    shown = "import os; print(os.environ['FEEDBACK_KEY'])"
    read = f'set -a; . {tmp_path}/settings.env; set +a; exec {sys.executable} -c "{shown}"'
    assert subprocess.check_output(["sh", "-c", read], text=True) == f"{odd}\n"
    lock.release()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_of_the_callers_settings_only_logging_and_tracing_are_passed_on() -> None:
    kept = {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    caller = {"PATH": "/bin", "OPENAI_API_KEY": "real", "HTTP_PROXY": "http://proxy", "WEBHOOK_SECRET_X": "s"}
    assert machine_environment(caller | kept) == {"PATH": "/bin", "PYTHONUNBUFFERED": "1"} | kept


@pytest.mark.slow
def test_without_advisories_the_packages_are_listed_and_the_skip_is_visible() -> None:
    command = ["make", "audit", "ADVISORIES=http://127.0.0.1:9/"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    assert "SKIPPED: the advisory database is not reachable" in run.stdout
    names = {one["name"] for one in json.loads((ROOT / "dist" / "sbom.json").read_text())["components"]}
    assert {"fastapi", "celery", "langgraph"} <= names
