"""`ai-agents sync`: copied extent of each desk, and a complete copy of one."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

from tqdm import tqdm

from cli.database import run_with_settings
from cli.terminal import as_json, table, terminal_width
from config.exit_codes import NOT_DONE_EXIT
from config.settings import SyncSettings
from config.tenant_directory import TenantDirectory, read_environment
from config.tenants import DeskSettings
from db.session import Database
from integrations.desks import Desks
from integrations.errors import DeferredError, ExternalError
from jobs.queue import open_redis
from knowledge import sync_repository
from knowledge.desk_tasks import call_seconds
from knowledge.sync import DeskSync
from knowledge.sync_repository import Extent, HeldByAnotherError
from observability.formats import age, duration
from workflow.note_followup import NoteFollowUp

_ROUND_SECONDS = 60.0
_LOOK_SECONDS = 1.0
# Pages of lists included.
_CALLS_A_READING = 1.25


def run(chosen: argparse.Namespace) -> int:
    """Copy a named desk and print the extents; return 1 if a copy is incomplete."""

    async def work(database: Database, settings: SyncSettings) -> int:
        tenants = TenantDirectory(read_environment(settings.secrets_dir), keys=["desk"])
        desks = {tenant.id: tenant.desk for tenant in tenants.all() if tenant.desk is not None}
        if chosen.tenant is not None and chosen.tenant not in desks:
            print(f"{chosen.tenant} has no desk here: check SERVICEDESK_URL_<TENANT>.", file=sys.stderr)
            return NOT_DONE_EXIT
        status = 0
        if chosen.tenant is not None:
            desks = {chosen.tenant: desks[chosen.tenant]}
            status = await _copy(database, settings, tenants, chosen.tenant, desks[chosen.tenant])
        extents = []
        for tenant_id, desk in sorted(desks.items()):
            extent = await sync_repository.extent(database, tenant_id)
            extents.append((tenant_id, extent, _CALLS_A_READING * extent.to_read * call_seconds(desk)))
        if chosen.json:
            print(as_json([{"tenant_id": name, **extent._asdict(), "seconds_left": s} for name, extent, s in extents]))
        elif extents:
            head = ("TENANT", "TICKETS", "SOLUTIONS", "TO READ", "TAKES", "BACK TO", "LAST READ", "UNSEEN FOR")
            print(table(head, [_cells(*row) for row in extents], terminal_width()))
        else:
            print("No tenant has a desk.", file=sys.stderr)
        return status

    return run_with_settings(SyncSettings, work)


async def _copy(
    database: Database, settings: SyncSettings, tenants: TenantDirectory, tenant_id: str, desk: DeskSettings
) -> int:
    redis = open_redis(settings.redis_url, seconds=2)
    desks = Desks(tenants, settings, redis, connections=4, yields_to_jobs=True)
    copies = DeskSync(tenants, database, desks, NoteFollowUp(database, settings.job_deadline_seconds))
    bar = tqdm(unit=" read", file=sys.stderr, disable=None, dynamic_ncols=True)
    try:
        reason = await _copy_all(database, copies, tenant_id, desk, bar)
    finally:
        bar.close()
        await desks.close()
        await redis.aclose()
    if reason:
        print(f"Copy incomplete: {reason}. Run this again to continue.", file=sys.stderr)
    return NOT_DONE_EXIT if reason else 0


async def _copy_all(database: Database, copies: DeskSync, tenant_id: str, desk: DeskSettings, bar: Any) -> str:
    refused, reason = 0, ""
    while True:
        copying = asyncio.create_task(copies.sync(tenant_id, desk, _ROUND_SECONDS))
        try:
            while True:
                ended, _ = await asyncio.wait([copying], timeout=_LOOK_SECONDS)
                extent = await sync_repository.extent(database, tenant_id)
                read = extent.tickets + extent.solutions
                bar.total, bar.n = read + extent.to_read, read
                bar.refresh()
                if ended:
                    break
            synced = await copying
        except HeldByAnotherError:
            # The other process does the same work.
            bar.set_postfix_str("another process is copying it")
            await asyncio.sleep(_LOOK_SECONDS)
            continue
        except (ExternalError, DeferredError) as failure:
            return str(failure.reason)
        finally:
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)
        refused, reason = refused + synced.refused, synced.stopped or reason
        if synced.done and not extent.to_read:
            reason = reason or ("" if extent.listed else "its list was not read completely")
            return reason or (f"the desk refused {refused} items" if refused else "")


def _cells(tenant_id: str, extent: Extent, seconds_left: float) -> tuple[str, ...]:
    # There may be more until the desk's list was read to its end.
    more = "" if extent.listed else "+"
    now = datetime.now(UTC)
    return (
        tenant_id,
        str(extent.tickets),
        str(extent.solutions),
        f"{extent.to_read}{more}",
        f"{duration(seconds_left)}{more}",
        "-" if extent.reaches_back_to is None else f"{extent.reaches_back_to:%Y-%m-%d}",
        *("-" if at is None else age((now - at).total_seconds()) for at in (extent.read_at, extent.oldest_seen)),
    )
