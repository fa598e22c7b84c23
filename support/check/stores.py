"""Check of Postgres and its roles, Redis and its policy."""

import asyncio

from redis.exceptions import AuthenticationError, RedisError

from dispatch.queue import QUEUE, SAFE_POLICY, eviction_policy, open_redis
from storage.schema import DatabaseUnfit, DatabaseUnreachable, check
from storage.session import Database
from support.check.findings import Finding, Findings, checks_of

_SECONDS = 5.0


async def postgres_rows(url: str | None) -> list[Finding]:
    """Check that Postgres answers, admits the role and has this release's schema."""
    rows = Findings(names := checks_of("postgres"))
    if url is None:
        rows.not_checked("DATABASE_URL can't be used", *names)
        return rows.all
    database = Database(url, application_name="ai-agents check", pool_size=2)
    try:
        async with asyncio.timeout(_SECONDS):
            await check(database)
    except (DatabaseUnreachable, TimeoutError):
        remedy = "see that the server of DATABASE_URL runs, and that this machine may reach it"
        rows.failed("postgres address", "it does not answer", remedy)
    except DatabaseUnfit as unfit:
        rows.ok("it answers", "postgres address")
        rows.failed("postgres role and tables", str(unfit), "docs/running.md says how the roles and tables are made")
    else:
        rows.ok("it answers", "postgres address")
        rows.ok("the role can't get around row-level security; migrated", "postgres role and tables")
    finally:
        await database.close()
    return rows.all


async def redis_rows(url: str | None) -> list[Finding]:
    """Check that Redis answers and refuses writes when its memory is full."""
    rows = Findings(names := checks_of("redis"))
    if url is None:
        rows.not_checked("REDIS_URL can't be used", *names)
        return rows.all
    redis = open_redis(url, seconds=_SECONDS)
    try:
        waiting = await redis.llen(QUEUE)
        rows.ok(f"it answers, {waiting} jobs wait in it", "redis address")
        policy = await eviction_policy(redis)
    except AuthenticationError:
        rows.failed("redis address", "the password is refused", "set the password in REDIS_URL anew")
    except (RedisError, OSError):
        remedy = "see that the server of REDIS_URL runs, and that this machine may reach it"
        rows.failed("redis address", "it does not answer", remedy)
    else:
        if policy is None:
            rows.not_checked("it does not tell", "redis policy")
        elif policy == SAFE_POLICY:
            rows.ok(policy, "redis policy")
        else:
            rows.failed("redis policy", policy, f"set maxmemory-policy {SAFE_POLICY}: it may drop jobs and events")
    finally:
        await redis.aclose()
    return rows.all
