"""Secrets as mounted files: readable by the image's user, changed at run time.

tests/system/test_secrets.py tests partial writes; this file tests the mount.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from devstack.free_ports import free_port
from simulators.servicedesk.webhooks import sign
from tests.containers.engine import LABEL
from tests.containers.stack import Stack, eventually

pytestmark = pytest.mark.containers
NAME = "WEBHOOK_SECRET_FILED"
OLD, NEW = "old-secret-of-filed-0123456789", "new-secret-of-filed-9876543210"
DATABASE = "postgresql://ai_agents:development-only@postgres:5432/ai_agents"
REDIS = "redis://:development-only@redis:6379/0"
_TICKETS = itertools.count(900_000)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Write the file into a folder for the mount; as readable as a Kubernetes secret."""
    tmp_path.chmod(0o755)
    file = tmp_path / NAME
    file.write_text(OLD, encoding="utf-8")
    file.chmod(0o444)
    return file


@pytest.fixture
def door(stack: Stack, secret: Path) -> Iterator[str]:
    """Start an API of the image with its tenant in that folder; return its address."""
    port = free_port()
    settings = {"DATABASE_URL": DATABASE, "REDIS_URL": REDIS, "SECRETS_DIR": "/secrets"}
    given = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
    given += ["--network", stack.network, "--publish", f"127.0.0.1:{port}:8000"]
    given += ["--volume", f"{secret.parent}:/secrets:ro", "--read-only", "--label", LABEL]
    command = ("ai-agents:local", "api", "--host", "0.0.0.0")  # noqa: S104 -- in its container
    container = stack.engine.output("run", "--detach", *given, *command)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: answers(url))
        yield url
    finally:
        stack.engine.run("rm", "--force", container)


def answers(url: str) -> bool:
    """Return True if the API accepts connections, which it does once it is ready."""
    try:
        return httpx2.get(f"{url}/health", timeout=2).status_code == 200
    except httpx2.TransportError:
        return False


def opens(url: str, key: str) -> bool:
    """Return True if a webhook signed with `key` is accepted; otherwise it is a 403."""
    body = json.dumps({"tenant_id": "filed", "ticket_id": str(next(_TICKETS))}).encode()
    headers = sign(key, f"test-{next(_TICKETS)}", body)
    status = httpx2.post(f"{url}/webhook", content=body, headers=headers, timeout=10).status_code
    assert status in (202, 403), status
    return status == 202


def test_a_rotation_in_a_mounted_folder_needs_no_restart(door: str, secret: Path) -> None:
    """While the file is half written the old secret stays valid."""
    assert opens(door, OLD)
    secret.chmod(0o644)
    half = NEW[:12]
    secret.write_text("", encoding="utf-8")
    began = time.monotonic()
    while time.monotonic() - began < 8:
        time.sleep(0.5)
        # A writer that is not finished.
        secret.write_text(half[: 1 + int(time.monotonic() - began)], encoding="utf-8")
        assert opens(door, OLD)
        assert not opens(door, half)
    secret.write_text(NEW, encoding="utf-8")
    eventually(lambda: opens(door, NEW), 12)
    assert not opens(door, OLD)


def test_a_secret_that_the_images_user_may_not_read_is_named(
    secret: Path, once: Callable[..., tuple[int, str]]
) -> None:
    """Mode 0400 of another user, a frequent mistake."""
    secret.chmod(0o400)
    mount = ("--volume", f"{secret.parent}:/secrets:ro")
    status, output = once("api", options=mount, DATABASE_URL=DATABASE, REDIS_URL=REDIS, SECRETS_DIR="/secrets")
    assert status == 78
    (line,) = output.splitlines()
    assert f"Start refused: {NAME}: its file can't be read as text" in line
