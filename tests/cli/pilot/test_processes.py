"""Supervision of one process, with real signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.pilot.free_ports import free_port, is_free
from cli.pilot.processes import Process, ProcessFailedError, await_ready, descendants, is_alive, stop_all
from cli.pilot.programs import has_output
from tests.kit.world import wait_for

SLEEPER = "import time; print('ready'); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready'); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print('ready'); time.sleep(60)"
)
TAKES = "import sys; from cli.pilot import free_ports; print(free_ports._reserve(int(sys.argv[1])))"


def python(folder: Path, program: str, name: str = "program") -> Process:
    """Return a process that runs a piece of Python and is ready once it has printed "ready"."""
    return Process(
        name,
        [sys.executable, "-c", program],
        log_path=folder / f"{name}.log",
        environment={"PATH": os.defpath, "PYTHONUNBUFFERED": "1"},
        ready=has_output("ready"),
    )


def running(folder: Path, program: str) -> Process:
    process = python(folder, program)
    process.start()
    process.wait_ready(10)
    return process


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("print('no such thing'); raise SystemExit(3)", r"teapot ended with status 3 .*\n  \| no such thing"),
        ("import time; time.sleep(60)", "teapot was not ready after 0 s"),
    ],
)
def test_a_start_that_fails_or_hangs_is_told_with_name_and_last_lines(program: str, told: str, tmp_path: Path) -> None:
    process = python(tmp_path, program, "teapot")
    process.start()
    with pytest.raises(ProcessFailedError, match=told):
        process.wait_ready(0.3 if "sleep" in program else 10)
    process.kill()


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


def test_kill_takes_the_children_along(tmp_path: Path) -> None:
    process = running(tmp_path, PARENT)
    children = descendants(process.pid)
    assert len(children) == 1
    # Ctrl-C in the terminal does not reach it.
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.kill()
    assert not any(map(is_alive, children))


def test_a_paused_process_does_nothing_until_it_is_resumed_and_can_be_stopped(tmp_path: Path) -> None:
    process = running(tmp_path, "import time\nprint('ready')\nwhile True: print('tick'); time.sleep(0.01)")
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
        "import sys, time; from pathlib import Path; from tests.cli.pilot.test_processes import python;"
        f"process = python(Path({str(tmp_path)!r}), {SLEEPER!r}); process.start(); process.wait_ready();"
        "print(process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert is_alive(pid)
        supervisor.kill()
    wait_for(lambda: not is_alive(pid), 5)


def test_a_port_is_given_to_one_process_though_nobody_listens_on_it_yet() -> None:
    """Two test runs that drew the same number once started two servers on it."""
    port = free_port()
    assert is_free(port)
    taken = subprocess.run([sys.executable, "-c", TAKES, str(port)], capture_output=True, text=True, check=True)
    assert taken.stdout == "False\n"
