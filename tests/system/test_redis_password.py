"""Rotation of the Redis password under load, by the runbook for secrets."""

import secrets
import threading
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from redis import AuthenticationError, Redis

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for

_PAUSE_SECONDS = 0.1


class Traffic:
    """Sends tickets with webhooks until closed.

    `taken` are the tickets whose webhook got its 202.
    """

    def __init__(self, world: World) -> None:
        self.taken: list[str] = []
        self._world = world
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()

    def await_more(self, count: int) -> None:
        before = len(self.taken)
        wait_for(lambda: len(self.taken) >= before + count)

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(_PAUSE_SECONDS):
            ticket = self._world.create_ticket("Traffic", send_webhook=False)
            try:
                answer = self._world.post_webhook(ticket)
            except httpx2.TransportError:
                continue  # the only API process of this system is restarting: nothing was accepted
            if answer.status_code == httpx2.codes.ACCEPTED:
                self.taken.append(ticket)


@pytest.mark.slow
def test_the_password_of_redis_is_rotated_and_no_job_is_lost(tmp_path: Path, loaded: LoadedPrograms) -> None:
    """The old one is refused afterwards, and each job has its note."""
    password = secrets.token_hex(32)
    settings = SHORT | {"REDISCLI_AUTH": secrets.token_hex(32)}
    with (
        System(tmp_path, settings=settings, openai_seconds=0.5, launch=loaded) as system,
        closing(World(system)) as world,
    ):
        old = system.redis.url
        with closing(Traffic(world)) as traffic:
            traffic.await_more(3)
            # Both are valid until Redis restarts.
            with Redis.from_url(old) as client:
                client.execute_command("ACL", "SETUSER", "default", f">{password}")
            system.redis.change_password(password)
            system.configure({"REDISCLI_AUTH": password, "REDIS_URL": system.redis.url})
            for process in (system.api, *system.workers, system.housekeeping):
                system.restart(process)
                traffic.await_more(3)
            system.restart(system.redis.process)
            traffic.await_more(3)
        with pytest.raises(AuthenticationError), Redis.from_url(old) as client:
            client.ping()
        with Redis.from_url(system.redis.url) as client:
            assert client.ping()
        assert [ticket for ticket in traffic.taken if world.ended(ticket)["state"] != "completed"] == []
        assert {len(world.notes(ticket)) for ticket in traffic.taken} == {1}
