"""Rules that keep each test readable, movable, runnable alone, and free of the shell's settings."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.kit.parallel import ON_QUICK
from tests.kit.shield import take_out

TESTS = Path(__file__).resolve().parents[1]


@cache
def files() -> dict[Path, ast.Module]:
    """Parse all tests, lazily because each process of a run imports this module."""
    return {path.relative_to(TESTS.parent): ast.parse(path.read_bytes()) for path in TESTS.rglob("*.py")}


def test_there_is_one_conftest() -> None:
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
    wrong = [(path, name) for path, name in imported if re.search(r"\.(conftest|test_\w+)(\.|$)", name)]
    assert wrong == []


def test_modules_that_share_a_system_are_known_to_do_so(request: pytest.FixtureRequest) -> None:
    """Otherwise each process of pytest-xdist that has one starts a system."""
    sharing = {item.path.stem for item in request.session.items if "quick" in getattr(item, "fixturenames", ())}
    assert sharing <= ON_QUICK


KEPT = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost", "PATH": "/bin", "OTEL_SERVICE_NAME": "x"}


TAKEN_OUT = (
    *("OPENAI_BASE_URL", "feedback_port", "LOG_LEVEL", "SECRETS_DIR", "DATABASE_ADMIN_URL", "JAEGER_URL"),
    *("CONSOLE_KEY", "WEBHOOK_SECRET_ACME", "MODE_ACME", "CONSOLE_TOKEN_JO", "CONSOLE_OIDC_ISSUER"),
)


def test_settings_are_taken_out_and_nothing_else() -> None:
    environ = KEPT | dict.fromkeys(TAKEN_OUT, "1")
    take_out(environ)
    assert environ == KEPT
