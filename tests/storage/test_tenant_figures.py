"""Metrics of one tenant's jobs and webhooks."""

from typing import Any

import pytest

from storage import job_figures, rejections
from storage.job_figures import HeldJobs, figures_of, outcomes
from storage.jobs import ASKED_BY_HAND, RECOVERED
from storage.rejections import OF_WEBHOOKS
from tests.kit.postgres import Store

NO_ONE_WAITS: dict[str, Any] = {"state": "completed", "finished_at": "now()"}


async def test_a_tenant_without_anything_has_figures_of_nothing(store: Store) -> None:
    figures = await figures_of(store.database, "acme")
    assert (figures.completed, figures.failed, figures.waiting, figures.running) == (0, 0, 0, 0)
    assert (figures.success_rate, figures.last_accepted_at, figures.last_refused) == (None, None, None)
    assert (figures.spent, figures.synced_at, figures.reasons) == (None, None, {})


async def test_the_success_rate_is_of_what_ended_with_or_without_a_note(store: Store) -> None:
    """By the time of the end, not of acceptance."""
    long_ago: dict[str, Any] = {"accepted_at": "now() - interval '3 days'"}
    for state in ("completed", "completed", "failed", "skipped"):
        await store.accept(state=state, finished_at="now()")
    await store.accept(state="completed", finished_at="now() - interval '23 hours'", **long_ago)
    await store.accept(state="failed", finished_at="now() - interval '25 hours'", **long_ago)
    await store.accept(tenant_id="globex", state="failed", finished_at="now()", **long_ago)
    await store.accept(tenant_id="initech", state="completed", finished_at="now()")
    figures = await figures_of(store.database, "acme")
    assert (figures.completed, figures.failed, figures.skipped) == (3, 1, 1)
    assert figures.success_rate == pytest.approx(0.75)
    asked = ["acme", "globex", "hooli", "initech"]
    assert await outcomes(store.database, asked) == {"acme": (3, 1), "globex": (0, 1)}


async def test_open_jobs_are_counted_with_why_they_wait_again(store: Store) -> None:
    await store.accept(published=False)
    for _ in range(2):
        await store.accept(reason="desk unavailable", due_at="now() + interval '1 minute'")
    await store.accept(state="running", lease_until="now() + interval '1 minute'")
    await store.accept(tenant_id="globex", reason="desk unavailable")
    figures = await figures_of(store.database, "acme")
    assert (figures.waiting, figures.running, figures.reasons) == (3, 1, {"desk unavailable": 2})


async def test_the_last_webhooks_are_told_and_no_job_without_one(store: Store) -> None:
    webhook = await store.accept(accepted_at="now() - interval '5 minutes'")
    await store.accept(accepted_at="now()")
    store.table.run("UPDATE jobs SET event = %s WHERE id <> %s", ASKED_BY_HAND, webhook)
    await rejections.record(store.database, "acme", "7", 403, "signature mismatch", proved=False)
    await rejections.record(store.database, "globex", "8", 422, "malformed payload", proved=True)
    figures = await figures_of(store.database, "acme")
    assert figures.last_accepted_at == store.table.job(webhook)["accepted_at"]
    assert figures.last_refused is not None
    assert (figures.last_refused.status, figures.last_refused.ticket_id) == (403, "7")


async def test_a_last_webhook_that_is_long_past_is_known_from_reconciliation(store: Store) -> None:
    """A polled desk has very many jobs without a webhook, which are not scanned."""
    webhook = await store.accept(accepted_at="now() - interval '2 hours'")
    store.table.run(
        "INSERT INTO jobs (id, tenant_id, ticket_id, event, state, accepted_at, due_at, deadline_at, finished_at)"
        " SELECT gen_random_uuid(), 'acme', n, %s, 'completed', now(), now(), now(), now()"
        " FROM generate_series(1, %s) n",
        *(RECOVERED, OF_WEBHOOKS["newest"]),
    )
    assert (await figures_of(store.database, "acme")).last_accepted_at is None
    seen = store.table.job(webhook)["accepted_at"]
    store.table.run(
        "INSERT INTO reconciliations (tenant_id, since, compared_until, last_webhook_at)"
        " VALUES ('acme', now(), now(), %s)",
        seen,
    )
    assert (await figures_of(store.database, "acme")).last_accepted_at == seen
    assert (await rejections.receiving(store.database, "acme", ["1"])).last_accepted_at == seen


async def test_the_cost_of_the_day_and_the_last_sync_are_told(store: Store) -> None:
    store.table.run("INSERT INTO spending (tenant_id, day, tokens, dollars) VALUES ('acme', current_date, 7, 0.5)")
    store.table.run("INSERT INTO spending (tenant_id, day, tokens) VALUES ('acme', current_date - 1, 9)")
    store.table.run("INSERT INTO passes (tenant_id, collection, ended_at) VALUES ('acme', 't', now())")
    figures = await figures_of(store.database, "acme")
    assert figures.spent is not None
    assert (figures.spent.tokens, figures.spent.dollars) == (7, 0.5)
    assert figures.synced_at is not None


async def test_open_jobs_of_all_are_counted_by_whether_they_are_due(store: Store) -> None:
    none = await job_figures.open_jobs(store.database)
    assert (none.waiting, none.later, none.oldest_waiting_seconds) == (0, 0, 0)
    await store.accept(due_at="now() - interval '1 minute'")
    await store.accept(published=False)
    await store.accept(published=False, due_at="now() + interval '1 minute'")
    await store.accept(tenant_id="globex", due_at="now() + interval '1 minute'")
    await store.accept(**NO_ONE_WAITS)
    some = await job_figures.open_jobs(store.database)
    assert (some.waiting, some.later) == (2, 2)
    assert some.oldest_waiting_seconds >= 60


async def test_reasons_of_waiting_are_told_by_tenant_and_reason(store: Store) -> None:
    for tenant, reason in (
        ("acme", "desk unavailable"),
        ("acme", "desk unavailable"),
        ("acme", "GPT-4 timeout"),
        ("globex", "desk unavailable"),
        ("globex", None),
    ):
        await store.accept(tenant_id=tenant, reason=reason)
    await store.accept(reason="desk unavailable", **NO_ONE_WAITS)
    assert await job_figures.reasons_of_waiting(store.database) == {
        ("acme", "desk unavailable"): 2,
        ("acme", "GPT-4 timeout"): 1,
        ("globex", "desk unavailable"): 1,
    }


async def test_what_is_held_back_is_told_of_one_tenant(store: Store) -> None:
    held = await store.accept(reason="desk unavailable")
    again = await store.accept(reason="GPT-4 timeout")
    theirs = await store.accept(tenant_id="globex", reason="desk unavailable")
    for tenant, job_id, what in (
        ("acme", held, "held back"),
        ("acme", again, "retried"),
        ("globex", theirs, "held back"),
    ):
        store.table.run(
            "INSERT INTO job_events (tenant_id, job_id, attempt, what) VALUES (%s, %s, 1, %s)", tenant, job_id, what
        )
    (event,) = store.table.run("SELECT at FROM job_events WHERE what = 'held back' AND tenant_id = 'acme'")
    assert await job_figures.held_back_of(store.database, "acme") == {"desk unavailable": HeldJobs(1, event["at"])}
    assert await job_figures.held_back_of(store.database, "nobody") == {}
