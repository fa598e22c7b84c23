"""Refusals of unknown tenants, closed tenants and bad proofs, alike in time.

The measured time includes the search after the answer, since a next request would wait for it.
"""

import hmac
import random
import time
from statistics import quantiles

from api.authentication import WebhookError
from config.tenants import Tenant
from tests.kit.logs import StartLog
from tests.kit.receiver import Headers, KnownTenants, Receiver

SAMPLES = 150
# The maximum: a longer signature makes a skipped check easier to measure.
FILLER = b"x" * 65_000
BAD = [(b"x-servicedesk-signature", b"sha256=" + b"0" * 64)]
BAD_TOKEN = [(b"x-servicedesk-token", b"0" * 49)]
WAYS: dict[str, tuple[str, Headers]] = {
    "bad": ("acme", BAD),
    "unknown": ("acne", BAD),
    "closed": ("globex", BAD),
    "bad token": ("initech", BAD_TOKEN),
    "unknown by token": ("initeck", BAD_TOKEN),
    "closed by token": ("globex", BAD_TOKEN),
}


class CheatingTenants(KnownTenants):
    """Rejects unknown tenants at once, an implementation that skips the signature check."""

    def get(self, tenant_id: str) -> Tenant | None:
        tenant = super().get(tenant_id)
        if tenant is None:
            raise WebhookError(403, "unknown tenant", tenant_id)
        return tenant


def body(tenant_id: str, filler: bytes = FILLER) -> bytes:
    return b'{"tenant_id": "%b", "ticket_id": "1", "x": "%b"}' % (tenant_id.encode(), filler)


def quick(times: list[float]) -> float:
    """Return a low percentile, to exclude time taken by other processes."""
    return quantiles(times, n=10)[1]


async def timed(receiver: Receiver, sent: bytes, headers: Headers) -> float:
    """Return the CPU time of this thread for a request."""
    began = time.thread_time()
    answer = await receiver.post([sent], headers)
    took = time.thread_time() - began
    assert answer == (403, b'{"detail":"forbidden"}')
    return took


async def measured() -> dict[str, float]:
    """Measure in shuffled turns, so that load is spread evenly."""
    honest, cheating = Receiver(KnownTenants()), Receiver(CheatingTenants())
    ways = [(name, honest, *sent) for name, sent in WAYS.items()] + [("cheat", cheating, "acne", BAD)]
    times: dict[str, list[float]] = {name: [] for name in (*(way[0] for way in ways), "hmac")}
    for turn in range(SAMPLES):
        random.Random(turn).shuffle(ways)  # noqa: S311 -- an order
        for name, receiver, tenant_id, headers in ways:
            # A token check does not read the body.
            sent = body(tenant_id) if headers is BAD else body(tenant_id, b"")
            times[name].append(await timed(receiver, sent, headers))
        sent = body("acme")
        began = time.thread_time()
        hmac.digest(b"key", sent, "sha256")
        times["hmac"].append(time.thread_time() - began)
    return {name: quick(of) for name, of in times.items()}


def alike(took: dict[str, float]) -> bool:
    """Return True if the times differ by less than half of one HMAC."""
    pairs = (("bad", "unknown"), ("bad", "closed"), ("bad token", "unknown by token"), ("bad token", "closed by token"))
    return all(abs(took[one] - took[other]) < took["hmac"] / 2 for one, other in pairs)


async def test_an_unknown_tenant_takes_as_long_as_a_bad_proof(start_log: StartLog) -> None:
    """A receiver without the check must be detected by the same measurement.

    One measurement may be disturbed, three in a row are not.
    """
    start_log()
    took = await measured()
    for _ in range(2):
        took = took if alike(took) else await measured()
    assert alike(took), took
    assert took["bad"] - took["cheat"] > took["hmac"] / 2, took
