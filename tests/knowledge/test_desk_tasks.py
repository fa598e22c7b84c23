"""Copying of many desks: a slow or failing one delays only itself."""

import asyncio
import io
from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

import psycopg
import pytest
from psycopg.errors import ProgramLimitExceeded
from sqlalchemy.exc import DataError, OperationalError, ProgrammingError

from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from integrations.errors import DeskTimeoutError
from knowledge.sources import SyncResult
from knowledge.sync import DeskSync
from knowledge.sync_repository import HeldByAnotherError
from observability import metrics
from tests.kit.desk import settings

DESK = settings("http://desk")


class Directory:
    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = ids

    def all(self) -> list[Tenant]:
        return [*(Tenant(tenant_id, desk=DESK) for tenant_id in self._ids), Tenant("new")]


class OrderedCopies(DeskSync):
    """Copies with a configured duration; `fail` maps a tenant to its exception."""

    def __init__(self, at_once: int = 16, share: float = 60, **seconds: float) -> None:
        nothing = cast("Any", None)
        directory = cast("TenantDirectory", Directory(seconds))
        limits: dict[str, Any] = {"max_concurrent": at_once, "grace_seconds": share}
        super().__init__(directory, nothing, nothing, nothing, round_seconds=lambda _desk, _interval: 0.001, **limits)
        self.seconds = seconds
        self.fail: dict[str, Exception] = {}
        self.copied: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()

    async def sync(self, tenant_id: str, desk: DeskSettings, seconds: float) -> SyncResult:
        assert (desk, seconds) == (DESK, 0.001)
        self.under_way[tenant_id] += 1
        try:
            await asyncio.sleep(self.seconds[tenant_id])
        finally:
            self.under_way[tenant_id] -= 1
        if tenant_id in self.fail:
            raise self.fail[tenant_id]
        self.copied[tenant_id] += 1
        return SyncResult(3, 4, 0)


def told(stream: io.StringIO) -> set[str]:
    return {line.split("Sync ")[1].split(" |")[0] for line in stream.getvalue().splitlines() if "Sync " in line}


async def test_a_slow_desk_goes_on_beside_the_next_copies_of_the_others() -> None:
    desks = OrderedCopies(slow=60, a=0, b=0)
    for _ in range(3):
        await desks.run_round(0.05)
        assert desks.under_way["slow"] == 1
    assert desks.copied == {"a": 3, "b": 3}
    await desks.stop()
    assert desks.under_way["slow"] == 0


async def test_a_desk_that_takes_more_than_its_share_gives_its_place_to_the_next(log: io.StringIO) -> None:
    desks = OrderedCopies(at_once=1, share=0.05, slow=60, a=0, b=0)
    async with asyncio.timeout(5):
        await desks.run_round(60)
    assert desks.copied == {"a": 1, "b": 1}
    assert told(log) == {
        "error: tenant_id=slow, reason=took too long",
        "completed: tenant_id=a, tickets=3, passages=4, removed=0, to_read=0",
        "completed: tenant_id=b, tickets=3, passages=4, removed=0, to_read=0",
    }


async def test_a_removed_tenant_has_no_metrics() -> None:
    """Otherwise its metrics would look like those of a desk that has stalled."""
    desks = OrderedCopies(leaves=0, stays=0)
    for has_left in (False, True):
        await desks.run_round(60)
        samples = [sample for metric in metrics.SYNCED_AT.collect() for sample in metric.samples]
        assert {sample.labels["tenant_id"] for sample in samples} >= desks.seconds.keys()
        assert any(sample.labels["tenant_id"] == "leaves" for sample in samples) != has_left
        desks.seconds.pop("leaves", None)


async def test_no_more_are_copied_at_once_than_there_are_places() -> None:
    desks = OrderedCopies(at_once=3, **{f"t{number}": 60 for number in range(5)})
    await desks.run_round(0.02)
    assert desks.under_way.total() == 3
    await desks.stop()


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (DeskTimeoutError(), "error: tenant_id=a, reason=ServiceDesk Plus timeout"),
        (ProgrammingError("?", None, ProgramLimitExceeded()), "error: tenant_id=a, reason=refused by the database"),
        (DataError("?", None, psycopg.DataError()), "error: tenant_id=a, reason=refused by the database"),
        (UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "?"), "error: tenant_id=a, reason=unexpected failure"),
        (HeldByAnotherError(), "left out: tenant_id=a, another process copies this desk"),
    ],
)
async def test_a_failing_desk_stops_no_other_and_is_tried_again(
    failure: Exception, line: str, log: io.StringIO
) -> None:
    desks = OrderedCopies(a=0, b=0.02)
    desks.fail["a"] = failure
    for _ in range(2):
        await desks.run_round(60)
    assert desks.copied == {"b": 2}
    assert line in told(log)
    desks.fail.clear()
    await desks.run_round(60)
    assert desks.copied == {"a": 1, "b": 3}


async def test_a_database_that_is_away_ends_the_round() -> None:
    desks = OrderedCopies(a=0, b=0)
    desks.fail = dict.fromkeys(desks.seconds, OperationalError("?", None, Exception()))
    with pytest.raises(OperationalError):
        await desks.run_round(60)
    await desks.stop()
