"""`ai-agents sync`: copied extent of each desk, and a complete copy of one.

The copying is housekeeping's code, loaded by name; its process is not needed.
"""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pkgutil import resolve_name
from typing import Any

from tqdm import tqdm

from config.exits import NOT_DONE_EXIT
from config.settings import SyncSettings
from config.tenant_directory import TenantDirectory
from config.tenant_reading import read_environment
from config.tenants import DeskSettings, Tenant
from dispatch.queue import open_redis
from integrations.errors import HeldBack, OutsideFailure
from integrations.servicedesk.desks import Desks
from storage import listings
from storage.listings import Extent, HeldByAnother
from storage.session import Database
from support.asking import ask_with
from support.tables import age, as_json, duration, table, terminal_width

_HEAD = ("TENANT", "TICKETS", "SOLUTIONS", "TO READ", "TAKES", "BACK TO", "LAST READ", "UNSEEN FOR")
_ROUND_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_CALLS_A_READING = 1.25


def run(chosen: argparse.Namespace) -> int:
    """Copy a named desk and print the extents; return 1 if a copy is incomplete."""

    async def work(database: Database, settings: SyncSettings) -> int:
        tenants = TenantDirectory(read_environment(settings.secrets_dir), keys=["desk"])
        known = {tenant.id: tenant.desk for tenant in tenants.all() if tenant.desk is not None}
        if chosen.tenant is not None and chosen.tenant not in known:
            print(f"No desk is set for {chosen.tenant}: see SERVICEDESK_URL_<TENANT>.", file=sys.stderr)
            return NOT_DONE_EXIT
        status = 0
        if chosen.tenant is not None:
            known = {chosen.tenant: known[chosen.tenant]}
            status = await _copy(database, settings, tenants, Tenant(chosen.tenant, desk=known[chosen.tenant]))
        await _print(database, known, machine=chosen.json)
        return status

    return ask_with(SyncSettings, work)


async def _copy(database: Database, settings: SyncSettings, tenants: TenantDirectory, tenant: Tenant) -> int:
    redis = open_redis(settings.redis_url, seconds=2)
    desks = Desks(tenants, settings, redis, connections=4, yields=True)
    copies = resolve_name("housekeeping.sync:Copies")(tenants, database, desks, settings.job_deadline_seconds)
    bar = tqdm(unit=" read", file=sys.stderr, disable=None, dynamic_ncols=True)
    try:
        reason = await _to_its_end(database, copies, tenant, bar)
    finally:
        bar.close()
        await desks.close()
        await redis.aclose()
    if reason:
        print(f"Not all is copied: {reason}. Run it again: it goes on from there.", file=sys.stderr)
    return NOT_DONE_EXIT if reason else 0


async def _to_its_end(database: Database, copies: Any, tenant: Tenant, bar: Any) -> str:
    """Copy in rounds; return the reason for an incomplete end, else empty."""
    refused, reason = 0, ""
    while True:
        copying = asyncio.create_task(copies.copy(tenant.id, tenant.desk, _ROUND_SECONDS))
        try:
            extent = await _shown(database, tenant.id, bar, copying)
            synced = await copying
        except HeldByAnother:
            # The other process does the same work.
            bar.set_postfix_str("another process copies it")
            await asyncio.sleep(_LOOK_SECONDS)
            continue
        except (OutsideFailure, HeldBack) as failure:
            return str(failure.reason)
        finally:
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)
        refused, reason = refused + synced.refused, synced.stopped or reason
        if synced.done and not extent.to_read:
            reason = reason or ("" if extent.listed else "its list was not read to its end")
            return reason or (f"the desk refused {refused} of them" if refused else "")


async def _shown(database: Database, tenant_id: str, bar: Any, copying: asyncio.Task[Any]) -> Extent:
    while True:
        ended = bool((await asyncio.wait([copying], timeout=_LOOK_SECONDS))[0])
        extent = await listings.extent(database, tenant_id)
        read = extent.tickets + extent.solutions
        bar.total, bar.n = read + extent.to_read, read
        bar.refresh()
        if ended:
            return extent


async def _print(database: Database, desks: dict[str, DeskSettings], *, machine: bool) -> None:
    found = {tenant_id: await listings.extent(database, tenant_id) for tenant_id in sorted(desks)}
    if machine:
        rows = [
            {"tenant_id": tenant_id, **extent._asdict(), "seconds_left": _seconds_left(extent, desks[tenant_id])}
            for tenant_id, extent in found.items()
        ]
        print(as_json(rows))
    elif found:
        rows_of_text = [_cells(tenant_id, extent, desks[tenant_id]) for tenant_id, extent in found.items()]
        print(table(_HEAD, rows_of_text, terminal_width()))
    else:
        print("No tenant has a desk.", file=sys.stderr)


def _seconds_left(extent: Extent, desk: DeskSettings) -> float:
    """Estimate the seconds to read the known rest, pages of lists included."""
    return float(_CALLS_A_READING * extent.to_read * resolve_name("housekeeping.pace:call_seconds")(desk))


def _cells(tenant_id: str, extent: Extent, desk: DeskSettings) -> tuple[str, ...]:
    # There may be more until the desk's list was read to its end.
    more = "" if extent.listed else "+"
    return (
        tenant_id,
        str(extent.tickets),
        str(extent.solutions),
        f"{extent.to_read}{more}",
        f"{duration(_seconds_left(extent, desk))}{more}",
        "-" if extent.reaches_back_to is None else f"{extent.reaches_back_to:%Y-%m-%d}",
        _ago(extent.read_at),
        _ago(extent.oldest_seen),
    )


def _ago(moment: datetime | None) -> str:
    return "-" if moment is None else age((datetime.now(UTC) - moment).total_seconds())
