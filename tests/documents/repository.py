"""What documents for developers may quote of the repository: whole names, whole texts, whole command lines.

Tests are no source: a word that only a test has is nothing that a reader can come across. Nor are comments and
sentences, whose words would let any phrase pass that is made of them.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.documents import defaults
from tests.documents.documents import ROOT
from tests.documents.texts import PRODUCT, texts_of

_PACKAGES = (*PRODUCT, "benchmarks", "devstack", "simulators")
_TOP_FILES = ("Makefile", "Dockerfile", "docker-compose.yml", "pyproject.toml", ".env.example", ".gitignore")
# Alerts are told in sentences.
_SENTENCES = ("alerts.yaml",)


@cache
def names() -> frozenset[str]:
    """The names in the code: of functions, variables, attributes and arguments."""
    found: set[str] = set()
    for tree in _trees():
        for node in ast.walk(tree):
            for field in ("id", "attr", "name", "arg"):
                name = getattr(node, field, None)
                found |= {name} if isinstance(name, str) else set()
    return frozenset(found)


@cache
def texts() -> frozenset[str]:
    """The texts in the code that are no docstrings."""
    return frozenset(text for tree in _trees() for text in texts_of(tree))


@cache
def _trees() -> tuple[ast.AST, ...]:
    paths = [path for folder in _PACKAGES for path in sorted((ROOT / folder).rglob("*.py"))]
    return tuple(ast.parse(path.read_text(encoding="utf-8")) for path in paths)


@cache
def _configuration() -> str:
    """The files that are neither code nor documents, without their comments."""
    kinds = {".yaml", ".yml", ".toml", ".env"}
    paths = [path for path in (ROOT / "k8s").rglob("*") if path.suffix in kinds and path.name not in _SENTENCES]
    paths += [path for path in (ROOT / "observability").rglob("*.yaml") if path.name not in _SENTENCES]
    paths += [ROOT / name for name in _TOP_FILES]
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return re.sub(r"(?m)(?:^|\s)#.*$", "", text)


@cache
def file_names() -> frozenset[str]:
    """The names of its files and folders."""
    return frozenset(path.name for path in _files())


def _files() -> Iterator[Path]:
    for folder in ROOT.iterdir():
        if folder.is_dir() and (not folder.name.startswith(".")) and folder.name != "tests":
            yield from folder.rglob("*")
    yield from (ROOT / name for name in _TOP_FILES)


@cache
def has(text: str) -> bool:
    """Whether the whole text is a name, a text, a file, a command line or something that is set."""
    return (
        text in names()
        or text in texts()
        or text in file_names()
        or (ROOT / text).exists()
        # Which setting has which default is held by the table of settings.
        or text in defaults.texts()
        or _is_module(text)
        or _is_path_of_texts(text)
        or _is_configured(text)
        or _is_command_line(text)
    )


def _is_module(text: str) -> bool:
    path = ROOT / text.replace(".", "/")
    return re.fullmatch(r"\w+(?:\.\w+)+", text) is not None and path.with_suffix(".py").exists()


def _is_path_of_texts(text: str) -> bool:
    """`dist/sbom.json`: where something is written that is not there yet."""
    return "/" in text and all(part in texts() for part in text.split("/"))


def _is_configured(text: str) -> bool:
    """`paused=true`, `unhealthyPodEvictionPolicy: AlwaysAllow`, `/var/lib/grafana/dashboards`: between blanks."""
    before, behind = r"(?:^|(?<=[\s\"'=:,\[(]))", r"(?=[\s\"'=:,\])/]|$)"
    return re.search(f"(?m){before}{re.escape(text)}{behind}", _configuration()) is not None


def _is_command_line(text: str) -> bool:
    """An option with its value, a verb with its options, or `python -m` with a package of ours."""
    words = text.removeprefix("python -m ").split()
    known = all(word in texts() or word in _PACKAGES or word == "--help" or word.isdecimal() for word in words)
    return known and ("--" in text or text.startswith("python -m "))
