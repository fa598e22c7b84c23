"""Metrics of how much of each desk is copied."""

import time
from collections.abc import Iterable

from observability import metrics
from storage import listings
from storage.listings import Extent
from storage.session import Database


async def tell_extent(database: Database, tenant_id: str) -> Extent:
    """Export and return the extent. Raises one of DATABASE_FAILURES."""
    extent = await listings.extent(database, tenant_id)
    metrics.COPIED_TICKETS.labels(tenant_id).set(extent.tickets)
    metrics.COPIES_TO_READ.labels(tenant_id).set(extent.to_read)
    moments = {
        metrics.OLDEST_COPY_SEEN_AT: extent.oldest_seen,
        metrics.COPIES_REACH: extent.reaches_back_to,
    }
    for gauge, moment in moments.items():
        gauge.labels(tenant_id).set(time.time() if moment is None else moment.timestamp())
    # A desk that never returned anything must not look freshly read.
    metrics.COPY_READ_AT.labels(tenant_id).set(0 if extent.read_at is None else extent.read_at.timestamp())
    return extent


def tell_no_others(tenant_ids: Iterable[str]) -> None:
    """Drop metrics of other tenants: one that left must not look like a failing desk."""
    there = set(tenant_ids)
    for gauge in (*metrics.OF_COPIES, *metrics.OF_RECONCILING):
        for tenant_id in {sample.labels["tenant_id"] for metric in gauge.collect() for sample in metric.samples}:
            if tenant_id not in there:
                gauge.remove(tenant_id)
