"""The simulated desk's shapes match recorded answers by edition, without extra keys."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from dev.simulators.servicedesk import create_desk
from dev.simulators.serving import serve_in_thread
from tests.dev.simulators.doors import call, new_ticket
from tests.kit.desk import TENANT_OF, recorded_answers
from tests.kit.simulators import DESKS

APIS = {"onpremises": "/acme/api/v3", "cloud": "/globex/app/it/api/v3"}
GRANT = {"grant_type": "refresh_token", "client_id": "id", "client_secret": "secret", "refresh_token": "refresh"}
STATUS = {"onpremises": frozenset({"id", "name", "color"})}
STATUS["cloud"] = STATUS["onpremises"] | {"internal_name", "in_progress", "stop_timer"}
Answers = dict[str, dict[str, list[Any]]]
REFUSED: dict[str, tuple[str, dict[str, Any] | None, int]] = {
    "sort_field": ("/requests", {"list_info": {"sort_field": "subject"}}, 400),
    "filter_by": ("/solutions", {"list_info": {"filter_by": {"name": "Approved"}}}, 400),
    "not_found": ("/requests/999999", None, 404),
}


def objects(value: Any, path: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each object's path (shared by items of a list) and its keys."""
    if isinstance(value, dict):
        yield path, frozenset(value)
        for key, inner in value.items():
            yield from objects(inner, f"{path}.{key}")
    for item in value if isinstance(value, list) else ():
        yield from objects(item, f"{path}[]")


def unknown(edition: str, kind: str, answer: Any) -> dict[str, frozenset[str]]:
    """Return an answer's keys that no recorded answer of that kind has.

    Times, people and resolutions may be recorded elsewhere.
    """
    recorded = [each for each in recorded_answers() if each.edition == edition]
    elsewhere = {keys for each in recorded for _, keys in objects(each.body)}
    here: dict[str, frozenset[str]] = {}
    for body in (each.body for each in recorded if each.kind == kind):
        here |= {path: here.get(path, frozenset()) | keys for path, keys in objects(body)}
    return {
        path: keys - here.get(path, frozenset())
        for path, keys in objects(answer)
        if not (keys <= here.get(path, frozenset()) or any(keys <= other for other in elsewhere))
    }


@pytest.fixture(scope="module")
def answers() -> Answers:
    with serve_in_thread(create_desk(DESKS)) as url, httpx2.Client(base_url=url, trust_env=False) as desk:
        token = desk.post("/globex/oauth/v2/token", data=GRANT).json()
        desk.headers.update({"authtoken": "acme-key", "authorization": f"Zoho-oauthtoken {token['access_token']}"})
        return {edition: answers_of(desk, edition) for edition in APIS} | {"oauth": {"token": [token]}}


def answers_of(desk: httpx2.Client, edition: str) -> dict[str, list[Any]]:
    api, tenant = APIS[edition], TENANT_OF[edition]
    statuses = ("Open", "On Hold", "Closed")
    tickets = [new_ticket(desk, tenant, priority="High", category="Network") for _ in (*statuses, "trashed")]
    for ticket_id, status in zip(tickets, statuses, strict=False):
        desk.patch(f"/_sim/tickets/{tenant}/{ticket_id}", json={"status": status})
    desk.patch(f"/_sim/tickets/{tenant}/{tickets[-1]}", json={"is_trashed": True})
    notes, key = f"/requests/{tickets[0]}/notes", "request_note" if edition == "cloud" else "note"
    added = call(desk, "POST", notes, {key: {"description": "x"}}, api=api)
    read = [call(desk, "GET", f"/requests/{ticket_id}", api=api) for ticket_id in tickets]
    seeded = call(desk, "GET", "/requests", {"list_info": {"row_count": 100}}, api=api)
    read.append(call(desk, "GET", f"/requests/{seeded['requests'][-1]['id']}", api=api))
    solutions = call(desk, "GET", "/solutions", {"list_info": {"filter_by": {"name": "ApprovedSolutions"}}}, api=api)
    resolutions = f"/requests/{tickets[0]}/resolutions"
    first = f"/solutions/{solutions['solutions'][0]['id']}"
    return {
        "ticket": read,
        "tickets": [seeded],
        "note": [added, call(desk, "GET", f"{notes}/{added[key]['id']}", api=api)],
        "notes": [call(desk, "GET", notes, api=api)],
        "solutions": [solutions],
        "solution": [call(desk, "GET", first, api=api)],
        "resolution": [call(desk, "POST", resolutions, {"resolution": {"content": "Done"}}, api=api)],
        "failure": [call(desk, "GET", path, info, status, api) for path, info, status in REFUSED.values()],
    }


@pytest.mark.parametrize("kind", ["ticket", "tickets", "note", "notes", "resolution", "solutions", "solution"])
@pytest.mark.parametrize("edition", APIS)
def test_no_answer_has_a_key_that_no_recorded_one_has(edition: str, kind: str, answers: Answers) -> None:
    for answer in answers[edition][kind]:
        assert unknown(edition, kind, answer) == {}


@pytest.mark.parametrize("edition", APIS)
def test_a_status_and_a_time_of_completion_are_as_the_edition_has_them(edition: str, answers: Answers) -> None:
    tickets = [answer["request"] for answer in answers[edition]["ticket"]]
    listed = answers[edition]["tickets"][0]["requests"]
    assert {frozenset(ticket["status"]) for ticket in tickets + listed} == {STATUS[edition]}
    assert {"display_id" in ticket for ticket in tickets + listed} == {edition == "cloud"}
    completed = {ticket["status"]["name"]: ticket.get("completed_time", "absent") for ticket in tickets}
    assert completed["Closed"]["value"].isdecimal()
    assert completed["Open"] == completed["On Hold"] == (None if edition == "cloud" else "absent")
    if edition == "cloud":
        on_hold = next(ticket["status"] for ticket in tickets if ticket["status"]["name"] == "On Hold")
        recorded = next(each for each in recorded_answers() if each.name == "cloud_ticket_on_hold")
        assert on_hold == recorded.body["request"]["status"] | {"id": on_hold["id"]}


def test_failures_and_tokens_are_as_recorded(answers: Answers) -> None:
    recorded = {each.name: each for each in recorded_answers()}
    for edition in APIS:
        assert answers[edition]["failure"] == [recorded[f"failure_{name}"].body for name in REFUSED]
    assert unknown("cloud", "token", answers["oauth"]["token"][0]) == {}
