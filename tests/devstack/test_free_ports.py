"""Ports reserved for one process each."""

import subprocess
import sys

from devstack.free_ports import free_port, is_free

TAKES = "import sys; from devstack import free_ports; print(free_ports._reserve(int(sys.argv[1])))"


def other_process_takes(port: int) -> str:
    """Return another process's result of reserving the port."""
    command = [sys.executable, "-c", TAKES, str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_port_is_given_to_one_process_though_nobody_listens_on_it_yet() -> None:
    """Two test runs that drew the same number once started two servers on it; an ended process gives it back."""
    port = free_port()
    assert is_free(port)
    assert other_process_takes(port) == "False"
    # Below the range of free ports.
    assert [other_process_takes(14_999) for _ in range(2)] == ["True", "True"]
