"""Reconciliation rounds over one desk, with intervals controlled by the test."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from config.tenants import Tenant
from db.session import Database
from jobs.inbox import Inbox
from jobs.repository import RECOVERED
from tests.kit.postgres import Table
from worker.scheduler.missed_webhooks import MissedTickets

INTERVAL = timedelta(minutes=5)


@dataclass
class Comparing:
    """The rounds of one tenant. Each call of the desk is a turn."""

    desk: Any
    database: Database
    table: Table
    redis: Redis
    tenant: Tenant = field(default_factory=lambda: Tenant("acme"))
    window: timedelta = timedelta(days=1)
    left: bool = False  # since the round began
    turns: int = 0

    async def turn(self) -> None:
        self.turns += 1

    @property
    def missed(self) -> MissedTickets:
        of_tenant = (Inbox(self.redis), self.tenant, lambda: None if self.left else self.tenant, self.turn)
        return MissedTickets(self.database, self.desk, *of_tenant, INTERVAL, self.window, 1800)

    async def round(self, until: float = 0, **how: Any) -> str:
        """Run a round; return the reason why not all was compared, if any."""
        missed = self.missed
        not_compared = await missed.find()
        await missed.recover(until, **how)
        return not_compared

    async def after_an_interval(self) -> str:
        """Run the round in which tickets seen by the previous one count as missed."""
        self.pass_by(INTERVAL)
        return await self.round()

    async def through_an_interval(self) -> None:
        await self.round()
        await self.after_an_interval()

    def pass_by(self, time: timedelta) -> None:
        """Move the times of seen, missed and made tickets back by this much."""
        moved = ", ".join(f"{name} = {name} - %s" for name in ("seen_at", "missed_at", "recovered_at"))
        self.table.run(f"UPDATE missing_webhooks SET {moved}", time, time, time)  # noqa: S608 -- names above

    def made(self) -> list[str]:
        rows = self.table.run("SELECT ticket_id FROM jobs WHERE event = %s ORDER BY accepted_at, id", RECOVERED)
        return [row["ticket_id"] for row in rows]

    def rows(self, where: str = "true") -> list[str]:
        question = f"SELECT ticket_id FROM missing_webhooks WHERE {where} ORDER BY ticket_id"  # noqa: S608
        return [row["ticket_id"] for row in self.table.run(question)]


def told(stream: Any, words: str) -> list[str]:
    return [line for line in stream.getvalue().splitlines() if words in line]
