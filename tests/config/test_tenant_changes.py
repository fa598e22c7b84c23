"""Tenant changes at run time, and settings that are unusable or withdrawn."""

import threading
from dataclasses import replace

import pytest

from config.tenant_directory import TenantDirectory, TenantProblem
from config.tenants import Tenant
from tests.config.given import ACME, CLOUD, asked, directory
from tests.kit.clock import Clock

ROTATED = ACME | {"WEBHOOK_SECRET_ACME": "leaked", "PREVIOUS_WEBHOOK_SECRET_ACME": "s3cret"}


def test_a_new_tenant_and_a_rotated_secret_appear_within_some_seconds() -> None:
    values = dict(ACME)
    tenants, clock = directory(lambda: values)
    assert tenants.get("globex") is None
    values |= {"WEBHOOK_SECRET_GLOBEX": "new", "WEBHOOK_SECRET_ACME": "n3w", "PREVIOUS_WEBHOOK_SECRET_ACME": "s3cret"}
    clock.now += 6
    assert asked(tenants).webhook_secrets == ("n3w", "s3cret")
    assert tenants.all() == [asked(tenants), asked(tenants, "globex")]


def test_a_tenant_that_is_taken_away_is_gone() -> None:
    values = ACME | CLOUD
    tenants, clock = directory(lambda: values)
    for name in CLOUD:
        del values[name]
    clock.now += 6
    assert [known.id for known in tenants.all()] == ["acme"]


def test_an_unusable_change_keeps_the_tenant_as_it_was_and_says_why() -> None:
    values = dict(ACME)
    tenants, clock = directory(lambda: values)
    before = asked(tenants)
    values["SERVICEDESK_URL_ACME"] = "not an address"
    values["WEBHOOK_SECRET_GLOBEX"] = "new"
    clock.now += 6
    assert asked(tenants) == replace(before, usable=False)
    assert [problem.tenant_id for problem in tenants.problems] == ["acme"]
    assert tenants.get("globex") is not None
    values |= ACME
    clock.now += 6
    assert asked(tenants) == before
    assert tenants.problems == []


def test_a_current_secret_that_is_gone_is_refused_though_the_previous_one_stays() -> None:
    """Half a rotation is unusable, and the leaked secret must end nevertheless."""
    values, told = dict(ROTATED), list[TenantProblem]()
    tenants, clock = directory(lambda: values, told.append)
    before = asked(tenants)
    del values["WEBHOOK_SECRET_ACME"]
    clock.now += 6
    assert asked(tenants) == replace(before, webhook_secrets=("s3cret",), usable=False, lacks_current_secret=True)
    assert [problem.closed for problem in told] == [False]
    del values["PREVIOUS_WEBHOOK_SECRET_ACME"]
    clock.now += 6
    assert asked(tenants) == replace(before, webhook_secrets=(), usable=True)


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
    values = dict(ROTATED)
    tenants, clock = directory(lambda: values)
    before = asked(tenants)
    values[name] = value
    secret = values.pop(gone)
    clock.now += 6
    kept = tuple(one for one in before.webhook_secrets if one != secret)
    lacks = gone == "WEBHOOK_SECRET_ACME"
    assert asked(tenants) == replace(before, webhook_secrets=kept, usable=False, lacks_current_secret=lacks)


def test_a_secret_that_moves_to_the_other_name_lives_on() -> None:
    values = dict(ACME)
    tenants, clock = directory(lambda: values)
    del values["WEBHOOK_SECRET_ACME"]
    values["PREVIOUS_WEBHOOK_SECRET_ACME"] = "s3cret"
    clock.now += 6
    assert asked(tenants).webhook_secrets == ("s3cret",)
    # One that was never in force does not begin as the previous one.
    values["PREVIOUS_WEBHOOK_SECRET_ACME"] = "another"
    clock.now += 6
    assert asked(tenants).webhook_secrets == ()


def test_a_rotation_counts_though_the_desks_settings_are_unusable() -> None:
    """No webhook is lost, and an overwritten secret opens nothing."""
    values = dict(ACME)
    tenants, clock = directory(lambda: values)
    before = asked(tenants)
    values |= {"SERVICEDESK_URL_ACME": "nowhere", "WEBHOOK_SECRET_ACME": "n3w"}
    clock.now += 6
    assert asked(tenants) == replace(before, webhook_secrets=("n3w",), usable=False)


@pytest.mark.parametrize(
    ("settings", "gone"),
    [
        (ACME, "SERVICEDESK_API_KEY_ACME"),
        (CLOUD, "SERVICEDESK_CLIENT_SECRET_GLOBEX"),
        (CLOUD, "SERVICEDESK_REFRESH_TOKEN_GLOBEX"),
    ],
)
def test_a_desk_whose_credential_is_gone_is_called_no_more(settings: dict[str, str], gone: str) -> None:
    """Nor does another credential go to the old address."""
    for change in ({}, {gone: "another"}):
        values = settings | {"WEBHOOK_SECRET_" + gone.rpartition("_")[2]: "s3cret"}
        tenants, clock = directory(lambda values=values: values)  # type: ignore[misc]
        (before,) = tenants.all()
        assert before.desk is not None
        del values[gone]
        values |= change | {gone.replace(gone.removeprefix("SERVICEDESK_").rpartition("_")[0], "URL"): "nowhere"}
        clock.now += 6
        assert tenants.all() == [replace(before, desk=None, usable=False)]
        values |= settings
        clock.now += 6
        assert tenants.all() == [before]


def test_a_tenant_that_was_never_usable_is_closed_until_it_is() -> None:
    """At the start and later: there is no earlier state to keep."""
    values = CLOUD | {"SERVICEDESK_URL_ACME": "nowhere", "WEBHOOK_SECRET_ACME": "s3cret"}
    told: list[TenantProblem] = []
    tenants, clock = directory(lambda: values, told.append)
    assert asked(tenants) == Tenant("acme", usable=False)
    assert asked(tenants, "globex").usable
    values |= {"WEBHOOK_SECRET_INITECH": "s3cret", "SERVICEDESK_URL_INITECH": "nowhere"}
    clock.now += 6
    assert [asked(tenants, tenant_id) for tenant_id in ("acme", "initech")] == [
        Tenant("acme", usable=False),
        Tenant("initech", usable=False),
    ]
    assert {(problem.tenant_id, problem.closed) for problem in (*tenants.problems, *told)} == {
        ("acme", True),
        ("initech", True),
    }
    assert tenants.unusable() == {"acme": True, "globex": False, "initech": True}
    values |= ACME
    clock.now += 6
    assert asked(tenants).usable
    assert asked(tenants).webhook_secrets == ("s3cret",)


def test_an_id_that_can_be_none_is_a_problem_and_no_tenant() -> None:
    values = ACME | {"WEBHOOK_SECRET_TERRORS": "s", "WEBHOOK_SECRET_A.B": "s", "PREVIOUS_WEBHOOK_SECRET_A\nB": "s"}
    tenants, _ = directory(lambda: values)
    assert [tenant.id for tenant in tenants.all()] == ["acme"]
    assert [problem.closed for problem in tenants.problems] == [True] * 3
    assert [problem.sentence for problem in tenants.problems if "is missing" in problem.sentence] == []
    assert tenants.unusable() == {"acme": False, "": True}


def test_what_a_process_needs_decides_whether_a_tenant_is_closed_there() -> None:
    values = dict(ACME)
    clock, told = Clock(), list[TenantProblem]()
    tenants = TenantDirectory(
        lambda: values, needs=lambda tenant: tenant.desk is not None, on_problem=told.append, monotonic=clock
    )
    del values["SERVICEDESK_API_KEY_ACME"]
    clock.now += 6
    assert asked(tenants).webhook_secrets == ("s3cret",)
    assert told == [TenantProblem("acme", "SERVICEDESK_API_KEY_ACME is missing", closed=True)]


def test_a_thread_that_asks_while_another_one_reads_does_not_wait_for_it() -> None:
    """A slow share must not block the metrics."""
    slow, goes_on = threading.Event(), threading.Event()

    def read() -> dict[str, str]:
        if slow.is_set():
            assert goes_on.wait(10)
        return ACME

    tenants, clock = directory(read)
    slow.set()
    clock.now += 6
    thread = threading.Thread(target=tenants.all)
    thread.start()
    assert asked(tenants).webhook_secrets == ("s3cret",)
    goes_on.set()
    thread.join(10)


def test_settings_that_became_unusable_are_told_once() -> None:
    values, told = dict(ACME), list[TenantProblem]()
    tenants, clock = directory(lambda: values, told.append)
    values["SERVICEDESK_EDITION_ACME"] = "other"
    for _ in range(3):
        clock.now += 6
        tenants.all()
    assert told == [TenantProblem("acme", "SERVICEDESK_EDITION_ACME must be onpremises or cloud")]
    del values["SERVICEDESK_EDITION_ACME"]
    clock.now += 6
    tenants.all()
    values["SERVICEDESK_EDITION_ACME"] = "other"
    clock.now += 6
    tenants.all()
    assert len(told) == 2


@pytest.mark.parametrize("changed", ["SERVICEDESK_URL_ACME", "WEBHOOK_SECRET_GLOBEX", "OPENAI_API_KEY"])
def test_who_made_something_of_all_tenants_can_see_that_it_still_holds(changed: str) -> None:
    values = ACME | {"OPENAI_API_KEY": "sk-1"}
    tenants, clock = directory(lambda: values)
    before = tenants.all()
    clock.now += 6
    assert tenants.all() is before
    values[changed] = "https://other.example"
    clock.now += 6
    assert tenants.all() is not before


def test_the_environment_is_not_read_for_each_webhook() -> None:
    readings: list[int] = []

    def read() -> dict[str, str]:
        readings.append(1)
        return ACME

    tenants, clock = directory(read)
    for _ in range(100):
        tenants.get("acme")
    assert len(readings) == 1
    clock.now += 6
    tenants.get("acme")
    assert len(readings) == 2
