"""`ai-agents check`: all checks by tenant, as a table or JSON."""

import argparse
import asyncio
import sys
from dataclasses import asdict, dataclass
from typing import Self

from redis.asyncio import Redis

from config.exits import CONFIGURATION_EXIT, UNFORESEEN_EXIT
from config.settings import LogSettings, WorkerSettings
from config.tenant_directory import TenantDirectory, read_environment
from dispatch.queue import open_redis
from observability import phrases
from observability.logging import say, start_logging
from support.check.desk import desk_rows
from support.check.embeddings import EmbeddingsCheck, embeddings_not_asked
from support.check.feedback import feedback_rows
from support.check.findings import Finding, State
from support.check.model import ModelCheck, model_not_asked
from support.check.settings import Loaded, load_parts, reconcile_rows, rows_of_no_tenant, secret_rows, tenant_rows
from support.check.stores import postgres_rows, redis_rows
from support.check.webhook import webhook_rows
from support.tables import as_json, table, terminal_width

_HEAD = ("CHECK", "TENANT", "STATE", "SEEN")


def run(chosen: argparse.Namespace) -> int:
    """Run all checks and print a row for each; return 78 if one failed, else 0."""
    loaded, rows = load_parts()
    start_logging(loaded.log or LogSettings.model_construct(), sys.stderr)
    try:
        rows += asyncio.run(_look(chosen, loaded))
    except Exception as failure:  # noqa: BLE001 -- logged by its types and places, never with its message
        say(phrases.PROCESS_FAILED, failure=failure)
        return UNFORESEEN_EXIT
    if chosen.json:
        print(as_json([asdict(row) for row in rows]))
    else:
        print(table(_HEAD, [_cells(row) for row in rows], terminal_width()))
    return CONFIGURATION_EXIT if any(row.state is State.FAILED for row in rows) else 0


async def _look(chosen: argparse.Namespace, loaded: Loaded) -> list[Finding]:
    stores = loaded.stores
    rows = await postgres_rows(stores.database_url if stores else None)
    rows += await redis_rows(stores.redis_url if stores else None)
    tenants = TenantDirectory(read_environment(loaded.log.secrets_dir if loaded.log else None), keys=loaded.keys)
    if chosen.tenant is None:
        rows += rows_of_no_tenant(tenants)
    redis = open_redis(stores.redis_url, seconds=2) if stores else None
    paid = _Paid.of(tenants, loaded.worker) if loaded.worker and not chosen.no_model else None
    try:
        for tenant_id in [chosen.tenant] if chosen.tenant else [tenant.id for tenant in tenants.all()]:
            rows += await _look_at_tenant(chosen, loaded, tenants, tenant_id, redis, paid)
    finally:
        if paid is not None:
            await paid.model.close()
            await paid.embeddings.close()
        if redis is not None:
            await redis.aclose()
    return rows


async def _look_at_tenant(
    chosen: argparse.Namespace,
    loaded: Loaded,
    tenants: TenantDirectory,
    tenant_id: str,
    redis: Redis | None,
    paid: "_Paid | None",
) -> list[Finding]:
    rows = tenant_rows(tenants, tenant_id)
    tenant = tenants.get(tenant_id)
    if tenant is None:
        return rows
    rows += secret_rows(tenant) + reconcile_rows(tenant)
    if loaded.desks is not None:
        rows += await desk_rows(tenant, loaded.desks, redis)
    if paid is not None:
        rows += await paid.model.rows(tenant_id)
        rows += await paid.embeddings.rows(tenant_id)
    else:
        why = "--no-model was given" if chosen.no_model else loaded.has_no_keys or "a setting is missing or wrong"
        rows += model_not_asked(tenant_id, why)
        rows += embeddings_not_asked(tenant_id, why)
    rows += await webhook_rows(tenant, chosen.url, loaded.desks)
    return rows + await feedback_rows(tenant, loaded.worker)


@dataclass(frozen=True, slots=True)
class _Paid:
    """Checks whose calls may cost money."""

    model: ModelCheck
    embeddings: EmbeddingsCheck

    @classmethod
    def of(cls, tenants: TenantDirectory, settings: WorkerSettings) -> Self:
        return cls(ModelCheck(tenants, settings), EmbeddingsCheck(tenants, settings))


def _cells(row: Finding) -> tuple[str, str, str, str]:
    seen = f"{row.seen}: {row.remedy}" if row.remedy else row.seen
    return row.name, row.tenant_id or "-", row.state, seen
