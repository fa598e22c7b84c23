"""Retry of many jobs: the estimated cost."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.prices import ModelPrice
from jobs.bulk_retry import Estimate, ended, estimate
from tests.kit.postgres import Store

PRICES = {"a": ModelPrice(1, 2)}
PAID: dict[str, Any] = {"state": "completed", "finished_at": "now()", "model": "a", "input_tokens": 1_000_000}
FAILED: dict[str, Any] = {"state": "failed", "reason": "GPT-4 timeout", "finished_at": "now()"}


@pytest.mark.parametrize(
    ("paid", "expected"),
    [
        ([], Estimate(None, None)),
        ([{}], Estimate(2_000_000, 2.0)),
        # Two of the three failed jobs have no answer: twice the average of the notes.
        ([{}, {"input_tokens": 500_000, "output_tokens": 500_000}], Estimate(2_000_000, 2.5)),
        ([{}, {"dollars": 4.0}], Estimate(2_000_000, 5.0)),
        ([{}, {"model": "no price"}], Estimate(2_000_000, None)),
        ([{"tenant_id": "globex"}], Estimate(None, None)),
    ],
)
async def test_the_cost_is_estimated_by_the_last_notes_of_the_tenant(
    paid: list[dict[str, Any]], expected: Estimate, store: Store
) -> None:
    for columns in paid:
        await store.accept(**PAID | columns)
    for columns in ({}, {}, {"enhancement": "{}"}):
        await store.accept(**FAILED | columns)
    jobs = await ended(store.database, "acme", "failed", datetime.now(UTC) - timedelta(hours=1), most=9)
    assert len(jobs) == 3
    assert await estimate(store.database, jobs, PRICES) == expected


async def test_stored_answers_cost_nothing(store: Store) -> None:
    await store.accept(**FAILED, enhancement="{}")
    jobs = await ended(store.database, None, "failed", datetime.now(UTC) - timedelta(hours=1), most=9)
    assert await estimate(store.database, jobs, PRICES) == Estimate(0, 0.0)
