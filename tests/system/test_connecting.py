"""Connection of a desk from the printed signing kit alone, up to the first note."""

import json
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli.arguments import FORMS
from dev.stack.environment import SimulatedTenant
from dev.stack.system import System
from jobs.payloads import signed_headers
from tests.cli.troubled_door import pasted
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World
from tests.system.by_hand import here

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untouched_logging")]
PREMISES, CLOUD = "acme", "globex"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    tenants = (SimulatedTenant(PREMISES), SimulatedTenant(CLOUD, edition="cloud"))
    folder = tmp_path_factory.mktemp("connecting")
    settings = SHORT | {f"WEBHOOK_TOKEN_{tenant.suffix}": secrets.token_urlsafe(32) for tenant in tenants}
    with System(
        folder, tenants=tenants, settings=settings, openai_seconds=0.2, housekeeping=False, launch=loaded
    ) as running:
        yield running


@pytest.fixture
def world(system: System) -> Iterator[World]:
    """Its desks can send webhooks only in the way that a test gives them."""
    outside = World(system)
    for tenant in (PREMISES, CLOUD):
        outside.configure_desk(tenant, webhook_url=None)
    yield outside
    for tenant in (PREMISES, CLOUD):
        outside.configure_desk(tenant, trigger_command=None, webhook_form=None)
    outside.close()


def printed_kit(system: System, form: str, tenant: str) -> str:
    told = (f"--tenant={tenant}", f"--form={form}", "--url", f"{system.state['api_url']}/webhook", "--show-secret")
    ran = here("signing-kit", *told, **system.api.environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def assert_its_note(world: World, tenant: str, ticket: str = "") -> None:
    ticket = ticket or world.create_ticket(tenant=tenant)
    job = world.ended(ticket, tenant)
    assert (job["state"], job["event"]) == ("completed", "ticket.created"), world.deliveries(ticket, tenant)
    (note,) = world.notes(ticket, tenant)
    assert f"Ref {job['id']}" in note


def test_a_desk_on_premises_runs_the_script(system: System, world: World, tmp_path: Path) -> None:
    text = printed_kit(system, "script", PREMISES)
    name = "ai_agents_webhook.py"
    (tmp_path / name).write_text(pasted(text, name), encoding="utf-8")
    (line,) = [line.strip() for line in text.splitlines() if line.strip() == f"py {name} $COMPLETE_V3_JSON_FILE"]
    known = {"py": sys.executable, name: str(tmp_path / name)}
    world.configure_desk(PREMISES, trigger_command=[known.get(part, part) for part in shlex.split(line)])
    assert_its_note(world, PREMISES)


def test_a_cloud_desk_sends_what_the_function_would(system: System, world: World) -> None:
    function = pasted(printed_kit(system, "deluge", CLOUD), "announce_to_ai_agents")
    values = dict(re.findall(r'^(tenant|address|secret|event) = "(.*)";$', function, re.MULTILINE))
    ticket = world.create_ticket(tenant=CLOUD, send_webhook=False)
    body = json.dumps({"tenant_id": values["tenant"], "ticket_id": ticket, "event": values["event"]}).encode()
    answer = httpx2.post(values["address"], content=body, headers=signed_headers(values["secret"], body, time.time()))
    assert (answer.status_code, "job_id" in answer.json()) == (202, True)
    assert_its_note(world, CLOUD, ticket)


def form_of(text: str) -> dict[str, Any]:
    """Return the lines of the kit that an admin types into the desk's form."""
    typed = re.search(r"Method: +(\S+)\n +URL: +(\S+)\n +Headers: +(.+)\n +(.+)\n +Body: +(.+)\n", text)
    assert typed is not None
    method, url, *headers, body = typed.groups()
    return {"method": method, "url": url, "headers": dict(header.split(": ") for header in headers), "body": body}


@pytest.mark.parametrize("tenant", [PREMISES, CLOUD])
def test_a_desks_own_webhook_brings_its_token(tenant: str, system: System, world: World) -> None:
    world.configure_desk(tenant, webhook_form=form_of(printed_kit(system, "token", tenant)))
    assert_its_note(world, tenant)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("form", FORMS)
def test_the_request_at_a_kits_end_is_verified(form: str, system: System, world: World) -> None:
    (typed,) = re.findall(r"\n\n(\{\n.*?\n\})\n\n\d", printed_kit(system, form, PREMISES), re.DOTALL)
    ran = subprocess.run(["bash", "-ec", typed], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == {"status": "verified", "tenant_id": PREMISES}
    with world.admin() as connection:
        assert connection.execute("SELECT count(*) FROM jobs WHERE event = 'webhook.check'").fetchone() == (0,)
