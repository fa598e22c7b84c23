"""Redis over TLS: all our clients, Celery's included, verify the certificate.

The embedded server has no TLS, so a tunnel in front of it terminates TLS.
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import trustme
from celery import Celery
from kombu import Connection
from pydantic import TypeAdapter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.addresses import RedisUrl
from jobs.queue import QUEUE, JobQueue, QueueUnavailableError, open_redis
from tests.kit.proxy import with_tls
from worker.consumer import TRANSPORT_NAME

JOB = UUID("01936b2e-7c1a-7000-8000-0123456789ab")
as_setting = TypeAdapter[str](RedisUrl).validate_python


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    return made


@contextmanager
def tunnel(redis_url: str, authority: trustme.CA, name: str = "localhost") -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    with with_tls(urlsplit(redis_url).port or 0, context) as port:
        yield f"rediss://localhost:{port}/0"


async def publish(url: str) -> None:
    queue = JobQueue(url)
    try:
        await queue.publish(JOB, "")
        await queue.sizes()
    finally:
        await queue.close()


async def ask(url: str) -> None:
    async with open_redis(url) as client:
        await client.ping()


def consume(url: str) -> None:
    app = Celery(broker=url, set_as_current=False, broker_transport=TRANSPORT_NAME)
    with app.connection_for_read() as connection:
        assert isinstance(connection, Connection)
        connection.ensure_connection(max_retries=0, timeout=2)
        assert connection.default_channel is not None


async def test_a_private_authority_is_trusted_with_its_file(
    redis_url: str, redis: Redis, authority: trustme.CA, tmp_path: Path
) -> None:
    with tunnel(redis_url, authority) as url:
        trusting = as_setting(f"{url}?ssl_ca_certs={tmp_path}/authority.pem")
        await publish(trusting)
        await ask(trusting)
        await asyncio.to_thread(consume, trusting)
    assert await redis.llen(QUEUE) == 1


@pytest.mark.parametrize(("name", "options"), [("localhost", ""), ("redis.example", "?ssl_ca_certs={}")])
async def test_another_authority_or_name_is_not_trusted(
    name: str, options: str, redis_url: str, redis: Redis, authority: trustme.CA, tmp_path: Path
) -> None:
    with tunnel(redis_url, authority, name) as address:
        url = as_setting(address + options.format(tmp_path / "authority.pem"))
        with pytest.raises(QueueUnavailableError):
            await publish(url)
        with pytest.raises(RedisError):
            await ask(url)
        with pytest.raises(Exception, match="certificate verify failed"):
            await asyncio.to_thread(consume, url)
    assert await redis.llen(QUEUE) == 0
