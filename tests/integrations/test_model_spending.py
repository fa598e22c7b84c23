"""A tenant's daily budget for the model, and calls beyond it."""

from datetime import UTC, datetime, timedelta

import pytest

from config.tenant_directory import TenantDirectory
from integrations.errors import HeldBack
from integrations.model import spending
from integrations.values import Spent, Usage
from observability import metrics
from tests.config.given import ACME
from tests.integrations.street import BookInMemory, Street, town
from tests.kit.clock import Clock
from tests.kit.logs import StartLog
from tests.kit.tenants_toml import given


async def test_past_the_limit_of_the_day_nothing_is_asked_until_it_is_raised(
    street: Street, start_log: StartLog
) -> None:
    """All processes count: another one has spent most of it."""
    stream = start_log()
    async with town(street, **{"acme.openai.daily_tokens": 1000}) as its_town:
        await its_town.ask()
        its_town.book.elsewhere = Spent(850)
        await its_town.ask()
        for _ in range(2):
            with pytest.raises(HeldBack, match=spending.SPENDING_LIMIT):
                await its_town.ask()
        assert dict(sample_of("acme")) == {"acme": 1.05}
        its_town.change(**{"acme.openai.daily_tokens": 2000, "acme.openai.daily_dollars": 2.5})
        await its_town.ask()
        its_town.change(**{"acme.openai.daily_dollars": 1.5})
        with pytest.raises(HeldBack, match=spending.SPENDING_LIMIT):
            await its_town.ask()
    line = "Spending limit of today reached: tenant_id=acme, tokens=1050, dollars=1.00"
    assert stream.getvalue().count(line) == 1
    assert stream.getvalue().count("Spending limit of today reached") == 2
    assert len(street.came) == 3


def sample_of(tenant_id: str) -> list[tuple[str, float]]:
    (family,) = metrics.SPENDING_USED.collect()
    return [(s.labels["tenant_id"], s.value) for s in family.samples if s.labels["tenant_id"] == tenant_id]


@pytest.mark.parametrize(
    ("before_midnight", "seconds"), [(timedelta(hours=20), 3600), (timedelta(minutes=5), 301), (timedelta(0), 3600)]
)
def test_a_hold_lasts_until_the_day_is_over_and_an_hour_at_most(before_midnight: timedelta, seconds: int) -> None:
    clock, values = Clock(), given({**ACME, "acme.openai.daily_tokens": 10})
    moment = datetime(2026, 3, 2, tzinfo=UTC) - before_midnight
    tenants = TenantDirectory(lambda: values, monotonic=clock)
    limits = spending.SpendingLimits(tenants, BookInMemory(here=Spent(10)), lambda: moment)
    with pytest.raises(HeldBack) as held:
        limits.check("acme")
    assert (held.value.seconds, held.value.extends_deadline) == (seconds, True)


async def test_a_limit_that_can_not_be_held_is_told_once(start_log: StartLog) -> None:
    """OpenAI reports no cost, and some local servers no tokens."""
    stream = start_log()
    values = given({**ACME, "acme.openai.daily_dollars": 1})
    limits = spending.SpendingLimits(TenantDirectory(lambda: values), BookInMemory())
    for _ in range(2):
        limits.paid("acme", Usage(5, 5))
    told = "Spending limit without effect: tenant_id=acme, the model does not tell its dollars"
    assert stream.getvalue().count(told) == 1


async def test_a_stream_that_broke_off_counts_by_an_estimate_and_is_not_called_untold(start_log: StartLog) -> None:
    """Its dollars are estimated by the token price of the last complete call."""
    stream, book = start_log(), BookInMemory()
    values = given({**ACME, "acme.openai.daily_dollars": 1})
    limits = spending.SpendingLimits(TenantDirectory(lambda: values), book)
    limits.paid("acme", Usage(70, 30, estimated=True))
    assert book.here == Spent(100)
    limits.paid("acme", Usage(70, 30, 0.5))
    limits.paid("acme", Usage(70, 30, estimated=True))
    assert book.here == Spent(300, 1.0)
    with pytest.raises(HeldBack, match=spending.SPENDING_LIMIT):
        limits.check("acme")
    assert "without effect" not in stream.getvalue()
