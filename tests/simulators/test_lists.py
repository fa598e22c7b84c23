"""The ticket list of a simulated desk: contents, order and criteria."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from simulators.servicedesk import create_desk
from tests.kit.simulators import CLOUD, Simulator, simulator_of


@pytest.fixture(scope="module")
def desks() -> Iterator[Simulator]:
    acme = {"api_key": "acme-key", "seeded": False, "history": 30, "history_days": 30}
    yield from simulator_of(create_desk({"desks": {"acme": acme, "globex": CLOUD}}))


def listed(desks: Simulator, **info: Any) -> Any:
    query = {"input_data": json.dumps({"list_info": info})}
    answer = httpx2.get(f"{desks.url}/acme/api/v3/requests", params=query, headers={"authtoken": "acme-key"})
    assert answer.is_success, answer.text
    return answer.json()


@pytest.mark.parametrize("as_list", [False, True])
def test_what_was_changed_since_a_time_is_listed_in_either_form(as_list: bool, desks: Simulator) -> None:
    fields = ["last_updated_time"]
    every = listed(desks, row_count=100, fields_required=fields)["requests"]
    times = sorted(int(each["last_updated_time"]["value"]) for each in every)
    criterion = {"field": "last_updated_time", "condition": "greater than", "value": str(times[24])}
    criteria = [criterion] if as_list else criterion
    order = {"sort_field": "last_updated_time", "sort_order": "asc"}
    found = listed(desks, row_count=2, search_criteria=criteria, fields_required=fields, **order)
    assert [int(each["last_updated_time"]["value"]) for each in found["requests"]] == times[25:27]
    assert found["list_info"]["has_more_rows"]


def test_a_list_tells_what_it_is_asked_for_and_else_what_is_recorded(desks: Simulator) -> None:
    (plain,) = listed(desks, row_count=1)["requests"]
    assert not {"last_updated_time", "category", "description"} & plain.keys()
    (asked,) = listed(desks, row_count=1, fields_required=["category", "site", "last_updated_time"])["requests"]
    assert asked.keys() == {"id", "category", "site", "last_updated_time"}


@pytest.mark.parametrize(("order", "sorted_as"), [("asked", True), ("oldest first", False), ("mixed", False)])
def test_a_desk_may_keep_an_order_of_its_own(order: str, sorted_as: bool, desks: Simulator) -> None:
    desks.change("PATCH", "/desks/acme", list_order=order)
    found = listed(desks, row_count=100, sort_field="created_time", sort_order="desc")["requests"]
    times = [int(each["created_time"]["value"]) for each in found]
    assert (times == sorted(times, reverse=True)) == sorted_as
    desks.change("PATCH", "/desks/acme", list_order="asked")
