"""One system in one folder, and its recorded state."""

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devstack.state_file import AlreadyRunning, FolderLock, living_pids, read_state, write_state


def test_the_state_is_readable_by_its_user_only(tmp_path: Path) -> None:
    write_state(tmp_path, {"api_url": "http://127.0.0.1:1"})
    write_state(tmp_path, {"api_url": "http://127.0.0.1:2"})
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600
    assert read_state(tmp_path) == {"api_url": "http://127.0.0.1:2"}
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_shell_reads_the_settings_as_they_are_until_the_end(tmp_path: Path) -> None:
    odd = 'it\'s $HOME; `id`\n"x"'
    lock = FolderLock(tmp_path)
    lock.take()
    write_state(tmp_path, {}, {"FEEDBACK_KEY": odd, "REDIS_URL": "redis://x"})
    file = tmp_path / "settings.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    read = f"set -a; . {file}; set +a; exec {sys.executable} -c \"import os; print(os.environ['FEEDBACK_KEY'])\""
    assert subprocess.check_output(["sh", "-c", read], text=True) == f"{odd}\n"
    lock.release()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_second_system_is_refused_while_the_first_starts_and_while_it_runs(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.take()
    with pytest.raises(AlreadyRunning, match="is starting in"):
        second.take()
    write_state(tmp_path, {"pids": {"devstack": os.getpid()}})
    with pytest.raises(AlreadyRunning, match=f"runs in .* already .devstack {os.getpid()}"):
        second.take()
    first.release()
    assert read_state(tmp_path) is None
    second.take()
    second.release()


def test_processes_that_outlived_a_killed_system_are_not_run_over(tmp_path: Path) -> None:
    write_state(tmp_path, {"pids": {"worker": os.getpid()}})
    with pytest.raises(AlreadyRunning, match=f"worker {os.getpid()}"):
        FolderLock(tmp_path).take()


def test_a_state_that_a_killed_system_left_does_not_hinder(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    write_state(tmp_path, {"pids": {"worker": ended.pid}})
    claim = FolderLock(tmp_path)
    claim.take()
    assert read_state(tmp_path) is None
    claim.release()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_an_id_that_was_given_to_another_process_since_does_not_hinder(tmp_path: Path) -> None:
    write_state(tmp_path, {"pids": {"worker": os.getpid()}})
    long_ago = time.time() - 30 * 24 * 3600
    os.utime(tmp_path / "state.json", (long_ago, long_ago))
    assert living_pids(tmp_path) == {}


@pytest.mark.parametrize("content", ["", "[]", '{"pids": 3}', '{"pids": {"api": "x"}}', json.dumps({"pids": {}})])
def test_a_broken_state_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    assert living_pids(tmp_path) == {}
