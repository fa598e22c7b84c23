"""OpenID login: requests to the provider, and checks of its answers."""

import asyncio
import io
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.console import fake_issuer
from tests.console.fake_issuer import CLIENT_ID, FakeIssuer, Member, rsa_key, with_provider
from tests.console.site import TOKENS, csrf_of
from tests.kit.logs import StartLog


async def test_whom_the_provider_vouches_for_has_the_first_role(log: io.StringIO, member: Member) -> None:
    query = await member.begun()
    assert query["scope"] == "openid profile groups"
    assert query["redirect_uri"] == f"{member.site.url}/login/provider/back"
    assert query["tenant"] == "ours"
    entered = await member.came_back("/tickets/acme/7")
    assert (entered.status_code, entered.headers["location"]) == (303, "/tickets/acme/7")
    page = await member.get("/")
    assert "zoe<span" in page.text
    assert "&#34;operator&#34;" in page.text or "operator" in page.text
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil"):
        assert (await member.came_back(elsewhere)).headers["location"] == "/"
    # One code, and one request each for discovery and keys, however many logins arrive.
    assert member.issuer.asked.count("/.well-known/openid-configuration") == member.issuer.asked.count("/keys") == 1
    log_text = log.getvalue()
    assert "Console login: visitor=248289761001, role=operator+texts, by=provider" in log_text
    assert "zoe" not in log_text


async def test_a_client_proves_itself_as_the_provider_wants_it() -> None:
    async with with_provider() as member:
        member.issuer.told["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
        assert (await member.came_back()).status_code == 303
    async with with_provider(CONSOLE_OIDC_CLIENT_SECRET="") as member:
        member.issuer.public = True
        assert (await member.came_back()).status_code == 303


async def test_who_has_no_role_is_told_so_and_gets_nothing(member: Member) -> None:
    for groups in ([], ["others"], None, "desk", {"desk-ops": True}, [["desk-ops"], 7], "staff,desk-ops"):
        member.issuer.claims = {"groups": groups, "preferred_username": "<b>zoe"}
        answer = await member.came_back()
        assert answer.status_code == 403
        assert "You are logged in as &lt;b&gt;zoe, but none of your groups has a role" in answer.text
        assert (await member.get("/")).headers["location"] == "/login"


async def test_another_claim_may_have_the_roles_and_a_text_is_a_value_too() -> None:
    async with with_provider(CONSOLE_OIDC_CLAIM="job") as member:
        member.issuer.claims = {"job": "acme"}
        await member.came_back()
        assert "support of acme" in (await member.get("/")).text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROLES", "staff=support"),
        ("CLIENT_ID", "another"),
        ("ISSUER", "https://other.example"),
        ("ROLES", "unreadable"),
        ("CLAIM", "roles"),
    ],
)
async def test_a_changed_provider_ends_its_sessions(name: str, value: str, member: Member) -> None:
    await member.came_back()
    assert (await member.get("/")).status_code == 200
    member.site.values[f"CONSOLE_OIDC_{name}"] = value
    member.site.monotonic.now += 6
    assert (await member.get("/")).status_code == 303


Forgery = dict[str, Any] | Callable[[FakeIssuer, dict[str, Any]], str]
FORGED: dict[str, Forgery] = {
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
    "signed by nobody": fake_issuer.unsigned,
    "signed by the public key as a secret": fake_issuer.by_shared_secret,
    "signed by another key of that name": lambda issuer, claims: issuer.signed(claims, rsa_key("one", 1)),
    "signed by another key": lambda issuer, claims: issuer.signed(claims, rsa_key("other")),
    "cut": lambda issuer, claims: issuer.signed(claims)[:-8],
    "no token": lambda _issuer, _claims: "a.b.c",
    "empty": lambda _issuer, _claims: "",
}


@pytest.mark.parametrize("forgery", FORGED.values(), ids=FORGED)
async def test_a_forged_id_token_is_not_believed(forgery: Forgery, member: Member) -> None:
    if isinstance(forgery, dict):
        member.issuer.claims = forgery
    else:
        member.issuer.sign = forgery
    answer = await member.came_back()
    assert (answer.status_code, "did not confirm who you are" in answer.text) == (403, True)
    assert (await member.get("/")).status_code == 303


async def test_a_new_key_of_the_provider_is_found(member: Member) -> None:
    assert (await member.came_back()).status_code == 303
    member.issuer.key = rsa_key("two")
    member.issuer.shown[:] = [member.issuer.key]
    # Not for each forged token.
    assert (await member.came_back()).status_code == 403
    member.site.monotonic.now += 61
    assert (await member.came_back()).status_code == 303


async def test_who_comes_back_otherwise_is_not_let_in(member: Member) -> None:
    for changed, status in (
        ({"state": "another"}, 400),
        ({"state": ""}, 400),
        ({"code": ""}, 403),
        ({"code": "another"}, 403),
        ({"error": "access_denied", "error_description": "<script>"}, 403),
    ):
        answer = await member.came_back(**changed)
        assert (answer.status_code, "<script>" in answer.text) == (status, False)
        assert (await member.get("/")).status_code == 303


async def test_a_login_of_another_browser_or_of_long_ago_can_not_be_ended_here(member: Member) -> None:
    query = await member.begun()
    back = {"code": member.issuer.grant(query), "state": query["state"]}
    async with member.site.browser() as browser:
        victim = Member(browser.client, member.issuer, member.site)
        assert (await victim.back(back)).status_code == 400
        await victim.begun()
        assert (await victim.back(back)).status_code == 400
    member.site.now.now += 601
    assert (await member.back(back)).status_code == 400
    member.site.now.now -= 601
    assert (await member.back(back)).status_code == 303
    # The code works once.
    assert (await member.back(back)).status_code == 400


ODD: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://evil.example"},
    "no token endpoint": {"token_endpoint": None},
    "a token endpoint in the clear": {"token_endpoint": "http://evil.example/token"},
    "a token endpoint that is no address": {"token_endpoint": "https://[provider"},
    "an odd place to log in": {"authorization_endpoint": "javascript:alert(1)"},
    "keys where no address can be made of": {"jwks_uri": f"https://ä{'a' * 70}.example/keys"},
}


@pytest.mark.parametrize("told", ODD.values(), ids=ODD)
async def test_an_odd_provider_is_unused(told: dict[str, Any], start_log: StartLog, member: Member) -> None:
    lines = start_log()
    member.issuer.told = told
    answer = await member.get("/login/provider")
    assert (answer.status_code, "log in with a token" in answer.text) == (503, True)
    assert "Console login error: the OpenID provider:" in lines.getvalue()


@pytest.mark.parametrize("answer", [(500, {}), (200, b"<html>"), (200, []), (503, b"busy"), (200, b"[" * 100_000)])
async def test_while_a_provider_is_away_tokens_go_on(answer: tuple[int, Any], member: Member) -> None:
    member.issuer.token_answer = answer
    assert (await member.came_back()).status_code == 503
    assert (await member.log_in(TOKENS["ANNA"])).status_code == 303


async def test_without_a_provider_tokens_go_on() -> None:
    async with with_provider(CONSOLE_OIDC_ISSUER="http://127.0.0.1:1") as member:
        assert (await member.get("/login/provider")).status_code == 503
        assert "Log in with your company" in (await member.get("/login")).text
        assert (await member.log_in(TOKENS["ANNA"])).status_code == 303


async def test_a_provider_chooses_no_option_of_our_client(member: Member) -> None:
    member.issuer.told = {"scope": "everything", "verify": False, "timeout": 600, "transport": None, "egress": None}
    member.issuer.told["id_token_signing_alg_values_supported"] = ["none", "HS256", "RS256"]
    assert (await member.begun())["scope"] == "openid profile groups"
    for sign in (fake_issuer.unsigned, fake_issuer.by_shared_secret):
        member.issuer.sign = sign
        assert (await member.came_back()).status_code == 403
    member.issuer.sign = None
    assert (await member.came_back()).status_code == 303


async def test_a_crowd_asks_the_provider_once_and_fills_no_log(log: io.StringIO, member: Member) -> None:
    """A login can be begun without a token."""
    member.issuer.told = {"issuer": "https://another.example"}
    for _ in range(20):
        assert (await member.get("/login/provider")).status_code == 503
    assert member.issuer.asked == ["/.well-known/openid-configuration"]
    member.issuer.told = {}
    member.site.monotonic.now += 6
    for _ in range(20):
        assert (await member.came_back(error="access_denied")).status_code == 403
    log_text = log.getvalue()
    assert log_text.count("Console login error: the OpenID provider") == 1
    assert log_text.count("Console login refused: reason=login not given") == 10
    assert log_text.count("Console logins refused in a minute") == 1


async def test_few_logins_wait_for_a_silent_provider(member: Member) -> None:
    """No token is needed, and each waiting login holds a connection that users need."""
    member.issuer.silent_until = asyncio.Event()
    task = [asyncio.ensure_future(member.get("/login/provider")) for _ in range(20)]
    answers = asyncio.as_completed(task)
    assert [(await next(answers)).status_code for _ in range(12)] == [503] * 12
    member.issuer.silent_until.set()
    assert [(await answer).status_code for answer in answers] == [302] * 8


@pytest.mark.parametrize("other", [{"kty": "EC", "crv": "BP-256", "x": "AA", "y": "AA"}, {"kty": "AKP"}, 7])
async def test_a_key_of_a_kind_that_we_do_not_know_takes_none_of_the_others(other: Any, member: Member) -> None:
    member.issuer.others = [other]
    assert (await member.came_back()).status_code == 303


async def test_a_provider_whose_keys_are_all_unknown_is_away(member: Member) -> None:
    member.issuer.others, member.issuer.shown[:] = [{"kty": "AKP"}], []
    assert (await member.came_back()).status_code == 503


@pytest.mark.parametrize("subject", ["jane.doe@desk.example", "x, role=operator", "an ERROR", "terror", "\u202eanna"])
async def test_a_subject_that_is_no_id_is_in_no_line(subject: str, log: io.StringIO, member: Member) -> None:
    member.issuer.claims = {"sub": subject}
    assert (await member.came_back()).status_code == 303
    await member.send("/change")
    matching_lines = [line for line in log.getvalue().splitlines() if "visitor=" in line]
    marks = {line.partition("visitor=")[2].partition(",")[0] for line in matching_lines}
    assert (len(matching_lines), len(marks), subject in log.getvalue()) == (2, 1, False)
    assert re.fullmatch(r"[\w-]+", marks.pop())


async def test_logins_in_several_tabs_do_not_end_each_other(member: Member) -> None:
    query = await member.begun()
    page = await member.get("/login")
    back = {"code": member.issuer.grant(query), "state": query["state"]}
    assert (await member.back(back)).status_code == 303
    form = {"token": TOKENS["ANNA"], "csrf": csrf_of(page)}
    assert (await member.client.post("/login", data=form)).status_code == 303
    assert "anna" in (await member.get("/")).text
    async with member.site.browser() as browser:
        other = Member(browser.client, member.issuer, member.site)
        form["csrf"] = csrf_of(await other.get("/login"))
        await other.begun()
        assert (await other.client.post("/login", data=form)).status_code == 303
