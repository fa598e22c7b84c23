"""An unknown tenant, a closed one and a bad signature can't be told apart: neither by the answer, nor by its time."""

import hmac
import time
from statistics import quantiles

from tests.kit.logs import StartLog
from tests.kit.receiver import CheatingTenants, Headers, KnownTenants, Receiver

SAMPLES = 150
# As large as may be: the longer a signature takes, the plainer it is when one is left out.
FILLER = b"x" * 65_000
BAD = [(b"x-servicedesk-signature", b"sha256=" + b"0" * 64)]


def body(tenant_id: str) -> bytes:
    return b'{"tenant_id": "%b", "ticket_id": "1", "x": "%b"}' % (tenant_id.encode(), FILLER)


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
    """By turns, so that a busy moment of the machine falls on all of them."""
    honest, cheating = Receiver(KnownTenants()), Receiver(CheatingTenants())
    times: dict[str, list[float]] = {"bad": [], "unknown": [], "closed": [], "cheat": [], "hmac": []}
    for _ in range(SAMPLES):
        times["bad"].append(await timed(honest, body("acme"), BAD))
        times["unknown"].append(await timed(honest, body("acne"), BAD))
        times["closed"].append(await timed(honest, body("globex"), BAD))
        times["cheat"].append(await timed(cheating, body("acne"), BAD))
        sent = body("acme")
        began = time.thread_time()
        hmac.digest(b"key", sent, "sha256")
        times["hmac"].append(time.thread_time() - began)
    return {name: quick(of) for name, of in times.items()}


def alike(took: dict[str, float]) -> bool:
    """To less than half of one HMAC."""
    return all(abs(took["bad"] - took[other]) < took["hmac"] / 2 for other in ("unknown", "closed"))


async def test_an_unknown_tenant_takes_as_long_as_a_bad_signature(start_log: StartLog) -> None:
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
