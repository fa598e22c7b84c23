"""Warnings about a Redis eviction policy that may lose jobs."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from devstack.free_ports import free_port
from dispatch.eviction import warn_of_eviction
from dispatch.queue import open_redis
from tests.kit.logs import StartLog


@pytest.fixture
async def policy_is_put_back(redis: Redis) -> AsyncIterator[None]:
    yield
    await redis.config_set("maxmemory-policy", "noeviction")


@pytest.mark.usefixtures("policy_is_put_back")
async def test_a_redis_that_drops_keys_is_told_of_with_the_remedy(redis: Redis, start_log: StartLog) -> None:
    log = start_log()
    await warn_of_eviction(redis)
    assert log.getvalue() == ""
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await warn_of_eviction(redis)
    (line,) = log.getvalue().splitlines()
    assert "its maxmemory-policy is allkeys-lru, set it to noeviction" in line
    assert "warning" in line


async def test_a_redis_that_is_away_says_nothing_about_it(start_log: StartLog) -> None:
    log = start_log()
    redis = open_redis(f"redis://127.0.0.1:{free_port()}/0")
    await warn_of_eviction(redis)
    await redis.aclose()
    assert log.getvalue() == ""
