"""`ai-agents check`: all checks by tenant, as a table or JSON."""

import argparse
import asyncio
import sys
from dataclasses import asdict

import httpx2

from cli.check.desk import desk_rows
from cli.check.findings import (
    Finding,
    Findings,
    Loaded,
    State,
    load_parts,
    postgres_rows,
    reconcile_rows,
    redis_rows,
    secret_rows,
    tenant_rows,
)
from cli.check.model import EmbeddingsCheck, ModelCheck
from cli.check.report import Redactor, report
from cli.check.webhook import feedback_rows, webhook_rows
from cli.terminal import as_json, table, terminal_width
from config.exit_codes import CONFIGURATION_EXIT, UNFORESEEN_EXIT
from config.settings import LogSettings
from config.tenant_directory import TenantDirectory, read_environment
from config.tenants import Tenant
from jobs.queue import open_redis
from observability import log_events
from observability.logging import log_event, start_logging

Answers = list[tuple[Tenant, list[httpx2.Response]]]


def run(chosen: argparse.Namespace) -> int:
    """Run all checks and print a row for each; return 78 if one failed, else 0."""
    if chosen.report and chosen.json:
        chosen.refuse("--report is a text: give it without --json")
    loaded, rows = load_parts()
    answers: Answers = []
    start_logging(loaded.log or LogSettings.model_construct(), sys.stderr)
    try:
        rows += asyncio.run(_check_all(chosen, loaded, answers))
    except Exception as failure:  # noqa: BLE001 -- logged by its types and places, never with its message
        log_event(log_events.PROCESS_FAILED, failure=failure)
        return UNFORESEEN_EXIT
    if chosen.report:
        read = read_environment(loaded.log.secrets_dir if loaded.log else None)
        print(report(rows, answers, Redactor(TenantDirectory(read, keys=loaded.keys).all(), read())))
    elif chosen.json:
        print(as_json([asdict(row) for row in rows]))
    else:
        cells = [
            (row.name, row.tenant_id or "-", row.state, f"{row.seen}: {row.remedy}" if row.remedy else row.seen)
            for row in rows
        ]
        print(table(("CHECK", "TENANT", "STATE", "SEEN"), cells, terminal_width()))
    return CONFIGURATION_EXIT if any(row.state is State.FAILED for row in rows) else 0


async def _check_all(chosen: argparse.Namespace, loaded: Loaded, answers: Answers) -> list[Finding]:
    stores = loaded.stores
    rows = await postgres_rows(stores.database_url if stores else None)
    rows += await redis_rows(stores.redis_url if stores else None)
    tenants = TenantDirectory(read_environment(loaded.log.secrets_dir if loaded.log else None), keys=loaded.keys)
    if chosen.tenant is None:
        rows += tenant_rows(tenants)
    redis = open_redis(stores.redis_url, seconds=2) if stores else None
    paid_checks: list[ModelCheck | EmbeddingsCheck] = []
    if loaded.worker and not chosen.no_model:
        paid_checks = [ModelCheck(tenants, loaded.worker), EmbeddingsCheck(tenants, loaded.worker)]
    reason = "--no-model was given" if chosen.no_model else loaded.has_no_keys or "a setting is missing or invalid"
    try:
        for tenant_id in [chosen.tenant] if chosen.tenant else [tenant.id for tenant in tenants.all()]:
            rows += tenant_rows(tenants, tenant_id)
            tenant = tenants.get(tenant_id)
            if tenant is None:
                continue
            rows += secret_rows(tenant) + reconcile_rows(tenant)
            if loaded.desks is not None:
                answers.append((tenant, []))
                rows += await desk_rows(tenant, loaded.desks, redis, answers[-1][1])
            for check in paid_checks:
                rows += await check.rows(tenant_id)
            if not paid_checks:
                rows += Findings("model", tenant_id, reason).all + Findings("embeddings", tenant_id, reason).all
            rows += await webhook_rows(tenant, chosen.url, loaded.desks)
            rows += await feedback_rows(tenant, loaded.worker)
    finally:
        for check in paid_checks:
            await check.close()
        if redis is not None:
            await redis.aclose()
    return rows
