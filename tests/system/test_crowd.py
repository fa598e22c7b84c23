"""More connections than the API holds, beside a signed webhook and the probes."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest

from dev.stack.system import System
from tests.kit.world import wait_for
from tests.system.door import MAX_MORE_MB, ApiDoor, opened
from tests.system.senders import address, newcomers_during, read_answer, read_to_end, request

pytestmark = pytest.mark.slow

SOON_SECONDS = 2.0
PROBED = ("/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json")
TOLD = "Too many connections: those whose senders are silent longest are closed"
SENT = {
    "nothing": b"",
    "one byte": b"P",
    "half a head": b"POST /webhook HTTP/1.1\r\nHost: api\r\n",
    "half a body": request(b'{"tenant_id": ', length=100),
    "one request, and stays": request(b"junk"),
}


@pytest.fixture(scope="module")
def door_of_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDoor]:
    """Start a system without workers, afresh because its memory is measured; with ports as in a container."""
    ports = {"METRICS_HOST": ""}
    with System(tmp_path_factory.mktemp("crowd"), workers=0, housekeeping=False, settings=ports) as running:
        yield from opened(running)


@contextmanager
def crowd(door: ApiDoor, size: int, sent: bytes) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(size):
            opened.append(stack.enter_context(socket.create_connection(address(door.url), timeout=10)))
            opened[-1].sendall(sent)
        yield opened


def assert_webhook_is_taken(door: ApiDoor, ticket_id: str) -> None:
    began = time.monotonic()
    assert door.world.post_webhook(ticket_id).status_code == 202
    assert time.monotonic() - began < SOON_SECONDS


def probe(door: ApiDoor, path: str) -> int:
    return httpx2.get(f"{door.system.state['api_probe_url']}{path}", timeout=SOON_SECONDS).status_code


@pytest.mark.parametrize("size", [500, 600])
@pytest.mark.parametrize("sent", SENT)
def test_a_signed_webhook_gets_through_a_crowd_that_sends_little(sent: str, size: int, door: ApiDoor) -> None:
    before = door.memory_mb("VmHWM:")
    with crowd(door, size, SENT[sent]):
        for number in range(3):
            assert_webhook_is_taken(door, f"{size}{list(SENT).index(sent)}{number}")
        assert probe(door, "/health/live") == 200
    assert door.memory_mb("VmHWM:") - before < MAX_MORE_MB
    assert "too many connections" not in "".join(door.said())


def test_who_goes_first_is_who_waited_longest_and_it_is_told_once(door: ApiDoor) -> None:
    with crowd(door, 500, b"") as opened:
        time.sleep(0.2)
        assert_webhook_is_taken(door, "1")
        assert opened[0].recv(1) == b""
        opened[-1].settimeout(0.2)
        with pytest.raises(TimeoutError):
            opened[-1].recv(1)
        for number in range(2, 5):
            assert_webhook_is_taken(door, str(number))
    assert sum(TOLD in line for line in door.said()) <= 1


def test_a_signed_webhook_gets_through_a_crowd_that_opens_and_opens_again(door: ApiDoor) -> None:
    over = threading.Event()

    def open_for_ever() -> None:
        kept: list[socket.socket] = []
        while not over.is_set():
            kept.append(socket.create_connection(address(door.url), timeout=10))
            if len(kept) > 700:
                kept.pop(0).close()
        for one in kept:
            one.close()

    with ThreadPoolExecutor(2) as crowds, contextlib.ExitStack() as after:
        after.callback(over.set)
        ended = [crowds.submit(open_for_ever) for _ in range(2)]
        time.sleep(1)
        for number in range(10):
            assert_webhook_is_taken(door, f"77{number}")
        assert probe(door, "/health/ready") == 200
    assert [each.result() for each in ended] == [None, None]


def test_a_silent_connection_is_closed_after_five_seconds_and_a_used_one_is_kept(door: ApiDoor) -> None:
    with crowd(door, 1, b"") as (silent,), crowd(door, 1, request(b"junk")) as (used,):
        assert read_answer(used)
        began = time.monotonic()
        assert read_to_end(silent) == b""
        assert 4 < time.monotonic() - began < 7
        used.settimeout(0.3)
        with pytest.raises(TimeoutError):
            used.recv(1)


def test_what_the_two_ports_answer(door: ApiDoor) -> None:
    assert [probe(door, path) for path in PROBED] == [200] * len(PROBED)
    assert [httpx2.get(f"{door.url}{path}").status_code for path in (*PROBED, "/redoc")] == [404] * 6
    assert httpx2.get(f"{door.url}/health").json() == {"status": "ok"}
    paths = httpx2.get(f"{door.system.state['api_probe_url']}/openapi.json").json()["paths"]
    assert set(paths) == {"/webhook", "/webhook/{tenant_id}", "/health"}
    assert door.system.state["metrics"]["api"] == f"{door.system.state['api_probe_url']}/metrics"
    assert httpx2.post(f"{door.system.state['api_probe_url']}/webhook", content=b"{}").status_code == 404
    assert door.reasons() == ["unknown address"]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="a machine without IPv6")
def test_the_probes_are_reached_over_ipv6_too(door: ApiDoor) -> None:
    over_ipv6 = door.system.state["api_probe_url"].replace("127.0.0.1", "[::1]")
    assert httpx2.get(f"{over_ipv6}/health/live", timeout=SOON_SECONDS).status_code == 200
    assert probe(door, "/health/live") == 200


def test_the_probes_are_answered_until_the_last_request_is(door: ApiDoor) -> None:
    """It is the last test but one, because the API has ended."""
    url, signed = address(door.url), door.world.signed_request("12345")
    with socket.create_connection(url, timeout=10) as slow:
        slow.sendall(signed[:-5])
        time.sleep(0.2)
        door.system.api.terminate()
        wait_for(lambda: not _accepts(url), 5)
        assert probe(door, "/health/live") == 200
        slow.sendall(signed[-5:])
        assert slow.recv(4096).startswith(b"HTTP/1.1 202 ")
    assert door.system.api.wait(10) is not None


def _accepts(url: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(url, timeout=1):
            return True
    except OSError:
        return False


def test_without_a_probe_port_the_probes_are_at_the_webhook_port(door: ApiDoor) -> None:
    """Documentation is not served then. It starts the API with that setting, so it is the last test."""
    door.system.restart(door.system.api, {"API_PROBE_PORT": ""})
    assert [httpx2.get(f"{door.url}{path}").status_code for path in PROBED] == [200, 200, 200, 404, 404]
    assert door.system.state["api_probe_url"] == door.url


def test_a_burst_of_pipelined_requests_does_not_shut_the_feedback_page(door: ApiDoor) -> None:
    visits = newcomers_during(f"{door.system.state['feedback_url']}/f/unknown", 200)
    assert {status for status, _ in visits} == {404}
    assert max(seconds for _, seconds in visits) < 10 * SOON_SECONDS  # on a busy machine
