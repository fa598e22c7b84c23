"""An embedded Valkey for tests of single parts."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from cli.pilot.valkey import Valkey
from jobs.queue import open_redis


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


def patient(url: str) -> Redis:
    client = open_redis(url, seconds=5)
    client.connection_pool.connection_kwargs["socket_connect_timeout"] = 5  # on a busy machine
    return client


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = patient(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def tokens(redis_url: str) -> AsyncIterator[Redis]:
    """Keep the cloud token between tests: a desk issues ten in ten minutes."""
    client = patient(redis_url.removesuffix("/0") + "/1")
    yield client
    await client.aclose()
