"""The parts of a tenant beside its secrets and its desk: a token, a model of its own, which tickets."""

from dataclasses import replace

import pytest

from config.secret_files import UNREADABLE
from config.tenant_reading import TenantProblem, parse_tenants
from config.tenants import ModelSettings
from config.ticket_rules import TicketRules, parse_names
from tests.config.given import ACME, asked, directory, sentences, tenant

TOKEN = "t" * 32


def test_a_token_alone_makes_a_tenant_and_what_only_says_how_does_not() -> None:
    acme = tenant({"WEBHOOK_TOKEN_ACME": TOKEN})
    assert (acme.webhook_secrets, acme.webhook_token, acme.opens_webhook) == ((), TOKEN, True)
    others = {"OPENAI_API_KEY_FILE": "x", "OPENAI_MODEL_NAME": "x", "MODE_DEBUG": "x", "RETIRED_WEBHOOK_SECRET_A": "x"}
    assert parse_tenants(others) == ({}, [])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"WEBHOOK_TOKEN_ACME": TOKEN, "WEBHOOK_REQUIRE_TIMESTAMP_ACME": "true"}, "a token is no signature"),
        ({"WEBHOOK_TOKEN_ACME": TOKEN, "WEBHOOK_SECRET_ACME": TOKEN}, "travels with each webhook"),
        ({"WEBHOOK_TOKEN_ACME": TOKEN, "RETIRED_WEBHOOK_SECRET_ACME": TOKEN}, "travels with each webhook"),
        ({"RETIRED_WEBHOOK_SECRET_ACME": "s3cret"}, "still in use"),
        ({"OPENAI_BASE_URL_ACME": "https://model.acme.example/v1"}, "OPENAI_API_KEY_ACME is missing"),
        *(({"AUDIT_DAYS_ACME": days}, "from 0 to 3650") for days in ("-1", "3651", "00000", "all", "٣")),
        ({"OPENAI_BASE_URL_ACME": "nowhere", "OPENAI_API_KEY_ACME": "k"}, "must be http(s)://"),
    ],
)
def test_settings_that_exclude_or_need_each_other(more: dict[str, str], told: str) -> None:
    (sentence,) = sentences(ACME | more)
    assert told in sentence


def test_a_tenant_has_a_model_of_its_own_and_rules_for_its_tickets() -> None:
    acme = tenant(
        ACME
        | {
            "OPENAI_BASE_URL_ACME": "https://model.acme.example/v1/",
            "OPENAI_API_KEY_ACME": "hidden",
            "OPENAI_MODEL_ACME": "big",
            "OPENAI_DAILY_TOKENS_ACME": "1000",
            "OPENAI_DAILY_DOLLARS_ACME": "2.50",
            "TICKETS_ONLY_ACME": "category: Network, category:E-Mail ,event:ticket.created",
            "TICKETS_NEVER_ACME": "group:HR",
            "CONTEXT_WITHIN_ACME": "site:Graz, group:Finance",
            "CONTEXT_NEVER_TOPICS_ACME": "Drafts,  Old  Ones ,",
            "SERVICEDESK_HISTORY_DAYS_ACME": "730",
            "SERVICEDESK_CONVERSATION_ACME": "Copy",
            "SERVICEDESK_EMBEDDINGS_ACME": "Local",
            "MODE_ACME": "Dry-Run",
            "AUDIT_DAYS_ACME": "365",
            "RETIRED_WEBHOOK_SECRET_ACME": "older",
            "SERVICEDESK_PORTAL_ID_ACME": "2",
        }
    )
    assert acme.model == ModelSettings("hidden", "https://model.acme.example/v1", "big", 1000, 2.5)
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
    """It looks the same to whoever sets it: an HR queue must not be missed for its spaces or accents."""
    assert TicketRules(never=parse_names(f"group:{written}")).forbid({"group": "Büro HR"})
    assert TicketRules(never=parse_names("group:Büro HR")).forbid({"group": written})


OWN = ACME | {
    "WEBHOOK_TOKEN_ACME": "t" * 32,
    "OPENAI_API_KEY_ACME": "k",
    "OPENAI_BASE_URL_ACME": "https://model",
    "TICKETS_NEVER_ACME": "group:HR",
}


def test_each_part_stays_while_its_settings_are_unusable_but_for_secrets_gone() -> None:
    for wrong in ({"OPENAI_BASE_URL_ACME": "nowhere"}, {"TICKETS_NEVER_ACME": "HR"}, {"MODE_ACME": "wet"}):
        values = dict(OWN)
        tenants, clock = directory(lambda values=values: values)  # type: ignore[misc]
        before = asked(tenants)
        values |= wrong
        clock.now += 6
        assert asked(tenants) == replace(before, usable=False)
        del values["WEBHOOK_TOKEN_ACME"], values["OPENAI_API_KEY_ACME"]
        clock.now += 6
        left = asked(tenants)
        assert (left.webhook_token, left.model.api_key, left.model.withdrawn) == ("", "", True)
        assert (left.webhook_secrets, left.rules) == (before.webhook_secrets, before.rules)


def test_a_token_is_dead_as_soon_as_timestamps_are_required() -> None:
    values = dict(OWN)
    tenants, clock = directory(lambda: values)
    assert asked(tenants).webhook_token
    values["WEBHOOK_REQUIRE_TIMESTAMP_ACME"] = "true"
    clock.now += 6
    assert (asked(tenants).webhook_token, asked(tenants).require_timestamp) == ("", True)


@pytest.mark.parametrize(
    "name", ["WEBHOOK_TOKEN", "WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "RETIRED_WEBHOOK_SECRET"]
)
def test_a_token_that_is_another_tenants_too_is_off_and_nothing_else_of_it(name: str) -> None:
    """At the start, and when it comes while the process runs."""
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
    """Not even at the same address: the tenant's texts may be meant for its own account only."""
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


POLLED = {name: value for name, value in ACME.items() if name.startswith("SERVICEDESK_")} | {
    "WEBHOOK_MODE_ACME": "Poll"
}


def test_a_desk_that_is_polled_needs_no_secret_and_its_jobs_are_made() -> None:
    polled = tenant(POLLED)
    assert (polled.polled, polled.recovers, polled.opens_webhook, polled.usable) == (True, True, False, True)
    assert tenant(POLLED | {"RECONCILE_ACME": "report"}).recovers
    assert tenant(POLLED | {"WEBHOOK_SECRET_ACME": "s3cret"}).opens_webhook
    told, healed = tenant(ACME), tenant(ACME | {"RECONCILE_ACME": "On"})
    assert [(one.polled, one.recovers) for one in (told, healed)] == [(False, False), (False, True)]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (ACME | {"RECONCILE_ACME": "off"}, "RECONCILE_ACME must be report or on"),
        (ACME | {"WEBHOOK_MODE_ACME": "pull"}, "WEBHOOK_MODE_ACME must be push or poll"),
        (
            {"WEBHOOK_SECRET_ACME": "s3cret", "WEBHOOK_MODE_ACME": "poll"},
            "SERVICEDESK_URL_ACME is missing, but WEBHOOK_MODE_ACME is poll",
        ),
        (ACME | {"RECONCILE_ACME": UNREADABLE}, "RECONCILE_ACME: its file can't be read as text"),
        (ACME | {"WEBHOOK_MODE_ACME": UNREADABLE}, "WEBHOOK_MODE_ACME: its file can't be read as text"),
    ],
    ids=["reconcile", "mode", "no desk", "unreadable", "unreadable mode"],
)
def test_what_is_done_without_a_webhook_is_checked_and_stays_as_it_was(values: dict[str, str], said: str) -> None:
    assert sentences(values) == [said]
    now = dict(ACME | {"RECONCILE_ACME": "on"})
    tenants, clock = directory(lambda: now)
    before = asked(tenants)
    now.clear()
    now |= ACME | values if "no desk" not in said and "SERVICEDESK" not in said else values
    clock.now += 6
    left = asked(tenants)
    assert (left.polled, left.recovers, left.usable) == (before.polled, before.recovers, False)


def test_settings_of_a_process_are_no_tenants() -> None:
    """Their names begin like one of a tenant."""
    window = {"RECONCILE_INTERVAL_SECONDS": "300", "RECONCILE_WINDOW_HOURS": "24"}
    named = {"SERVICEDESK_URL_INTERVAL_SECONDS": "https://desk", "SERVICEDESK_API_KEY_INTERVAL_SECONDS": "k"}
    assert tenant(named | window).id == "interval-seconds"
