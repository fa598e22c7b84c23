"""Settings become tenants: accepted forms, and refusals."""

import pytest

from config.secret_files import UNREADABLE
from config.tenant_directory import names_tenant, parse_tenants
from config.tenants import DeskSettings
from tests.config.given import ACME, CLOUD, sentences, tenant
from tests.kit.tenants_toml import filed


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
    values = ACME | CLOUD | {"WEBHOOK_SECRET_ACME_EU": "other", "PREVIOUS_WEBHOOK_SECRET_ACME_EU": "older"}
    tenants, problems = parse_tenants(values)
    assert problems == []
    assert list(tenants) == ["acme", "acme-eu", "globex"]
    assert tenants["acme-eu"].webhook_secrets == ("other", "older")
    assert tenants["acme-eu"].desk is None
    assert tenants["globex"].webhook_secrets == ()


@pytest.mark.parametrize(
    ("name", "tenant_id"),
    [
        ("WEBHOOK_SECRET_ACME_EU_2", "acme-eu-2"),
        ("WEBHOOK_SECRET_ACME-EU", "acme-eu"),
        ("WEBHOOK_SECRET_acme", "acme"),
        ("WEBHOOK_SECRET_URL", "url"),
        ("WEBHOOK_SECRET_" + "A" * 63, "a" * 63),
    ],
)
def test_a_tenant_id_is_the_ending_in_small_letters_with_dashes(name: str, tenant_id: str) -> None:
    assert tenant({name: "s"}).id == tenant_id


@pytest.mark.parametrize("ending", ["ERROR", "TERRORS_INC", "Error", "ACME.EU", "A" * 64, "ÄCME", "A B", "A\nB"])
def test_an_id_that_would_not_fit_into_a_log_line_is_refused(ending: str) -> None:
    (sentence,) = sentences({f"WEBHOOK_SECRET_{ending}": "s3cret"})
    assert sentence.startswith(f"WEBHOOK_SECRET_{ending.upper()[:63]}: a tenant id ")
    assert "s3cret" not in sentence


def test_settings_that_only_look_alike_make_no_tenant() -> None:
    others = {"WEBHOOK_SECRET_": "s", "WEBHOOK_SECRET": "s", "SERVICEDESK_TIMEOUT_SECONDS": "3", "SECRETS_DIR": "/x"}
    assert parse_tenants(others) == ({}, [])


@pytest.mark.parametrize(
    "missing", [name for name in ACME | CLOUD if name.startswith("SERVICEDESK_") and "EDITION" not in name]
)
def test_a_half_configured_desk_names_the_missing_setting(missing: str) -> None:
    desk = ACME if missing in ACME else CLOUD
    assert sentences({name: value for name, value in desk.items() if name != missing}) == [f"{missing} is missing"]


@pytest.mark.parametrize("value", ["\u043a\u043b\u044e\u0447", "k3y\nand more", "k3y\x01", "k\u200b3y"])
def test_a_key_that_cannot_be_sent_is_named(value: str) -> None:
    for values, name in ((ACME, "SERVICEDESK_API_KEY_ACME"), (CLOUD, "SERVICEDESK_REFRESH_TOKEN_GLOBEX")):
        told = f"{name} has a line break or a character that no key has"
        assert sentences(values | {name: value}) == [told]


def test_every_missing_setting_of_a_desk_is_named_at_once() -> None:
    told = " ".join(sentences({"SERVICEDESK_EDITION_GLOBEX": "cloud"}))
    variables = [name for name in CLOUD if name.startswith("SERVICEDESK_") and "EDITION" not in name]
    keys = [f"globex.servicedesk.{key} in tenants.toml" for key in ("client_id", "accounts_url")]
    assert [name for name in (*variables, *keys) if f"{name} is missing" not in told] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICEDESK_EDITION_ACME", "hunter2"),
        ("SERVICEDESK_URL_ACME", "hunter2"),
        ("SERVICEDESK_URL_ACME", "ftp://hunter2"),
        ("SERVICEDESK_URL_ACME", "https://"),
        ("SERVICEDESK_URL_ACME", "https://me:hunter2@desk"),
        ("SERVICEDESK_URL_ACME", "https://:hunter2@desk"),
        ("SERVICEDESK_URL_ACME", "https://desk?key=hunter2"),
        ("SERVICEDESK_URL_ACME", "https://desk#hunter2"),
        ("SERVICEDESK_URL_ACME", "https://desk:99999"),
        *(("SERVICEDESK_URL_ACME", f"https://desk/a{odd}hunter2") for odd in " \t\0"),
        ("SERVICEDESK_URL_ACME", "http://169.254.169.254/hunter2"),
        ("SERVICEDESK_URL_ACME", "http://[::ffff:169.254.169.254]/hunter2"),
        ("SERVICEDESK_URL_ACME", "http://[fe80::1]/hunter2"),
        ("SERVICEDESK_URL_ACME", "http://0.0.0.0/hunter2"),
        ("SERVICEDESK_URL_ACME", "http://224.0.0.1/hunter2"),
        ("WEBHOOK_TOKEN_ACME", "hunter2"),
        ("WEBHOOK_TOKEN_ACME", "hunter2 " * 8),
        ("OPENAI_API_KEY_ACME", "hunter2\n"),
    ],
)
def test_a_wrong_setting_is_named_without_its_value(name: str, value: str) -> None:
    (sentence,) = sentences(ACME | {name: value})
    assert sentence.startswith(name)
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    "host",
    [
        *("2852039166", "0xA9FEA9FE", "0x", "169.254.43518", "169.254.0xa9fe", "0251.0376.0251.0376"),
        *("169.254.169.254.", "2852039166.", "\u0662\u0668\u0665\u0662\u0660\u0663\u0669\u0661\u0666\u0666"),
        *("\uff12\uff18\uff15\uff12\uff10\uff13\uff19\uff11\uff16\uff16", "169\u3002254\u3002169\u3002254", "0"),
        *("desk.1", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[::a9fe:a9fe]"),
        *("[64:ff9b::]", "[fe80::1%25eth0]", "%31%36%39.254.169.254", "exa mple", "de\tsk", "de\nsk", "desk\x7f"),
        *("desk\u00a0x", "de\\sk", "desk..example"),
    ],
)
def test_a_host_that_is_no_name_and_may_be_the_clouds_own_is_refused(host: str) -> None:
    """Resolvers read many number forms as addresses, and gateways map IPv6 to IPv4."""
    (sentence,) = sentences(ACME | {"SERVICEDESK_URL_ACME": f"http://{host}/"})
    assert sentence.startswith("SERVICEDESK_URL_ACME must ")


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


def test_a_previous_secret_alone_is_a_rotation_gone_wrong() -> None:
    (sentence,) = sentences({"PREVIOUS_WEBHOOK_SECRET_ACME": "old"})
    assert sentence == "WEBHOOK_SECRET_ACME is missing, but PREVIOUS_WEBHOOK_SECRET_ACME is set"


@pytest.mark.parametrize("required", [True, False, None])
def test_a_tenant_may_require_a_signed_timestamp(required: bool | None) -> None:
    acme = tenant(filed(ACME, {"acme.webhook.require_timestamp": required}))
    assert acme.require_timestamp is bool(required)


def test_what_an_admin_writes_around_an_address_does_not_matter() -> None:
    for url in ("https://desk.acme.example:8080/", "https://desk.acme.example:8080/api/v3/"):
        assert tenant(ACME | {"SERVICEDESK_URL_ACME": url}) == tenant(ACME)


def test_there_may_be_more_names_of_closed_statuses() -> None:
    desk = tenant(filed(ACME, {"acme.servicedesk.closed_statuses": [" Done", "gelöst ", "GELÖST"]})).desk
    assert desk is not None
    assert desk.closed_statuses == {"done", "gelöst"}


def test_secrets_stay_out_of_the_text_of_a_tenant() -> None:
    for values in (ACME, CLOUD | {"WEBHOOK_SECRET_GLOBEX": "s3cret"}):
        shown = repr(tenant(values))
        assert not [secret for secret in ("s3cret", "k3y", "hidden", "'token'") if secret in shown]


def test_a_tenant_may_be_named_while_the_secrets_cannot_be_listed() -> None:
    assert names_tenant({"SERVICEDESK_URL_ACME": "x"}, "acme")
    assert names_tenant(filed({}, {"acme.mode": "live"}), "acme")
    assert names_tenant({"tenants.toml": UNREADABLE}, "acme")
    assert not names_tenant({"SERVICEDESK_URL_ACME": "x", "SECRETS_DIR": "/run/secrets"}, "globex")
    assert names_tenant({"SECRETS_DIR": UNREADABLE}, "globex")
