"""ServiceDesk Plus, both editions: notes are written once, and found."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest
from redis.asyncio import Redis

from integrations.errors import DeskUnavailableError, ExternalError
from tests.kit.desk import (
    EDITIONS,
    EXTRA_KEY_REFUSED,
    TENANT_OF,
    Edition,
    has,
    line_of,
    new_ticket,
    notes_of,
    opened,
    settings,
)
from tests.kit.simulators import Simulator


@EDITIONS
async def test_a_note_is_for_technicians_only(edition: Edition, desks: Simulator, tokens: Redis) -> None:
    ticket_id = new_ticket(desks, edition)
    written = "<div><b>A &amp; B</b> = 100 % + Zoë; €<br>line</div>"
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        note_id = await desk.add_note(ticket_id, written)
    (note,) = notes_of(desks, ticket_id, edition)
    assert (note["id"], note["description"]) == (note_id, written)
    (call,) = desks.requests(operation="add_note")
    assert call["headers"]["content-type"].startswith("application/x-www-form-urlencoded")
    assert call["headers"]["accept"] == "application/vnd.manageengine.sdp.v3+json"
    flags = {"show_to_requester": False, "mark_first_response": False, "add_to_linked_requests": False}
    body = {"description": written} | flags
    key = "request_note" if edition == "cloud" else "note"
    assert call["payload"] == {key: body | ({"notify_technician": False} if edition == "cloud" else {})}


@EDITIONS
async def test_a_note_is_found_by_its_marker_among_others(edition: Edition, desks: Simulator, tokens: Redis) -> None:
    ticket_id = new_ticket(desks, edition)
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        assert await desk.find_note(ticket_id, has("Ref 1-a")) is None
        await desk.add_note(ticket_id, "<p>of a person</p>")
        ours = await desk.add_note(ticket_id, "<div><p>Enhancement</p><p>Ref&nbsp;1-a</p></div>")
        other = await desk.add_note(ticket_id, "<p>Ref 2-b</p>")
        assert await desk.find_note(ticket_id, has("Ref 1-a")) == ours
        assert await desk.find_note(ticket_id, has("Ref 2-b")) == other
        assert await desk.find_note(ticket_id, has("Ref 3-c")) is None


@EDITIONS
async def test_notes_since_the_attempt_are_read(edition: Edition, desks: Simulator, tokens: Redis) -> None:
    """The desk's clock may differ by a quarter of an hour."""
    ticket_id = new_ticket(desks, edition)
    now = datetime.now(UTC)
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        for number in range(8):
            await desk.add_note(ticket_id, f"<p>note {number}</p>")
        for minutes, read in ((16, 3), (14, 8), (-60, 8)):
            before = len(desks.requests(operation="read_note"))
            assert await desk.find_note(ticket_id, has("?"), now + timedelta(minutes=minutes)) is None
            assert len(desks.requests(operation="read_note")) - before == read
        newest = notes_of(desks, ticket_id, edition)[-1]["id"]
        assert await desk.find_note(ticket_id, has("note 7"), now + timedelta(days=1)) == newest


@pytest.mark.parametrize("moment", [None, {}, {"value": None}, {"value": "soon"}, {"value": "9" * 400}, "1", 5])
async def test_a_note_that_does_not_say_when_it_was_written_is_read(moment: Any) -> None:
    old = {"value": "1000"}
    items = [{"id": str(number), "added_time": old} for number in range(5)] + [{"id": "7", "added_time": moment}]

    def answer(request: httpx2.Request) -> httpx2.Response:
        number = request.url.path.rpartition("/")[2]
        body = {"notes": items} if number == "notes" else {"note": {"id": number, "description": f"note {number}"}}
        return httpx2.Response(200, json=body | {"response_status": {"status_code": 2000}})

    async with opened(settings("http://desk"), transport=httpx2.MockTransport(answer)) as desk:
        assert await desk.find_note("1", has("note 7"), datetime.now(UTC)) == "7"
        assert await desk.find_note("1", has("note 4"), datetime.now(UTC)) is None


@pytest.mark.parametrize(("pages", "found"), [(3, "241"), (50, None)], ids=["the last one", "a list without end"])
async def test_all_pages_of_notes_are_searched(pages: int, found: str | None) -> None:
    """The desk's order is unknown: the newest note may be on the last page."""
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        number = request.url.path.rpartition("/")[2]
        if number != "notes":
            body: dict[str, Any] = {"note": {"id": number, "description": "Ref 1-a" if number == "241" else "x"}}
        else:
            asked.append(json.loads(request.url.params["input_data"])["list_info"])
            start = asked[-1]["start_index"]
            items = [{"id": str(each), "added_time": {"value": str(each)}} for each in range(start, start + 100)]
            last = len(asked) == pages
            body = {"notes": items[: 41 if last else 100], "list_info": {"has_more_rows": not last}}
        return httpx2.Response(200, json=body | {"response_status": {"status_code": 2000}})

    async with opened(settings("http://desk"), transport=httpx2.MockTransport(answer)) as desk:
        if found is not None:
            assert await desk.find_note("1", has("Ref 1-a"), datetime.now(UTC)) == found
            assert asked == [{"row_count": 100, "start_index": start} for start in (1, 101, 201)]
        else:
            with pytest.raises(DeskUnavailableError, match="invalid answer"):
                await desk.find_note("1", has("Ref 1-a"))
            assert len(asked) == 20


async def test_a_note_that_vanishes_while_notes_are_read_is_no_missing_ticket(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    async with opened(settings(desks.url)) as desk:
        ours = await desk.add_note(ticket_id, "<p>Ref 1-a</p>")
        await desk.add_note(ticket_id, "<p>deleted right now</p>")
        desks.order(kind="status", code=404, operation="read_note", times=1)
        assert await desk.find_note(ticket_id, has("Ref 1-a")) == ours


class OtherDesk(httpx2.MockTransport):
    """An on-premises desk that expects the cloud's key, or refuses with `refusal`."""

    def __init__(self, refusal: tuple[int, dict[str, Any]] | None = None, *, pause: float = 0) -> None:
        super().__init__(self.answer)
        self.keys: list[str] = []
        self._refusal = refusal
        self._pause = pause

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        # In the body only: proxies log addresses.
        assert request.url.query == b""
        assert request.headers["accept"] == "application/vnd.manageengine.sdp.v3+json"
        (key,) = json.loads(parse_qs(request.content.decode())["input_data"][0])
        self.keys.append(key)
        await asyncio.sleep(self._pause)
        if self._refusal is not None:
            return httpx2.Response(self._refusal[0], json=self._refusal[1])
        if key != "request_note":
            return httpx2.Response(400, json=EXTRA_KEY_REFUSED)
        return httpx2.Response(200, json={key: {"id": "7"}, "response_status": {"status_code": 2000}})


async def test_the_other_key_is_used_after_a_refusal_and_remembered() -> None:
    """The second call may be stored without an answer, so both are announced."""
    other, announced = OtherDesk(), []

    async def about_to_post() -> None:
        announced.append(len(other.keys))

    async with opened(settings("http://desk"), transport=other) as desk:
        assert [await desk.add_note("1", "x", about_to_post) for _ in range(2)] == ["7", "7"]
    assert other.keys == ["note", "request_note", "request_note"]
    assert announced == [0, 1, 2]


@pytest.mark.parametrize(
    ("edition", "key", "value", "usual", "statuses"),
    [
        ("onpremises", "note_key", "request_note", None, [400, 200]),
        ("cloud", "note_key", "note", None, [400, 200]),
        ("cloud", "note_list_key", "request_notes", "notes", [200]),
    ],
)
async def test_a_build_with_the_other_editions_key_gets_one_note(
    edition: Edition, key: str, value: str, usual: str | None, statuses: list[int], desks: Simulator, tokens: Redis
) -> None:
    """Old builds on premises use the cloud's key.

    A client of both editions, rapid7/insightconnect-plugins, sends `note` alone.
    """
    ticket_id, desk_settings = new_ticket(desks, edition), f"/desks/{TENANT_OF[edition]}"
    desks.change("PATCH", desk_settings, **{key: value})
    try:
        async with opened(settings(desks.url, edition), redis=tokens) as desk:
            ours = await desk.add_note(ticket_id, "<p>Ref 1-a</p>")
            assert await desk.find_note(ticket_id, has("Ref 1-a"), datetime.now(UTC)) == ours
    finally:
        desks.change("PATCH", desk_settings, **{key: usual})
    assert [call["status"] for call in desks.requests(operation="add_note")] == statuses


NO_SUCH_ID = {"response_status": {"status_code": 4000, "messages": [{"status_code": 4001, "message": "no such id"}]}}


@pytest.mark.parametrize(
    ("status", "document", "keys"),
    [
        # Both keys are refused: no third time.
        (400, EXTRA_KEY_REFUSED, ["note", "request_note"]),
        *((status, NO_SUCH_ID, ["note"]) for status in (200, 400)),
        *((status, EXTRA_KEY_REFUSED, ["note"]) for status in (401, 403, 500)),
    ],
)
async def test_no_other_failure_is_answered_with_a_second_post(status: int, document: Any, keys: list[str]) -> None:
    other = OtherDesk((status, document))
    async with opened(settings("http://desk"), transport=other) as desk:
        with pytest.raises(ExternalError):
            await desk.add_note("1", "x")
    assert other.keys == keys


async def test_notes_that_are_refused_at_the_same_time_all_get_the_other_key() -> None:
    other = OtherDesk(pause=0.01)
    async with opened(settings("http://desk"), transport=other) as desk:
        ids = await asyncio.gather(*(desk.add_note(str(number), "x") for number in range(4)))
        assert ids == ["7"] * 4
        before = len(other.keys)
        await desk.add_note("9", "x")
    assert other.keys[before:] == ["request_note"]


DONE: dict[str, Any] = {"response_status": {"status_code": 2000, "status": "success"}}
LISTED: dict[str, Any] = {"response_status": [{"status_code": 2000, "status": "success"}]}
INFO = {"has_more_rows": False, "row_count": 0}
NOT_THE_APIS: list[dict[str, Any]] = [
    *({}, {"error": "maintenance"}, {"response_status": {"status": "failed"}}),
    {"response_status": [{"status_code": "9" * 5000}]},
]
FAILED_TOO = [{"status_code": 2000}, {"status_code": 4000, "status": "failed", "messages": []}]
NO_LISTS = [
    *({"notes": None}, {"notes": {}}, {"notes": [17]}, {"notes": [{}]}),
    LISTED | {"notes": None},
    # The same page again and again.
    LISTED | {"notes": [{"id": "5"}], "list_info": {"has_more_rows": True}},
    # The same list under another edition's name.
    LISTED | {"ticket_notes": [{"id": "5"}]},
    {"response_status": FAILED_TOO, "notes": []},
]
ONE = {"notes": [{"id": "7"}]}
NO_NOTES = [*NOT_THE_APIS, {"note": None}, {"note": []}, {"note": {}}, {"note": "x"}, DONE, DONE | {"solution": {}}]


def desk_with(listed: dict[str, Any], single: dict[str, Any] | None = None) -> httpx2.MockTransport:
    """Return a desk that answers lists with `listed`, and single notes with `single`."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=listed if request.url.path.endswith("s") else single)

    return httpx2.MockTransport(answer)


@pytest.mark.parametrize(
    ("listed", "single"), [*((each, None) for each in NO_LISTS), *((ONE, each) for each in NO_NOTES)]
)
async def test_an_answer_that_is_no_list_or_no_note_does_not_say_that_there_is_none(listed: Any, single: Any) -> None:
    async with opened(settings("http://desk"), transport=desk_with(listed, single)) as desk:
        with pytest.raises(ExternalError):
            await desk.find_note("1", has("Ref 1-a"))


@pytest.mark.parametrize("answer", NOT_THE_APIS)
async def test_nothing_is_read_from_an_answer_that_is_not_the_apis(answer: dict[str, Any]) -> None:
    async with opened(settings("http://desk"), transport=desk_with(answer, answer)) as desk:
        readings = (desk.read_ticket("1"), desk.find_note("1", has("x")), desk.list_tickets(), desk.list_solutions())
        for call in readings:
            with pytest.raises(DeskUnavailableError) as failed:
                await call
            assert line_of(failed.value) == "ServiceDesk Plus API error: invalid answer"
            assert not failed.value.outcome_unknown


@pytest.mark.parametrize(
    ("listed", "single"),
    [
        *((each, None) for each in (LISTED, LISTED | {"list_info": INFO}, LISTED | {"notes": []}, DONE)),
        *((LISTED | ONE, DONE | {"note": note}) for note in ({"id": "7", "description": None}, {"id": "7"})),
        (LISTED | ONE, DONE | {"note": {"description": "of a person"}}),
    ],
)
async def test_an_empty_list_or_note_may_lack_its_field(listed: Any, single: Any) -> None:
    async with opened(settings("http://desk"), transport=desk_with(listed, single)) as desk:
        assert await desk.find_note("1", has("Ref 1-a")) is None
