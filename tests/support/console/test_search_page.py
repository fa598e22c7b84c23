"""Searches lead to a ticket or a choice, and reveal no other tenant."""

from datetime import UTC, datetime, timedelta

import pytest
from markupsafe import escape
from redis.asyncio import Redis

from storage import reconciling, rejections
from storage.reconciling import SeenTicket
from storage.session import Database
from support.console.errors import NotFound
from support.console.routes.tickets import search
from support.console.sessions import User
from tests.kit.postgres import Store
from tests.support.console.visits import OF_ACME, SUPPORT, GoTo, Visits

JOB = "01936b2e-7c1a-7000-8000-0123456789ab"


@pytest.fixture
async def visits(store: Store, redis: Redis) -> Visits:
    await store.accept(ticket_id="1")
    await store.accept(ticket_id="2")
    await store.accept(tenant_id="globex", ticket_id="2")
    await store.accept(tenant_id="globex", ticket_id="3")
    await rejections.record(store.database, "globex", "4", 403, "signature mismatch", proved=False)
    return Visits(store.database, redis)


@pytest.mark.parametrize(
    ("said", "visitor", "path"),
    [
        ("1", SUPPORT, "/tickets/acme/1"),
        (" #3 ", SUPPORT, "/tickets/globex/3"),
        ("4", SUPPORT, "/tickets/globex/4"),
        ("acme 9", SUPPORT, "/tickets/acme/9"),
        ("acme/9", SUPPORT, "/tickets/acme/9"),
        ("ACME 9", SUPPORT, "/tickets/acme/9"),
        (JOB, SUPPORT, f"/jobs/{JOB}"),
        (f"Ref {JOB.upper()}", SUPPORT, f"/jobs/{JOB}"),
        ("", SUPPORT, "/"),
        ("1", OF_ACME, "/tickets/acme/1"),
        ("2", OF_ACME, "/tickets/acme/2"),
        ("3", OF_ACME, "/tickets/acme/3"),
        ("99", OF_ACME, "/tickets/acme/99"),
    ],
)
async def test_a_search_with_one_answer_leads_there(said: str, visitor: User, path: str, visits: Visits) -> None:
    assert await visits.ask(search, visitor, query={"q": said}) == GoTo(path)


async def test_a_number_of_several_tenants_is_a_choice(visits: Visits) -> None:
    html = await visits.html(search, query={"q": "2"})
    assert "Several tenants have a ticket of this number" in html
    assert html.index('href="/tickets/acme/2"') < html.index('href="/tickets/globex/2"')
    assert await visits.ask(search, query={"q": "2", "tenant": "globex"}) == GoTo("/tickets/globex/2")


async def test_a_number_that_a_desk_has_listed_leads_to_its_tenant(visits: Visits, database: Database) -> None:
    """A missing webhook is the most frequent reason for a search."""
    now = datetime.now(UTC)
    await reconciling.begin(database, "globex", now - timedelta(hours=1))
    await reconciling.compare(database, "globex", [SeenTicket("5", None, now)], seen_at=now, until=now)
    assert await visits.ask(search, query={"q": "5"}) == GoTo("/tickets/globex/5")


async def test_a_number_that_nobody_knows_is_a_choice_too(visits: Visits) -> None:
    html = await visits.html(search, query={"q": "99"})
    assert "No webhook of this number is known" in html
    assert 'href="/tickets/globex/99"' in html


@pytest.mark.parametrize("tenant", ["globex", "nobody", "no tenant's id", "../x"])
async def test_another_tenant_is_as_unknown_as_none(tenant: str, visits: Visits) -> None:
    with pytest.raises(NotFound):
        await visits.ask(search, OF_ACME, query={"q": "3", "tenant": tenant})
    if " " not in tenant and "/" not in tenant:
        with pytest.raises(NotFound):
            await visits.ask(search, OF_ACME, query={"q": f"{tenant} 3"})


@pytest.mark.parametrize("said", ["<script>", "1 OR 1=1", "1" * 21, "٣", "acme VPN"])
async def test_what_is_no_ticket_is_refused_before_anybody_is_asked(
    said: str, database: Database, redis: Redis
) -> None:
    page = await Visits(database, redis).page(search, query={"q": said})
    assert page.status == 400
    html = page.html
    assert "That is no ticket and no job" in html
    # The typed text stays for correction.
    assert f'value="{escape(said)}"' in html
