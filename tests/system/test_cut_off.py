"""Vanished Postgres clients: they delay only their locked row, for seconds."""

import asyncio
from contextlib import closing
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from devstack.system import System
from dispatch.inbox import Inbox
from dispatch.queue import open_redis
from storage.jobs import Event
from tests.kit.system import other_settings
from tests.kit.world import World, wait_for
from tests.system.cut_off import Cable, stopped_while_it_accepts
from tests.system.outcomes import assert_one_note, log_of


def test_a_peer_that_holds_one_tenants_delivery_holds_up_nobodys_retries(around: World, quick: System) -> None:
    """The relay has an event with a locked delivery, and another tenant's ten retries."""
    around.desk_fault(tenant="globex", operation="read_ticket", kind="status", code=408, times=10)
    with stopped_while_it_accepts(quick.state["database_url"], "acme", "held"):
        mine = around.create_ticket(send_webhook=False)
        waits = keep_in_redis(quick, mine, "held")
        tickets = [around.create_ticket(f"Mail is late {number}", "globex") for number in range(10)]
        for ticket_id in tickets:
            row = around.ended(ticket_id, "globex", seconds=20)
            assert (row["state"], row["attempt"]) == ("completed", 2)
        # The server ends the idle transaction, and the event becomes a row.
        assert_one_note(around, mine)
    assert str(around.job(mine)["id"]) == waits


def keep_in_redis(system: System, ticket_id: str, key: str) -> str:
    """Put an event into the inbox as the API does without Postgres; return its job id."""
    event = Event(uuid4(), "acme", ticket_id, None, (key,), "", datetime.now(UTC))

    async def put() -> None:
        redis = open_redis(system.state["redis_url"], seconds=5)
        await Inbox(redis).put(event)
        await redis.aclose()

    asyncio.run(put())
    return str(event.job_id)


@pytest.mark.slow
def test_a_job_whose_worker_was_cut_off_ends_at_its_deadline_with_a_line(around: World, quick: System) -> None:
    """The worker never receives its claim: both ends consider the connection alive."""
    cable = Cable(quick.state["database_url"])
    with (
        other_settings(quick, quick.api, {"JOB_DEADLINE_SECONDS": "4"}),
        other_settings(quick, quick.workers[0], {"DATABASE_URL": cable.url}),
        closing(cable),
    ):
        cable.cut_at = b"claim_next_job"
        ticket_id = around.create_ticket()
        assert cable.is_cut.wait(10)
        row = around.ended(ticket_id, seconds=25)
    assert (row["state"], row["attempt"]) == ("failed", 1)
    failed = f"Task failed: job_id={row['id']}, ticket_id={ticket_id}, reason=deadline passed; not retried"
    wait_for(lambda: failed in log_of(quick, ticket_id))
