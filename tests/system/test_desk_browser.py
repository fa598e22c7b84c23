"""The simulated desk's pages in a real browser, with the tenants of `make dev` and `make demo`."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from dev.stack.environment import demo_tenants
from tests.kit.browser import needs_chromium, overflow, running_chromium, violations
from tests.kit.system import SHORT, StartSystem
from tests.kit.world import World, wait_for

pytestmark = [pytest.mark.slow, needs_chromium]
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]
VPN = "VPN does not connect from home"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def noted(start_system: StartSystem) -> Iterator[tuple[World, str, dict[str, str]]]:
    """Return a world, the desk's URL, and a ticket with a note by tenant."""
    system = start_system(settings=SHORT, tenants=demo_tenants(), openai_seconds=0.2)
    synced = system.housekeeping.output
    wait_for(lambda: all(f"Sync completed: tenant_id={tenant.id}" in synced() for tenant in system.tenants))
    world = World(system)
    tickets = {tenant.id: world.create_ticket(VPN, tenant.id) for tenant in system.tenants}
    for tenant, ticket in tickets.items():
        assert world.ended(ticket, tenant)["state"] == "completed"
    yield world, system.state["desk_url"], tickets
    world.close()


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_the_desks_pages_are_accessible(
    scheme: str, width: int, noted: tuple[World, str, dict[str, str]], chromium: Browser
) -> None:
    _, url, tickets = noted
    look: dict[str, Any] = {"color_scheme": scheme, "is_mobile": width < 600}
    with chromium.new_context(base_url=url, viewport={"width": width, "height": 800}, **look) as context:
        page = context.new_page()
        for path in ("/", "/desks/acme", f"/desks/acme/tickets/{tickets['acme']}"):
            page.goto(path)
            assert (violations(page), overflow(page) <= 0) == ([], True), path
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert background == ("rgb(17, 24, 31)" if scheme == "dark" else "rgb(238, 242, 246)")


@pytest.mark.parametrize("tenant", ["acme", "globex"])
def test_a_notes_source_opens_its_ticket(
    tenant: str, noted: tuple[World, str, dict[str, str]], chromium: Browser
) -> None:
    _, url, tickets = noted
    with chromium.new_context(base_url=url) as context:
        page = context.new_page()
        page.goto(f"/desks/{tenant}/tickets/{tickets[tenant]}")
        source = opened(page, "a:text-matches('^#') >> nth=-1")
        assert source.url.startswith(f"{url}/desks/{tenant}/tickets/1")
        assert "VPN" in source.title()


def test_a_vote_is_stored(noted: tuple[World, str, dict[str, str]], chromium: Browser) -> None:
    world, url, tickets = noted
    with chromium.new_context(base_url=url, locale="en") as context:
        page = context.new_page()
        page.goto(f"/desks/acme/tickets/{tickets['acme']}")
        feedback = opened(page, "text=Useful?")
        feedback.click("button.first")
        feedback.wait_for_selector("[role=status]")
    with world.admin() as admin:
        assert admin.execute("SELECT tenant_id, vote FROM feedback").fetchall() == [("acme", "useful")]


def opened(page: Page, link: str) -> Page:
    """Click a link of the note; return the page in its new tab."""
    with page.expect_popup() as popup:
        page.frame_locator("iframe[title=Note]").locator(link).click()
    popup.value.wait_for_load_state()
    return popup.value
