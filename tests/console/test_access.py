"""Token login, sessions, and their end."""

import io
import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import httpx2
import pytest

from cli.pilot.postgres import Postgres
from console.login import MAX_FAILURES
from console.sessions import IDLE_SECONDS, LASTS_SECONDS, LINK_SECONDS
from tests.console.site import KEY, OLD_KEY, TOKENS, Browser, ConsoleSite, console_site
from tests.kit.postgres import Table


def asked(page: httpx2.Response) -> dict[str, Any]:
    (names_found,) = re.findall(r'data-said="said">(.*?)</p>', page.text)
    return dict(json.loads(unescape(names_found)))


async def test_without_a_session_every_address_leads_to_the_login(stranger: Browser) -> None:
    for path in ("/tickets/acme/12345", "/nothing/here", "/failures"):
        answer = await stranger.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/login?next={path.replace('/', '%2F')}"
    assert (await stranger.get("/")).headers["location"] == "/login"
    assert (await stranger.client.post("/change", data={})).headers["location"] == "/login"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("anna", {"role": "support", "tenant": None, "texts": False}),
        ("acme", {"role": "support", "tenant": "acme", "texts": False}),
        ("olga", {"role": "operator", "tenant": None, "texts": True}),
    ],
)
async def test_a_token_lets_in_as_what_its_role_says(name: str, told: dict[str, Any], stranger: Browser) -> None:
    entered = await stranger.log_in(TOKENS[name.upper()], "/?said=said")
    assert (entered.status_code, entered.headers["location"]) == (303, "/?said=said")
    assert asked(await stranger.get("/")) == {"name": name, "path": {}, **told}


async def test_another_text_lets_nobody_in(stranger: Browser) -> None:
    for token in ("", "wrong", TOKENS["ANNA"][:-1], TOKENS["ANNA"] + "x", "x" * 100_000, "ü" * 40):
        assert (await stranger.log_in(token)).status_code in (400, 403), token
        assert (await stranger.get("/")).status_code == 303


async def test_a_link_lets_its_holder_in_once_and_within_five_minutes(console: ConsoleSite) -> None:
    (anna,) = [token for token in console.sessions.access.now().tokens if token.name == "anna"]
    link, late = console.sessions.link(anna), console.sessions.link(anna)
    async with console.browser() as browser, console.browser() as thief:
        assert (await browser.get(f"/login/link?link={link}")).headers["location"] == "/"
        assert asked(await browser.get("/"))["name"] == "anna"
        console.now.now += LINK_SECONDS + 1
        for refused in (link, late, late[:-1], "", "x" * 5000):
            answer = await thief.get(f"/login/link?link={refused}")
            assert answer.status_code == 403, refused
            assert "older than five minutes" in answer.text
        assert (await thief.get("/")).status_code == 303


async def test_a_cookie_is_for_the_browser_alone_and_over_tls_for_this_host_alone() -> None:
    async with console_site() as site, site.browser() as browser:
        cookies = (await browser.log_in(TOKENS["ANNA"])).headers.get_list("set-cookie")
        (session,) = [cookie for cookie in cookies if cookie.startswith("console=")]
        assert session.split("; ")[1:] == ["HttpOnly", "Path=/", "SameSite=lax"]
        assert TOKENS["ANNA"] not in session
    url = "https://console.example.com"
    async with console_site(url=url) as site, site.browser(Host="console.example.com") as browser:
        page = await browser.get("/login")
        (login,) = page.headers.get_list("set-cookie")
        assert login.startswith("__Host-console-login=")
        assert login.split("; ")[1:] == ["HttpOnly", "Path=/", "SameSite=lax", "Secure"]
        assert page.headers["strict-transport-security"] == "max-age=31536000"


async def test_a_session_ends_an_hour_after_the_last_page_and_after_eight_hours_at_work() -> None:
    async with console_site() as site:
        async with site.visitor("ANNA") as browser:
            site.now.now += IDLE_SECONDS - 1
            assert (await browser.get("/")).status_code == 200
            site.now.now += IDLE_SECONDS - 1
            assert (await browser.get("/")).status_code == 200
            # An open page refreshes its parts; that does not count as activity.
            for _ in range(4):
                site.now.now += IDLE_SECONDS / 4
                part = await browser.get("/", **{"HX-Request": "true"})
            site.now.now += 1
            part = await browser.get("/", **{"HX-Request": "true", "HX-Current-URL": f"{site.url}/failures?a=b"})
            assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login?next=%2Ffailures%3Fa%3Db")
        async with site.visitor("ANNA") as browser:
            statuses = []
            for _ in range(LASTS_SECONDS // 1800):
                site.now.now += 1800
                statuses.append((await browser.get("/")).status_code)
            assert statuses == [200] * (len(statuses) - 1) + [303]


async def test_a_token_that_is_gone_changed_or_has_another_role_counts_at_once() -> None:
    async with console_site() as site, site.visitor("ANNA") as anna, site.visitor("OLGA") as olga:
        assert asked(await olga.get("/failures"))["texts"] is True
        site.values["CONSOLE_ROLE_OLGA"] = "support:globex"
        site.monotonic.now += 6
        assert asked(await olga.get("/"))["tenant"] == "globex"
        assert (await olga.get("/failures")).status_code == 403
        site.values["CONSOLE_TOKEN_OLGA"] = "another-0123456789-abcdefghijklmn"
        del site.values["CONSOLE_TOKEN_ANNA"]
        site.monotonic.now += 6
        assert (await olga.get("/")).status_code == 303
        assert (await anna.get("/")).status_code == 303


async def test_a_changed_key_ends_sessions_unless_it_is_kept_as_the_one_before() -> None:
    async with console_site(keys=[OLD_KEY]) as site, site.visitor("ANNA") as browser:
        cookies = dict(browser.client.cookies)
    for keys, status in (([KEY, OLD_KEY], 200), ([KEY], 303)):
        async with console_site(keys=keys) as site, site.browser() as browser:
            browser.client.cookies.update(cookies)
            assert (await browser.get("/")).status_code == status


async def test_a_session_that_was_made_up_or_changed_is_none() -> None:
    async with console_site() as site, site.visitor("ACME") as browser:
        cookie = browser.client.cookies["console"]
        for at in range(0, len(cookie), 7):
            changed = cookie[:at] + ("A" if cookie[at] != "A" else "B") + cookie[at + 1 :]
            # The last base64 character of a part may have unused bits.
            if (await browser.get("/", Cookie=f"console={changed}")).status_code == 200:
                assert cookie[at + 1 : at + 2] in (".", "")


async def test_a_new_session_begins_with_each_login_and_the_one_before_is_over(anna: Browser) -> None:
    before = anna.client.cookies["console"]
    await anna.client.get("/login")
    again = await anna.client.get("/login")
    assert again.status_code == 303
    # A cookie planted in a victim's browser does not give the victim's session.
    anna.client.cookies.delete("console-login")
    anna.client.cookies.delete("console")
    await anna.log_in(TOKENS["OLGA"])
    assert anna.client.cookies["console"] != before


async def test_no_console_accepts_a_cookie_after_logout(server: Postgres, table: Table) -> None:
    async with console_site(database_url=server.url) as site, site.visitor("ANNA") as browser:
        cookie = browser.client.cookies["console"]
        out = await browser.send("/logout")
        assert (out.status_code, out.headers["location"]) == (303, "/login")
        assert "console" not in browser.client.cookies
        for path, to in (("/", "/login"), ("/failures", "/login?next=%2Ffailures")):
            again = await browser.get(path, Cookie=f"console={cookie}")
            assert (again.status_code, again.headers["location"]) == (303, to)
        assert (await browser.get("/login", Cookie=f"console={cookie}")).status_code == 200
    async with console_site(database_url=server.url) as other, other.browser() as stranger:
        assert (await stranger.get("/", Cookie=f"console={cookie}")).status_code == 303
    (row,) = table.run("SELECT expires_at - now() AS left FROM ended_sessions")
    assert timedelta(hours=7) < row["left"] <= timedelta(seconds=LASTS_SECONDS)


async def test_many_failures_get_one_line_and_keep_no_token_out(log: io.StringIO, stranger: Browser) -> None:
    statuses = [(await stranger.log_in("wrong")).status_code for _ in range(MAX_FAILURES + 5)]
    assert statuses == [403] * MAX_FAILURES + [429] * 5
    assert (await stranger.log_in(TOKENS["ANNA"])).status_code == 303
    log_text = log.getvalue()
    assert log_text.count("Console login refused: reason=wrong token") == MAX_FAILURES
    assert log_text.count("Console logins refused in a minute") == 1
    assert "Console login: visitor=anna, role=support, by=token" in log_text
    assert TOKENS["ANNA"] not in log_text


async def test_the_login_of_another_sites_form_is_refused(console: ConsoleSite, stranger: Browser) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert (await stranger.log_in(TOKENS["ANNA"], **headers)).status_code == 403
    # Nor a browser that has not opened the login page.
    assert (await stranger.log_in(TOKENS["ANNA"], Cookie="")).status_code == 403
    assert (await stranger.log_in(TOKENS["ANNA"], Origin=console.url)).status_code == 303


ELSEWHERE = [
    *("//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "evil", "\\\\evil", ""),
    *("/a\r\nSet-Cookie: x=1", "/\t/evil.example", " //evil.example", "/ü", "/" + "a" * 500, "/%0d%0a\n"),
]


async def test_after_the_login_one_stays_here(console: ConsoleSite) -> None:
    for to in ELSEWHERE:
        async with console.browser() as browser:
            entered = await browser.log_in(TOKENS["ANNA"], to)
            assert (entered.status_code, entered.headers["location"]) == (303, "/"), to
            assert (await browser.client.get("/login", params={"next": to})).headers["location"] == "/"


async def test_a_clock_that_is_set_back_logs_nobody_out(console: ConsoleSite, anna: Browser) -> None:
    # A time further in the future cannot be one that we have signed.
    for back, status in ((30, 200), (31, 303)):
        console.now.now -= back
        assert (await anna.get("/")).status_code == status


async def test_nobody_in_the_settings_lets_nobody_in_and_says_so() -> None:
    async with console_site(values={}) as site, site.browser() as browser:
        assert "Login is not possible" in (await browser.get("/login")).text
        assert (await browser.get("/login/provider")).status_code == 404
