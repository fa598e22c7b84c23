"""OpenID login: requests to the provider, and checks of its answers."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.logs import StartLog
from tests.support.console import fake_issuer
from tests.support.console.fake_issuer import CLIENT_ID, FakeIssuer, begun, came_back, rsa_key, with_provider
from tests.support.console.site import LETTING_IN, TOKENS, console_site, csrf_of


async def test_whom_the_provider_vouches_for_has_the_role_of_the_first_value(start_log: StartLog) -> None:
    lines = start_log()
    async with with_provider() as (site, issuer, browser):
        query = await begun(browser)
        assert query["scope"] == "openid profile groups"
        assert query["redirect_uri"] == f"{site.url}/login/provider/back"
        assert query["tenant"] == "ours"
        entered = await came_back(issuer, browser, "/tickets/acme/7")
        assert (entered.status_code, entered.headers["location"]) == (303, "/tickets/acme/7")
        page = await browser.get("/")
        assert "zoe<span" in page.text
        assert "&#34;operator&#34;" in page.text or "operator" in page.text
        # One code, and one request each for discovery and keys, however many logins arrive.
        await came_back(issuer, browser)
        assert issuer.asked.count("/.well-known/openid-configuration") == issuer.asked.count("/keys") == 1
    said = lines.getvalue()
    assert "Console login: visitor=248289761001, role=operator+texts, by=provider" in said
    assert "zoe" not in said


async def test_a_client_proves_itself_as_the_provider_wants_it() -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.told["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
        assert (await came_back(issuer, browser)).status_code == 303
    async with with_provider(CONSOLE_OIDC_CLIENT_SECRET="") as (_, issuer, browser):
        issuer.public = True
        assert (await came_back(issuer, browser)).status_code == 303


@pytest.mark.parametrize(
    "groups", [[], ["others"], None, "desk", {"desk-ops": True}, [["desk-ops"], 7], "staff,desk-ops"]
)
async def test_who_has_no_role_is_told_so_and_gets_nothing(groups: object) -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.claims = {"groups": groups, "preferred_username": "<b>zoe"}
        answer = await came_back(issuer, browser)
        assert answer.status_code == 403
        assert "You are logged in there as &lt;b&gt;zoe, but none of your groups has a role" in answer.text
        assert (await browser.get("/")).headers["location"] == "/login"


async def test_another_claim_may_have_the_roles_and_a_text_is_a_value_too() -> None:
    async with with_provider(CONSOLE_OIDC_CLAIM="job") as (_, issuer, browser):
        issuer.claims = {"job": "acme"}
        await came_back(issuer, browser)
        assert "support of acme" in (await browser.get("/")).text


async def test_a_mapping_or_a_provider_that_is_gone_ends_its_sessions_at_once() -> None:
    for name, value in (
        ("CONSOLE_OIDC_ROLES", "staff=support"),
        ("CONSOLE_OIDC_CLIENT_ID", "another"),
        ("CONSOLE_OIDC_ISSUER", "https://other.example"),
        ("CONSOLE_OIDC_ROLES", "unreadable"),
        ("CONSOLE_OIDC_CLAIM", "roles"),
    ):
        async with with_provider() as (site, issuer, browser):
            await came_back(issuer, browser)
            assert (await browser.get("/")).status_code == 200
            site.values[name] = value
            site.monotonic.now += 6
            assert (await browser.get("/")).status_code == 303


FORGED: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "another client": {"aud": "another"},
    "several clients, and it is not said which": {"aud": [CLIENT_ID, "another"]},
    "another party": {"azp": "another"},
    "expired": {"exp": int(time.time()) - 10_000},
    "of the future": {"iat": int(time.time()) + 10_000},
    "another login": {"nonce": "another"},
    "several logins": {"nonce": ["another"]},
    "without a nonce": {"nonce": None},
    "without an end": {"exp": None},
    "an end that is none": {"exp": "never"},
    "nobody": {"sub": ""},
    "a number": {"sub": 7},
}


@pytest.mark.parametrize("claims", FORGED.values(), ids=FORGED)
async def test_an_id_token_that_says_something_else_is_not_believed(claims: dict[str, Any]) -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.claims = claims
        answer = await came_back(issuer, browser)
        assert (answer.status_code, "did not say who you are" in answer.text) == (403, True)
        assert (await browser.get("/")).status_code == 303


SIGNERS: dict[str, Callable[[FakeIssuer, dict[str, Any]], str]] = {
    "nobody": fake_issuer.unsigned,
    "the public key as a secret": fake_issuer.by_shared_secret,
    "another key of that name": lambda issuer, claims: issuer.signed(claims, rsa_key("one", 1)),
    "another key": lambda issuer, claims: issuer.signed(claims, rsa_key("other")),
    "cut": lambda issuer, claims: issuer.signed(claims)[:-8],
    "no token": lambda _issuer, _claims: "a.b.c",
    "empty": lambda _issuer, _claims: "",
}


@pytest.mark.parametrize("sign", SIGNERS.values(), ids=SIGNERS)
async def test_an_id_token_that_the_provider_has_not_signed_is_not_believed(
    sign: Callable[[FakeIssuer, dict[str, Any]], str],
) -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.sign = sign
        assert (await came_back(issuer, browser)).status_code == 403
        assert (await browser.get("/")).status_code == 303


async def test_a_new_key_of_the_provider_is_found() -> None:
    async with with_provider() as (site, issuer, browser):
        assert (await came_back(issuer, browser)).status_code == 303
        issuer.key = rsa_key("two")
        issuer.shown[:] = [issuer.key]
        # Not for each forged token.
        assert (await came_back(issuer, browser)).status_code == 403
        site.monotonic.now += 61
        assert (await came_back(issuer, browser)).status_code == 303


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"state": "another"}, 400),
        ({"state": ""}, 400),
        ({"code": ""}, 403),
        ({"code": "another"}, 403),
        ({"error": "access_denied", "error_description": "<script>"}, 403),
    ],
)
async def test_who_comes_back_otherwise_than_he_went_is_not_let_in(changed: dict[str, str], status: int) -> None:
    async with with_provider() as (_, issuer, browser):
        answer = await came_back(issuer, browser, **changed)
        assert answer.status_code == status
        assert "<script>" not in answer.text
        assert (await browser.get("/")).status_code == 303


async def test_a_login_of_another_browser_or_of_long_ago_can_not_be_ended_here() -> None:
    async with with_provider() as (site, issuer, browser), site.browser() as victim:
        query = await begun(browser)
        back = {"code": issuer.grant(query), "state": query["state"]}
        assert (await victim.client.get("/login/provider/back", params=back)).status_code == 400
        await begun(victim)
        assert (await victim.client.get("/login/provider/back", params=back)).status_code == 400
        site.now.now += 601
        assert (await browser.client.get("/login/provider/back", params=back)).status_code == 400
        site.now.now -= 601
        assert (await browser.client.get("/login/provider/back", params=back)).status_code == 303
        # The code works once.
        assert (await browser.client.get("/login/provider/back", params=back)).status_code == 400


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/\\evil"])
async def test_after_the_provider_one_is_here(to: str) -> None:
    async with with_provider() as (_, issuer, browser):
        assert (await came_back(issuer, browser, to)).headers["location"] == "/"


ODD: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://evil.example"},
    "no token endpoint": {"token_endpoint": None},
    "a token endpoint in the clear": {"token_endpoint": "http://evil.example/token"},
    "a token endpoint that is no address": {"token_endpoint": "https://[provider"},
    "an odd place to log in": {"authorization_endpoint": "javascript:alert(1)"},
}


@pytest.mark.parametrize("told", ODD.values(), ids=ODD)
async def test_a_provider_that_says_odd_things_of_itself_is_not_used(told: dict[str, Any], start_log: StartLog) -> None:
    lines = start_log()
    async with with_provider() as (_, issuer, browser):
        issuer.told = told
        answer = await browser.get("/login/provider")
        assert (answer.status_code, "log in with a token" in answer.text) == (503, True)
    assert "Console login error: the OpenID provider:" in lines.getvalue()


@pytest.mark.parametrize("answer", [(500, {}), (200, b"<html>"), (200, []), (503, b"busy"), (200, b"[" * 100_000)])
async def test_a_provider_that_is_away_in_between_is_told_of_and_tokens_go_on(answer: tuple[int, Any]) -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.token_answer = answer
        assert (await came_back(issuer, browser)).status_code == 503
        assert (await browser.log_in(TOKENS["ANNA"])).status_code == 303
    async with (
        console_site(
            values=LETTING_IN
            | {
                "CONSOLE_OIDC_ISSUER": "http://127.0.0.1:1",
                "CONSOLE_OIDC_CLIENT_ID": "c",
                "CONSOLE_OIDC_ROLES": "a=support",
            }
        ) as site,
        site.browser() as browser,
    ):
        assert (await browser.get("/login/provider")).status_code == 503
        assert "Log in with your company" in (await browser.get("/login")).text
        assert (await browser.log_in(TOKENS["ANNA"])).status_code == 303


async def test_a_provider_chooses_no_option_of_our_client() -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.told = {"scope": "everything", "verify": False, "timeout": 600, "transport": None, "outward": None}
        issuer.told["id_token_signing_alg_values_supported"] = ["none", "HS256", "RS256"]
        assert (await begun(browser))["scope"] == "openid profile groups"
        for sign in (fake_issuer.unsigned, fake_issuer.by_shared_secret):
            issuer.sign = sign
            assert (await came_back(issuer, browser)).status_code == 403
        issuer.sign = None
        assert (await came_back(issuer, browser)).status_code == 303


async def test_a_crowd_at_the_login_asks_the_provider_once_and_fills_no_log(start_log: StartLog) -> None:
    """A login can be begun without a token."""
    lines = start_log()
    async with with_provider() as (site, issuer, browser):
        issuer.told = {"issuer": "https://another.example"}
        for _ in range(20):
            assert (await browser.get("/login/provider")).status_code == 503
        assert issuer.asked == ["/.well-known/openid-configuration"]
        issuer.told = {}
        site.monotonic.now += 6
        for _ in range(20):
            assert (await came_back(issuer, browser, error="access_denied")).status_code == 403
    said = lines.getvalue()
    assert said.count("Console login error: the OpenID provider") == 1
    assert said.count("Console login refused: reason=login not given") == 10
    assert said.count("Console logins refused in a minute") == 1


async def test_of_those_who_ask_for_a_silent_provider_few_wait() -> None:
    """No token is needed, and each waiting login holds a connection that users need."""
    async with with_provider() as (_, issuer, browser):
        issuer.silent_until = asyncio.Event()
        asked = [asyncio.ensure_future(browser.get("/login/provider")) for _ in range(20)]
        answers = asyncio.as_completed(asked)
        assert [(await next(answers)).status_code for _ in range(12)] == [503] * 12
        issuer.silent_until.set()
        assert [(await answer).status_code for answer in answers] == [303] * 8


@pytest.mark.parametrize("other", [{"kty": "EC", "crv": "BP-256", "x": "AA", "y": "AA"}, {"kty": "AKP"}, 7])
async def test_a_key_of_a_kind_that_we_do_not_know_takes_none_of_the_others(other: Any) -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.others = [other]
        assert (await came_back(issuer, browser)).status_code == 303


async def test_a_provider_whose_keys_are_all_unknown_is_away() -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.others, issuer.shown[:] = [{"kty": "AKP"}], []
        assert (await came_back(issuer, browser)).status_code == 503


async def test_a_provider_whose_keys_are_where_no_address_can_be_made_of_is_away() -> None:
    async with with_provider() as (_, issuer, browser):
        issuer.told = {"jwks_uri": f"https://ä{'a' * 70}.example/keys"}
        assert (await browser.get("/login/provider")).status_code == 503


@pytest.mark.parametrize("subject", ["jane.doe@desk.example", "x, role=operator", "an ERROR", "terror", "\u202eanna"])
async def test_a_subject_that_is_more_than_an_id_is_in_no_line(subject: str, start_log: StartLog) -> None:
    lines = start_log()
    async with with_provider() as (_, issuer, browser):
        issuer.claims = {"sub": subject}
        assert (await came_back(issuer, browser)).status_code == 303
        await browser.send("/change")
    said = [line for line in lines.getvalue().splitlines() if "visitor=" in line]
    marks = {line.partition("visitor=")[2].partition(",")[0] for line in said}
    assert (len(said), len(marks), subject in lines.getvalue()) == (2, 1, False)
    assert marks.pop().isalnum()


async def test_logins_in_several_tabs_do_not_end_each_other() -> None:
    async with with_provider() as (_, issuer, browser):
        query = await begun(browser)
        page = await browser.get("/login")
        back = {"code": issuer.grant(query), "state": query["state"]}
        assert (await browser.client.get("/login/provider/back", params=back)).status_code == 303
        form = {"token": TOKENS["ANNA"], "csrf": csrf_of(page)}
        assert (await browser.client.post("/login", data=form)).status_code == 303
        assert "anna" in (await browser.get("/")).text
    async with with_provider() as (_, _issuer, browser):
        page = await browser.get("/login")
        await begun(browser)
        form = {"token": TOKENS["ANNA"], "csrf": csrf_of(page)}
        assert (await browser.client.post("/login", data=form)).status_code == 303
