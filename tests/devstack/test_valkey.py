"""The embedded Valkey."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from devstack.processes import is_alive
from devstack.valkey import Valkey


@contextmanager
def client(server: Valkey) -> Iterator["redis.Redis"]:
    connection = redis.Redis.from_url(server.url, socket_timeout=0.5, retry=Retry(NoBackoff(), 0))
    try:
        yield connection
    finally:
        connection.close()


def test_it_is_an_empty_queue_that_refuses_rather_than_forgets(tmp_path: Path) -> None:
    with Valkey(tmp_path) as server, client(server) as connection:
        assert server.url.startswith("redis://127.0.0.1:")
        assert server.url.endswith("/0")
        assert connection.llen("celery") == 0
        assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        pid = server.process.pid
    assert not is_alive(pid)


@pytest.mark.parametrize("appendonly", [True, False])
def test_only_with_appendonly_what_was_pushed_survives(appendonly: bool, tmp_path: Path) -> None:
    """A restart with it, a kill without; on the same port."""
    with Valkey(tmp_path, appendonly=appendonly) as server:
        with client(server) as connection:
            connection.lpush("celery", "job")
        url = server.url
        if not appendonly:
            server.kill()
        server.restart()
        assert server.url == url
        with client(server) as connection:
            assert connection.lrange("celery", 0, -1) == [b"job"] * appendonly


def test_a_paused_server_accepts_and_does_not_answer(tmp_path: Path) -> None:
    with Valkey(tmp_path) as server, client(server) as connection:
        server.pause()
        with pytest.raises(redis.exceptions.TimeoutError):
            connection.ping()
        server.resume()
    with client(server) as connection, pytest.raises(redis.exceptions.ConnectionError):
        connection.ping()


def test_it_asks_for_its_password_and_has_another_one_from_its_next_start_on(tmp_path: Path) -> None:
    with Valkey(tmp_path, password="first") as server:
        first = server.url
        assert redis.Redis.from_url(first).ping()
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis(port=server.port).ping()
        server.change_password("second")
        assert redis.Redis.from_url(first).ping()
        server.restart()
        assert redis.Redis.from_url(server.url).ping()
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis.from_url(first).ping()
