"""A reader of the FAQ on a running system: it types commands, follows tables.

The commands run in bash, word for word. Its `kubectl` is a small client that a thread of the test serves: `logs`,
`exec` and `get` show the processes as pods, and refuse unknown flags or names. Other verbs do nothing:
`tests/docs/test_commands.py` runs them with the real kubectl.
"""

import argparse
import base64
import json
import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import traceback
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from cli.pilot.postgres_binaries import find_binaries
from cli.pilot.processes import Process
from dev.stack.system import System
from tests.docs.documents import ROOT, anchor
from tests.kit.loaded import LoadedPrograms
from tests.system.collector import Collector

_run = partial(subprocess.run, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
_CLIENT = """#!{python} -ISE
import json, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    server.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    output, complaints, status = json.load(server.makefile())
sys.stdout.write(output)
sys.stdout.flush()
sys.stderr.write(complaints)
sys.exit(status)
"""
_FLAGS = {
    "logs": "--since= --tail= -l/--selector= -f/--follow -p/--previous --prefix --all-pods --ignore-errors",
    "exec": "-i/--stdin -t/--tty",
    "get": "-o/--output= -l/--selector= --sort-by=",
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
MISTAKES = re.compile(r"unrecognized|required: |invalid (?:arg|ch)|NotFound|command not found|Traceback|curl: |ERROR: ")
_NAME, _PLACE = r"[\w-]+", re.compile(r"<([A-Z_]+)>")


class RefusedError(Exception):
    """The complaint of a kubectl that did nothing."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RefusedError(f"error: {message}")


class Done(NamedTuple):
    """A command's output and status (of a pipe: the last part's)."""

    output: str = ""
    complaints: str = ""
    status: int = 0

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


@dataclass
class _Life:
    """One container of a pod: its first line and its end."""

    start: int
    pid: int
    ended: str = ""


@dataclass
class _Pod:
    """A process in its pod; `waits` is the reason why it has no container."""

    process: Process
    waits: str = ""
    revision: int = 1
    lives: list[_Life] = field(default_factory=list)

    @property
    def container(self) -> str:
        return self.process.name.split("-")[0]

    @property
    def name(self) -> str:
        return f"ai-agents-{self.container}-{zlib.crc32(f'{self.process.name} {self.revision} {self.waits}'.encode())}"

    @property
    def runs(self) -> bool:
        return not self.waits and not self.lives[-1].ended

    @property
    def status(self) -> str:
        if self.waits or self.runs:
            return self.waits or "Running"
        return "CrashLoopBackOff" if len(self.lives) > 2 else self.lives[-1].ended

    def text(self, *, previous: bool) -> str:
        """Return the container's output. Raises RefusedError if there is none."""
        if self.waits or len(self.lives) < 1 + previous:
            kind = "container" if self.waits else "previous terminated container"
            raise RefusedError(f'Error from server (BadRequest): {kind} "{self.container}" of {self.name} has no log')
        start, end = (self.lives[-2].start, self.lives[-1].start) if previous else (self.lives[-1].start, None)
        return self.process.log_path.read_bytes()[start:end].decode(errors="replace")


class Shell:
    """Types commands on the running `system`; `folder` is its own."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system = system
        self._pods: dict[str, _Pod] = {}
        self._surging: list[_Pod] = []
        # Reasons why a process's pod has no container.
        self.held: dict[str, str] = {}
        answer = self._answer

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(json.dumps(answer(json.loads(self.rfile.readline()))).encode())

        # Not in `folder`: a socket's path has at most 107 characters.
        self._sockets = tempfile.mkdtemp()
        address = f"{self._sockets}/kubectl"
        self._server = socketserver.UnixStreamServer(address, Handler)
        threading.Thread(target=self._server.serve_forever, name="kubectl", daemon=True).start()
        client = folder / "kubectl"
        client.write_text(_CLIENT.format(python=sys.executable, address=address), encoding="utf-8")
        client.chmod(0o755)
        self._environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder)}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self._sockets)

    def run(self, command: str, seconds: float = 30) -> Done:
        done = _run(["bash", "-c", command], env=self._environment, timeout=seconds)
        return Done(done.stdout, done.stderr, done.returncode)

    def look(self, reason: str = "Error") -> None:
        """Record which processes live, died or restarted; `reason` is the cause of death."""
        processes = [self.system.api, *self.system.workers, self.system.housekeeping]
        before, self._pods = self._pods, {}
        for process in processes:
            if process.name in self.held:
                self._pods[process.name] = _Pod(process, self.held[process.name])
            elif process.running or process.died:
                pod = self._pods[process.name] = before.get(process.name) or _Pod(process)
                pod.waits = ""
                if not pod.lives or pod.lives[-1].pid != process.pid:
                    pod.lives.append(_Life(process.log_start, process.pid))
                for life in pod.lives if process.died else pod.lives[:-1]:
                    life.ended = life.ended or reason

    @contextmanager
    def surging(self, process: Process, state: str) -> Iterator[None]:
        """Add a pod to the process's deployment, without a container because of `state`."""
        self._surging.append(_Pod(process, state))
        yield
        self._surging.pop()

    def replace(self, process: Process) -> None:
        """Replace the old pod by a new one; its lines are lost."""
        self.look()
        pod = self._pods[process.name]
        self.system.restart(process)
        pod.revision, pod.lives = pod.revision + 1, []

    def _answer(self, words: list[str]) -> Done:
        try:
            self.look()
            verb, *rest = words or [""]
            if verb not in _FLAGS:
                return Done()
            end = rest.index("--") if "--" in rest else len(rest)
            options = _parsed(verb, rest[:end])
            if verb == "exec":
                return self._exec(options, rest[end + 1 :])
            return Done(self._logs(options) if verb == "logs" else self._get(options))
        except RefusedError as refusal:
            return Done("", f"{refusal}\n", 1)
        except Exception:  # noqa: BLE001 -- the test fails by the printed traceback
            return Done("", traceback.format_exc(), 1)

    def _selected(self, options: argparse.Namespace) -> list[_Pod]:
        """Return the pods of `POD`, `deployment/NAME` or `-l app=NAME`, ready ones first."""
        pods = sorted([*self._pods.values(), *self._surging], key=lambda pod: not self._is_ready(pod))
        kind, _, name = options.names[0].rpartition("/") if options.names else ("deployment", "", options.selector[4:])
        label = {"deployment": "ai-agents-{0.container}", "pod": "{0.name}", "": "{0.name}"}.get(kind, "")
        if found := [pod for pod in pods if label.format(pod) == name]:
            return found
        is_there = name in ("ai-agents-api", "ai-agents-worker", "ai-agents-housekeeping")
        raise RefusedError("error: timed out waiting for the condition" if is_there else f"NotFound: {kind} {name}")

    def _is_ready(self, pod: _Pod) -> bool:
        state: Any = self.system.state
        address = f"{state['api_probe_url']}/health/ready"
        if pod.process is not self.system.api:
            address = state["metrics"].get(pod.process.name, "").replace("/metrics", "/ready")
        if not pod.runs or not address:
            return pod.runs
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _logs(self, options: argparse.Namespace) -> str:
        pods = self._selected(options)
        several = options.all_pods or options.selector
        lines = []
        # kubectl has no fixed order; pods without a log come first here, the worst case for the others.
        for pod in sorted(pods if several else pods[:1], key=lambda pod: not pod.waits):
            try:
                found = _since(pod.text(previous=options.previous).splitlines(), options.since)
            except RefusedError as refusal:
                if not options.ignore_errors:
                    raise
                lines.append(f"error: {str(refusal).partition('): ')[2]}")
                continue
            prefix = f"[pod/{pod.name}/{pod.container}] " if several else ""
            lines += [prefix + line for line in (found[-int(options.tail) :] if options.tail else found)]
        return "".join(f"{line}\n" for line in lines)

    def _exec(self, options: argparse.Namespace, command: list[str]) -> Done:
        pod = self._selected(options)[0]
        if not pod.runs:
            raise RefusedError(f'error: unable to upgrade connection: container not found ("{pod.container}")')
        environment = pod.process.start_environment
        if command[:3] == ["redis-cli", "-h", "redis"]:
            return _redis_cli(self.system.redis.port, environment.get("REDISCLI_AUTH"), command[3:])
        # As in the image: the command's own Python, and psql.
        path = f"{Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}:{find_binaries()}"
        environment = {**environment, "PATH": path}
        if command[0] == "ai-agents" and isinstance(launch := pod.process.launch, LoadedPrograms):
            return Done(*launch.typed(command[1:], environment))
        done = _run(command, env=environment, cwd=ROOT)
        return Done(done.stdout, done.stderr, done.returncode)

    def _get(self, options: argparse.Namespace) -> str:
        if options.names[0] == "secret":
            key = options.output.removeprefix("jsonpath={.data.").removesuffix("}")
            return base64.b64encode(self.system.settings.get(key, "").encode()).decode()
        if options.names[0] not in ("pod", "pods"):
            return ""
        options.names = options.names[1:]
        pods = self._selected(options) if options.names or options.selector else [*self._pods.values(), *self._surging]
        rows = [(pod.name, f"{self._is_ready(pod):d}/1", pod.status, f"{max(0, len(pod.lives) - 1)}") for pod in pods]
        return "".join("   ".join(row) + "\n" for row in [("NAME", "READY", "STATUS", "RESTARTS"), *rows])


def _parsed(verb: str, words: list[str]) -> argparse.Namespace:
    parser = _Parser(prog=f"kubectl {verb}", allow_abbrev=False, add_help=False)
    parser.add_argument("names", nargs="*")
    parser.add_argument("-n", "--namespace", required=True, choices=["ai-agents-production"])
    for flag in _FLAGS[verb].split():
        action = "store" if flag.endswith("=") else "store_true"
        parser.add_argument(*flag.rstrip("=").split("/"), action=action)
    return parser.parse_intermixed_args([word.removesuffix("=true") for word in words])


def _since(lines: list[str], age: str | None) -> list[str]:
    """Return the lines within `age`; a line without a time has the previous line's."""
    if age is None:
        return lines
    seconds = int(age[:-1]) * {"s": 1, "m": 60, "h": 3600}[age[-1]]
    oldest = (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    kept, recent = [], True
    for line in lines:
        if found := _TIME.search(line[:80]):
            recent = found[0] >= oldest
        if recent:
            kept.append(line)
    return kept


def _redis_cli(port: int, password: str | None, question: list[str]) -> Done:
    """Query Redis like redis-cli, which not every machine has. The format is RESP2."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            wire = connection.makefile("rwb")
            refused = _query(wire, ["AUTH", password]) if password else "OK\n"
            return Done(_query(wire, question), "" if refused == "OK\n" else f"AUTH failed: {refused}")
    except OSError:
        return Done("", "Could not connect to Redis at redis:6379: Connection refused\n", 1)


def _query(wire: Any, question: list[str]) -> str:
    wire.write(b"*%d\r\n" % len(question))
    wire.writelines(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in question)
    wire.flush()
    line = wire.readline().decode().rstrip()
    length = int(line[1:]) if line[:1] == "$" else -1
    return f"{wire.read(length + 2).decode().strip() if length >= 0 else line[1:]}\n"


class UnfollowableError(Exception):
    """The document cannot be followed; the text names the place."""


@dataclass
class Section:
    """A heading, the first block below it, and its table of outputs and next anchors."""

    title: str
    level: int
    resolution: str
    command: str = ""
    rows: list[tuple[str, str]] = field(default_factory=list)


class FaqRunner:
    """Follows `text` on a running system."""

    def __init__(self, text: str, shell: Shell, collector: Collector) -> None:
        self.sections = sections(text)
        self.shell = shell
        self._collector = collector

    def follow(self, start: str, values: dict[str, str]) -> list[Section]:
        """Return the sections from the one titled `start` to a cause. Raises UnfollowableError."""
        way = [next(section for section in self.sections.values() if section.title.startswith(start))]
        known = dict(values)
        while way[-1].rows and len(way) < 15:
            seen = self._seen(way[-1].command, known)
            for printed, target in way[-1].rows:
                if (row_values := applies(printed, seen, known)) is not None:
                    known |= row_values
                    way.append(self.sections[target])
                    break
            else:
                raise UnfollowableError(f"no row of {way[-1].title!r} is for {seen}")
        return way

    def _seen(self, command: str, known: dict[str, str]) -> list[str]:
        command = _PLACE.sub(lambda place: known[place[1]], command)
        if command.startswith("service="):  # a search in Jaeger
            spans = self._collector.traces(**dict(word.split("=", 1) for word in command.split()))
            tagged = [(span.name, {**span.tags, **span.events.get("exception", {})}) for span in spans]
            return [" ".join([name, *(f"{key}={value}" for key, value in tags.items())]) for name, tags in tagged]
        done = self.shell.run(command)
        if MISTAKES.search(done.output + done.complaints):
            raise UnfollowableError(f"{command}: {done}")
        return [*done.lines, *done.complaints.splitlines()]


def sections(text: str) -> dict[str, Section]:
    found: dict[str, Section] = {}
    resolution = ""
    for part in re.split(r"^(?=#{1,6} )", text, flags=re.MULTILINE)[1:]:
        marks, title = part.splitlines()[0].split(" ", 1)
        resolution = title if len(marks) <= 3 else resolution
        section = found[anchor(title)] = Section(title, len(marks), resolution)
        before, is_step, table = part.partition(" | Then |\n")
        if is_step:
            section.command = re.findall(r"^```\w*\n(.*?)\n```$", before, re.DOTALL | re.MULTILINE)[-1]
            rows = [line for line in table.split("\n\n")[0].splitlines() if not line.startswith("|---")]
            section.rows = [(row.strip("| ").split(" | ")[0], _target(row)) for row in rows]
    return found


def _target(row: str) -> str:
    """Return the anchor of a row's link, to its own page or the other one."""
    return row.split("](")[1].partition("#")[2].split(")")[0]


def applies(printed: str, seen: list[str], known: dict[str, str]) -> dict[str, str] | None:
    """Return a matching row's values, else None; `<NAME>` is a known value or becomes one."""
    if printed.startswith("anything else"):
        return {}
    if printed.startswith("a number"):
        most = max([int(line) for line in seen if line.isdecimal()], default=-1)
        return {} if most > int(re.sub(r"\D", "", printed) or -1) else None
    texts = [re.escape(text) for text in re.findall("`([^`]+)`", printed)]
    # A longer value with the same beginning is a different one.
    shapes = [_PLACE.sub(lambda at: f"(?P<{at[1]}>{known.get(at[1], _NAME)})(?![\\w-])", text) for text in texts]
    found = [match for shape in shapes for match in map(re.compile(shape).search, seen) if match]
    # Lines of several pods follow pod by pod, so their order is not chronological.
    latest = max(found, key=lambda match: (_TIME.findall(match.string) or [""])[0], default=None)
    return latest and latest.groupdict()
