"""Rotation of the Redis password under load, by the runbook for secrets."""

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from redis import AuthenticationError, Redis

from dev.stack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for

_PAUSE_SECONDS = 0.1


@contextmanager
def traffic(world: World) -> Iterator[list[str]]:
    """Send webhooks during the block; yield the tickets whose webhook got its 202."""
    taken: list[str] = []
    end = threading.Event()

    def send() -> None:
        while not end.wait(_PAUSE_SECONDS):
            ticket = world.create_ticket("Traffic", send_webhook=False)
            with suppress(httpx2.TransportError):  # the only API process is restarting: nothing was accepted
                if world.post_webhook(ticket).status_code == httpx2.codes.ACCEPTED:
                    taken.append(ticket)

    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(send)
        try:
            yield taken
        finally:
            end.set()
    sending.result()


def await_more(taken: list[str]) -> None:
    most = len(taken) + 3
    wait_for(lambda: len(taken) >= most)


@pytest.mark.slow
def test_the_password_of_redis_is_rotated_and_no_job_is_lost(tmp_path: Path, loaded: LoadedPrograms) -> None:
    password = secrets.token_hex(32)
    settings = SHORT | {"REDISCLI_AUTH": secrets.token_hex(32)}
    with (
        System(tmp_path, settings=settings, openai_seconds=0.5, launch=loaded) as system,
        closing(World(system)) as world,
    ):
        old = system.redis.url
        with traffic(world) as taken:
            await_more(taken)
            # Both are valid until Redis restarts.
            with Redis.from_url(old) as client:
                client.execute_command("ACL", "SETUSER", "default", f">{password}")
            system.redis.change_password(password)
            system.configure({"REDISCLI_AUTH": password, "REDIS_URL": system.redis.url})
            for process in (system.api, *system.workers, system.housekeeping):
                system.restart(process)
                await_more(taken)
            system.restart(system.redis.process)
            await_more(taken)
        with pytest.raises(AuthenticationError), Redis.from_url(old) as client:
            client.ping()
        with Redis.from_url(system.redis.url) as client:
            assert client.ping()
        assert [ticket for ticket in taken if world.ended(ticket)["state"] != "completed"] == []
        assert {len(world.notes(ticket)) for ticket in taken} == {1}
