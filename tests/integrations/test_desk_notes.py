"""ServiceDesk Plus, both editions: writing and finding notes."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from integrations.errors import DeskUnavailable
from tests.kit.desk import EDITIONS, Edition, has, new_ticket, notes_of, opened, settings
from tests.kit.simulators import Simulator


@EDITIONS
async def test_a_note_is_for_technicians_only_and_arrives_as_it_was_written(
    edition: Edition, desks: Simulator, tokens: Redis
) -> None:
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
async def test_only_notes_since_the_attempt_are_read_and_the_newest_three(
    edition: Edition, desks: Simulator, tokens: Redis
) -> None:
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
async def test_all_pages_of_a_list_of_notes_are_looked_through(pages: int, found: str | None) -> None:
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
            with pytest.raises(DeskUnavailable, match="invalid answer"):
                await desk.find_note("1", has("Ref 1-a"))
            assert len(asked) == 20


async def test_the_clouds_other_key_for_a_list_of_notes_is_understood(desks: Simulator, tokens: Redis) -> None:
    ticket_id = new_ticket(desks, "cloud")
    desks.change("PATCH", "/desks/globex", note_list_key="request_notes")
    try:
        async with opened(settings(desks.url, "cloud"), redis=tokens) as desk:
            ours = await desk.add_note(ticket_id, "<p>Ref 1-a</p>")
            assert await desk.find_note(ticket_id, has("Ref 1-a")) == ours
    finally:
        desks.change("PATCH", "/desks/globex", note_list_key="notes")


async def test_a_note_that_vanishes_while_notes_are_read_is_no_missing_ticket(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    async with opened(settings(desks.url)) as desk:
        ours = await desk.add_note(ticket_id, "<p>Ref 1-a</p>")
        await desk.add_note(ticket_id, "<p>deleted right now</p>")
        desks.order(kind="status", code=404, operation="read_note", times=1)
        assert await desk.find_note(ticket_id, has("Ref 1-a")) == ours
