"""The simulated desk implements API v3 as documented in docs/dev/outside.md."""

import re
from typing import Any

import httpx2
import pytest

from dev.simulators.servicedesk.desk import SimulatedDesk
from dev.simulators.servicedesk.envelope import RefusedError
from dev.simulators.servicedesk.listing import searched
from dev.simulators.servicedesk.settings import DeskOptions
from tests.dev.simulators.doors import API, call, inner_code, new_ticket
from tests.kit.simulators import CLOUD

SEARCHED = {"field": "display_id", "condition": "is", "value": "3"}


def test_the_first_desk_is_at_the_root_and_takes_its_key_in_one_header(desk: httpx2.Client) -> None:
    assert desk.get("/api/v3/requests/103").json()["request"]["id"] == "103"
    for headers in ({"authtoken": "wrong"}, {"authtoken": "", "TECHNICIAN_KEY": "acme-key"}):
        refused = desk.get("/api/v3/requests/103", headers=headers)
        assert (refused.status_code, inner_code(refused.json())[0]) == (401, 4022)


def test_lists_page_and_leave_descriptions_out(desk: httpx2.Client) -> None:
    first = call(desk, "GET", "/requests")
    assert first["response_status"][0]["status_code"] == 2000
    assert len(first["requests"]) == 10
    assert first["list_info"]["has_more_rows"] is True
    assert "description" not in first["requests"][0]
    newest = [int(item["created_time"]["value"]) for item in first["requests"]]
    assert newest == sorted(newest, reverse=True)
    rest = call(desk, "GET", "/requests", {"list_info": {"row_count": 100, "start_index": 11}})
    assert rest["list_info"]["has_more_rows"] is False
    assert {item["id"] for item in rest["requests"]}.isdisjoint(item["id"] for item in first["requests"])
    second = call(desk, "GET", "/requests", {"list_info": {"page": 2}})
    assert second["requests"][0]["id"] == rest["requests"][0]["id"]
    call(desk, "GET", "/requests", {"list_info": {"sort_field": "last_updated_time", "sort_order": "desc"}})


@pytest.mark.parametrize(
    ("path", "asked", "field"),
    [
        ("/requests", {"list_info": {"row_count": 101}}, "row_count"),
        ("/requests", {"list_info": {"row_count": "10"}}, "row_count"),
        ("/requests", {"list_info": {"start_index": 0}}, "start_index"),
        ("/requests", {"list_info": {"start_index": 1, "page": 1}}, "page"),
        ("/requests", {"list_info": {"sort_field": "created_time", "sort_order": "newest"}}, "sort_order"),
        ("/requests", {"list_info": {"sort_field": "id"}}, "sort_field"),
        ("/requests", {"list_info": {"filter_by": {"name": "Open"}}}, "filter_by"),
        ("/requests", {"list_info": {"search_criteria": SEARCHED}}, "value"),
        ("/requests", {"list_info": {"search_criteria": SEARCHED | {"field": "subject"}}}, "search_criteria"),
        ("/requests", {"list_info": {"fields_required": ["id", "secret"]}}, "fields_required"),
        ("/requests", {"list_info": {}, "fields_required": ["id"]}, "fields_required"),
        ("/requests/103", {"fields_required": ["id"]}, "input_data"),
        ("/solutions", {"list_info": {"filter_by": ""}}, "filter_by"),
        ("/solutions", {"list_info": {"sort_field": "topic"}}, "sort_field"),
    ],
)
def test_calls_that_no_desk_is_known_to_accept_are_refused(
    desk: httpx2.Client, path: str, asked: Any, field: str
) -> None:
    assert inner_code(call(desk, "GET", path, asked, status=400)) == (4001, field)


def test_no_desk_is_known_to_take_its_input_elsewhere_or_other_addresses(desk: httpx2.Client) -> None:
    note = {"input_data": '{"note": {"description": "x"}}'}
    notes = f"{API}/requests/103/notes"
    assert desk.post(notes, params=note).status_code == 400
    assert desk.post(notes, data=note | {"format": "json"}).status_code == 400
    assert desk.post(notes, data=note).status_code == 200
    for unreadable in ("{not json", "[1]"):
        assert desk.post(notes, data={"input_data": unreadable}).status_code == 400
    for other in (f"{API}/requests/", f"{API}//requests", API.upper() + "/requests"):
        assert desk.get(other).status_code == 404


def test_one_of_several_portals_is_found_by_its_name_in_the_path_or_by_its_header(desk: httpx2.Client) -> None:
    desk.patch("/_sim/desks/acme", json={"portal_id": "2"})
    try:
        elsewhere = [desk.get(f"{API}/requests/103", headers=header) for header in ({}, {"PORTALID": "1"})]
        here = [desk.get(f"{API}/requests/103", headers={"PORTALID": "2"}), desk.get("/app/itdesk/api/v3/requests/103")]
    finally:
        desk.patch("/_sim/desks/acme", json={"portal_id": ""})
    assert [(answer.status_code, inner_code(answer.json())[0]) for answer in elsewhere] == [(404, 4007)] * 2
    assert [answer.json()["request"]["id"] for answer in here] == ["103"] * 2


def test_notes_need_the_key_of_the_edition_and_are_listed_without_text(desk: httpx2.Client) -> None:
    ticket = new_ticket(desk)
    path = f"/requests/{ticket}/notes"
    wrong = call(desk, "POST", path, {"request_note": {"description": "x"}}, status=400)
    assert inner_code(wrong) == (4001, "request_note")
    assert wrong["response_status"]["messages"][0]["message"] == "EXTRA_KEY_FOUND_IN_JSON"
    note = {"description": "<p>Ref 1</p>", "show_to_requester": False, "mark_first_response": False}
    added = call(desk, "POST", path, {"note": note})["note"]
    listed = call(desk, "GET", path)
    assert [item["id"] for item in listed["notes"]] == [added["id"]]
    assert "description" not in listed["notes"][0]
    assert call(desk, "GET", f"{path}/{added['id']}")["note"]["description"] == "<p>Ref 1</p>"
    call(desk, "GET", f"{path}/999999", status=404)
    call(desk, "GET", path, {"list_info": {"sort_field": "last_updated_time"}})
    assert inner_code(call(desk, "GET", path, {"list_info": {"sort_field": "created_time"}}, 400))[1] == "sort_field"
    kept = desk.get(f"/_sim/tickets/acme/{ticket}").json()
    assert [item["description"] for item in kept["notes"]] == ["<p>Ref 1</p>"]


def test_a_rate_limit_answers_429_with_4015(desk: httpx2.Client) -> None:
    desk.patch("/_sim/desks/acme", json={"rate_per_minute": 1})
    try:
        answers = [desk.get(f"{API}/requests/103") for _ in range(3)]
    finally:
        desk.patch("/_sim/desks/acme", json={"rate_per_minute": None})
    assert answers[-1].status_code == 429
    assert inner_code(answers[-1].json())[0] == 4015


def test_the_cloud_edition_has_tokens_long_ids_and_its_own_note_key(desk: httpx2.Client) -> None:
    api = "/globex/app/it/api/v3"
    grant = {"grant_type": "refresh_token", "client_id": "id", "client_secret": "secret"}
    wrong = desk.post("/globex/oauth/v2/token", data={**grant, "refresh_token": "wrong"})
    assert (wrong.status_code, wrong.json()) == (200, {"error": "invalid_code"})
    grant["refresh_token"] = "refresh"
    tokens = [desk.post("/globex/oauth/v2/token", data=grant).json() for _ in range(11)]
    assert tokens[0]["expires_in"] == 3600
    assert "error" in tokens[10]
    assert "access_token" not in tokens[10]
    assert desk.get(f"{api}/requests").status_code == 401
    for scheme in ("Bearer", "zoho-oauthtoken"):
        desk.headers["authorization"] = f"{scheme} {tokens[1]['access_token']}"
        assert desk.get(f"{api}/requests").status_code == 401
    desk.headers["authorization"] = f"Zoho-oauthtoken {tokens[0]['access_token']}"
    ticket = new_ticket(desk, "globex")
    assert len(ticket) == 18
    path = f"/requests/{ticket}/notes"
    assert inner_code(call(desk, "POST", path, {"note": {"description": "x"}}, 400, api)) == (4001, "note")
    note = {"description": "x", "notify_technician": False}
    assert call(desk, "POST", path, {"request_note": note}, 200, api)["request_note"]["id"]
    assert desk.get("/globex/api/v3/requests").status_code == 404
    desk.delete("/_sim/desks/globex/tokens")
    assert desk.get(f"{api}/requests").status_code == 401
    recorded = desk.get("/_sim/requests", params={"operation": "token"}).text
    assert "secret" not in recorded.replace("client_secret", "")


def test_the_pages_show_a_note_in_a_sandbox_whose_links_open_a_tab(desk: httpx2.Client) -> None:
    form = {"subject": "<script>alert(1)</script>", "description": "<img src=x onerror=alert(2)>"}
    created = desk.post("/desks/acme/tickets", data=form)
    assert created.status_code == 303
    page = desk.get(created.headers["location"])
    assert "<script>" not in page.text
    assert "<img" not in page.text
    assert 'http-equiv="refresh"' in page.text
    ticket = created.headers["location"].rsplit("/", 1)[1]
    call(desk, "POST", f"/requests/{ticket}/notes", {"note": {"description": '"><script>x</script>'}})
    page = desk.get(f"/desks/acme/tickets/{ticket}")
    assert "<script>" not in page.text
    assert set(re.findall('sandbox="([^"]*)"', page.text)) == {"allow-popups allow-popups-to-escape-sandbox"}
    assert page.text.count('srcdoc="&lt;base target=&#34;_blank&#34;&gt;') == page.text.count("<iframe ") == 2
    assert 'http-equiv="refresh"' not in page.text
    assert desk.post(f"/desks/acme/tickets/{ticket}/close").status_code == 303
    assert "Closed" in desk.get("/desks/acme").text
    assert "acme" in desk.get("/").text


@pytest.mark.parametrize("criteria", [SEARCHED, [SEARCHED]])
def test_a_cloud_desk_finds_a_ticket_by_the_number_that_people_see(criteria: Any) -> None:
    """Use the form of public cloud clients: GIIM and others."""
    tickets = list(SimulatedDesk("globex", DeskOptions.model_validate(CLOUD)).tickets.values())
    options = DeskOptions.model_validate(CLOUD)
    found, rest = searched(tickets, {"row_count": 1, "search_criteria": criteria}, options)
    assert ([ticket.display_id for ticket in found], rest) == (["3"], {"row_count": 1})
    assert searched(tickets, {"search_criteria": SEARCHED | {"value": found[0].id}}, options) == ([], {})


@pytest.mark.parametrize(
    "criteria",
    [
        SEARCHED | {"field": "subject"},
        SEARCHED | {"condition": "contains"},
        SEARCHED | {"value": 3},
        SEARCHED | {"logical_operator": "AND"},
        {"field": "last_updated_time", "condition": "is", "value": "1"},
        {"field": "last_updated_time", "condition": "greater than", "value": 1},
        {"field": "last_updated_time", "condition": "greater than", "value": "yesterday"},
        [SEARCHED, SEARCHED],
        [],
        "display_id is 3",
    ],
)
def test_no_other_search_is_known_to_be_taken(criteria: Any) -> None:
    with pytest.raises(RefusedError):
        searched([], {"search_criteria": criteria}, DeskOptions.model_validate(CLOUD))
    with pytest.raises(RefusedError):
        searched([], {"search_criteria": SEARCHED}, DeskOptions(api_key="k"))


def listed(desk: httpx2.Client, **info: Any) -> Any:
    return call(desk, "GET", "/requests", {"list_info": info})


@pytest.mark.parametrize("as_list", [False, True])
def test_what_was_changed_since_a_time_is_listed_in_either_form(as_list: bool, desk: httpx2.Client) -> None:
    fields = ["last_updated_time"]
    every = listed(desk, row_count=100, fields_required=fields)["requests"]
    times = sorted(int(each["last_updated_time"]["value"]) for each in every)
    criterion = {"field": "last_updated_time", "condition": "greater than", "value": str(times[3])}
    order = {"sort_field": "last_updated_time", "sort_order": "asc", "fields_required": fields}
    found = listed(desk, row_count=2, search_criteria=[criterion] if as_list else criterion, **order)
    assert [int(each["last_updated_time"]["value"]) for each in found["requests"]] == times[4:6]
    assert found["list_info"]["has_more_rows"]


def test_a_list_tells_what_it_is_asked_for_and_else_what_is_recorded(desk: httpx2.Client) -> None:
    (plain,) = listed(desk, row_count=1)["requests"]
    assert not {"last_updated_time", "category", "description"} & plain.keys()
    (asked,) = listed(desk, row_count=1, fields_required=["category", "site", "last_updated_time"])["requests"]
    assert asked.keys() == {"id", "category", "site", "last_updated_time"}
