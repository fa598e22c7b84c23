"""Docker or Podman, whichever is installed.

With Podman, Compose talks to our own Podman service over a socket. Without systemd Podman runs no health checks, so the
tests run them.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_PULL_SECONDS = 120
PROJECT = "ai-agents-test"
"""The name of the compose project, and the label of each container that a test starts by itself."""
LABEL = f"com.docker.compose.project={PROJECT}"
BECOMING = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")
"""What an entry point that can't do without root has to be allowed to become its user."""
# A developer's environment must not reach the compose file: it could name a real desk.
_MACHINE = ("PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG")


class Engine:
    """One container engine with its Compose."""

    def __init__(self, program: str, compose: list[str], environment: Mapping[str, str]) -> None:
        self.program = program
        self._compose = compose
        self._environment = dict(environment)

    def run(self, *arguments: str, check: bool = True, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the engine; standard error is in the output.

        Raises CalledProcessError if it must succeed.
        """
        return self._call([self.program, *arguments], {}, check=check, seconds=seconds)

    def output(self, *arguments: str, seconds: float = 120) -> str:
        return self.run(*arguments, seconds=seconds).stdout.strip()

    def compose(self, *arguments: str, environment: Mapping[str, str], folder: Path, seconds: float = 300) -> str:
        """Run Compose in a folder; return its output. Raises CalledProcessError."""
        return self._call([*self._compose, *arguments], environment, folder=folder, seconds=seconds).stdout

    def _call(
        self,
        command: list[str],
        environment: Mapping[str, str],
        *,
        check: bool = True,
        seconds: float,
        folder: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=folder,
            env={name: os.environ[name] for name in _MACHINE if name in os.environ}
            | self._environment
            | dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-4000:]}")
        return done

    def has(self, image: str) -> bool:
        return self.run("image", "inspect", image, check=False).returncode == 0

    def can_get(self, image: str) -> bool:
        """Return True if the image is here, or can be pulled."""
        if self.has(image):
            return True
        try:
            return self.run("pull", "--quiet", image, check=False, seconds=_PULL_SECONDS).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def begins_as(self, user: str, image: str, program: str) -> bool:
        """Return True if the image's server starts as this user without root."""
        words = ["--user", user, image, program, "--version"]
        answer = self.run("run", "--rm", "--label", LABEL, *words, check=False)
        # The engine's own errors are 125 and above: a missing user.
        assert answer.returncode < 125, answer.stdout
        return answer.returncode == 0

    def build(self, folder: Path, target: str, tag: str) -> None:
        network = ["--network", "host"] if self.program == "podman" else []
        self.run("build", *network, "--target", target, "--tag", tag, str(folder), seconds=600)

    def state(self, container: str) -> Any:
        return json.loads(self.output("inspect", "--format", "{{json .State}}", container))


@contextmanager
def found_engine(folder: Path) -> Iterator[Engine]:
    """Return this machine's engine, with its socket in `folder`.

    Skips the test if there is none.
    """
    if shutil.which("docker") and _works(["docker", "info"]) and _works(["docker", "compose", "version"]):
        yield Engine("docker", ["docker", "compose"], {})
        return
    compose = shutil.which("docker-compose")
    if not shutil.which("podman") or compose is None:
        pytest.skip("neither Docker nor Podman with docker-compose is installed")
    quiet = {"PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
    socket = folder / "podman.sock"
    command = ["podman", "system", "service", "--time", "0", f"unix://{socket}"]
    with subprocess.Popen(command, env=os.environ | quiet, stderr=subprocess.DEVNULL) as service:
        try:
            engine = Engine("podman", [compose], quiet | {"DOCKER_HOST": f"unix://{socket}"})
            _wait_for_file(socket)
            with _health_checks(engine):
                yield engine
        finally:
            service.terminate()


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.05)


@contextmanager
def _health_checks(engine: Engine) -> Iterator[None]:
    """Run the health checks of new containers if the engine does not."""
    if Path("/run/systemd/system").exists():
        yield
        return
    ends = threading.Event()

    def ask() -> None:
        while not ends.wait(0.5):
            listed = engine.output("ps", "--filter", f"label={LABEL}", "--format", "{{.Names}} {{.Status}}")
            for line in listed.splitlines():
                name, _, status = line.partition(" ")
                if "(starting)" in status or "(unhealthy)" in status:
                    engine.run("healthcheck", "run", name, check=False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(timeout=30)
