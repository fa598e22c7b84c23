"""An unknown tenant, a closed one and a bad proof can't be told apart: neither by the answer, nor by its time.

What is searched after the answer is in the time too: a next request would have to wait for it.
"""

import hmac
import random
import time
from statistics import quantiles

from tests.kit.logs import StartLog
from tests.kit.receiver import CheatingTenants, Headers, KnownTenants, Receiver

SAMPLES = 150
# As large as may be: the longer a signature takes, the plainer it is when one is left out.
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


def body(tenant_id: str, filler: bytes = FILLER) -> bytes:
    return b'{"tenant_id": "%b", "ticket_id": "1", "x": "%b"}' % (tenant_id.encode(), filler)


def quick(times: list[float]) -> float:
    """A time that few samples are below: what another process took from the rest does not count."""
    return quantiles(times, n=10)[1]


async def timed(receiver: Receiver, sent: bytes, headers: Headers) -> float:
    """The time that a request took of this thread: what the machine did for others meanwhile does not count."""
    began = time.thread_time()
    answer = await receiver.post([sent], headers)
    took = time.thread_time() - began
    assert answer == (403, b'{"detail":"forbidden"}')
    return took


async def measured() -> dict[str, float]:
    """In turns of another order each, so that a busy moment of the machine falls on all of them."""
    honest, cheating = Receiver(KnownTenants()), Receiver(CheatingTenants())
    ways = [(name, honest, *sent) for name, sent in WAYS.items()] + [("cheat", cheating, "acne", BAD)]
    times: dict[str, list[float]] = {name: [] for name in (*(way[0] for way in ways), "hmac")}
    for turn in range(SAMPLES):
        random.Random(turn).shuffle(ways)  # noqa: S311 -- an order
        for name, receiver, tenant_id, headers in ways:
            # Nothing is made of the body by a token.
            sent = body(tenant_id) if headers is BAD else body(tenant_id, b"")
            times[name].append(await timed(receiver, sent, headers))
        sent = body("acme")
        began = time.thread_time()
        hmac.digest(b"key", sent, "sha256")
        times["hmac"].append(time.thread_time() - began)
    return {name: quick(of) for name, of in times.items()}


def alike(took: dict[str, float]) -> bool:
    """To less than half of one HMAC."""
    pairs = (("bad", "unknown"), ("bad", "closed"), ("bad token", "unknown by token"), ("bad token", "closed by token"))
    return all(abs(took[one] - took[other]) < took["hmac"] / 2 for one, other in pairs)


async def test_an_unknown_tenant_takes_as_long_as_a_bad_proof(start_log: StartLog) -> None:
    """And so does a closed one; an implementation that skips the check is told apart by the same measurement.

    A measurement may be spoiled, three in a row are not; the cheat has to be seen in the one that counts.
    """
    start_log()
    took = await measured()
    for _ in range(2):
        if alike(took):
            break
        took = await measured()
    assert alike(took), took
    assert took["bad"] - took["cheat"] > took["hmac"] / 2, took
