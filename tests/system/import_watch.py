"""Side effects of importing each module of the product, printed as JSON.

Run it as a program in a fresh process.
"""

import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_stack
from types import FrameType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    *("api", "config", "dispatch", "housekeeping", "integrations", "privacy"),
    *("observability", "storage", "support", "webhooks", "worker", "workflow"),
)
_PROGRAMS = {"storage.migrations.env"}
_STARTS = {"_thread.start_new_thread": "thread", "socket.__new__": "socket", "subprocess.Popen": "process"}
# Modules that may lie between the environment and the reader.
_BETWEEN = ("os.py", "_collections_abc.py", "<frozen os>", "<frozen _collections_abc>", "import_watch.py")
_done: list[str] = []


def main() -> None:
    """Import all modules and print the side effects as JSON."""
    hooks = (sys.excepthook, signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    os.environ.__class__ = _Watched
    sys.addaudithook(_audit)
    modules = [module for name in product_modules() if (module := _import(name)) is not None]
    if hooks != (sys.excepthook, signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)):
        _done.append("hooks: changed")
    if logging.getLogger().handlers:
        _done.append("logging: set up")
    for module in modules:
        _done.extend(f"{module.__name__}: {name} waits to be filled" for name in sorted(_empty(module)))
    print(json.dumps(sorted(set(_done))))  # noqa: T201 -- it is a program


def product_modules() -> list[str]:
    """Return the import name of each module."""
    paths = [path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return sorted(names - _PROGRAMS)


def _import(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except SystemExit as ended:
        _done.append(f"{name}: exits with {ended.code}")
    return None


class _Watched(type(os.environ)):  # type: ignore[misc]  # a class of the standard library without a name
    """The environment, recording reads by the product's code during import."""

    def __getitem__(self, key: str) -> str:
        _note_variable(key)
        return str(super().__getitem__(key))

    def __setitem__(self, key: str, value: str) -> None:
        _note_variable(key)
        super().__setitem__(key, value)

    def __iter__(self) -> Iterator[str]:
        _note_variable("all of it")
        return iter(super().__iter__())


def _note_variable(name: str) -> None:
    for frame, _ in walk_stack(sys._getframe()):
        if not frame.f_code.co_filename.endswith(_BETWEEN):
            if (room := _product(frame)) is not None:
                _done.append(f"{room}: environment, {name}")
            return


def _audit(event: str, _arguments: tuple[Any, ...]) -> None:
    """Record side effects caused by our modules; a library's own do not count."""
    if event not in _STARTS:
        return
    importing = next((frame for frame, _ in walk_stack(sys._getframe()) if frame.f_code.co_name == "<module>"), None)
    if importing is not None and (room := _product(importing)) is not None:
        _done.append(f"{room}: {_STARTS[event]}")


def _product(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(ROOT):
        return None
    inside = path.relative_to(ROOT)
    return inside.as_posix() if inside.parts[0] in ROOMS else None


def _empty(module: ModuleType) -> Iterator[str]:
    """Return the empty containers of a module and its classes: they hold process state."""
    # Classes of pydantic, SQLAlchemy and enum have empty containers of their makers.
    plain = (value for value in vars(module).values() if type(value) is type and not issubclass(value, tuple))
    holders = [vars(module), *(vars(value) for value in plain if value.__module__ == module.__name__)]
    for names in holders:
        for name, value in names.items():
            # Not isinstance: Celery's proxies would load their application's configuration.
            if issubclass(type(value), list | set | dict) and not value and not name.startswith("__"):
                yield name
