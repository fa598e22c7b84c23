"""`ai-agents diagnose`: one verdict from all sources; changes nothing."""

import argparse
import sys
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from config.exits import NOT_DONE_EXIT, NOT_UNDERSTOOD_EXIT
from config.settings import DiagnoseSettings
from config.tenant_directory import TenantDirectory, read_environment
from dispatch.queue import open_redis
from observability import tracing
from storage.session import Database
from support.asking import Patience, ask_with
from support.check.settings import load_parts
from support.diagnose.choosing import AskedAbout, SeveralTenants, TenantNotKnown
from support.diagnose.facts import Facts
from support.diagnose.gathering import Gatherer
from support.diagnose.judging import judge
from support.diagnose.no_database import facts_without_database
from support.diagnose.outside import LooksItself
from support.diagnose.printing import for_machines, for_people
from support.leaving import stop_printing
from support.tables import as_json

_REDIS_SECONDS = 0.5
_PATIENCE = Patience(check_seconds=0.9, whole_seconds=4.0)


def run(chosen: argparse.Namespace) -> int:
    """Print the verdict; return its exit status.

    1 if there is no such job, 2 if the tenant is ambiguous or unknown. Stores, desk and model are queried as far as a
    worker's settings are here; none of them is required.
    """
    asked = AskedAbout(chosen.ticket, chosen.tenant, chosen.job)

    async def work(database: Database, settings: DiagnoseSettings) -> int:
        async def facts(redis: Redis | None, tenants: TenantDirectory, outside: LooksItself) -> Facts | None:
            return await Gatherer(database, redis, tenants, outside).facts(asked)

        return await _answer(chosen, settings, facts)

    async def away(settings: DiagnoseSettings) -> int:
        async def facts(redis: Redis | None, tenants: TenantDirectory, outside: LooksItself) -> Facts:
            return await facts_without_database(redis, tenants, outside, asked)

        return await _answer(chosen, settings, facts)

    return ask_with(DiagnoseSettings, work, _PATIENCE, away)


async def _answer(
    chosen: argparse.Namespace,
    settings: DiagnoseSettings,
    gather: Callable[[Redis | None, TenantDirectory, LooksItself], Awaitable[Facts | None]],
) -> int:
    loaded, _ = load_parts()
    tenants = TenantDirectory(read_environment(settings.secrets_dir), keys=loaded.keys)
    redis = open_redis(loaded.stores.redis_url, seconds=_REDIS_SECONDS) if loaded.stores else None
    try:
        with tracing.untraced():
            facts = await gather(redis, tenants, LooksItself(tenants, loaded, redis))
    except SeveralTenants as several:
        return _no_verdict(chosen, NOT_UNDERSTOOD_EXIT, f"Whose ticket is it? Say --tenant: {several}", several)
    except TenantNotKnown as known:
        says = f"No tenant {chosen.tenant} is known here, and it has no such job. Known are: {known}"
        return _no_verdict(chosen, NOT_UNDERSTOOD_EXIT, says, known)
    finally:
        if redis is not None:
            await redis.aclose()
    if facts is None:
        whose = f" of {chosen.tenant}" if chosen.tenant else ""
        says = f"No job{whose} has the id {chosen.job}, or it was purged by age."
        return _no_verdict(chosen, NOT_DONE_EXIT, says)
    diagnosis = judge(facts)
    told = for_machines if chosen.json else for_people
    what = told(facts, diagnosis, settings.jaeger_url)
    _print(as_json(what) if isinstance(what, dict) else what)
    return diagnosis.verdict.status


def _no_verdict(
    chosen: argparse.Namespace, status: int, says: str, among: SeveralTenants | TenantNotKnown | None = None
) -> int:
    print(says, file=sys.stderr)
    if chosen.json:
        tenants = [] if among is None else among.tenants
        _print(as_json({"verdict": None, "exit_status": status, "says": says, "tenants": tenants}))
    return status


def _print(text: str) -> None:
    """Print the text; a closed pipe does not change the verdict's exit status."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        stop_printing()
