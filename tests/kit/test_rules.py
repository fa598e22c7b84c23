"""Rules that keep each test readable, movable and runnable alone."""

import re
from pathlib import Path

import pytest

from tests.kit.parallel import ON_QUICK
from tests.kit.shield import take_out

TESTS = Path(__file__).resolve().parents[1]

# Module and names of an import from the tests; in brackets they may be on several lines.
IMPORT = re.compile(r"^ *(?:from|import) (tests\b(?:[^\n(]*\([^)]*\)|[^\n]*))", re.MULTILINE)


def test_there_is_one_conftest() -> None:
    assert [*TESTS.rglob("conftest.py")] == [TESTS / "conftest.py"]


def test_no_test_imports_from_a_conftest_or_a_test_module() -> None:
    imported = [(path, one) for path in TESTS.rglob("*.py") for one in IMPORT.findall(path.read_text("utf-8"))]
    assert len(imported) > 500
    wrong = [(path, one) for path, one in imported if re.search(r"\b(conftest|test_\w+)\b", one)]
    assert wrong == []


def test_modules_that_share_a_system_are_listed(request: pytest.FixtureRequest) -> None:
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
