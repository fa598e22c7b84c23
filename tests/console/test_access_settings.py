"""Console logins from settings: unusable ones are named without their values."""

from pathlib import Path

import pytest

from config.secret_files import UNREADABLE
from config.settings import ConsoleSettings
from config.tenants import owner
from console.access import AccessDirectory, ConsoleRole, parse_access, read_access
from tests.kit.clock import Clock

TOKEN, OTHER = "anna-0123456789-abcdefghijklmnop", "olga-0123456789-abcdefghijklmnop"
SETTINGS = {"database_url": "postgresql://a@b/c", "redis_url": "redis://r", "console_key": TOKEN}
ANNA = {"CONSOLE_TOKEN_ANNA": TOKEN, "CONSOLE_ROLE_ANNA": "support"}
OLGA = {"CONSOLE_TOKEN_OLGA": OTHER, "CONSOLE_ROLE_OLGA": "operator"}
OIDC = {
    "CONSOLE_OIDC_ISSUER": "https://login.example.com/realms/acme",
    "CONSOLE_OIDC_CLIENT_ID": "console",
    "CONSOLE_OIDC_ROLES": "desk-ops=operator+texts, acme=support:acme, CN=a b = support",
}


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("support", ConsoleRole("support")),
        ("support:acme-eu", ConsoleRole("support", "acme-eu")),
        ("support:acme+texts", ConsoleRole("support", "acme", reads_texts=True)),
        ("operator+texts", ConsoleRole("operator", reads_texts=True)),
        (" operator ", ConsoleRole("operator")),
    ],
)
def test_a_role_is_read(text: str, role: ConsoleRole) -> None:
    (token,) = parse_access({"CONSOLE_TOKEN_DESK_1": TOKEN, "CONSOLE_ROLE_DESK_1": text}).tokens
    assert (token.name, token.role) == ("desk-1", role)
    assert TOKEN not in repr(token)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"CONSOLE_ROLE_ANNA": "operator:acme"}, "CONSOLE_ROLE_ANNA must be support, support:TENANT or operator"),
        *(
            ({"CONSOLE_ROLE_ANNA": role}, "CONSOLE_ROLE_ANNA must be")
            for role in ("support:ACME", "admin", "support+text", "")
        ),
        ({"CONSOLE_ROLE_ANNA": UNREADABLE}, "CONSOLE_ROLE_ANNA: its file can't be read"),
        ({"CONSOLE_TOKEN_ANNA": "short"}, "CONSOLE_TOKEN_ANNA must have at least 32 characters"),
        ({"CONSOLE_TOKEN_ANNA": "a b" * 20}, "no blanks"),
        ({"CONSOLE_TOKEN_ANNA": "ü" * 40}, "no blanks"),
        ({"CONSOLE_TOKEN_ANNA": "ab" * 20}, "CONSOLE_TOKEN_ANNA could be guessed"),
        ({"CONSOLE_TOKEN_ANNA": UNREADABLE}, "CONSOLE_TOKEN_ANNA: its file can't be read"),
    ],
)
def test_what_is_wrong_closes_that_token_alone(values: dict[str, str], said: str) -> None:
    access = parse_access(ANNA | OLGA | values)
    assert [token.name for token in access.tokens] == ["olga"]
    (problem,) = access.problems
    assert said in problem
    assert "the token is disabled" in problem
    assert not any(value and value in problem for value in values.values() if len(value) > 5)


def test_a_token_without_a_role_two_alike_and_a_role_without_a_token_are_told() -> None:
    alone = parse_access({"CONSOLE_TOKEN_ANNA": TOKEN, "CONSOLE_ROLE_OLGA": "operator"})
    assert alone.problems == (
        "CONSOLE_ROLE_ANNA is missing: the token is disabled",
        "CONSOLE_ROLE_OLGA is set, but CONSOLE_TOKEN_OLGA is not",
    )
    alike = parse_access(ANNA | OLGA | {"CONSOLE_TOKEN_OLGA": TOKEN})
    assert alike.tokens == ()
    assert len(alike.problems) == 2
    odd = parse_access({"CONSOLE_TOKEN_MY_ERRORS": TOKEN, "CONSOLE_ROLE_MY_ERRORS": "support"})
    assert (odd.tokens, len(odd.problems)) == ((), 1)


def test_a_provider_is_read_with_its_values_in_their_order() -> None:
    oidc = parse_access(OIDC).oidc
    assert oidc is not None
    assert list(oidc.roles) == ["desk-ops", "acme", "CN=a b"]
    assert oidc.roles["acme"] == ConsoleRole("support", "acme")
    assert (oidc.claim, oidc.client_secret) == ("groups", "")
    assert {role.tenant_id for role in parse_access(OIDC).roles} == {"acme", None}
    # No setting of the console is a tenant's.
    assert {owner(name) for name in (*ANNA, *OIDC)} == {("", "")}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"CONSOLE_OIDC_ISSUER": "http://login.example.com"}, "CONSOLE_OIDC_ISSUER must begin with https://"),
        ({"CONSOLE_OIDC_ISSUER": "https://u:p@login.example.com"}, "CONSOLE_OIDC_ISSUER must be"),
        ({"CONSOLE_OIDC_ISSUER": ""}, "CONSOLE_OIDC_ISSUER is missing"),
        ({"CONSOLE_OIDC_CLIENT_ID": ""}, "CONSOLE_OIDC_CLIENT_ID is missing"),
        ({"CONSOLE_OIDC_ROLES": ""}, "CONSOLE_OIDC_ROLES is missing"),
        ({"CONSOLE_OIDC_ROLES": "desk-ops"}, "CONSOLE_OIDC_ROLES must be VALUE=ROLE"),
        ({"CONSOLE_OIDC_ROLES": "a=support, a=operator"}, "CONSOLE_OIDC_ROLES must name each value once"),
        ({"CONSOLE_OIDC_ROLES": "a=root"}, "CONSOLE_OIDC_ROLES must be support"),
        ({"CONSOLE_OIDC_CLIENT_SECRET": UNREADABLE}, "CONSOLE_OIDC_CLIENT_SECRET: its file can't be read"),
        ({"CONSOLE_OIDC_SCOPE": "x"}, "CONSOLE_OIDC_SCOPE is unknown"),
    ],
)
def test_what_is_wrong_with_the_provider_is_told_and_tokens_go_on(changed: dict[str, str], said: str) -> None:
    values = {name: value for name, value in (OIDC | changed).items() if value}
    access = parse_access(values | ANNA)
    assert access.oidc is None
    assert len(access.tokens) == 1
    assert said in access.problems[0]


def test_a_file_that_is_deleted_or_narrowed_counts_when_it_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "CONSOLE_TOKEN_ANNA").write_text(f"{TOKEN}\n")
    (tmp_path / "CONSOLE_ROLE_ANNA").write_text("operator")
    (tmp_path / "WEBHOOK_SECRET_ACME").write_text("s")
    heard: list[str] = []
    now, monotonic = Clock(2_000_000_000.0), Clock()
    read = read_access(tmp_path, now=now)
    access = AccessDirectory(read, on_problem=heard.append, monotonic=monotonic)
    assert [token.role.kind for token in access.now().tokens] == ["operator"]
    (tmp_path / "CONSOLE_ROLE_ANNA").write_text("support")
    monotonic.now += 6
    now.now += 60
    assert [token.role.kind for token in access.now().tokens] == ["support"]
    (tmp_path / "CONSOLE_TOKEN_ANNA").unlink()
    monotonic.now += 4
    assert len(access.now().tokens) == 1
    monotonic.now += 2
    assert access.now().tokens == ()
    assert heard == ["CONSOLE_ROLE_ANNA is set, but CONSOLE_TOKEN_ANNA is not"]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Console.example.com/", "https://console.example.com"),
        ("https://console.example.com:443", "https://console.example.com"),
        ("https://console.example.com:8443", "https://console.example.com:8443"),
        ("http://localhost:8010", "http://localhost:8010"),
        ("http://[::1]:8010", "http://[::1]:8010"),
    ],
)
def test_the_address_of_the_console_is_an_origin(url: str, origin: str) -> None:
    settings = ConsoleSettings.model_validate(SETTINGS | {"console_url": url})
    assert settings.console_url == origin
    assert TOKEN not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *(
            ("console_url", url, "console_url")
            for url in (
                *("http://console.example.com", "https://console.example.com/ops", "https://user@console.example.com"),
                *("ftp://console.example.com", "https://konsole.münchen.example"),
            )
        ),
        ("console_key", "abcabcabc" * 4, "could be guessed"),
        ("console_previous_key", "abcabcabc" * 4, "could be guessed"),
    ],
)
def test_an_unusable_address_or_key_is_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ConsoleSettings.model_validate(SETTINGS | {name: value})
