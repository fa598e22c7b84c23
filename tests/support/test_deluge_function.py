"""The function that a cloud desk runs: its printed text, executed statement by statement, against the API's door."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.receiver import SECRET
from tests.support import deluge
from tests.support.deluge_values import DelugeFailed, DelugeRefused
from tests.support.troubled_door import TroubledDoor, closed_port, opened_door, printed

NAME = "announce_to_ai_agents"
# In the cloud ids have 18 digits: https://help.sdpondemand.com/deluge-scripting-summary has the function's argument.
REQUEST = {"id": "123640000000240013", "display_id": "102", "subject": 'A "quote"'}


@pytest.fixture(scope="module")
def open_door() -> Iterator[TroubledDoor]:
    with opened_door() as door:
        yield door


@pytest.fixture
def door(open_door: TroubledDoor) -> TroubledDoor:
    open_door.trouble()
    return open_door


def announced(url: str, secret: str = SECRET) -> list[str]:
    return deluge.run(printed("deluge", NAME, url, secret), {"requestObj": dict(REQUEST)})


def test_a_ticket_is_announced_by_its_ids_alone(door: TroubledDoor) -> None:
    assert announced(door.url) == ["ai-agents: ticket 123640000000240013: taken (202)"]
    (knock,) = door.knocks
    knock.assert_signed()
    assert knock.body == b'{"tenant_id": "acme", "ticket_id": "123640000000240013", "event": "ticket.created"}'
    assert door.tickets() == [("123640000000240013", "ticket.created")]


def test_it_tries_again_as_the_same_delivery(door: TroubledDoor) -> None:
    door.trouble(503, 202)
    told = announced(door.url)
    assert [line.partition("0013: ")[2] for line in told] == [
        "503, cause: <html>a page at try 1",
        "202, but not of ai-agents: is the address right? at try 2",
        "taken (202)",
    ]
    for knock in door.knocks:
        knock.assert_signed()
    assert len({knock.headers["x-servicedesk-delivery"] for knock in door.knocks}) == 1
    assert len(door.tickets()) == 1


def test_it_gives_up_when_its_tries_are_over(door: TroubledDoor) -> None:
    door.trouble(500, 502, 503, 504)
    assert "ticket 123640000000240013: given up: 503, cause: <html>a page; see" in announced(door.url)[-1]
    assert len(door.knocks) == 3
    told = announced(f"http://127.0.0.1:{closed_port()}/webhook")
    assert [line.rpartition(": ")[2] for line in told[:3]] == [f"no answer at try {number}" for number in (1, 2, 3)]


def test_the_last_line_says_what_was_answered_and_why(door: TroubledDoor) -> None:
    *_, last = announced(door.url, "another")
    assert 'given up: 403, cause: {"detail":"forbidden"}; see the document' in last
    assert (len(door.knocks), door.tickets()) == (3, [])


def test_the_hash_is_the_vendors() -> None:
    """Example 2 of https://www.zoho.com/deluge/help/encryption/hmac-sha256.html."""
    key, data = "sk_5Ow7B_4eC39H", "{Order ID: 0932, Currency: USD, Amount: 2500}"
    source = f'info zoho.encryption.hmacsha256("{key}", "{data}", "hex");'
    assert deluge.run(source, {}) == ["13721963e7ac439f5a2e63c261856393647f3f51b493beebf5919af4bc3de19c"]


@pytest.mark.parametrize(
    "source",
    [
        "while(true) { }",
        "sleep(5);",
        "info missing;",
        'map = "a";',
        'info "a" + 1;',
        'info zoho.encryption.hmacsha256("k", 5, "hex");',
        'info zoho.encryption.hmacsha256("k", "d", "base64");',
        'a = invokeurl [ url: "http://127.0.0.1:1/" type: GET parameters: "" headers: Map() detailed: true ];',
        'a = invokeurl [ url: "http://127.0.0.1:1/" type: POST parameters: Map() headers: Map() detailed: true ];',
        'a = invokeurl [ url: "http://127.0.0.1:1/" type: POST parameters: "" headers: Map() detailed: false ];',
        'a = invokeurl [ url: "http://127.0.0.1:1/" type: POST body: "" ];',
        "if(1) { }",
        'for each a in "text" { }',
        'info "a".toUpperCase();',
        'info "a"',
        "try { }",
    ],
)
def test_what_the_small_deluge_does_not_know_is_refused(source: str) -> None:
    with pytest.raises(DelugeRefused):
        deluge.run(source, {})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('if(1 > 2) { info "a"; } else if(2 != 3 && !=) { }', None),
        ('if(1 > 2 || 5 - 2 - 2 == 1) { info "a"; }', ["a"]),
        ("a = {1, 2}; for each b in a { info b.toString(); }", ["1", "2"]),
        ('try { info "abc".subString(2, 9); } catch (e) { info e; }', ["subString: out of the text"]),
        ('info "a \\"b\\" \\\\"; // said', ['a "b" \\']),
    ],
)
def test_what_it_knows_is_done(source: str, said: Any) -> None:
    if said is None:
        with pytest.raises(DelugeRefused):
            deluge.run(source, {})
    else:
        assert deluge.run(source, {}) == said


def test_a_failure_that_nothing_catches_ends_the_function() -> None:
    with pytest.raises(DelugeFailed):
        deluge.run('info "abc".subString(2, 9);', {})
