"""Attacks on every route of the console, by every kind of visitor.

The routes are enumerated, so that a new page is included.
"""

import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest

from tests.console.site import csrf_of
from tests.system.console_ground import TOKENS, ConsoleGround, ConsoleRoute, address, places

pytestmark = pytest.mark.slow

PAYLOADS = (
    *("'\"><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)//'"),
    "{{1337*7331}}${1337*7331}<%=1337*7331%>{%if 1%}",
    *("' OR '1'='1'; DROP TABLE jobs; --", "1) UNION SELECT tenant_id FROM jobs--"),
    *("../../../../etc/passwd", "..\\..\\windows", "acme\r\nSet-Cookie: console=evil\r\n\r\n<html>"),
    *("nul\0byte", "%00%0a%0d%27%3c", "x" * 3000, "\u202etxet\u202c \u2066evil\u2069 \ufeff"),
    *("globex", "98765432", "-1", "99999999999999999999999999", "NaN", "\U0001f4a9"),
)
_ANSWERED = {200, 303, 400, 403, 404, 405, 409, 410, 413, 414, 415, 422, 429, 431}
_NAMES = re.compile(r'name="([\w-]+)"|[?&;](\w+)=')
_LEADS_OUT = re.compile(r"(?:href|src|action|hx-get)=[\"']?\s*(?:javascript|data|https?):", re.IGNORECASE)
_TYPED = ("q", "tenant", "ticket", "job", "cause", "since", "before", "after", "next", "page", "state")


def sound(answer: httpx2.Response, payload: str = "") -> None:
    assert answer.status_code in _ANSWERED, (answer.status_code, answer.request.url, answer.text[:400])
    assert "9801547" not in answer.text
    assert "evil" not in str(answer.headers.get("set-cookie", ""))
    assert "onerror=alert" not in unquoted(answer.text)
    if re.search(r"[<>]", payload):
        assert payload not in answer.text, answer.request.url
    to = answer.headers.get("location", "/")
    assert re.match(r"/(?![/\\])", to), to
    assert not re.search(r"Traceback|psycopg|sqlalchemy|jinja2|root:x:0", answer.text)
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not _LEADS_OUT.search(answer.text)


def unquoted(text: str) -> str:
    """Return a page's tags without the values of their attributes."""
    return " ".join(re.findall(r"<[^>]*>", re.sub(r'"[^"]*"', '""', text)))


@pytest.fixture(scope="module")
def names(console_ground: ConsoleGround) -> list[str]:
    """Return the field names of the pages' forms and links, and some guesses."""
    found = set(_TYPED)
    with console_ground.visitor("operator") as client:
        for place in places("GET"):
            text = unescape(client.get(address(place, console_ground.ticket), follow_redirects=True).text)
            found |= {one or other for one, other in _NAMES.findall(text)}
    return sorted(found - {"csrf", "viewport", "robots", "color-scheme", "htmx-config"})


def tried(
    place: ConsoleRoute, ground: ConsoleGround, names: list[str], payload: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Return addresses and fields with a payload in one place each, and in all; a field gets a few payloads only."""
    plain, filled = address(place, ground.ticket), dict.fromkeys(names, payload)
    if "{" in place.path:
        yield address(place, dict.fromkeys(ground.ticket, payload)), {}
        for name in ground.ticket:
            yield address(place, ground.ticket | {name: payload}), {}
    for name in names if payload in PAYLOADS[:1] + PAYLOADS[9:10] else ():
        yield plain, {name: payload}
    yield plain, filled
    yield address(place, dict.fromkeys(ground.ticket, payload)), filled


def test_a_stranger_gets_to_the_login_and_nowhere_else(console_ground: ConsoleGround) -> None:
    with console_ground.client() as client:
        for cookie in ({}, {"Cookie": "console=e30.aaaa.bbbb"}, {"Cookie": f"console={TOKENS['operator']}"}):
            for place in places("GET"):
                for named in (console_ground.ticket, dict.fromkeys(console_ground.ticket, PAYLOADS[0])):
                    answer = client.get(address(place, named), headers=cookie)
                    assert answer.status_code == 303
                    assert answer.headers["location"].startswith("/login")
                    assert answer.content == b""
            for place in places("POST"):
                answer = client.post(address(place, console_ground.ticket), data={"csrf": "0" * 32}, headers=cookie)
                assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        for token in ("", *PAYLOADS):
            csrf = csrf_of(client.get("/login"))
            answer = client.post("/login", data={"token": token, "csrf": csrf, "next": token})
            sound(answer, token)
            assert answer.status_code in (400, 403, 429)


@pytest.mark.parametrize("role", TOKENS)
def test_nothing_typed_works_as_something_else(role: str, console_ground: ConsoleGround, names: list[str]) -> None:
    with console_ground.visitor(role) as client:
        for payload in PAYLOADS:
            for place in places("GET"):
                for path, fields in tried(place, console_ground, names, payload):
                    sound(client.get(path, params=fields), payload)
            for path in (f"/{quote(payload, safe='')}", f"/static/{quote(payload, safe='')}"):
                sound(client.get(path), payload)
        assert client.get("/").status_code == 200


@pytest.mark.parametrize("role", TOKENS)
def test_no_form_of_somebody_elses_changes_anything(role: str, console_ground: ConsoleGround) -> None:
    other = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    with console_ground.visitor(role) as client, console_ground.visitor("support") as colleague:
        own, theirs = (csrf_of(each.get("/")) for each in (client, colleague))
        for place in places("POST"):
            before = console_ground.row(console_ground.foreign["job_id"])
            for csrf, headers in ((own, other), (theirs, {}), ("", {}), ("0" * 32, {}), (own, {"Origin": "null"})):
                for path in (address(place, console_ground.ticket), address(place, console_ground.foreign)):
                    answer = client.post(path, data={"csrf": csrf}, headers=headers)
                    assert answer.status_code == 403
                    # Nor by an address alone.
                    assert client.get(path, params={"csrf": own}).status_code in (403, 404, 405)
            assert console_ground.row(console_ground.foreign["job_id"]) == before


@pytest.mark.parametrize("role", TOKENS)
def test_no_form_with_odd_fields_does_harm(role: str, console_ground: ConsoleGround, names: list[str]) -> None:
    with console_ground.visitor(role) as client:
        csrf = csrf_of(client.get("/"))
        for payload in PAYLOADS:
            for place in places("POST"):
                for path, fields in tried(place, console_ground, names, payload):
                    sound(client.post(path, data={"csrf": csrf, **fields}), payload)


def test_one_tenants_people_learn_nothing_of_another_one(console_ground: ConsoleGround, names: list[str]) -> None:
    foreign, nobody = console_ground.foreign, {"job_id": str(uuid4()), "tenant_id": "hooli", "ticket_id": "11223344"}
    with console_ground.visitor("acme") as client:
        csrf = csrf_of(client.get("/"))
        before = console_ground.row(foreign["job_id"])
        for place in places("GET"):
            for query in ({}, *({name: value} for name in names for value in foreign.values())):
                answer = client.get(address(place, console_ground.ticket), params=query, follow_redirects=True)
                neutral_answer = neutral(answer, query)
                assert not any(value in neutral_answer for value in (*foreign.values(), "Payroll")), (place.path, query)
            answers = [client.get(address(place, named), follow_redirects=True) for named in (foreign, nobody)]
            if "{" in place.path:
                assert {answer.status_code for answer in answers} == {404}, place.path
                assert neutral(answers[0], foreign) == neutral(answers[1], nobody)
        for place in places("POST"):
            for named in (foreign, nobody):
                form = {"csrf": csrf, **named, **dict.fromkeys(names, named["job_id"])}
                answer = client.post(address(place, named), data=form)
                neutral_answer = neutral(answer, named)
                assert answer.status_code in (400, 403, 404), (place.path, answer.status_code)
                assert not any(value in neutral_answer for value in (*foreign.values(), "Payroll"))
        assert console_ground.row(foreign["job_id"]) == before


def neutral(answer: httpx2.Response, named: dict[str, str]) -> str:
    """Return an answer without the requested value."""
    text = answer.text
    for value in named.values():
        text = text.replace(value, "")
    return text


def test_support_does_nothing_that_takes_an_operator(console_ground: ConsoleGround) -> None:
    for role in ("support", "acme"):
        with console_ground.visitor(role) as client:
            csrf = csrf_of(client.get("/"))
            for place in places("GET") + places("POST"):
                if place.least == "operator":
                    path = address(place, console_ground.ticket)
                    answer = client.get(path) if place.method == "GET" else client.post(path, data={"csrf": csrf})
                    assert answer.status_code == 403
