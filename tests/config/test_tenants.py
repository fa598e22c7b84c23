"""Settings become tenants: accepted forms, and refusals."""

import pytest

from cli.config import parse_names
from config.secret_files import UNREADABLE
from config.tenant_directory import names_tenant
from config.tenant_validation import parse_tenants
from config.tenants import DeskSettings, TicketRules
from tests.config.given import ACME, CLOUD, sentences, tenant
from tests.kit.tenants_toml import filed

TOKEN = "t" * 32
BY_TOKEN = {"WEBHOOK_TOKEN_ACME": TOKEN}


def test_a_desk_on_premises_needs_an_address_and_a_key() -> None:
    acme = tenant(ACME)
    assert (acme.id, acme.webhook_secrets) == ("acme", ("s3cret",))
    assert acme.desk == DeskSettings(url="https://desk.acme.example:8080", edition="onpremises", api_key="k3y")


def test_a_cloud_desk_needs_oauth_credentials_and_is_called_less_often() -> None:
    desk = tenant(CLOUD).desk
    assert desk is not None
    assert (desk.edition, desk.url) == ("cloud", "https://sdpondemand.manageengine.eu/app/itdesk")
    assert (desk.client_id, desk.client_secret, desk.refresh_token) == ("id", "hidden", "token")
    assert (desk.accounts_url, desk.rate_per_minute) == ("https://accounts.zoho.eu", 30)


def test_each_setting_belongs_to_the_tenant_of_its_ending() -> None:
    values = ACME | CLOUD | {"WEBHOOK_SECRET_ACME-EU": "other", "PREVIOUS_WEBHOOK_SECRET_ACME_EU": "older"}
    tenants, problems = parse_tenants(values)
    assert (list(tenants), problems) == (["acme", "acme-eu", "globex"], [])
    assert [tenants[name].webhook_secrets for name in tenants] == [("s3cret",), ("other", "older"), ()]
    assert tenants["acme-eu"].desk is None
    for ending, tenant_id in (("acme", "acme"), ("URL", "url"), ("A" * 63, "a" * 63)):
        assert tenant({f"WEBHOOK_SECRET_{ending}": "s"}).id == tenant_id


@pytest.mark.parametrize("ending", ["ERROR", "TERRORS_INC", "Error", "ACME.EU", "A" * 64, "ÄCME", "A B", "A\nB"])
def test_an_id_that_would_not_fit_into_a_log_line_is_refused(ending: str) -> None:
    (sentence,) = sentences({f"WEBHOOK_SECRET_{ending}": "s3cret"})
    assert sentence.startswith(f"WEBHOOK_SECRET_{ending.upper()[:63]}: a tenant id ")
    assert "s3cret" not in sentence


def test_similar_setting_names_make_no_tenant() -> None:
    names = ["WEBHOOK_SECRET_", "WEBHOOK_SECRET", "SERVICEDESK_TIMEOUT_SECONDS", "SECRETS_DIR", "OPENAI_API_KEY_FILE"]
    names += ["OPENAI_MODEL_NAME", "MODE_DEBUG", "RETIRED_WEBHOOK_SECRET_A"]
    assert parse_tenants(dict.fromkeys(names, "x")) == ({}, [])
    process = {"RECONCILE_INTERVAL_SECONDS": "300", "RECONCILE_WINDOW_HOURS": "24"}
    named = {"SERVICEDESK_URL_INTERVAL_SECONDS": "https://desk", "SERVICEDESK_API_KEY_INTERVAL_SECONDS": "k"}
    assert tenant(named | process).id == "interval-seconds"


OF_DESKS = [name for name in ACME | CLOUD if name.startswith("SERVICEDESK_") and "EDITION" not in name]


@pytest.mark.parametrize("missing", OF_DESKS)
def test_a_half_configured_desk_names_the_missing_setting(missing: str) -> None:
    desk = ACME if missing in ACME else CLOUD
    assert sentences({name: value for name, value in desk.items() if name != missing}) == [f"{missing} is missing"]


def test_every_missing_setting_of_a_desk_is_named_at_once() -> None:
    told = " ".join(sentences({"SERVICEDESK_EDITION_GLOBEX": "cloud"}))
    keys = [f"globex.servicedesk.{key} in tenants.toml" for key in ("client_id", "accounts_url")]
    assert [name for name in (*OF_DESKS, *keys) if f"{name} is missing" not in told] == OF_DESKS[:2]


@pytest.mark.parametrize("value", ["\u043a\u043b\u044e\u0447", "k3y\nand more", "k3y\x01", "k\u200b3y"])
def test_a_key_that_cannot_be_sent_is_named(value: str) -> None:
    for values, name in ((ACME, "SERVICEDESK_API_KEY_ACME"), (CLOUD, "SERVICEDESK_REFRESH_TOKEN_GLOBEX")):
        told = f"{name} contains a line break or a character that a header cannot carry"
        assert sentences(values | {name: value}) == [told]


WRONG_ADDRESSES = [
    *("hunter2", "ftp://hunter2", "https://", "https://me:hunter2@desk", "https://:hunter2@desk"),
    *("https://desk?key=hunter2", "https://desk#hunter2", "https://desk:99999", "http://0.0.0.0/hunter2"),
    *("https://desk/a hunter2", "https://desk/a\thunter2", "https://desk/a\0hunter2", "http://[fe80::1]/hunter2"),
    *("http://169.254.169.254/hunter2", "http://[::ffff:169.254.169.254]/hunter2", "http://224.0.0.1/hunter2"),
]

# Resolvers read many number forms as addresses, and gateways map IPv6 to IPv4.
WRONG_HOSTS = [
    *("2852039166", "0xA9FEA9FE", "0x", "169.254.43518", "169.254.0xa9fe", "0251.0376.0251.0376"),
    *("169.254.169.254.", "2852039166.", "\u0662\u0668\u0665\u0662\u0660\u0663\u0669\u0661\u0666\u0666"),
    *("\uff12\uff18\uff15\uff12\uff10\uff13\uff19\uff11\uff16\uff16", "169\u3002254\u3002169\u3002254", "0"),
    *("desk.1", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[::a9fe:a9fe]"),
    *("[64:ff9b::]", "[fe80::1%25eth0]", "%31%36%39.254.169.254", "exa mple", "de\tsk", "de\nsk", "desk\x7f"),
    *("desk\u00a0x", "de\\sk", "desk..example"),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICEDESK_EDITION_ACME", "hunter2"),
        *(("SERVICEDESK_URL_ACME", url) for url in WRONG_ADDRESSES),
        *(("SERVICEDESK_URL_ACME", f"http://{host}/") for host in WRONG_HOSTS),
        ("WEBHOOK_TOKEN_ACME", "hunter2"),
        ("WEBHOOK_TOKEN_ACME", "hunter2 " * 8),
        ("OPENAI_API_KEY_ACME", "hunter2\n"),
    ],
)
def test_a_wrong_setting_is_named_without_its_value(name: str, value: str) -> None:
    (sentence,) = sentences(ACME | {name: value})
    assert sentence.startswith(f"{name} contains " if "KEY" in name else f"{name} must ")
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    "host",
    [
        *("desk", "desk.example.", "help_desk", "desk1", "1.desk", "10desk.x0f"),
        *("b\u00fccher.example", "10.0.0.1:8080", "[::1]", "[fd00::1]", "[64:ff9b::a00:1]", "[2002:a00:1::1]"),
    ],
)
def test_names_and_addresses_of_a_desk_are_accepted(host: str) -> None:
    assert tenant(ACME | {"SERVICEDESK_URL_ACME": f"http://{host}/"}).desk is not None


def test_tokens_of_the_cloud_go_over_https_or_stay_on_this_machine() -> None:
    name, path = "SERVICEDESK_URL_GLOBEX", "globex.servicedesk.accounts_url"
    elsewhere = "http://desk.example/app/it"
    assert sentences(CLOUD | {name: elsewhere}) == [f"{name} must begin with https://"]
    assert sentences(filed(CLOUD, {path: elsewhere})) == [f"{path} in tenants.toml: must begin with https://"]
    for here in ("http://127.0.0.1:8000/app/it", "http://[::1]:8000/app/it", "http://localhost/app/it"):
        assert tenant(CLOUD | {name: here}).desk is not None
        assert tenant(filed(CLOUD, {path: here})).desk is not None


def test_what_an_admin_writes_around_an_address_does_not_matter() -> None:
    for url in ("https://desk.acme.example:8080/", "https://desk.acme.example:8080/api/v3/"):
        assert tenant(ACME | {"SERVICEDESK_URL_ACME": url}) == tenant(ACME)


def test_secrets_stay_out_of_the_text_of_a_tenant() -> None:
    more = {"OPENAI_API_KEY_ACME": "0wn", "RETIRED_WEBHOOK_SECRET_ACME": "0lder", "WEBHOOK_TOKEN_ACME": TOKEN}
    for values in (ACME | more, CLOUD | {"WEBHOOK_SECRET_GLOBEX": "s3cret"}):
        shown = repr(tenant(values))
        assert not [
            secret for secret in ("s3cret", "k3y", "0wn", "0lder", TOKEN, "hidden", "'token'") if secret in shown
        ]


def test_a_tenant_may_be_named_while_the_secrets_cannot_be_listed() -> None:
    assert names_tenant({"SERVICEDESK_URL_ACME": "x"}, "acme")
    assert names_tenant(filed({}, {"acme.mode": "live"}), "acme")
    assert names_tenant({"tenants.toml": UNREADABLE}, "acme")
    assert not names_tenant({"SERVICEDESK_URL_ACME": "x", "SECRETS_DIR": "/run/secrets"}, "globex")
    assert names_tenant({"SECRETS_DIR": UNREADABLE}, "globex")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (filed(ACME | BY_TOKEN, {"acme.webhook.require_timestamp": True}), "a token has no timestamp"),
        (ACME | BY_TOKEN | {"WEBHOOK_SECRET_ACME": TOKEN}, "travels with each webhook"),
        (ACME | BY_TOKEN | {"RETIRED_WEBHOOK_SECRET_ACME": TOKEN}, "travels with each webhook"),
        (ACME | {"RETIRED_WEBHOOK_SECRET_ACME": "s3cret"}, "still in use"),
        (filed(ACME, {"acme.openai.base_url": "https://model.acme.example/v1"}), "OPENAI_API_KEY_ACME is missing"),
        (
            {"PREVIOUS_WEBHOOK_SECRET_ACME": "old"},
            "WEBHOOK_SECRET_ACME is missing, but PREVIOUS_WEBHOOK_SECRET_ACME is set",
        ),
        (
            filed({"WEBHOOK_SECRET_ACME": "s3cret"}, {"acme.webhook.mode": "poll"}),
            "SERVICEDESK_URL_ACME is missing, but acme.webhook.mode in tenants.toml is poll",
        ),
    ],
)
def test_settings_that_exclude_or_need_each_other(values: dict[str, str], told: str) -> None:
    (sentence,) = sentences(values)
    assert told in sentence


def test_a_token_alone_makes_a_tenant() -> None:
    acme = tenant(BY_TOKEN)
    assert (acme.webhook_secrets, acme.webhook_token, acme.accepts_webhooks) == ((), TOKEN, True)


POLLED = filed(
    {name: value for name, value in ACME.items() if name.startswith("SERVICEDESK_")}, {"acme.webhook.mode": "poll"}
)


def test_a_desk_that_is_polled_needs_no_secret_and_its_jobs_are_made() -> None:
    polled = tenant(POLLED)
    assert (polled.polled, polled.recovers, polled.accepts_webhooks, polled.usable) == (True, True, False, True)
    assert tenant(filed(POLLED, {"acme.reconcile": "report"})).recovers
    assert tenant(POLLED | {"WEBHOOK_SECRET_ACME": "s3cret"}).accepts_webhooks
    told, healed = tenant(ACME), tenant(filed(ACME, {"acme.reconcile": "on"}))
    assert [(one.polled, one.recovers) for one in (told, healed)] == [(False, False), (False, True)]


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
def test_rules_leave_out_tickets_by_their_names(known: dict[str, str], left_out: bool) -> None:
    rules = TicketRules(only=parse_names("event:ticket.created, category:Network"), never=parse_names("group:HR"))
    assert rules.excludes(known) is left_out


@pytest.mark.parametrize("written", ["BÜRO HR", "Bu\u0308ro HR", "Büro  HR", "Büro\u00a0HR"])
def test_rules_match_names_in_any_spelling(written: str) -> None:
    """An HR queue must not be missed because of spaces or accents."""
    assert TicketRules(never=parse_names(f"group:{written}")).forbids({"group": "Büro HR"})
    assert TicketRules(never=parse_names("group:Büro HR")).forbids({"group": written})
