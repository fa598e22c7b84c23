"""What each test keeps to, so that it can be read, moved and run alone."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.kit.together import ON_QUICK

TESTS = Path(__file__).resolve().parents[1]


@cache
def files() -> dict[Path, ast.Module]:
    """All of the tests, parsed; not when this module is imported, which each process of a run does."""
    return {path.relative_to(TESTS.parent): ast.parse(path.read_bytes()) for path in TESTS.rglob("*.py")}


def test_there_is_one_conftest() -> None:
    """Whatever else gives fixtures is named there."""
    assert [path for path in files() if path.name == "conftest.py"] == [Path("tests/conftest.py")]


def test_no_test_imports_from_a_conftest_or_from_a_module_of_tests() -> None:
    """What two of them need stands in the kit, or in a plain module of their room."""
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


def test_the_name_of_a_test_is_under_80_characters() -> None:
    """It says the behaviour, and a line of pytest's shows all of it."""
    functions = [
        (path, node.name)
        for path, module in files().items()
        for node in ast.walk(module)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    ]
    assert len(functions) > 900
    assert [(path, name) for path, name in functions if len(name) >= 80] == []


def test_modules_that_share_a_system_are_known_to_do_so(request: pytest.FixtureRequest) -> None:
    """Else each process of pytest-xdist that has one of them starts a system."""
    sharing = {item.path.stem for item in request.session.items if "quick" in getattr(item, "fixturenames", ())}
    assert sharing <= ON_QUICK


def test_no_class_has_the_name_of_another_one_of_the_product() -> None:
    """A name that is met in the product, devstack, simulators or benchmarks means one thing, in tests too."""
    rooms = [room for room in TESTS.parent.iterdir() if (room / "__init__.py").is_file() and room != TESTS]
    product = Counter(name for room in rooms for name in _class_names(room))
    assert len(product) > 200
    assert [name for name, count in product.items() if count > 1] == []
    tests = Counter(_class_names(TESTS))
    assert sorted(product.keys() & tests.keys()) == []
    assert [name for name, count in tests.items() if count > 1] == []


def _class_names(room: Path) -> list[str]:
    sources = (path.read_text(encoding="utf-8") for path in room.rglob("*.py"))
    return [name for source in sources for name in re.findall(r"^ *class (\w+)[(:\[]", source, re.MULTILINE)]


def _is_of_tests(part: str) -> bool:
    return part == "conftest" or part.startswith("test_")
