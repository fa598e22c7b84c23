"""Wrong answers with 200 and JSON, which must not count as "no note there"."""

import json
from typing import Any

import httpx2
import pytest

from integrations.errors import DeskUnavailable, OutsideFailure
from tests.kit.desk import has, line_of, opened, settings

DONE: dict[str, Any] = {"response_status": {"status_code": 2000, "status": "success"}}
LISTED: dict[str, Any] = {"response_status": [{"status_code": 2000, "status": "success"}]}
INFO = {"has_more_rows": False, "row_count": 0}
NOT_THE_APIS: list[dict[str, Any]] = [
    {},
    {"error": "maintenance"},
    {"response_status": {"status": "failed"}},
    {"response_status": [{"status_code": "9" * 5000}]},
]
NO_LISTS = [
    {"notes": None},
    {"notes": {}},
    {"notes": [17]},
    {"notes": [{}]},
    LISTED | {"notes": None},
    # The same page again and again.
    LISTED | {"notes": [{"id": "5"}], "list_info": {"has_more_rows": True}},
    # The same list under another edition's name.
    LISTED | {"ticket_notes": [{"id": "5"}]},
    {
        "response_status": [{"status_code": 2000}, {"status_code": 4000, "status": "failed", "messages": []}],
        "notes": [],
    },
]


def shown(document: Any) -> str:
    return json.dumps(document)[:60]


def desk_with(listed: dict[str, Any], single: dict[str, Any] | None = None) -> httpx2.MockTransport:
    """Return a desk that answers lists with `listed`, and single notes with `single`."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=listed if request.url.path.endswith("s") else single)

    return httpx2.MockTransport(answer)


@pytest.mark.parametrize("listed", NO_LISTS, ids=shown)
async def test_an_answer_that_is_no_list_of_notes_does_not_say_that_there_is_none(listed: dict[str, Any]) -> None:
    async with opened(settings("http://desk"), transport=desk_with(listed)) as desk:
        with pytest.raises(OutsideFailure):
            await desk.find_note("1", has("Ref 1-a"))


@pytest.mark.parametrize("answer", NOT_THE_APIS, ids=shown)
async def test_nothing_is_read_from_an_answer_that_is_not_the_apis(answer: dict[str, Any]) -> None:
    async with opened(settings("http://desk"), transport=desk_with(answer, answer)) as desk:
        readings = (desk.read_ticket("1"), desk.find_note("1", has("x")), desk.lists.tickets(), desk.lists.solutions())
        for call in readings:
            with pytest.raises(DeskUnavailable) as failed:
                await call
            assert line_of(failed.value) == "ServiceDesk Plus API error: invalid answer"
            assert not failed.value.outcome_unknown


@pytest.mark.parametrize(
    "single",
    [*NOT_THE_APIS, {"note": None}, {"note": []}, {"note": {}}, {"note": "x"}, DONE, DONE | {"solution": {}}],
    ids=shown,
)
async def test_an_answer_that_is_no_note_does_not_say_that_it_is_another_one(single: dict[str, Any]) -> None:
    async with opened(settings("http://desk"), transport=desk_with({"notes": [{"id": "7"}]}, single)) as desk:
        with pytest.raises(DeskUnavailable, match="invalid answer"):
            await desk.find_note("1", has("Ref 1-a"))


@pytest.mark.parametrize("listed", [LISTED, LISTED | {"list_info": INFO}, LISTED | {"notes": []}, DONE], ids=shown)
async def test_a_desk_that_says_success_may_leave_an_empty_list_out(listed: dict[str, Any]) -> None:
    async with opened(settings("http://desk"), transport=desk_with(listed)) as desk:
        assert await desk.find_note("1", has("Ref 1-a")) is None


@pytest.mark.parametrize("note", [{"id": "7", "description": None}, {"id": "7"}, {"description": "of a person"}])
async def test_a_note_without_text_is_somebody_elses(note: dict[str, Any]) -> None:
    transport = desk_with(LISTED | {"notes": [{"id": "7"}]}, DONE | {"note": note})
    async with opened(settings("http://desk"), transport=transport) as desk:
        assert await desk.find_note("1", has("Ref 1-a")) is None
