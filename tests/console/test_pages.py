"""The console's frame: each kind of answer, foreign requests, and its port under attack."""

import asyncio
import contextlib
import io
import re
import socket
from collections.abc import Mapping

import pytest

from console.app import LARGEST_FIELD_BYTES, MAX_FIELDS
from console.main import MAX_CONNECTIONS
from tests.console.site import Browser, ConsoleSite, console_site

JOB = "01936b2e-7c1a-7000-8000-0123456789ab"
POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
POLICY += "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


async def test_headers_of_each_answer() -> None:
    async with console_site() as site, site.visitor("ANNA") as browser, site.browser() as stranger:
        paths = ("/", "/nothing", "/raising/not-understood", "/raising/mistake", "/failures", "/raising/database")
        answers = [await browser.get(path) for path in paths]
        answers += [await stranger.get(path) for path in ("/", "/login", "/login/provider")]
        answers += [await browser.client.put("/"), await browser.get("/", Host="evil.example")]
    assert {answer.status_code for answer in answers} >= {200, 303, 400, 403, 404, 405}
    for answer in answers:
        told = answer.headers
        assert told["content-security-policy"] == POLICY
        assert told["cache-control"] == "no-store"
        assert told["x-content-type-options"] == "nosniff"
        assert told["referrer-policy"] == "same-origin"
        assert told["cross-origin-opener-policy"] == told["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in told
        assert "strict-transport-security" not in told
        # Nothing that the policy would block.
        assert not re.search(r"<style|<script(?! src=\"/static/)|\son\w+=|\sstyle=|https?://", answer.text)


async def test_a_page_has_its_visitor_where_one_is_and_the_way_out() -> None:
    async with console_site() as site, site.visitor("ACME") as browser:
        page = await browser.get("/")
        assert "acme<span" in page.text
        assert "support of acme" in page.text
        assert '<a href="/" aria-current="page">Activity</a>' in page.text
    async with console_site() as site, site.visitor("OLGA") as browser:
        assert '<a href="/failures">Failures</a>' in (await browser.get("/tickets/acme/1")).text
        # What a page shows is escaped everywhere.
        page = await browser.client.get("/", params={"said": "'\"><script>alert(1)</script>{{7*7}}"})
        assert page.text.count("&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}") == 3
        assert [raw in page.text for raw in ("<script>alert", "'\"><")] == [False, False]


ERRORS = [
    ("/raising/not-here", 404, "This page does not exist, or you do not have access to it."),
    ("/raising/not-understood", 400, "No ticket has such a number."),
    ("/raising/not-allowed", 403, "This takes an operator."),
    ("/raising/too-slow", 503, "This took too long"),
    ("/raising/database", 503, "The database does not answer"),
    ("/raising/redis", 503, "Redis does not answer"),
    ("/nothing", 404, "This page does not exist"),
    ("/failures", 403, "This needs the role operator."),
    ("/tickets/acme/..%2f..%2fetc", 404, "This page does not exist"),
    ("/static/0123456789abcdef/console.css", 404, "This page does not exist"),
]


async def test_what_goes_wrong_is_a_page_that_says_so(anna: Browser) -> None:
    for path, status, said in ERRORS:
        answer = await anna.get(path)
        assert (answer.status_code, said in answer.text) == (status, True), answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert ("Retry-After" in answer.headers) == (status == 503)


async def test_a_mistake_of_ours_is_told_by_a_number_that_is_in_the_log(log: io.StringIO, anna: Browser) -> None:
    answer = await anna.get("/raising/mistake")
    assert answer.status_code == 500
    (number,) = re.findall(r"under the id ([0-9a-f]{8})\.", answer.text)
    (line,) = [line for line in log.getvalue().splitlines() if "Console error" in line]
    assert f"id={number}" in line
    assert "ZeroDivisionError" in line
    assert "secret of a ticket" not in line + answer.text


async def test_without_the_database_redis_tells_what_waits_but_not_one_tenants_people(redis_url: str) -> None:
    async with console_site(redis_url=redis_url) as site:
        await site.services.redis.delete("celery", "unacked")
        await site.services.redis.lpush("celery", "1", "2", "3")
        told = "Redis answers: 3 messages wait in the queue, 0 are with workers."
        for name, is_told in (("ANNA", True), ("OLGA", True), ("ACME", False)):
            async with site.visitor(name) as browser:
                answer = await browser.get("/raising/database")
                assert (answer.status_code, told in answer.text) == (503, is_told)
        await site.services.redis.delete("celery")


async def test_a_page_that_takes_too_long_is_given_up() -> None:
    async with console_site(page_seconds=1) as site, site.visitor("ANNA") as browser:
        answer = await browser.get("/raising/endless")
        assert (answer.status_code, "This took too long" in answer.text) == (503, True)


async def test_a_change_needs_the_field_of_this_session_and_a_page_of_ours(log: io.StringIO) -> None:
    async with console_site() as site, site.visitor("ANNA") as browser, site.visitor("OLGA") as olga:
        own = {"Origin": site.url, "Sec-Fetch-Site": "same-origin"}
        place = f"/jobs/{JOB}/retry"
        assert (await browser.send(place, {"to": "/tickets/acme/1"}, **own)).headers["location"] == "/tickets/acme/1"
        forged: list[tuple[Mapping[str, str], Mapping[str, str]]] = [
            ({"csrf": ""}, own),
            ({"csrf": "0" * 32}, own),
            ({"csrf": site.sessions.csrf("another")}, own),
            ({"csrf": "ü"}, own),
            ({}, own | {"Origin": "https://evil.example"}),
            ({}, own | {"Origin": site.url + ".evil.example"}),
            ({}, own | {"Sec-Fetch-Site": "cross-site"}),
            ({}, own | {"Sec-Fetch-Site": "same-site"}),
        ]
        for form, headers in forged:
            assert (await browser.send(place, form, **headers)).status_code == 403
        assert (await olga.client.post(place, data={"to": "/"})).status_code == 403
        assert (await browser.client.post("/logout", data={"csrf": "0"})).status_code == 403
        assert (await browser.get("/")).status_code == 200
    text = log.getvalue()
    changes = [line for line in text.splitlines() if "Console change" in line]
    (line,) = changes
    assert "Console change: visitor=anna, place=/jobs/{job_id}/retry, status=303" in line
    assert f"job_id: {JOB}" in line
    assert text.count("Console refused: visitor=anna, place=/jobs/{job_id}/retry, reason=not from here") == len(forged)


async def test_a_change_that_failed_is_told_of_with_what_is_not_known(log: io.StringIO, anna: Browser) -> None:
    for what, status, half_done in (("mistake", 500, True), ("too-slow", 503, True), ("not-here", 404, False)):
        answer = await anna.send(f"/raising/{what}")
        assert (answer.status_code, "may have been made" in answer.text) == (status, half_done)
        assert f"place=/raising/{{what}}, status={status}" in log.getvalue()
    # Only what may be a ticket's number is in the line.
    for ticket_id in ("8" * 20, "9" * 6000):
        await anna.send(f"/tickets/acme/{ticket_id}")
    assert ("8" * 20 in log.getvalue(), "9" * 21 in log.getvalue()) == (True, False)


async def test_a_form_is_bounded_and_is_a_form(anna: Browser) -> None:
    assert (await anna.send("/change", {"a": "x" * LARGEST_FIELD_BYTES})).status_code == 400
    assert (await anna.send("/change", {f"n{number}": "" for number in range(MAX_FIELDS)})).status_code == 400
    assert (await anna.client.post("/change", files={"csrf": b"x"})).status_code == 400
    assert (await anna.client.post("/change", json={"csrf": "x"})).status_code == 403


async def test_no_page_leads_out_of_the_console(anna: Browser) -> None:
    for to in ("//evil.example", "https://evil.example/", "/a\r\nSet-Cookie: a=b", "/\\evil.example"):
        answer = await anna.send("/change", {"to": to})
        assert (answer.status_code, "location" in answer.headers, "set-cookie" in answer.headers) == (500, False, False)


async def test_another_method_is_refused_with_those_that_there_are(anna: Browser) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
        answer = await anna.client.request(method, "/")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    for path in ("/change", "/logout"):
        assert (await anna.get(path)).headers["allow"] == "POST"
    assert (await anna.client.head("/")).content == b""
    # No standard has this one.
    assert (await anna.client.request("FOO", "/")).status_code == 400


PUBLIC = "https://console.example.com"
LOCAL, NOT_LOCAL = ["localhost:8010", "127.0.0.1", "127.0.0.5:8010", "[::1]:1"], ["127.evil.example", "evil.example"]


@pytest.mark.parametrize(
    ("url", "known", "unknown"),
    [
        (None, LOCAL, [*NOT_LOCAL, "localhost.evil.example", ""]),
        (PUBLIC, ["console.example.com", "CONSOLE.example.com:443"], ["console.example.com:8443", "localhost:8010"]),
        (f"{PUBLIC}:8443", ["console.example.com:8443"], ["console.example.com"]),
    ],
)
async def test_another_host_is_refused(url: str | None, known: list[str], unknown: list[str]) -> None:
    """Protection against DNS rebinding."""
    async with console_site(url=url) as site:
        for host in (*known, *unknown):
            async with site.browser() as browser:
                answer = await browser.get("/login", Host=host)
                assert answer.status_code == (200 if host in known else 400), host
                assert ("set-cookie" in answer.headers) is (host in known)


async def test_files_have_their_hash_in_their_address_and_are_kept(stranger: Browser) -> None:
    page = (await stranger.get("/login")).text
    addresses = re.findall(r'"(/static/[0-9a-f]{16}/[a-z.]+)"', page)
    assert {address.rpartition("/")[2] for address in addresses} == {"console.css", "htmx.min.js", "icon.svg"}
    for address in addresses:
        file = await stranger.get(address)
        assert file.status_code == 200
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert file.headers["content-type"].partition(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
        assert file.headers["x-content-type-options"] == "nosniff"
    for path in ("/static/", "/static/..%2fapp.py", "/static/%2e%2e%2fapp.py", addresses[0] + "x"):
        assert (await stranger.get(path)).status_code == 404


async def test_strangers_who_never_read_their_answers_keep_nobody_out() -> None:
    async with console_site(kernel_keeps=4096) as site, site.browser() as browser:
        script = re.search(r"/static/[^\"]+\.js", (await browser.get("/login")).text)
        assert script
        request = f"GET {script[0]} HTTP/1.1\r\nHost: {site.url.removeprefix('http://')}\r\n\r\n".encode()
        with contextlib.ExitStack() as stack:
            for _ in range(MAX_CONNECTIONS + 5):
                stranger = stack.enter_context(await connected(site))
                await asyncio.get_running_loop().sock_sendall(stranger, request * 5)
            async with site.browser() as other:
                assert (await other.get("/login")).status_code == 200


async def test_what_is_no_request_fills_no_log(log: io.StringIO) -> None:
    async with console_site() as site:
        host = site.url.removeprefix("http://")
        for sent in ("\x16\x03\x01\r\n\r\n", f"GET /login HTTP/1.1\r\nHost: {host}\r\n{UPGRADE}\r\n\r\n"):
            with await connected(site) as stranger:
                await asyncio.get_running_loop().sock_sendall(stranger, sent.encode())
                answer = await asyncio.get_running_loop().sock_recv(stranger, 20)
                assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 200"))
    assert log.getvalue() == ""


UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA=="


async def connected(site: ConsoleSite) -> socket.socket:
    """Open a connection with the smallest receive buffer."""
    stranger = socket.socket()
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stranger.setblocking(False)
    host, _, port = site.url.removeprefix("http://").partition(":")
    await asyncio.get_running_loop().sock_connect(stranger, (host, int(port)))
    return stranger
