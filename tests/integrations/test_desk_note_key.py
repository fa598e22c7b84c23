"""The key of a note's body by edition: a wrong one never causes a second note."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest
from redis.asyncio import Redis

from integrations.errors import OutsideFailure
from tests.kit.desk import EDITIONS, EXTRA_KEY_REFUSED, TENANT_OF, Edition, has, new_ticket, opened, settings
from tests.kit.simulators import Simulator


class OtherDesk:
    """An on-premises desk that expects the cloud's key, or refuses with `refusal`."""

    def __init__(self, refusal: tuple[int, dict[str, Any]] | None = None, *, pause: float = 0) -> None:
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

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self.answer)


async def test_the_other_key_is_used_once_the_first_was_refused_and_remembered() -> None:
    """The second call may be stored without an answer, so both are announced."""
    other, announced = OtherDesk(), []

    async def about_to_post() -> None:
        announced.append(len(other.keys))

    async with opened(settings("http://desk"), transport=other.transport) as desk:
        assert [await desk.add_note("1", "x", about_to_post) for _ in range(2)] == ["7", "7"]
    assert other.keys == ["note", "request_note", "request_note"]
    assert announced == [0, 1, 2]


@EDITIONS
async def test_a_build_that_has_the_other_editions_key_gets_its_note_and_it_is_found(
    edition: Edition, desks: Simulator, tokens: Redis
) -> None:
    """Old builds on premises use the cloud's key.

    A client of both editions, rapid7/insightconnect-plugins, sends `note` alone.
    """
    ticket_id, name = new_ticket(desks, edition), TENANT_OF[edition]
    desks.change("PATCH", f"/desks/{name}", note_key="note" if edition == "cloud" else "request_note")
    try:
        async with opened(settings(desks.url, edition), redis=tokens) as desk:
            ours = await desk.add_note(ticket_id, "<p>Ref 1-a</p>")
            assert await desk.find_note(ticket_id, has("Ref 1-a"), datetime.now(UTC)) == ours
    finally:
        desks.change("PATCH", f"/desks/{name}", note_key=None)
    assert [call["status"] for call in desks.requests(operation="add_note")] == [400, 200]


async def test_a_desk_that_refuses_both_keys_is_asked_no_third_time() -> None:
    other = OtherDesk((400, EXTRA_KEY_REFUSED))
    async with opened(settings("http://desk"), transport=other.transport) as desk:
        with pytest.raises(OutsideFailure):
            await desk.add_note("1", "x")
    assert other.keys == ["note", "request_note"]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
async def test_no_other_failure_is_answered_with_a_second_post(status: int) -> None:
    message = {"status_code": 4001, "message": "the given id does not exist"}
    document = {"response_status": {"status_code": 4000, "messages": [message]}}
    other = OtherDesk((status, EXTRA_KEY_REFUSED if status not in (200, 400) else document))
    async with opened(settings("http://desk"), transport=other.transport) as desk:
        with pytest.raises(OutsideFailure):
            await desk.add_note("1", "x")
    assert other.keys == ["note"]


async def test_notes_that_are_refused_at_the_same_time_all_get_the_other_key() -> None:
    other = OtherDesk(pause=0.01)
    async with opened(settings("http://desk"), transport=other.transport) as desk:
        ids = await asyncio.gather(*(desk.add_note(str(number), "x") for number in range(4)))
        assert ids == ["7"] * 4
        before = len(other.keys)
        await desk.add_note("9", "x")
    assert other.keys[before:] == ["request_note"]
