"""Refusals by a model or a desk: reason in line, row and verdict, and the setting."""

from collections.abc import Iterator

import pytest

from devstack.surroundings import SimulatedTenant
from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.diagnosing import Diagnosed, diagnose
from tests.system.stories import lines_of


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    """Start a system of desks of both editions.

    One tenant has a model of its own, with a hold of its own.
    """
    folder = tmp_path_factory.mktemp("refusals")
    tenants = ("acme", "globex", "initech", SimulatedTenant("cloud", edition="cloud"))
    settings = SHORT | {"globex.openai.model": "gpt-6-sol"}
    with System(
        folder, tenants=tenants, settings=settings, openai_seconds=0.1, housekeeping=False, launch=loaded
    ) as running:
        yield running


def told_of(system: System, world: World, ticket_id: str, tenant: str, reason: str) -> tuple[list[str], Diagnosed]:
    """Return the worker's lines once the row has that reason, and the verdict."""
    world.send_webhook(ticket_id, tenant)
    wait_for(lambda: world.job(ticket_id, tenant).get("reason") == reason)
    lines = lines_of(system.workers[0], str(world.job(ticket_id, tenant)["id"]))
    return lines, diagnose(system, ticket_id, tenant)


@pytest.mark.parametrize(
    ("named", "setting"),
    [
        (("unsupported_value", "temperature"), "OPENAI_MODEL or OPENAI_BASE_URL"),
        (("unsupported_value", "model"), "OPENAI_MODEL to a model that does chat completions"),
        (("context_length_exceeded", "messages"), "OPENAI_MODEL to a model that takes longer questions"),
        (("", ""), "`ai-agents check --tenant acme`"),
    ],
)
def test_a_400_of_the_model_names_its_part_and_the_setting(
    named: tuple[str, str], setting: str, system: System, world: World
) -> None:
    code, param = named
    told = f" (code {code}, param {param})" if code else ""
    subject = f"Refused for {code or 'nothing'} in {param or 'nothing'}"
    world.openai_fault(match=subject, kind="status", code=400, word=code or "odd-word", param=param or "odd-part")
    ticket_id = world.create_ticket(subject, send_webhook=False)
    lines, verdict = told_of(system, world, ticket_id, "acme", f"OpenAI API: 400 Bad Request{told}")
    assert [line for line in lines if f"OpenAI API error: 400 Bad Request{told}" in line]
    assert "odd-" not in str(lines) + str(verdict.said)
    assert verdict.said["verdict"] == "model_failing"
    assert told.strip() in verdict.said["says"]
    assert setting in verdict.said["do"][0]
    assert "Engineering" not in str(verdict.said["do"])


@pytest.mark.parametrize(
    ("status", "code", "tenant", "reason", "verdict", "says", "do"),
    [
        (
            *(429, "rate_limit_exceeded", "acme", "OpenAI API: 429 Rate Limit (code rate_limit_exceeded)"),
            *("model_failing", "throttles us for the rate of questions", "raise the account's rate limit"),
        ),
        (429, "odd-word", "acme", "OpenAI API: 429 Rate Limit", "model_failing", "or for credit", "credit"),
        (
            *(400, "content_filter", "acme", "OpenAI API: 400 Bad Request (code content_filter)", "model_failing"),
            *("content filter of the model's service refuses the question: 400 (code", "filter of the deployment"),
        ),
        (429, "insufficient_quota", "globex", "model out of credit", "model_held", "no credit", "credit"),
    ],
)
def test_rate_credit_and_filter_are_told_apart(
    *,
    status: int,
    code: str,
    tenant: str,
    reason: str,
    verdict: str,
    says: str,
    do: str,
    system: System,
    world: World,
) -> None:
    subject = f"Refused with {code} as {status}"
    world.openai_fault(match=subject, kind="status", code=status, word=code)
    ticket_id = world.create_ticket(subject, tenant, send_webhook=False)
    lines, told = told_of(system, world, ticket_id, tenant, reason)
    # With a code after it the line would differ from the FAQ's.
    named = f"{status} Rate Limit " if code in ("odd-word", "rate_limit_exceeded") else f"(code {code})"
    assert [line for line in lines if "OpenAI API error: " in line and named in line and "Limit (code r" not in line]
    assert "odd-" not in str(lines) + str(told.said)
    assert (told.said["verdict"], says in told.said["says"]) == (verdict, True), told.said
    assert do in told.said["do"][0]


@pytest.mark.parametrize(
    ("tenant", "code", "reason", "setting"),
    [
        ("acme", 403, "ServiceDesk Plus API: 403", "SERVICEDESK_API_KEY_ACME"),
        ("initech", 401, "desk credentials refused", "SERVICEDESK_API_KEY_INITECH on premises"),
        ("cloud", 401, "desk credentials refused", "SERVICEDESK_REFRESH_TOKEN_CLOUD"),
    ],
)
def test_a_desk_that_refuses_us_names_the_setting_of_its_key(
    tenant: str, code: int, reason: str, setting: str, system: System, world: World
) -> None:
    ticket_id = world.create_ticket(f"Refused with {code}", tenant, send_webhook=False)
    world.desk_fault(tenant=tenant, ticket_id=ticket_id, operation="read_ticket", kind="status", code=code)
    _, verdict = told_of(system, world, ticket_id, tenant, reason)
    assert (verdict.said["verdict"], setting in verdict.said["do"][0]) == ("desk_failing", True), verdict.said
