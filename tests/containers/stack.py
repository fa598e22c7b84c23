"""The container engine of this machine, the image built from the Dockerfile, and the running compose file.

The engine is Docker or Podman, whichever is installed. With Podman, Compose talks to our own Podman service over a
socket. Without systemd Podman runs no health checks, so the tests run them.
"""

import json
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.pilot.free_ports import free_port
from tests.containers.files import BASE, OURS, ROOT, SERVICES, let_in

_PULL_SECONDS = 120
PROJECT = "ai-agents-test"
"""The name of the compose project, and the label of each container that a test starts by itself."""
LABEL = f"com.docker.compose.project={PROJECT}"
PILOT = "ai-agents-pilot-test"
"""The name of the compose project of compose.pilot.yml."""
_LABELS = (LABEL, f"com.docker.compose.project={PILOT}")
BECOMING = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")
"""What an entry point that can't do without root has to be allowed to become its user."""
# A developer's environment must not reach the compose file: it could name a real desk.
_MACHINE = ("PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG")
IMAGE = "ai-agents:local"
SIMULATORS = "ai-agents-simulators:local"
NEEDED = ("redis", "postgres")
PORTS = (
    *("API_PORT", "PAGE_PORT", "CONSOLE_PORT", "DESK_PORT", "OPENAI_PORT", "JAEGER_PORT"),
    *("PROMETHEUS_PORT", "GRAFANA_PORT"),
)
# Without the developer's .env.
_PROCESSES = ("api", "worker", "housekeeping", "console")
OVERRIDE = "services:\n" + "".join(f"  {name}: {{env_file: !reset []}}\n" for name in _PROCESSES)
_AS_ROOT = f"{{user: root, cap_add: [{', '.join(BECOMING)}]}}"


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

    def begins_as(self, user: str, image: str) -> bool:
        """Return True if the image's entry point gets by without root."""
        words = ["--user", user, image, "true"]
        answer = self.run("run", "--rm", "--label", LABEL, *words, check=False)
        # The engine's own errors are 125 and above: a missing user.
        assert answer.returncode < 125, answer.stdout
        return answer.returncode == 0

    def build(self, folder: Path, base: str, target: str, tag: str) -> None:
        network = ["--network", "host"] if self.program == "podman" else []
        given = ["--build-arg", f"BASE={base}", "--target", target, "--tag", tag]
        self.run("build", *network, *given, str(folder), seconds=600)

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
            eventually(socket.exists, 20)
            with _health_checks(engine):
                yield engine
        finally:
            service.terminate()


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def _health_checks(engine: Engine) -> Iterator[None]:
    """Run the health checks of new containers if the engine does not."""
    if Path("/run/systemd/system").exists():
        yield
        return
    ends = threading.Event()

    def ask() -> None:
        while not ends.wait(0.5):
            for label in _LABELS:
                listed = engine.output("ps", "--filter", f"label={label}", "--format", "{{.Names}} {{.Status}}")
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


class Stack:
    """The system of a compose file on free ports, with `given` in .env.

    `services`: those whose images are available. `as_root`: those whose image here, unlike the published one, cannot
    start as its own user; they start as root, and the file's `user` is not tested.
    """

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        services: Collection[str],
        *,
        file: str = "docker-compose.yml",
        project: str = PROJECT,
        given: Mapping[str, str] | None = None,
    ) -> None:
        self.engine, self.project, self._file, self._given = engine, project, file, given or {}
        self.services = services
        self.as_root = [name for name in NEEDED if not self._begins_as_its_user(name)]
        self.ports = {name: str(free_port()) for name in PORTS}
        self.network = f"{project}_default"
        self._override = folder / "override.yaml"
        changed = "".join(f"  {name}: {_AS_ROOT}\n" for name in self.as_root)
        self._override.write_text(OVERRIDE + changed, encoding="utf-8")

    def _begins_as_its_user(self, service: str) -> bool:
        given = SERVICES[service]
        return self.engine.begins_as(given["user"], given["image"])

    def compose(self, *arguments: str) -> str:
        """Run Compose on it; return the output."""
        files = ["-f", self._file, "-f", str(self._override), "--env-file", os.devnull, "-p", self.project]
        return self.engine.compose(*files, *arguments, environment=self.ports | dict(self._given), folder=ROOT)

    def container(self, service: str) -> str:
        return f"{self.project}-{service}-1"

    def exec(self, service: str, *words: str, check: bool = True) -> str:
        """Run a command in a service's container; return the output."""
        return self.engine.run("exec", self.container(service), *words, check=check).stdout.strip()

    def processes(self, service: str) -> list[dict[str, str]]:
        """Return the kernel's status of each process, by the names in /proc/N/status."""
        script = 'for one in /proc/[0-9]*; do [ "$one" = "/proc/$$" ] || cat "$one/status" 2>/dev/null; done; true'
        lines = [line.partition(":") for line in self.exec(service, "sh", "-c", script).splitlines()]
        found: list[dict[str, str]] = []
        for key, _, value in lines:
            if key == "Name":
                found.append({})
            found[-1][key] = value.strip()
        return found

    def logs(self, service: str) -> str:
        return self.engine.output("logs", self.container(service))

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[f'{service.upper()}_PORT']}"

    def await_health(self, *services: str, seconds: float = 90) -> None:
        for service in services:
            eventually(lambda service=service: self.health(service) == "healthy", seconds)  # type: ignore[misc]

    def health(self, service: str) -> str:
        return str(self.engine.state(self.container(service))["Health"]["Status"])


def eventually(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a condition; raises AssertionError on a timeout."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with found_engine(tmp_path_factory.mktemp("engine")) as found:
        yield found


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return this tree with its owner's permissions only, as a clone under umask 077."""

    def private(source: str, target: str) -> None:
        shutil.copyfile(source, target)
        Path(target).chmod(0o600)

    folder = tmp_path_factory.mktemp("checkout")
    for name in ("Dockerfile", ".dockerignore", *let_in()):
        (folder / name).parent.mkdir(exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, copy_function=private)
        else:
            private(str(ROOT / name), str(folder / name))
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
    return folder


@pytest.fixture(scope="session")
def base_image(engine: Engine) -> str:
    """Return the pinned base; without a registry, the local image of its tag."""
    tag = BASE.partition("@")[0]
    if engine.has(tag) and not engine.has(BASE):
        return tag
    if not engine.can_get(BASE):
        pytest.skip(f"{BASE} is not here and can't be pulled")
    return BASE


@pytest.fixture(scope="session")
def image(engine: Engine, base_image: str, checkout: Path) -> str:
    """Return the production image, built from this tree."""
    engine.build(checkout, base_image, "product", IMAGE)
    return IMAGE


@pytest.fixture(scope="session")
def both_images(engine: Engine, image: str, base_image: str, checkout: Path) -> None:  # noqa: ARG001
    """Build the simulators' image too; skip without an image that all services need."""
    if missing := [SERVICES[name]["image"] for name in NEEDED if not engine.can_get(SERVICES[name]["image"])]:
        pytest.skip(f"{' and '.join(missing)} can't be pulled")
    engine.build(checkout, base_image, "simulators", SIMULATORS)


@pytest.fixture(scope="session")
def stack(
    engine: Engine,
    both_images: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Start all services whose images are available."""
    there = [name for name, service in SERVICES.items() if name in OURS or engine.can_get(service["image"])]
    running = Stack(engine, tmp_path_factory.mktemp("stack"), there)
    running.compose("down", "--volumes", "--timeout", "1")
    try:
        running.compose("up", "--detach", "--no-build", *there)
        running.await_health(*_PROCESSES, "desk", "openai")
        yield running
    finally:
        running.compose("down", "--volumes", "--timeout", "1")


@pytest.fixture(scope="session")
def pilot(
    engine: Engine,
    both_images: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Start compose.pilot.yml, with the simulators in its network in place of a real desk and model."""
    given = {
        "SERVICEDESK_URL": "http://desk:8080/acme",
        "SERVICEDESK_API_KEY": "development-only",
        "OPENAI_API_KEY": "sk-development-only",
        "OPENAI_BASE_URL": "http://openai:8080/v1",
        "PILOT_PASSWORD": secrets.token_hex(32),
    }
    running = Stack(
        engine, tmp_path_factory.mktemp("pilot"), SERVICES, file="compose.pilot.yml", project=PILOT, given=given
    )
    running.ports["CONSOLE_URL"] = running.url("console")
    simulators = {name: f"{PILOT}-{name}" for name in ("desk", "openai")}

    def remove() -> None:
        engine.run("rm", "--force", *simulators.values(), check=False)
        running.compose("down", "--volumes", "--timeout", "1")

    remove()
    try:
        running.compose("up", "--detach", "--no-build", "redis")  # creates the network
        for name, container in simulators.items():
            place = ["--name", container, "--network", running.network, "--network-alias", name]
            port = ["--publish", f"127.0.0.1:{running.ports[f'{name.upper()}_PORT']}:8080"]
            engine.run("run", "--detach", *place, *port, SIMULATORS, *SERVICES[name]["command"])
        running.compose("up", "--detach", "--no-build")
        running.await_health(*_PROCESSES)
        yield running
    finally:
        remove()


@pytest.fixture
def once(engine: Engine, image: str) -> Callable[..., tuple[int, str]]:
    """Run a container of the image to its end; return exit status and output."""

    def run(*words: str, options: tuple[str, ...] = (), **settings: str) -> tuple[int, str]:
        given = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
        hardened = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--label", LABEL]  # noqa: S108
        done = engine.run("run", "--rm", *hardened, *options, *given, image, *words, check=False, seconds=60)
        return done.returncode, done.stdout

    return run
