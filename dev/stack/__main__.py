"""Commands of `python -m dev.stack`."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from cli.pilot.free_ports import is_free
from cli.pilot.postgres_binaries import PostgresMissingError
from cli.pilot.processes import ProcessFailedError
from cli.pilot.programs import ROOT
from cli.pilot.servers import EnvironmentSettingsError
from cli.pilot.state_file import AlreadyRunningError
from cli.pilot.valkey import ValkeyMissingError
from dev.stack import demo
from dev.stack.summary import summarise
from dev.stack.system import System

_PORTS = ("api", "console", "desk", "openai", "postgres", "redis")
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_REFUSALS = (
    AlreadyRunningError,
    PostgresMissingError,
    ProcessFailedError,
    EnvironmentSettingsError,
    ValkeyMissingError,
)
_POLL_SECONDS = 0.2


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
    for name in _PORTS:
        flag = "--port" if name == "api" else f"--{name}-port"
        up.add_argument(flag, dest=name, type=int, metavar="P", help=f"port of {name} (default: a free one)")
    commands.add_parser("demo", help="send a few tickets through the system and show the results, about 15 s")
    return parser


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end(system: System) -> None:
    """Stop everything, which takes seconds, ignoring a second Ctrl-C."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    system.stop()


def _up(options: argparse.Namespace) -> int:
    ports = {name: getattr(options, name) for name in _PORTS if getattr(options, name) is not None}
    used = [f"{port} ({name})" for name, port in ports.items() if not is_free(port)]
    if used:
        sys.stderr.write(f"Port already in use: {', '.join(used)}. Choose another or stop the program that uses it.\n")
        return 1
    chosen = {"workers": options.workers, "openai_seconds": options.openai_seconds, "traces": options.traces}
    system = System(options.folder, ports=ports, external=True, console=True, **chosen)
    began = time.monotonic()
    print("Starting ...", flush=True)
    try:
        system.start()
        print(summarise(system, time.monotonic() - began), flush=True)
        while (dead := system.died()) is None:
            time.sleep(_POLL_SECONDS)
        raise ProcessFailedError(dead, f"exited with status {dead.returncode}; stopping everything else")
    except KeyboardInterrupt:
        print("\nStopping ...", flush=True)
        return 0
    finally:
        _end(system)


def _demo() -> int:
    folder = ROOT / ".devstack" / "demo"
    system = System(folder, openai_seconds=demo.OPENAI_SECONDS, settings=demo.SETTINGS, traces=True)
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
