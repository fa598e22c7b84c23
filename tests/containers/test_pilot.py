"""compose.pilot.yml, running: a note that is shown and not written, and the commands of the documents."""

import json
import shlex

import httpx2
import pytest

from config.exit_codes import OF_VERDICTS
from dev.stack.desk_client import DeskClient
from dev.stack.environment import SimulatedTenant
from tests.containers.files import COMMANDS, SERVICES
from tests.containers.smoke import KEY, TENANT, TICKET
from tests.containers.stack import Stack, eventually

pytestmark = pytest.mark.containers
PROGRAM = "docker compose -f compose.pilot.yml "
STARTED = {"api", "console", "housekeeping", "migrate", "postgres", "redis", "worker"}


@pytest.fixture(scope="module")
def ticket_id(pilot: Stack) -> str:
    """Return a ticket after its dry run."""
    with DeskClient(pilot.url("desk"), [SimulatedTenant(TENANT, desk_key=KEY)]) as desk:
        ticket_id = desk.create_ticket(TICKET)
        eventually(lambda: "dry run" in pilot.exec("api", "ai-agents", "jobs", "--ticket", ticket_id), 90)
        assert desk.notes(TENANT, ticket_id) == []
    return ticket_id


def test_only_its_own_services_run_and_no_public_password_is_in_them(pilot: Stack) -> None:
    assert set(pilot.compose("ps", "--all", "--services").split()) == STARTED < set(SERVICES)
    for name in ("api", "worker", "housekeeping", "console", "postgres", "redis"):
        values = pilot.exec(name, "env")
        # The simulators in place of a real desk and model have public keys.
        public = [line for line in values.splitlines() if "development-only" in line]
        assert [line for line in public if not line.startswith(("SERVICEDESK_API_KEY_DESK=", "OPENAI_API_KEY="))] == []
        assert "ACME" not in values


def test_a_note_is_shown_and_not_written(pilot: Stack, ticket_id: str) -> None:
    (job,) = json.loads(pilot.exec("worker", "ai-agents", "jobs", "--ticket", ticket_id, "--json"))
    assert "Likely cause" in pilot.exec("worker", "ai-agents", "show", job["job_id"])


def test_diagnose_prints_commands_of_the_pilot(pilot: Stack, ticket_id: str) -> None:
    words = ("ai-agents", "diagnose", "--ticket", ticket_id, "--json")
    said = json.loads(pilot.exec("worker", *words, check=False))
    assert (said["verdict"], said["exit_status"]) == ("dry_run", OF_VERDICTS["dry_run"])
    assert said["log_command"].startswith(f"{PROGRAM}logs --no-log-prefix --since 24h worker | grep ")


def test_the_login_link_opens_the_console(pilot: Stack, ticket_id: str) -> None:
    link = pilot.exec("console", "ai-agents", "console", "--link", "pilot").splitlines()[-1]
    assert link.startswith(pilot.url("console"))
    with httpx2.Client(follow_redirects=True) as browser:
        assert browser.get(link).status_code == 200
        page = browser.get(f"{pilot.url('console')}/tickets/desk/{ticket_id}")
    assert 'data-verdict="dry_run"' in page.text
    assert f"{PROGRAM}logs " in page.text


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith(f"{PROGRAM}exec ")])
def test_the_documents_commands_work(line: str, pilot: Stack, ticket_id: str) -> None:
    service, *words = shlex.split(line.removeprefix(f"{PROGRAM}exec ").replace("124", ticket_id))
    printed = pilot.exec(service, *words, check=False)
    assert printed
    assert "usage:" not in printed
    assert "failed" not in printed
