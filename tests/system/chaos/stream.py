"""A steady stream of webhooks, each delivered twice and retried until its 202."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import httpx2

from tests.kit.world import World

_RETRY_SECONDS = 0.3
_GIVE_UP_SECONDS = 20.0
# Every n-th ticket has its two copies delivered at the same time, the others in sequence.
_AT_ONCE_EVERY = 3
# Ids of tickets that no two desks share, so that the id in its prompt identifies a call of GPT-4.
_numbers = itertools.count(500_001)


@dataclass(frozen=True, slots=True)
class AcceptedWebhook:
    """A webhook that got its 202, and the job ids of its deliveries."""

    tenant_id: str
    ticket_id: str
    job_ids: frozenset[str]


@dataclass
class Stream:
    """Webhooks of a scenario at `rate` a second, for two tenants in turn, until `stop`."""

    fault: str
    world: World
    rate: float
    began: float = field(default_factory=time.monotonic)
    accepted: list[AcceptedWebhook] = field(default_factory=list)
    refused: int = 0
    """Deliveries that were never answered with 202, however often they were tried again."""
    failures: list[str] = field(default_factory=list)
    """What no sender should meet: answers that are neither 202 nor 503, and failures of its own."""
    _ends: threading.Event = field(default_factory=threading.Event)
    _senders: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 256))
    _pacer: threading.Thread = field(init=False)

    def start(self) -> None:
        self._pacer = threading.Thread(target=self._pace, name="stream")
        self._pacer.start()

    def stop(self) -> None:
        """Wait for all senders; each request has a time limit, and each sender gives up."""
        self._ends.set()
        self._pacer.join()
        self._senders.shutdown()

    def burst(self, count: int) -> list[str]:
        numbers = [next(_numbers) for _ in range(count)]
        for number in numbers:
            self._senders.submit(self._send, number)
        return [str(number) for number in numbers]

    def _pace(self) -> None:
        while not self._ends.wait(1 / self.rate):
            self._senders.submit(self._send, next(_numbers))

    def _send(self, number: int) -> None:
        tenant = "acme" if number % 2 else "globex"
        ticket_id = str(number)
        try:
            subject = f"VPN does not connect, number {ticket_id}"
            self.world.create_ticket(subject, tenant=tenant, id=ticket_id, send_webhook=False)
            jobs = self._deliver_twice(ticket_id, tenant, at_once=number % _AT_ONCE_EVERY == 0)
        except Exception as failure:  # noqa: BLE001 -- a thread's exception would end in nothing but a line
            self.failures.append(f"the sender of ticket {ticket_id} failed: {failure!r}")
            return
        self.refused += jobs.count(None)
        answered = frozenset(job for job in jobs if job is not None)
        if answered:
            self.accepted.append(AcceptedWebhook(tenant, ticket_id, answered))

    def _deliver_twice(self, ticket_id: str, tenant: str, *, at_once: bool) -> list[str | None]:
        headers = {"X-ServiceDesk-Delivery": f"delivery {ticket_id}"}
        if not at_once:
            return [self._deliver(ticket_id, tenant, headers) for _ in range(2)]
        with ThreadPoolExecutor(2) as senders:
            return list(senders.map(lambda _: self._deliver(ticket_id, tenant, headers), range(2)))

    def _deliver(self, ticket_id: str, tenant: str, headers: dict[str, str]) -> str | None:
        """Return the job id once the answer is 202, None if it never was."""
        give_up_at = time.monotonic() + _GIVE_UP_SECONDS
        while time.monotonic() < give_up_at:
            try:
                answer = self.world.post_webhook(ticket_id, tenant, headers)
            except httpx2.HTTPError:
                pass  # the API was killed, or is not back yet
            else:
                if answer.status_code == 202:
                    return str(answer.json()["job_id"])
                if answer.status_code != 503:
                    self.failures.append(f"a webhook was answered with {answer.status_code}: {answer.text[:200]}")
            time.sleep(_RETRY_SECONDS)
        return None
