"""`ai-agents diagnose`: one verdict from all sources; changes nothing."""

import argparse
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from redis.asyncio import Redis

from cli.check.findings import load_parts
from cli.runner import ask_with
from cli.tables import as_json, stop_printing
from config.exits import NOT_DONE_EXIT, NOT_UNDERSTOOD_EXIT
from config.settings import DiagnoseSettings
from config.tenant_directory import TenantDirectory, read_environment
from db.session import Database
from jobs.diagnosis.facts import (
    AmbiguousTenantError,
    DiagnosisSubject,
    FactCollector,
    Facts,
    UnknownTenantError,
    facts_without_database,
)
from jobs.diagnosis.probes import DirectProbes
from jobs.diagnosis.report import for_machines, for_people
from jobs.diagnosis.rules import judge
from jobs.queue import open_redis
from observability import tracing

_REDIS_SECONDS = 0.5
_CHECK_SECONDS, _SECONDS = 0.9, 4.0
Gather = Callable[[Redis | None, TenantDirectory, DirectProbes], Awaitable[Facts | None]]


def run(chosen: argparse.Namespace) -> int:
    """Print the verdict; return its exit status.

    1 if there is no such job, 2 if the tenant is ambiguous or unknown. Stores, desk and model are queried as far as a
    worker's settings are here; none of them is required.
    """
    asked = DiagnosisSubject(chosen.ticket, chosen.tenant, chosen.job)

    async def work(database: Database, settings: DiagnoseSettings) -> int:
        def gather(redis: Redis | None, tenants: TenantDirectory, outside: DirectProbes) -> Awaitable[Facts | None]:
            return FactCollector(database, redis, tenants, outside).facts(asked)

        return await _answer(chosen, settings, gather)

    async def away(settings: DiagnoseSettings) -> int:
        return await _answer(chosen, settings, partial(facts_without_database, asked))

    return ask_with(DiagnoseSettings, work, away, check_seconds=_CHECK_SECONDS, seconds=_SECONDS)


async def _answer(chosen: argparse.Namespace, settings: DiagnoseSettings, gather: Gather) -> int:
    loaded, _ = load_parts()
    known = TenantDirectory(read_environment(settings.secrets_dir), keys=loaded.keys)
    redis = open_redis(loaded.stores.redis_url, seconds=_REDIS_SECONDS) if loaded.stores else None
    status, tenants = NOT_UNDERSTOOD_EXIT, list[str]()
    try:
        with tracing.untraced():
            facts = await gather(redis, known, DirectProbes(known, loaded, redis))
        if facts is not None:
            diagnosis = judge(facts)
            told = for_machines if chosen.json else for_people
            what = told(facts, diagnosis, settings.jaeger_url)
            _print(as_json(what) if isinstance(what, dict) else what)
            return diagnosis.verdict.status
        whose = f" of {chosen.tenant}" if chosen.tenant else ""
        status, says = NOT_DONE_EXIT, f"No job{whose} has the id {chosen.job}, or it was purged by age."
    except UnknownTenantError as among:
        tenants = among.tenants
        says = f"No tenant {chosen.tenant} is known here, and it has no such job. Known are: {among}"
    except AmbiguousTenantError as several:
        tenants, says = several.tenants, f"Whose ticket is it? Say --tenant: {several}"
    finally:
        if redis is not None:
            await redis.aclose()
    print(says, file=sys.stderr)
    if chosen.json:
        _print(as_json({"verdict": None, "exit_status": status, "says": says, "tenants": tenants}))
    return status


def _print(text: str) -> None:
    """Print the text; a closed pipe does not change the verdict's exit status."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        stop_printing()
