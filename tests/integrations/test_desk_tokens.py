"""OAuth tokens of cloud desks: at most ten in ten minutes, so they are reused."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from cli.pilot.free_ports import free_port
from config.tenants import DeskSettings
from dev.simulators.servicedesk import create_desk
from integrations.errors import DeskDeniedError, DeskTimeoutError, DeskUnavailableError, TemporaryError
from jobs.queue import open_redis
from tests.kit.desk import line_of, opened, settings
from tests.kit.simulators import CLOUD, Simulator, simulator_of

NAMES = [f"cloud-{number}" for number in range(40)]


class LateRedis:
    """A Redis in which another process acts before its first change."""

    def __init__(self, redis: Redis, turn: Callable[[], Awaitable[object]]) -> None:
        self._redis = redis
        self._turns = [turn]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)

    async def set(self, *given: Any, **named: Any) -> Any:
        while self._turns:
            await self._turns.pop()()
        return await self._redis.set(*given, **named)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Simulator]:
    """Start a desk per test: each counts the tokens of the last ten minutes."""
    yield from simulator_of(create_desk({"desks": dict.fromkeys(NAMES, CLOUD | {"seeded": False})}))


@dataclass(frozen=True)
class CloudDesk:
    server: Simulator
    name: str
    ticket_id: str

    @property
    def settings(self) -> DeskSettings:
        return settings(self.server.url, "cloud", self.name)

    def order(self, **fault: Any) -> None:
        self.server.order(tenant=self.name, **fault)

    def calls(self, operation: str) -> int:
        return len(self.server.requests(operation=operation, tenant=self.name))

    def revoke_tokens(self) -> None:
        self.server.change("DELETE", f"/desks/{self.name}/tokens")


@pytest.fixture
def desk(cloud: Simulator) -> CloudDesk:
    name = NAMES.pop()
    ticket = cloud.change("POST", "/tickets", tenant=name, subject="S", send_webhook=False)
    return CloudDesk(cloud, name, ticket["ticket_id"])


async def test_processes_share_a_token_through_redis(desk: CloudDesk, redis: Redis) -> None:
    async with opened(desk.settings, redis=redis) as one, opened(desk.settings, redis=redis) as two:
        await asyncio.gather(one.read_ticket(desk.ticket_id), two.read_ticket(desk.ticket_id))
        async with opened(desk.settings, redis=redis) as three:
            await three.read_ticket(desk.ticket_id)
        assert desk.calls("token") == 1
        # One that the desk refuses is replaced once.
        desk.revoke_tokens()
        await one.read_ticket(desk.ticket_id)
        await two.read_ticket(desk.ticket_id)
    assert desk.calls("token") == 2


async def test_a_token_that_came_between_a_look_and_the_lock_is_used(desk: CloudDesk, redis: Redis) -> None:
    async with opened(desk.settings, redis=redis) as one:
        late: Any = LateRedis(redis, lambda: one.read_ticket(desk.ticket_id))
        async with opened(desk.settings, redis=late) as two:
            await two.read_ticket(desk.ticket_id)
    assert desk.calls("token") == 1


@pytest.mark.parametrize("wrong", ["client_id", "client_secret", "refresh_token", None])
async def test_wrong_credentials_with_status_200_are_refused(wrong: str | None, desk: CloudDesk) -> None:
    if wrong is None:
        desk.order(kind="status", code=401, operation="read_ticket")
    changed = {} if wrong is None else {wrong: "hunter2"}
    async with opened(settings(desk.server.url, "cloud", desk.name, **changed)) as client:
        with pytest.raises(DeskDeniedError) as refused:
            await client.read_ticket(desk.ticket_id)
    assert line_of(refused.value) == "ServiceDesk Plus API error: 401"
    assert desk.calls("read_ticket") == (2 if wrong is None else 0)
    assert wrong or desk.calls("token") == 2


async def test_a_token_near_its_end_is_replaced_before_it_is_refused(desk: CloudDesk) -> None:
    desk.server.change("PATCH", f"/desks/{desk.name}", token_seconds=30)
    async with opened(desk.settings) as client:
        await client.read_ticket(desk.ticket_id)
        await client.read_ticket(desk.ticket_id)
    assert desk.calls("token") == 2


async def test_an_accounts_host_that_gives_no_more_tokens_may_give_some_later(desk: CloudDesk) -> None:
    async with opened(desk.settings) as client:
        for _ in range(10):
            await client.read_ticket(desk.ticket_id)
            desk.revoke_tokens()
        with pytest.raises(TemporaryError):
            await client.read_ticket(desk.ticket_id)


@pytest.mark.parametrize(
    ("fault", "kind", "shown"),
    [
        ({"kind": "status", "code": 500}, DeskUnavailableError, "error: 500"),
        ({"kind": "status", "code": 429}, DeskUnavailableError, "error: 429"),
        ({"kind": "html"}, DeskUnavailableError, "error: invalid answer"),
        ({"kind": "not_json"}, DeskUnavailableError, "error: invalid answer"),
        ({"kind": "huge", "megabytes": 6}, DeskUnavailableError, "error: invalid answer"),
        ({"kind": "cut"}, DeskUnavailableError, "error: connection"),
        ({"kind": "silence"}, DeskTimeoutError, "timeout"),
    ],
)
async def test_a_failing_accounts_host_is_a_desk_failure(
    fault: Any, kind: type[TemporaryError], shown: str, desk: CloudDesk, redis: Redis
) -> None:
    desk.order(operation="token", times=1, **fault)
    async with opened(desk.settings, timeout=1.5, redis=redis) as client:
        with pytest.raises(kind) as failed:
            await client.read_ticket(desk.ticket_id)
        async with asyncio.timeout(5):
            await client.read_ticket(desk.ticket_id)
    assert line_of(failed.value) == f"ServiceDesk Plus API {shown}"
    assert desk.calls("token") == 2


@pytest.mark.parametrize("away", [True, False], ids=["Redis is away", "no Redis"])
async def test_without_redis_one_token_serves_all_calls_of_a_process(away: bool, desk: CloudDesk) -> None:
    redis = open_redis(f"redis://127.0.0.1:{free_port()}/0") if away else None
    async with opened(desk.settings, redis=redis) as client:
        await asyncio.gather(*(client.read_ticket(desk.ticket_id) for _ in range(8)))
        await client.read_ticket(desk.ticket_id)
    if redis is not None:
        await redis.aclose()
    assert (desk.calls("token"), desk.calls("read_ticket")) == (1, 9)


def accounts_host(content: bytes, asked: list[str]) -> httpx2.MockTransport:
    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        body = content if request.url.path.endswith("/token") else b'{"request": {"id": "1"}}'
        return httpx2.Response(200, content=body)

    return httpx2.MockTransport(answer)


@pytest.mark.parametrize(
    "content",
    [
        *(b'{"access_token": "t", "expires_in": %s}' % number for number in (b"Infinity", b"1e400", b"NaN", b"-1")),
        b'{"access_token": "t", "expires_in": 1%s}' % (b"0" * 400),
        *(b'{"access_token": %s}' % token for token in (b'""', b'" "', b'"t\\n"', b'"\\u00e9"', b'"\\ud800"', b"null")),
        *(b"{}", b"[]", b'{"access_token": 5}'),
    ],
)
async def test_a_token_that_is_none_is_neither_sent_nor_kept(content: bytes, redis: Redis) -> None:
    asked: list[str] = []
    async with opened(settings("http://desk", "cloud"), redis=redis, transport=accounts_host(content, asked)) as client:
        with pytest.raises(DeskUnavailableError) as failed:
            await client.read_ticket("1")
    assert line_of(failed.value) == "ServiceDesk Plus API error: invalid answer"
    assert asked == ["/globex/oauth/v2/token"]
    assert await redis.keys() == []


@pytest.mark.parametrize(("told", "seconds"), [(b"", 3600), (b', "expires_in": 120', 120)])
async def test_a_token_lives_for_an_hour_unless_it_says_otherwise(told: bytes, seconds: int, redis: Redis) -> None:
    host = accounts_host(b'{"access_token": "t"%s}' % told, [])
    async with opened(settings("http://desk", "cloud"), redis=redis, transport=host) as client:
        await client.read_ticket("1")
    (key,) = await redis.keys("desk-token:*")
    assert seconds - 5 <= await redis.ttl(key) <= seconds


async def test_another_fetchs_lock_is_not_released(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations.servicedesk.auth._LOCK_SECONDS", 1)
    asked: list[str] = []
    desk = settings("http://desk", "cloud")
    await _locks_while_fetching(desk, redis)
    (lock,) = await _locks_while_fetching(desk, redis, taken_over=True)
    assert await redis.get(lock) in (b"another's", "another's")
    async with opened(desk, redis=redis, transport=accounts_host(b'{"access_token": "t"}', asked)) as client:
        assert (await client.read_ticket("1")).ticket_id == "1"
    assert asked[0] == "/globex/oauth/v2/token"
    assert await redis.get(lock) in (b"another's", "another's")


async def _locks_while_fetching(desk: DeskSettings, redis: Redis, *, taken_over: bool = False) -> list[str]:
    """Return the lock keys during a failing fetch, whose own lock is released."""
    locks: list[str] = []

    async def answer(_request: httpx2.Request) -> httpx2.Response:
        locks.extend(str(key.decode() if isinstance(key, bytes) else key) for key in await redis.keys("*:lock"))
        if taken_over:
            await redis.set(locks[0], "another's")
        return httpx2.Response(500)

    async with opened(desk, redis=redis, transport=httpx2.MockTransport(answer)) as client:
        with pytest.raises(DeskUnavailableError):
            await client.read_ticket("1")
    assert len(await redis.keys("*:lock")) == taken_over
    return locks
