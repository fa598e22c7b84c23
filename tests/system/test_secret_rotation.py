"""Rotation of a webhook secret on a running system, consistent in all outputs."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from config.tenants import TENANT_SETTINGS
from dev.stack.system import System
from jobs.repository import SIGNED_BY_PREVIOUS
from privacy.secret_fingerprints import OF_PROCESS
from tests.kit.loaded import LoadedPrograms
from tests.kit.signing import timed
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import Answer, here
from tests.system.diagnosing import diagnose
from tests.system.outcomes import figures

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untouched_logging")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(scope="module")
def system(folder: Path, tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    settings = SHORT | {"SECRETS_DIR": str(folder)}
    folders = tmp_path_factory.mktemp("system")
    running = System(folders, settings=settings, openai_seconds=0.3, launch=loaded, console=True)
    for process in (running.api, running.housekeeping, *running.workers):
        for name in [name for name in process.environment if name.startswith(tuple(TENANT_SETTINGS))]:
            (folder / name).write_text(process.environment.pop(name), encoding="utf-8")
    with running:
        yield running


@dataclass
class Operator:
    system: System
    world: World
    folder: Path
    out: Path

    @property
    def settings(self) -> dict[str, str]:
        return {"DATABASE_URL": self.system.state["database_url"], "SECRETS_DIR": str(self.folder)}

    def rotate(self, *words: str) -> Answer:
        return here("secrets", "rotate", "--tenant", "acme", "--yes", *words, **self.settings)

    def status(self) -> dict[str, dict[str, Any]]:
        """Return `secrets status` of acme's webhook secrets, by setting."""
        answer = here("secrets", "status", "--tenant", "acme", "--json", **self.settings)
        assert answer.returncode == 0, answer.stderr
        return {row["setting"]: row for row in json.loads(answer.stdout) if "WEBHOOK" in row["setting"]}

    def secret(self, setting: str = "WEBHOOK_SECRET") -> str:
        return (self.folder / f"{setting}_ACME").read_text(encoding="utf-8")

    def post(self, ticket_id: str, secret: str) -> httpx2.Response:
        return self.world.post_webhook(ticket_id, secret=secret)

    def measured(self, metric: str, process: str, tenant_id: str = "acme") -> dict[str, float]:
        """Return a tenant's figures by their other label."""
        shape = re.compile(rf'{metric}\{{\w+="(\w+)",tenant_id="{re.escape(tenant_id)}"\}}')
        values = figures(self.system, process).items()
        return {found[1]: value for name, value in values if (found := shape.fullmatch(name))}

    def proved(self) -> dict[str, float]:
        return self.measured("ai_agents_webhooks_proved_total", "api")

    def ages(self, tenant_id: str = "acme") -> dict[str, float]:
        return self.measured("ai_agents_secret_age_seconds", "housekeeping", tenant_id)


@pytest.fixture
def operator(system: System, world: World, folder: Path, tmp_path: Path) -> Operator:
    return Operator(system, world, folder, tmp_path / "new")


def test_a_rotation_is_told_the_same_everywhere(operator: Operator, system: System, world: World) -> None:
    old = operator.secret()
    before = world.create_ticket()
    assert world.ended(before)["state"] == "completed"
    begun = operator.rotate("--out", str(operator.out))
    assert begun.returncode == 0, begun.stderr
    new = operator.out.read_text(encoding="utf-8").strip()
    wait_for(lambda: operator.post("999001", new).status_code == 202)
    late = world.create_ticket(send_webhook=False)
    assert operator.post(late, old).status_code == 202
    assert SIGNED_BY_PREVIOUS in diagnose(system, late).because
    assert SIGNED_BY_PREVIOUS not in diagnose(system, before).because
    job = str(world.ended(late)["id"])
    shown = here("show", job, "--events", DATABASE_URL=system.state["database_url"]).stdout
    assert shown.count(SIGNED_BY_PREVIOUS) == 2
    assert operator.proved() == {"current": 2.0, "previous": 1.0}
    # The old one has signed the first webhook too, when it was the current one.
    uses = {"PREVIOUS_WEBHOOK_SECRET": 2, "WEBHOOK_SECRET": 1}
    wait_for(lambda: uses.items() <= {name: row["uses"] for name, row in operator.status().items()}.items())
    told = operator.status()
    assert told["PREVIOUS_WEBHOOK_SECRET"]["to_do"].startswith("the desk still uses it: ")
    assert not any(value in json.dumps(told) for value in (old, new, old[:8], new[:8]))
    wait_for(lambda: "PREVIOUS_WEBHOOK_SECRET" in operator.ages())
    assert operator.ages()["PREVIOUS_WEBHOOK_SECRET"] > operator.ages()["WEBHOOK_SECRET"]
    assert operator.rotate("--finish").returncode == 1
    assert operator.rotate("--finish", "--force").returncode == 0
    wait_for(lambda: operator.post("999002", old).status_code == 403)
    late = world.create_ticket(send_webhook=False)

    def refused() -> bool:
        assert operator.post(late, old).status_code == 403
        return "signed with the retired secret" in diagnose(system, late).because

    wait_for(refused)
    assert operator.proved()["retired"] >= 1
    wait_for(lambda: "still uses it and is refused" in operator.status()["RETIRED_WEBHOOK_SECRET"]["to_do"])
    wait_for(lambda: operator.ages().keys() >= {"WEBHOOK_SECRET"} and "PREVIOUS_WEBHOOK_SECRET" not in operator.ages())
    assert "RETIRED_WEBHOOK_SECRET" not in operator.ages()
    log = system.api.log_path.read_text(encoding="utf-8")
    assert not any(operator.secret(name) in log for name in ("WEBHOOK_SECRET", "RETIRED_WEBHOOK_SECRET"))


def test_a_secret_of_other_processes_has_its_age_too(operator: Operator) -> None:
    of_the_console = {"CONSOLE_KEY", "CONSOLE_TOKEN_DEVELOPER"}
    everybodys = {"FEEDBACK_KEY", "OPENAI_API_KEY", "DATABASE_URL"}
    wait_for(lambda: operator.ages(OF_PROCESS).keys() >= of_the_console | everybodys, 40)
    assert all(0 <= age < 600 for age in operator.ages(OF_PROCESS).values())


def test_a_wrong_tenant_name_is_found_by_its_signature(operator: Operator, system: System, world: World) -> None:
    """The desk sends `ACME_Corp` with acme's signature: support looks under acme."""
    ticket = world.create_ticket(send_webhook=False)
    body = json.dumps({"tenant_id": "ACME_Corp", "ticket_id": ticket}).encode()
    headers = timed(operator.secret(), body)

    def diagnosed() -> bool:
        answer = httpx2.post(f"{system.state['api_url']}/webhook", content=body, headers=headers, timeout=30)
        assert answer.status_code == 403
        return "unknown tenant: signed with this tenant's secret" in diagnose(system, ticket).said["says"]

    wait_for(diagnosed)
    document = diagnose(system, ticket).said
    assert document["verdict"] == "webhook_rejected"
    assert document["do"][0] == "ask the client to send the tenant id exactly as `acme` in the webhook"


def test_a_leaked_secret_ends_and_the_new_one_is_shown_once(operator: Operator) -> None:
    leaked = operator.secret()
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "cli.main", "secrets", "rotate", "--tenant", "acme", "--leaked"]
    with subprocess.Popen(
        words,
        env={"PATH": os.environ["PATH"], **operator.settings},
        cwd=Path(__file__).parents[2],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        os.write(ours, b"y\n")
        assert process.wait(60) == 0
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert shown.count(operator.secret()) == 1
    wait_for(lambda: operator.post("999003", leaked).status_code == 403)
    assert operator.post("999004", operator.secret()).status_code == 202
    assert operator.secret("RETIRED_WEBHOOK_SECRET") == leaked
