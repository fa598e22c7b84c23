"""Processes that have only their own secrets, as pods do."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.pilot.processes import Process
from dev.stack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT, other_settings
from tests.kit.world import World, wait_for
from tests.system.by_hand import here
from tests.system.outcomes import figures

pytestmark = pytest.mark.usefixtures("untouched_logging")
NOT_NEEDED = "Secrets that this process does not need: "


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    """Start a system as in a cluster: the API has the webhook secrets alone, others the desks' and models' keys."""
    apart = System(tmp_path_factory.mktemp("apart"), settings=SHORT, openai_seconds=0.5, console=True, launch=loaded)
    # A process without the key does not get its address either.
    apart.configure({"globex.openai.base_url": apart.settings["OPENAI_BASE_URL"]})
    (worker,) = apart.workers
    worker.environment["OPENAI_API_KEY_GLOBEX"] = worker.environment["OPENAI_API_KEY"]
    for process, names in (
        (worker, "WEBHOOK_SECRET"),
        (apart.housekeeping, "WEBHOOK_SECRET|OPENAI_API_KEY|FEEDBACK_KEY"),
        (apart.console, "WEBHOOK_SECRET|SERVICEDESK_API_KEY|OPENAI_API_KEY|FEEDBACK_KEY"),
    ):
        for name in [name for name in process.environment if re.match(names, name)]:
            del process.environment[name]
    with apart:
        yield apart


@pytest.mark.parametrize("tenant", ["acme", "globex"])
def test_a_ticket_gets_its_note_and_no_process_closes_its_tenant(system: System, world: World, tenant: str) -> None:
    ticket = world.create_ticket(tenant=tenant)
    assert world.ended(ticket, tenant)["state"] == "completed"
    wait_for(lambda: f"Sync completed: tenant_id={tenant}" in system.housekeeping.output())
    for process in (system.api, *system.workers, system.housekeeping, system.console):
        assert "Tenant settings unusable" not in process.output(), process.name
    assert NOT_NEEDED not in system.api.output()


def test_an_api_with_foreign_keys_logs_a_warning_at_its_start(system: System, tmp_path: Path) -> None:
    (tmp_path / "CONSOLE_TOKEN_ANNA").write_text("hers-0123456789abcdef", encoding="utf-8")
    (tmp_path / "OPENAI_API_KEY").write_text("", encoding="utf-8")
    given = {"SECRETS_DIR": str(tmp_path), "SERVICEDESK_API_KEY_ACME": "k-0f-acme", "EMBEDDINGS_API_KEY": "sk-em"}
    given |= {"SERVICEDESK_API_KEY_ERRORS": "x"}
    with other_settings(system, system.api, given):
        (told,) = [line for line in system.api.output().splitlines() if NOT_NEEDED in line]
        assert f"{NOT_NEEDED}CONSOLE_TOKEN_ANNA, EMBEDDINGS_API_KEY, SERVICEDESK_API_KEY_ACME. " in told
        assert ("warning" in told.lower(), "error" in told.lower()) == (True, False)
        assert not any(value in system.api.output() for value in ("hers-0123456789abcdef", "k-0f-acme", "sk-em"))


def test_the_age_of_each_secret_is_told_by_a_process_that_has_it(system: System) -> None:
    shape = re.compile(r'\w+secret_age_seconds\{setting="(\w+)",tenant_id="globex"\}')

    def told(process: str) -> set[str]:
        return {found[1] for name in figures(system, process) if (found := shape.fullmatch(name))}

    wait_for(lambda: told("api") == {"WEBHOOK_SECRET"})
    wait_for(lambda: told("worker") == {"OPENAI_API_KEY"})
    wait_for(lambda: told("housekeeping") >= {"SERVICEDESK_API_KEY"})


def test_the_status_of_secrets_has_those_of_other_processes_too(system: System) -> None:
    def told() -> set[str]:
        answer = here("secrets", "status", "--tenant", "globex", "--json", **system.api.environment)
        assert answer.returncode == 0, answer.stderr
        return {row["setting"] for row in json.loads(answer.stdout)}

    wait_for(lambda: told() == {"WEBHOOK_SECRET", "OPENAI_API_KEY", "SERVICEDESK_API_KEY"})


def checked(system: System, process: Process) -> dict[str, dict[str, str]]:
    url = system.state["api_url"] + "/webhook"
    answer = here("check", "--json", "--tenant", "acme", "--url", url, **process.environment)
    assert answer.returncode == 0, answer.stdout
    return {row["name"]: row for row in json.loads(answer.stdout)}


def test_a_check_fails_in_nothing_that_the_process_beside_it_can_not_see(system: System) -> None:
    rows = checked(system, system.api)
    assert rows["webhook secret"]["state"] == "ok"
    for name in ("settings", "desk credentials", "model key", "feedback page"):
        assert rows[name]["state"] == "not checked", rows[name]
    assert "run this where a worker runs" in rows["settings"]["seen"]
    rows = checked(system, system.workers[0])
    assert (rows["desk credentials"]["state"], rows["model key"]["state"]) == ("ok", "ok")
    assert rows["webhook secret"]["state"] == "not checked"


def test_a_diagnosis_beside_the_api_blames_no_desk(system: System, world: World) -> None:
    ticket = world.create_ticket()
    world.ended(ticket)
    answer = here("diagnose", "--ticket", ticket, "--tenant", "acme", "--json", **system.api.environment)
    document = json.loads(answer.stdout)
    assert document["verdict"] == "delivered", document
    assert "no key of the tenant's desk" in answer.stdout
