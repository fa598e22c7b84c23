"""No setting of the shell reaches a test or a process that a test starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.shield import take_out

KEPT = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost", "PATH": "/bin", "OTEL_SERVICE_NAME": "x"}


@pytest.mark.parametrize(
    "name",
    [
        *("OPENAI_BASE_URL", "feedback_port", "LOG_LEVEL", "SECRETS_DIR", "DATABASE_ADMIN_URL"),
        *("JAEGER_URL", "CONSOLE_KEY", "WEBHOOK_SECRET_ACME", "MODE_ACME", "CONSOLE_TOKEN_JO", "CONSOLE_OIDC_ISSUER"),
    ],
)
def test_settings_are_taken_out_and_nothing_else(name: str) -> None:
    environ = KEPT | {name: "1"}
    take_out(environ)
    assert environ == KEPT


def test_tests_pass_in_a_shell_that_has_settings(tmp_path: Path) -> None:
    files = ["tests/integrations/test_models.py", "tests/config/test_startup.py"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path}", *files],
        env=os.environ | {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "FEEDBACK_PORT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout
