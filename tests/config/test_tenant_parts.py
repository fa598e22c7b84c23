"""A tenant's parts beside secrets and desk: a token, its own model, ticket rules."""

from dataclasses import replace

import pytest

from config.tenant_directory import TenantProblem, parse_tenants
from config.tenant_settings import TicketRules, parse_names
from config.tenants import ModelSettings
from tests.config.given import ACME, Process, sentences, tenant
from tests.kit.tenants_toml import filed

TOKEN = "t" * 32


def test_a_token_alone_makes_a_tenant_and_what_only_says_how_does_not() -> None:
    acme = tenant({"WEBHOOK_TOKEN_ACME": TOKEN})
    assert (acme.webhook_secrets, acme.webhook_token, acme.opens_webhook) == ((), TOKEN, True)
    others = {"OPENAI_API_KEY_FILE": "x", "OPENAI_MODEL_NAME": "x", "MODE_DEBUG": "x", "RETIRED_WEBHOOK_SECRET_A": "x"}
    assert parse_tenants(others) == ({}, [])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (filed({"WEBHOOK_TOKEN_ACME": TOKEN}, {"acme.webhook.require_timestamp": True}), "a token is no signature"),
        ({"WEBHOOK_TOKEN_ACME": TOKEN, "WEBHOOK_SECRET_ACME": TOKEN}, "travels with each webhook"),
        ({"WEBHOOK_TOKEN_ACME": TOKEN, "RETIRED_WEBHOOK_SECRET_ACME": TOKEN}, "travels with each webhook"),
        ({"RETIRED_WEBHOOK_SECRET_ACME": "s3cret"}, "still in use"),
        (filed({}, {"acme.openai.base_url": "https://model.acme.example/v1"}), "OPENAI_API_KEY_ACME is missing"),
    ],
)
def test_settings_that_exclude_or_need_each_other(more: dict[str, str], told: str) -> None:
    (sentence,) = sentences(ACME | more)
    assert told in sentence


def test_a_tenant_has_a_model_of_its_own_and_rules_for_its_tickets() -> None:
    acme = tenant(
        filed(
            ACME | {"OPENAI_API_KEY_ACME": "hidden", "RETIRED_WEBHOOK_SECRET_ACME": "older"},
            {
                "acme.openai.base_url": "https://model.acme.example/v1/",
                "acme.openai.model": "big",
                "acme.openai.daily_tokens": 1000,
                "acme.openai.daily_dollars": 2.5,
                "acme.tickets.only.category": [" Network", "E-Mail "],
                "acme.tickets.only.event": ["ticket.created"],
                "acme.tickets.never.group": ["HR"],
                "acme.context.within.site": ["Graz"],
                "acme.context.within.group": ["Finance"],
                "acme.context.never_topics": ["Drafts", "Old  Ones"],
                "acme.servicedesk.history_days": 730,
                "acme.servicedesk.conversation": True,
                "acme.servicedesk.embeddings": "local",
                "acme.servicedesk.portal_id": "2",
                "acme.mode": "dry-run",
                "acme.audit_days": 365,
            },
        )
    )
    assert acme.model == ModelSettings(
        api_key="hidden",
        base_url="https://model.acme.example/v1",
        model="big",
        daily_tokens=1000,
        daily_dollars=2.5,
    )
    assert acme.rules.only == {"category": {"network", "e-mail"}, "event": {"ticket.created"}}
    assert acme.rules.never == {"group": {"hr"}}
    assert acme.rules.within == {"site": {"graz"}, "group": {"finance"}}
    assert acme.rules.never_topics == {"drafts", "old ones"}
    assert (acme.dry_run, acme.retired_secret, acme.audit_days) == (True, "older", 365)
    assert acme.desk is not None
    assert (acme.desk.portal_id, acme.desk.history_days, acme.desk.conversation) == ("2", 730, True)
    assert acme.desk.embeddings == "local"
    assert not any(secret in repr(acme) for secret in ("hidden", "older", "s3cret"))
    assert (tenant(ACME).model, tenant(ACME).audit_days) == (ModelSettings(), 0)


@pytest.mark.parametrize(
    ("known", "left_out"),
    [
        ({}, False),
        ({"event": "ticket.created"}, False),
        ({"event": "ticket.updated"}, True),
        ({"event": "ticket.created", "category": " NETWORK ", "group": ""}, False),
        ({"event": "ticket.created", "category": "Printers", "group": ""}, True),
        ({"event": "ticket.created", "category": "", "group": ""}, True),
        ({"event": "ticket.created", "category": "network", "group": "hr"}, True),
    ],
)
def test_rules_leave_out_what_lacks_a_name_or_has_one_that_is_never_enhanced(
    known: dict[str, str], left_out: bool
) -> None:
    rules = TicketRules(parse_names("event:ticket.created, category:Network"), parse_names("group:HR"))
    assert rules.leave_out(known) is left_out


@pytest.mark.parametrize("written", ["BÜRO HR", "Bu\u0308ro HR", "Büro  HR", "Büro\u00a0HR"])
def test_a_name_in_the_rules_is_known_however_it_is_written(written: str) -> None:
    """An HR queue must not be missed because of spaces or accents."""
    assert TicketRules(never=parse_names(f"group:{written}")).forbid({"group": "Büro HR"})
    assert TicketRules(never=parse_names("group:Büro HR")).forbid({"group": written})


OWN = filed(
    ACME | {"WEBHOOK_TOKEN_ACME": "t" * 32, "OPENAI_API_KEY_ACME": "k"},
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
    """At the start, and if it appears at run time."""
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


def test_a_model_key_that_is_gone_is_not_replaced_by_the_processes() -> None:
    """Not even at the same address: the texts may be for the tenant's account only."""
    process = Process(ACME | {"OPENAI_API_KEY_ACME": "k"})
    assert not process.tenant().model.withdrawn
    for gone in (["OPENAI_API_KEY_ACME"], []):
        process.change(*gone)
        acme = process.tenant()
        assert (acme.model.withdrawn, acme.usable, bool(acme.webhook_secrets)) == (True, False, True)
    assert [(problem.sentence.partition(":")[0], problem.closed) for problem in process.told] == [
        ("OPENAI_API_KEY_ACME is gone", False)
    ]
    process.change(OPENAI_API_KEY_ACME="k")
    acme = process.tenant()
    assert (acme.model.api_key, acme.model.withdrawn, acme.usable) == ("k", False, True)


POLLED = filed(
    {name: value for name, value in ACME.items() if name.startswith("SERVICEDESK_")}, {"acme.webhook.mode": "poll"}
)


def test_a_desk_that_is_polled_needs_no_secret_and_its_jobs_are_made() -> None:
    polled = tenant(POLLED)
    assert (polled.polled, polled.recovers, polled.opens_webhook, polled.usable) == (True, True, False, True)
    assert tenant(filed(POLLED, {"acme.reconcile": "report"})).recovers
    assert tenant(POLLED | {"WEBHOOK_SECRET_ACME": "s3cret"}).opens_webhook
    told, healed = tenant(ACME), tenant(filed(ACME, {"acme.reconcile": "on"}))
    assert [(one.polled, one.recovers) for one in (told, healed)] == [(False, False), (False, True)]


def test_a_tenant_without_a_desk_can_not_be_polled() -> None:
    values = filed({"WEBHOOK_SECRET_ACME": "s3cret"}, {"acme.webhook.mode": "poll"})
    assert sentences(values) == ["SERVICEDESK_URL_ACME is missing, but acme.webhook.mode in tenants.toml is poll"]
    process = Process(filed(ACME, {"acme.reconcile": "on"}))
    before = process.tenant()
    process.change(*process.values, **values)
    left = process.tenant()
    assert (left.polled, left.recovers, left.usable) == (before.polled, before.recovers, False)


def test_settings_of_a_process_are_no_tenants() -> None:
    """Their names have the prefix of a tenant's setting."""
    window = {"RECONCILE_INTERVAL_SECONDS": "300", "RECONCILE_WINDOW_HOURS": "24"}
    named = {"SERVICEDESK_URL_INTERVAL_SECONDS": "https://desk", "SERVICEDESK_API_KEY_INTERVAL_SECONDS": "k"}
    assert tenant(named | window).id == "interval-seconds"
