"""Ticket URLs for people, in the form that public code uses."""

import pytest

from config.tenants import DeskSettings
from integrations.servicedesk.pages import page_of


@pytest.mark.parametrize(
    ("url", "more", "page"),
    [
        ("https://desk.acme.example:8080", {}, "https://desk.acme.example:8080/WorkOrder.do?woMode=viewWO&woID=103"),
        ("https://desk", {"portal_id": "2"}, "https://desk/WorkOrder.do?woMode=viewWO&woID=103&PORTALID=2"),
        ("https://desk/app/it", {}, ""),
        ("https://sdp/app/it", {"edition": "cloud"}, "https://sdp/app/it/ui/requests/103/details"),
    ],
)
def test_a_ticket_has_the_page_that_people_open(url: str, more: dict[str, str], page: str) -> None:
    values = {"edition": "onpremises"} | more
    assert page_of(DeskSettings(url=url, **values), "103") == page


def test_an_odd_id_stays_within_the_address() -> None:
    assert page_of(DeskSettings(url="https://sdp/app/it", edition="cloud"), "1/../../x?y") == (
        "https://sdp/app/it/ui/requests/1%2F..%2F..%2Fx%3Fy/details"
    )
    assert page_of(DeskSettings(url="https://d", edition="onpremises"), "1&x=2").endswith("woID=1%26x%3D2")
