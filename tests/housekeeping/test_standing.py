"""A desk that lists tickets but lets none be read: comparison is incomplete."""

import pytest
from redis.asyncio import Redis

from tests.housekeeping.comparing import told
from tests.housekeeping.rounds import RoundsOf, value
from tests.housekeeping.site import Site
from tests.kit.logs import StartLog


async def test_a_desk_of_which_no_ticket_can_be_read_stands_though_it_lists_them(
    site: Site, redis: Redis, start_log: StartLog
) -> None:
    """Unread items do not count as missed, so only this metric shows the problem."""
    stream = start_log()
    rounds = RoundsOf(site.desk, site.database, site.table, redis)
    rounds.values["acme.tickets.never.category"] = ["Payroll"]
    rounds.clock.now += 6
    site.set_desk(list_fields=False)
    try:
        await rounds.round()
        site.new_ticket()
        await rounds.round()
        at = "UPDATE reconciliations SET compared_at = now() - interval '2 hours' RETURNING compared_at"
        (row,) = site.table.run(at)
        site.desk.order(kind="status", code=500, operation="read_ticket")
        await rounds.round()
        assert told(stream, "Reconcile error: tenant_id=acme")
        assert value("last_success_timestamp_seconds") == pytest.approx(row["compared_at"].timestamp(), abs=0.01)
    finally:
        await rounds.reconciling.stop()
        await rounds.desks.close()
