"""A forked process has the environment and the end of a fresh one."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.pilot.processes import Launch, Process, is_alive, start_afresh
from cli.pilot.programs import ROOT, has_output
from tests.kit.loaded import LoadedPrograms
from tests.kit.world import wait_for


def finder(folder: Path, launch: Launch, *words: str) -> Process:
    return Process(
        "finder",
        [sys.executable, "-m", "tests.kit.finder", *words],
        log_path=folder / "finder.log",
        environment={"PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8", "TZ": "Asia/Tokyo", "GIVEN": "here"},
        ready=has_output("found"),
        folder=ROOT,
        death_signal=signal.SIGINT,
        launch=launch,
    )


def findings(process: Process) -> dict[str, Any]:
    process.wait(30)
    line, *_ = process.output().splitlines()
    answer: dict[str, Any] = json.loads(line)
    return answer


def test_a_fork_has_the_findings_of_a_fresh_process_and_ids_of_its_own(tmp_path: Path, loaded: LoadedPrograms) -> None:
    launches: list[tuple[str, Launch]] = [("fresh", start_afresh), ("forked", loaded), ("another", loaded)]
    processes = [finder(tmp_path / name, launch) for name, launch in launches]
    for process in processes:
        process.start()
    fresh, *forked = map(findings, processes)
    assert [one["found"] for one in forked] == [fresh["found"]] * 2
    for one, other in zip(forked[0]["own"], forked[1]["own"], strict=True):
        assert one != other


@pytest.mark.parametrize(("words", "status", "last"), [("exits 3", 3, "{"), ("raises", 1, "LookupError: as it was")])
def test_its_end_is_that_of_a_fresh_process(
    words: str, status: int, last: str, tmp_path: Path, loaded: LoadedPrograms
) -> None:
    for launch in (start_afresh, loaded):
        process = finder(tmp_path, launch, *words.split())
        process.start()
        assert process.wait(30) == status
        assert process.tail()[-1].startswith(last)


def test_it_is_waited_for_and_signalled_and_ended(tmp_path: Path, loaded: LoadedPrograms) -> None:
    process = finder(tmp_path, loaded, "stays")
    process.start()
    process.wait_ready()
    assert (process.wait(0.01), process.returncode) == (None, None)
    process.pause()
    process.resume()
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM
    process.start()
    process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not is_alive(process.pid)


def test_it_ends_with_its_starter(tmp_path: Path) -> None:
    program = (
        "import time; from pathlib import Path; from tests.kit.loaded import LoadedPrograms;"
        "from tests.kit.test_loaded import finder;"
        f"folder = Path({str(tmp_path)!r}); process = finder(folder, LoadedPrograms(folder, modules=()), 'stays');"
        "process.start(); process.wait_ready(); print(process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    wait_for(lambda: not is_alive(pid))
