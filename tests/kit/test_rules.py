"""Rules that keep each test readable, movable and runnable alone."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.kit.together import ON_QUICK

TESTS = Path(__file__).resolve().parents[1]


@cache
def files() -> dict[Path, ast.Module]:
    """Parse all tests, lazily because each process of a run imports this module."""
    return {path.relative_to(TESTS.parent): ast.parse(path.read_bytes()) for path in TESTS.rglob("*.py")}


def test_there_is_one_conftest() -> None:
    """Other fixtures are named there."""
    assert [path for path in files() if path.name == "conftest.py"] == [Path("tests/conftest.py")]


def test_no_test_imports_from_a_conftest_or_from_a_module_of_tests() -> None:
    """Shared helpers belong to the kit or to a plain module of the room."""
    imported = [
        (path, name)
        for path, module in files().items()
        for node in ast.walk(module)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
        + [f"{getattr(node, 'module', '')}.{one.name}" for one in node.names]
        if name.startswith("tests.") or ".tests." in name
    ]
    assert len(imported) > 500
    wrong = [(path, name) for path, name in imported if any(_is_of_tests(part) for part in name.split(".")[1:])]
    assert wrong == []


def test_modules_that_share_a_system_are_known_to_do_so(request: pytest.FixtureRequest) -> None:
    """Otherwise each process of pytest-xdist that has one starts a system."""
    sharing = {item.path.stem for item in request.session.items if "quick" in getattr(item, "fixturenames", ())}
    assert sharing <= ON_QUICK


def _is_of_tests(part: str) -> bool:
    return part == "conftest" or part.startswith("test_")
