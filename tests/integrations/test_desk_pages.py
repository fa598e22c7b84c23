"""Ticket URLs for people, in the form that public code uses."""

from typing import Any

import pytest

from tests.kit.desk import opened, settings

ODD = "1/../../x?y&z=2"


@pytest.mark.parametrize(
    ("url", "more", "ticket_id", "page"),
    [
        ("https://d.example:8080", {}, "103", "https://d.example:8080/WorkOrder.do?woMode=viewWO&woID=103"),
        ("https://desk", {"portal_id": "2"}, "103", "https://desk/WorkOrder.do?woMode=viewWO&woID=103&PORTALID=2"),
        ("https://desk/app/it", {}, "103", ""),
        ("https://sdp/app/it", {"edition": "cloud"}, "103", "https://sdp/app/it/ui/requests/103/details"),
        ("https://desk", {}, ODD, "https://desk/WorkOrder.do?woMode=viewWO&woID=1%2F..%2F..%2Fx%3Fy%26z%3D2"),
        ("https://sdp", {"edition": "cloud"}, ODD, "https://sdp/ui/requests/1%2F..%2F..%2Fx%3Fy%26z%3D2/details"),
    ],
)
async def test_a_ticket_has_the_page_that_people_open(url: str, more: Any, ticket_id: str, page: str) -> None:
    async with opened(settings("", url=url, **more)) as desk:
        assert desk.link_to(ticket_id) == page
