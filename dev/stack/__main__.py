"""Commands of `python -m dev.stack`."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from cli.pilot.free_ports import free_port, is_free
from cli.pilot.postgres_binaries import PostgresMissingError
from cli.pilot.processes import ProcessFailedError
from cli.pilot.programs import ROOT
from cli.pilot.servers import EnvironmentSettingsError
from cli.pilot.state_file import AlreadyRunningError
from cli.pilot.supervision import supervise
from cli.pilot.valkey import ValkeyMissingError
from dev.stack import demo
from dev.stack.environment import demo_tenants
from dev.stack.summary import summarise
from dev.stack.system import System

# Those of docker-compose.yml, as far as it has them.
_PORTS = {
    "api": 8000,
    "feedback": 8002,
    "console": 8010,
    "desk": 8080,
    "openai": 8081,
    "postgres": 54320,
    "redis": 63790,
}
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_REFUSALS = (
    AlreadyRunningError,
    PostgresMissingError,
    ProcessFailedError,
    EnvironmentSettingsError,
    ValkeyMissingError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    for number in _ENDING:
        signal.signal(number, _interrupt)
    try:
        return _up(options) if options.command == "up" else _demo()
    except _REFUSALS as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.stack", description="Run the whole system on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything and leave it running until Ctrl-C")
    up.add_argument("--workers", type=int, default=1, metavar="N", help="worker processes (default: 1)")
    up.add_argument(
        "--folder",
        type=Path,
        default=ROOT / ".devstack",
        help="folder for data, logs and state.json (default: .devstack)",
    )
    up.add_argument("--traces", action="store_true", help="store spans in FOLDER/traces for `ai-agents trace`")
    up.add_argument(
        "--openai-seconds", type=float, default=1.0, metavar="S", help="seconds of one GPT-4 answer (default: 1)"
    )
    for name, port in _PORTS.items():
        up.add_argument(_option(name), dest=name, type=int, metavar="P", help=f"port of {name} (default: {port})")
    up.add_argument("--free-ports", action="store_true", help="use free ports instead of the defaults")
    commands.add_parser("demo", help="send a few tickets through the system and show the results, about 15 s")
    return parser


def _option(name: str) -> str:
    return "--port" if name == "api" else f"--{name}-port"


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end(system: System) -> None:
    """Stop everything, which takes seconds, ignoring a second Ctrl-C."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    system.stop()


def _up(options: argparse.Namespace) -> int:
    defaults = {} if options.free_ports else _PORTS
    ports = defaults | {name: getattr(options, name) for name in _PORTS if getattr(options, name) is not None}
    chosen = {"workers": options.workers, "openai_seconds": options.openai_seconds, "traces": options.traces}
    system = System(options.folder, tenants=demo_tenants(), ports=ports, external=True, console=True, **chosen)
    if used := [name for name in system.embedded(ports) if not is_free(ports[name])]:
        sys.stderr.writelines(f"Port {ports[name]} ({name}) is in use. {_option(name)} changes it.\n" for name in used)
        sys.stderr.write(f'Example: make dev ARGS="{_option(used[0])} {free_port()}". --free-ports changes all.\n')
        return 1
    began = time.monotonic()
    print("Starting ...", flush=True)
    try:
        system.start()
        print(summarise(system, time.monotonic() - began), flush=True)
        supervise(system.processes, system.login_link, system.write_state)
    except KeyboardInterrupt:
        print("\nStopping ...", flush=True)
        return 0
    finally:
        _end(system)


def _demo() -> int:
    system = demo.demo_system()
    try:
        complete = demo.play(system, Console())
    except KeyboardInterrupt:
        print("\nStopping ...", flush=True)
        return 130
    finally:
        _end(system)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
