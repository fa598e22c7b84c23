"""Tenant changes at run time, and settings that are unusable or withdrawn."""

import threading
from dataclasses import replace

import pytest

from config.tenant_directory import TenantDirectory
from config.tenant_validation import TenantProblem, parse_tenants
from config.tenants import Tenant
from tests.config.given import ACME, CLOUD, Process, asked
from tests.kit.clock import Clock
from tests.kit.tenants_toml import filed

TOKEN = "t" * 32
ROTATED = ACME | {"WEBHOOK_SECRET_ACME": "leaked", "PREVIOUS_WEBHOOK_SECRET_ACME": "s3cret"}


def test_tenants_and_secrets_come_and_go_within_some_seconds() -> None:
    process = Process(ACME)
    assert process.tenants.get("globex") is None
    process.change(WEBHOOK_SECRET_GLOBEX="new", WEBHOOK_SECRET_ACME="n3w", PREVIOUS_WEBHOOK_SECRET_ACME="s3cret")
    assert process.tenant().webhook_secrets == ("n3w", "s3cret")
    assert process.tenants.all() == [process.tenant(), process.tenant("globex")]
    process.change("WEBHOOK_SECRET_GLOBEX")
    assert process.tenants.all() == [process.tenant()]


def test_an_unusable_change_keeps_the_tenant_as_it_was_and_says_why() -> None:
    process = Process(ACME)
    before = process.tenant()
    process.change(SERVICEDESK_URL_ACME="not an address", WEBHOOK_SECRET_GLOBEX="new", WEBHOOK_SECRET_ACME="n3w")
    # The rotation counts: no webhook is lost, and an overwritten secret opens nothing.
    assert process.tenant() == replace(before, webhook_secrets=("n3w",), usable=False)
    assert [problem.tenant_id for problem in process.tenants.problems] == ["acme"]
    assert process.tenants.get("globex") is not None
    process.change(**ACME)
    assert process.tenant() == before
    assert process.tenants.problems == []


def test_a_removed_current_secret_is_refused_while_the_previous_one_stays() -> None:
    """Half a rotation is unusable, and the leaked secret must end nevertheless."""
    process = Process(ROTATED)
    before = process.tenant()
    process.change("WEBHOOK_SECRET_ACME")
    left = replace(before, webhook_secrets=("s3cret",), usable=False, lacks_current_secret=True)
    assert process.tenant() == left
    assert [problem.closed for problem in process.told] == [False]
    process.change("PREVIOUS_WEBHOOK_SECRET_ACME")
    assert process.tenant() == replace(before, webhook_secrets=(), usable=True)


@pytest.mark.parametrize("gone", ["WEBHOOK_SECRET_ACME", "PREVIOUS_WEBHOOK_SECRET_ACME"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICEDESK_URL_ACME", "not an address"),
        ("SERVICEDESK_EDITION_ACME", "other"),
        ("tenants.toml", "acme.mode = 'perhaps'"),
        ("AUDIT_DAYS_ACME", "30"),
    ],
)
def test_a_secret_that_is_gone_is_refused_whatever_else_is_wrong(gone: str, name: str, value: str) -> None:
    process = Process(ROTATED)
    before = process.tenant()
    process.change(gone, **{name: value})
    kept = tuple(secret for secret in before.webhook_secrets if secret != ROTATED[gone])
    lacks = gone == "WEBHOOK_SECRET_ACME"
    assert process.tenant() == replace(before, webhook_secrets=kept, usable=False, lacks_current_secret=lacks)


def test_a_secret_that_moves_to_the_other_name_lives_on() -> None:
    process = Process(ACME)
    process.change("WEBHOOK_SECRET_ACME", PREVIOUS_WEBHOOK_SECRET_ACME="s3cret")
    assert process.tenant().webhook_secrets == ("s3cret",)
    # One that was never in force does not begin as the previous one.
    process.change(PREVIOUS_WEBHOOK_SECRET_ACME="another")
    assert process.tenant().webhook_secrets == ()


@pytest.mark.parametrize("another", [{}, {"another": "one"}])
@pytest.mark.parametrize(
    ("settings", "gone"),
    [
        (ACME, "SERVICEDESK_API_KEY_ACME"),
        (CLOUD, "SERVICEDESK_CLIENT_SECRET_GLOBEX"),
        (CLOUD, "SERVICEDESK_REFRESH_TOKEN_GLOBEX"),
    ],
)
def test_a_desk_without_credential_is_not_called(settings: dict[str, str], gone: str, another: dict[str, str]) -> None:
    """Nor does another credential go to the old address."""
    tenant = gone.rpartition("_")[2]
    process = Process(settings | {f"WEBHOOK_SECRET_{tenant}": "s3cret"})
    (before,) = process.tenants.all()
    assert before.desk is not None
    process.change(gone, **{f"SERVICEDESK_URL_{tenant}": "nowhere"}, **dict.fromkeys([gone] * len(another), "another"))
    assert process.tenants.all() == [replace(before, desk=None, usable=False)]
    process.change(**settings)
    assert process.tenants.all() == [before]


def test_a_tenant_that_was_never_usable_is_closed_until_it_is() -> None:
    process = Process(CLOUD | {"SERVICEDESK_URL_ACME": "nowhere", "WEBHOOK_SECRET_ACME": "s3cret"})
    assert process.tenant() == Tenant("acme", usable=False)
    assert process.tenant("globex").usable
    process.change(WEBHOOK_SECRET_INITECH="s3cret", SERVICEDESK_URL_INITECH="nowhere")
    closed = [Tenant(tenant_id, usable=False) for tenant_id in ("acme", "initech")]
    assert [process.tenant(tenant.id) for tenant in closed] == closed
    problems = (*process.tenants.problems, *process.told)
    assert {(problem.tenant_id, problem.closed) for problem in problems} == {("acme", True), ("initech", True)}
    assert process.tenants.unusable() == {"acme": True, "globex": False, "initech": True}
    process.change(**ACME)
    assert process.tenant().usable
    assert process.tenant().webhook_secrets == ("s3cret",)


def test_an_id_that_can_be_none_is_a_problem_and_no_tenant() -> None:
    odd = {"WEBHOOK_SECRET_TERRORS": "s", "WEBHOOK_SECRET_A.B": "s", "PREVIOUS_WEBHOOK_SECRET_A\nB": "s"}
    tenants = Process(ACME | odd).tenants
    assert [tenant.id for tenant in tenants.all()] == ["acme"]
    assert [problem.closed for problem in tenants.problems] == [True] * 3
    assert [problem.sentence for problem in tenants.problems if "is missing" in problem.sentence] == []
    assert tenants.unusable() == {"acme": False, "": True}


def test_what_a_process_needs_decides_whether_a_tenant_is_closed_there() -> None:
    process = Process(ACME, needs=lambda tenant: tenant.desk is not None)
    process.change("SERVICEDESK_API_KEY_ACME")
    assert process.tenant().webhook_secrets == ("s3cret",)
    assert process.told == [TenantProblem("acme", "SERVICEDESK_API_KEY_ACME is missing", closed=True)]


def test_a_thread_does_not_wait_for_another_threads_reading() -> None:
    """A slow share must not block the metrics. Nor is the environment read for each webhook."""
    slow, goes_on = threading.Event(), threading.Event()
    readings: list[int] = []

    def read() -> dict[str, str]:
        readings.append(1)
        if slow.is_set():
            assert goes_on.wait(10)
        return ACME

    clock = Clock()
    tenants = TenantDirectory(read, monotonic=clock)
    for _ in range(100):
        tenants.get("acme")
    assert len(readings) == 1
    slow.set()
    clock.now += 6
    thread = threading.Thread(target=tenants.all)
    thread.start()
    assert asked(tenants).webhook_secrets == ("s3cret",)
    goes_on.set()
    thread.join(10)
    assert len(readings) == 2


def test_settings_that_became_unusable_are_told_once() -> None:
    process = Process(ACME)
    for _ in range(3):
        process.change(SERVICEDESK_EDITION_ACME="other")
        process.tenants.all()
    assert process.told == [TenantProblem("acme", "SERVICEDESK_EDITION_ACME must be onpremises or cloud")]
    process.change("SERVICEDESK_EDITION_ACME")
    process.tenants.all()
    process.change(SERVICEDESK_EDITION_ACME="other")
    process.tenants.all()
    assert len(process.told) == 2


@pytest.mark.parametrize("changed", ["SERVICEDESK_URL_ACME", "WEBHOOK_SECRET_GLOBEX", "OPENAI_API_KEY"])
def test_who_made_something_of_all_tenants_can_see_that_it_still_holds(changed: str) -> None:
    process = Process(ACME | {"OPENAI_API_KEY": "sk-1"})
    before = process.tenants.all()
    process.change()
    assert process.tenants.all() is before
    process.change(**{changed: "https://other.example"})
    assert process.tenants.all() is not before


OWN = filed(
    ACME | {"WEBHOOK_TOKEN_ACME": TOKEN, "OPENAI_API_KEY_ACME": "k"},
    {"acme.openai.base_url": "https://model", "acme.tickets.never.group": ["HR"]},
)


@pytest.mark.parametrize(
    "wrong", [{"acme.openai.base_url": "nowhere"}, {"acme.tickets.never.group": "HR"}, {"acme.mode": "wet"}], ids=str
)
def test_the_table_stays_while_it_is_unusable_but_for_secrets_gone(wrong: dict[str, str]) -> None:
    process = Process(OWN)
    before = process.tenant()
    process.change_file(wrong | {"acme.jobs.weight": 3})
    assert process.tenant() == replace(before, usable=False)
    process.change("WEBHOOK_TOKEN_ACME", "OPENAI_API_KEY_ACME")
    left = process.tenant()
    assert (left.webhook_token, left.model.api_key, left.model.withdrawn) == ("", "", True)
    assert (left.webhook_secrets, left.rules) == (before.webhook_secrets, before.rules)


def test_another_key_is_not_sent_to_the_address_before_while_the_table_is_unusable() -> None:
    process = Process(OWN)
    process.values |= {"OPENAI_API_KEY_ACME": "another", "SERVICEDESK_API_KEY_ACME": "another"}
    process.change_file({"acme.openai.base_url": "nowhere"})
    acme = process.tenant()
    assert (acme.model.api_key, acme.model.withdrawn, acme.desk) == ("", True, None)
    process.change_file({"acme.openai.base_url": "https://other"})
    acme = process.tenant()
    assert (acme.model.api_key, acme.model.base_url, acme.usable) == ("another", "https://other", True)


def test_a_table_without_a_problem_counts_though_the_desk_is_unusable() -> None:
    process = Process(OWN)
    desk = process.tenant().desk
    process.values["SERVICEDESK_URL_ACME"] = "nowhere"
    process.change_file({"acme.mode": "dry-run"})
    acme = process.tenant()
    assert (acme.dry_run, acme.desk, acme.usable) == (True, desk, False)


def test_a_token_is_dead_as_soon_as_timestamps_are_required() -> None:
    process = Process(OWN)
    assert process.tenant().webhook_token
    process.change_file({"acme.webhook.require_timestamp": True})
    assert (process.tenant().webhook_token, process.tenant().require_timestamp) == ("", True)


@pytest.mark.parametrize(
    "name", ["WEBHOOK_TOKEN", "WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "RETIRED_WEBHOOK_SECRET"]
)
def test_a_token_that_is_another_tenants_too_is_off_and_nothing_else_of_it(name: str) -> None:
    process = Process(OWN)
    before = process.tenant()
    process.change(**{"WEBHOOK_SECRET_GLOBEX": "other", f"{name}_GLOBEX": TOKEN})
    assert process.tenant() == replace(before, webhook_token="", usable=False)
    sentence = f"WEBHOOK_TOKEN_ACME is off: it is the same as {name}_GLOBEX"
    assert TenantProblem("acme", sentence) in process.told
    assert TOKEN not in repr(process.told)
    fresh = Process(process.values)
    assert (fresh.tenant(), fresh.tenant("globex").webhook_token) == (process.tenant(), "")
    assert not parse_tenants(process.values)[0]["acme"].webhook_token
    process.change(f"{name}_GLOBEX")
    assert process.tenant() == before


def test_a_removed_model_key_is_not_replaced_by_the_process_key() -> None:
    """Not even at the same address: the texts may be for the tenant's account only."""
    process = Process(ACME | {"OPENAI_API_KEY_ACME": "k"})
    assert not process.tenant().model.withdrawn
    for gone in (["OPENAI_API_KEY_ACME"], []):
        process.change(*gone)
        acme = process.tenant()
        assert (acme.model.withdrawn, acme.usable, bool(acme.webhook_secrets)) == (True, False, True)
    assert [(problem.sentence.partition(":")[0], problem.closed) for problem in process.told] == [
        ("OPENAI_API_KEY_ACME was removed", False)
    ]
    process.change(OPENAI_API_KEY_ACME="k")
    acme = process.tenant()
    assert (acme.model.api_key, acme.model.withdrawn, acme.usable) == ("k", False, True)


def test_a_desk_that_is_gone_is_polled_as_little_as_before() -> None:
    process = Process(filed(ACME, {"acme.reconcile": "on"}))
    before = process.tenant()
    process.change(*process.values, **filed({"WEBHOOK_SECRET_ACME": "s3cret"}, {"acme.webhook.mode": "poll"}))
    left = process.tenant()
    assert (left.polled, left.recovers, left.usable) == (before.polled, before.recovers, False)
