"""An unknown tenant and a bad signature can't be told apart: not by the answer, and not by the time that it takes."""

import hmac
import time
from statistics import quantiles

from tests.unit.conftest import StartLog
from tests.unit.receiver import CheatingTenants, Headers, KnownTenants, Receiver

SAMPLES = 400
# As large as may be: the longer a signature takes, the plainer it is when one is left out.
FILLER = b"x" * 65_000
BAD = [(b"x-servicedesk-signature", b"sha256=" + b"0" * 64)]


def body(tenant_id: str) -> bytes:
    return b'{"tenant_id": "%b", "ticket_id": "1", "x": "%b"}' % (tenant_id.encode(), FILLER)


def quick(times: list[float]) -> float:
    """A time that few samples are below: what another process took from the rest does not count."""
    return quantiles(times, n=10)[1]


async def timed(receiver: Receiver, sent: bytes, headers: Headers) -> float:
    began = time.perf_counter()
    answer = await receiver.post([sent], headers)
    took = time.perf_counter() - began
    assert answer == (403, b'{"detail":"forbidden"}')
    return took


async def test_an_unknown_tenant_takes_as_long_as_a_bad_signature(start_log: StartLog) -> None:
    """To less than half of one HMAC; an implementation that skips the check is told apart by the same measurement."""
    start_log()
    honest, cheating = Receiver(KnownTenants()), Receiver(CheatingTenants())
    times: dict[str, list[float]] = {"bad": [], "unknown": [], "cheat": [], "hmac": []}
    for _ in range(SAMPLES):
        # By turns, so that a busy moment of the machine falls on all of them.
        times["bad"].append(await timed(honest, body("acme"), BAD))
        times["unknown"].append(await timed(honest, body("acne"), BAD))
        times["cheat"].append(await timed(cheating, body("acne"), BAD))
        began = time.perf_counter()
        hmac.digest(b"key", body("acme"), "sha256")
        times["hmac"].append(time.perf_counter() - began)
    took = {name: quick(of) for name, of in times.items()}
    most = took["hmac"] / 2
    assert abs(took["bad"] - took["unknown"]) < most, took
    assert took["bad"] - took["cheat"] > 2 * most, took
