"""A tenant's parts beside secrets and desk: a token, its own model, ticket rules."""

from dataclasses import replace

import pytest

from config.tenant_directory import TenantProblem, parse_tenants
from config.tenant_settings import TicketRules, parse_names
from config.tenants import ModelSettings
from tests.config.given import ACME, asked, directory, sentences, tenant
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


def test_the_table_stays_while_it_is_unusable_but_for_secrets_gone() -> None:
    for wrong in ({"acme.openai.base_url": "nowhere"}, {"acme.tickets.never.group": "HR"}, {"acme.mode": "wet"}):
        values = dict(OWN)
        tenants, clock = directory(lambda values=values: values)  # type: ignore[misc]
        before = asked(tenants)
        values |= filed(values, wrong | {"acme.jobs.weight": 3})
        clock.now += 6
        assert asked(tenants) == replace(before, usable=False)
        del values["WEBHOOK_TOKEN_ACME"], values["OPENAI_API_KEY_ACME"]
        clock.now += 6
        left = asked(tenants)
        assert (left.webhook_token, left.model.api_key, left.model.withdrawn) == ("", "", True)
        assert (left.webhook_secrets, left.rules) == (before.webhook_secrets, before.rules)


def test_another_key_is_not_sent_to_the_address_before_while_the_table_is_unusable() -> None:
    values = dict(OWN)
    tenants, clock = directory(lambda: values)
    values |= filed(values, {"acme.openai.base_url": "nowhere"}) | {
        "OPENAI_API_KEY_ACME": "another",
        "SERVICEDESK_API_KEY_ACME": "another",
    }
    clock.now += 6
    assert (asked(tenants).model.api_key, asked(tenants).model.withdrawn, asked(tenants).desk) == ("", True, None)
    values |= filed(values, {"acme.openai.base_url": "https://other"})
    clock.now += 6
    assert (asked(tenants).model.api_key, asked(tenants).model.base_url) == ("another", "https://other")
    assert asked(tenants).usable


def test_a_table_without_a_problem_counts_though_the_desk_is_unusable() -> None:
    values = dict(OWN)
    tenants, clock = directory(lambda: values)
    desk = asked(tenants).desk
    values |= filed(values, {"acme.mode": "dry-run"}) | {"SERVICEDESK_URL_ACME": "nowhere"}
    clock.now += 6
    assert (asked(tenants).dry_run, asked(tenants).desk, asked(tenants).usable) == (True, desk, False)


def test_a_token_is_dead_as_soon_as_timestamps_are_required() -> None:
    values = dict(OWN)
    tenants, clock = directory(lambda: values)
    assert asked(tenants).webhook_token
    values |= filed(values, {"acme.webhook.require_timestamp": True})
    clock.now += 6
    assert (asked(tenants).webhook_token, asked(tenants).require_timestamp) == ("", True)


@pytest.mark.parametrize(
    "name", ["WEBHOOK_TOKEN", "WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "RETIRED_WEBHOOK_SECRET"]
)
def test_a_token_that_is_another_tenants_too_is_off_and_nothing_else_of_it(name: str) -> None:
    """At the start, and if it appears at run time."""
    values, told = dict(OWN), list[TenantProblem]()
    tenants, clock = directory(lambda: values, told.append)
    before = asked(tenants)
    values |= {"WEBHOOK_SECRET_GLOBEX": "other", f"{name}_GLOBEX": TOKEN}
    clock.now += 6
    assert asked(tenants) == replace(before, webhook_token="", usable=False)
    sentence = f"WEBHOOK_TOKEN_ACME is off: it is the same as {name}_GLOBEX"
    assert TenantProblem("acme", sentence) in told
    assert TOKEN not in repr(told)
    fresh, _ = directory(lambda: values)
    assert (asked(fresh), asked(fresh, "globex").webhook_token) == (asked(tenants), "")
    assert not parse_tenants(values)[0]["acme"].webhook_token
    del values[f"{name}_GLOBEX"]
    clock.now += 6
    assert asked(tenants) == before


def test_a_model_key_that_is_gone_is_not_replaced_by_the_processes() -> None:
    """Not even at the same address: the texts may be for the tenant's account only."""
    values, told = ACME | {"OPENAI_API_KEY_ACME": "k"}, list[TenantProblem]()
    tenants, clock = directory(lambda: values, told.append)
    assert not asked(tenants).model.withdrawn
    key = values.pop("OPENAI_API_KEY_ACME")
    for _ in range(2):
        clock.now += 6
        assert (asked(tenants).model.withdrawn, asked(tenants).usable) == (True, False)
        assert asked(tenants).webhook_secrets
    assert [(problem.sentence.partition(":")[0], problem.closed) for problem in told] == [
        ("OPENAI_API_KEY_ACME is gone", False)
    ]
    values["OPENAI_API_KEY_ACME"] = key
    clock.now += 6
    assert (asked(tenants).model.api_key, asked(tenants).model.withdrawn, asked(tenants).usable) == ("k", False, True)


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
    now = filed(ACME, {"acme.reconcile": "on"})
    tenants, clock = directory(lambda: now)
    before = asked(tenants)
    now.clear()
    now |= values
    clock.now += 6
    left = asked(tenants)
    assert (left.polled, left.recovers, left.usable) == (before.polled, before.recovers, False)


def test_settings_of_a_process_are_no_tenants() -> None:
    """Their names have the prefix of a tenant's setting."""
    window = {"RECONCILE_INTERVAL_SECONDS": "300", "RECONCILE_WINDOW_HOURS": "24"}
    named = {"SERVICEDESK_URL_INTERVAL_SECONDS": "https://desk", "SERVICEDESK_API_KEY_INTERVAL_SECONDS": "k"}
    assert tenant(named | window).id == "interval-seconds"
