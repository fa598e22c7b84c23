"""Supervision of one process, with real signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devstack.processes import Process, ProcessFailed, await_ready, descendants, is_alive, stop_all
from devstack.programs import says
from tests.kit.world import wait_for

SLEEPER = "import time; print('ready'); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready'); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print('ready'); time.sleep(60)"
)


def python(folder: Path, program: str, name: str = "program") -> Process:
    """Return a process that runs a piece of Python and is ready once it has printed "ready"."""
    return Process(
        name,
        [sys.executable, "-c", program],
        log_path=folder / f"{name}.log",
        environment={"PATH": os.defpath, "PYTHONUNBUFFERED": "1"},
        ready=says("ready"),
    )


def running(folder: Path, program: str) -> Process:
    process = python(folder, program)
    process.start()
    process.wait_ready(10)
    return process


def test_output_of_both_streams_goes_to_the_log(tmp_path: Path) -> None:
    process = python(tmp_path, "import sys; print('out'); print('err', file=sys.stderr)")
    process.run(10)
    assert sorted(process.tail()) == ["err", "out"]
    assert process.returncode == 0


def test_output_is_of_the_last_start_and_the_log_of_all(tmp_path: Path) -> None:
    process = python(tmp_path, "print('line')")
    process.run(10)
    process.run(10)
    assert process.output() == "line\n"
    assert process.log_path.read_text() == "line\nline\n"


def test_an_early_end_is_told_with_name_status_and_last_lines(tmp_path: Path) -> None:
    process = python(tmp_path, "print('no such thing'); raise SystemExit(3)", "teapot")
    process.start()
    with pytest.raises(ProcessFailed, match=r"teapot ended with status 3 .*\n  \| no such thing"):
        process.wait_ready(10)


def test_what_does_not_get_ready_is_told(tmp_path: Path) -> None:
    process = python(tmp_path, "import time; time.sleep(60)", "mute")
    process.start()
    with pytest.raises(ProcessFailed, match="mute was not ready after 0 s"):
        process.wait_ready(0.1)
    process.kill()


def test_a_run_that_fails_or_hangs_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="status 1"):
        python(tmp_path, "raise SystemExit(1)").run(10)
    hanging = python(tmp_path, SLEEPER, "hanging")
    with pytest.raises(ProcessFailed, match="did not end within"):
        hanging.run(0.3)
    assert not hanging.running


def test_stop_asks_first_and_kills_after_the_grace(tmp_path: Path) -> None:
    polite, stubborn = python(tmp_path, SLEEPER, "polite"), python(tmp_path, STUBBORN, "stubborn")
    for process in (polite, stubborn):
        process.start()
    await_ready([polite, stubborn], 10)
    began = time.monotonic()
    stop_all([polite, stubborn], 0.5)
    assert 0.4 < time.monotonic() - began < 3
    assert polite.returncode == -signal.SIGTERM
    assert stubborn.returncode == -signal.SIGKILL


def test_only_an_end_that_nobody_ordered_counts_as_death(tmp_path: Path) -> None:
    process = python(tmp_path, SLEEPER)
    assert not process.died
    process.start()
    process.wait_ready(10)
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: process.died, 5)
    process.start()
    process.stop()
    assert not process.died


def test_kill_takes_the_children_along(tmp_path: Path) -> None:
    process = running(tmp_path, PARENT)
    children = descendants(process.pid)
    assert len(children) == 1
    process.kill()
    assert not any(map(is_alive, children))


def test_a_paused_process_does_nothing_until_it_is_resumed(tmp_path: Path) -> None:
    ticking = "import time\nprint('ready')\nwhile True: print('tick'); time.sleep(0.01)"
    process = running(tmp_path, ticking)
    process.pause()
    time.sleep(0.1)
    before = process.output()
    time.sleep(0.1)
    assert process.output() == before
    process.resume()
    wait_for(lambda: len(process.output()) > len(before), 5)
    process.pause()
    process.stop(5)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends orphans")
def test_a_process_ends_with_its_supervisor(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.devstack.test_processes import python;"
        f"process = python(Path({str(tmp_path)!r}), {SLEEPER!r}); process.start(); process.wait_ready();"
        "print(process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert is_alive(pid)
        supervisor.kill()
    wait_for(lambda: not is_alive(pid), 5)


def test_ctrl_c_in_the_terminal_does_not_reach_it(tmp_path: Path) -> None:
    process = running(tmp_path, SLEEPER)
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.kill()


def test_a_command_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    process = Process("ghost", ["/nonexistent/ghost"], log_path=tmp_path / "ghost.log", environment={})
    with pytest.raises(ProcessFailed, match="cannot run /nonexistent/ghost"):
        process.run(10)
