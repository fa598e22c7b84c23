"""`python -m benchmarks.webhooks`: webhooks accepted by one API process, beside what people would use instead.

For each: how many a second over 32 connections at full speed, the CPU (user and system) of that process for one, and
how long an answer takes at half of that speed. Ours is the real process, with row, message, lines in a file, spans
to a collector and its metrics scraped; no worker and no housekeeping runs. All take the same bodies, in turn, in
several short rounds.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.charts import Bar
from benchmarks.load import LoadResult, Plan
from benchmarks.ours import Ours, Tickets, sent
from benchmarks.peers import webhooks as peer
from benchmarks.proc import cpu_seconds
from benchmarks.report import Benchmark, Chart, Goal, Report, median, ratio, table
from devstack.free_ports import free_port
from devstack.processes import Process
from devstack.programs import PROJECT, answers
from devstack.surroundings import machine_environment
from devstack.valkey import Valkey

OURS = "ours: row, message, lines, spans, metrics"
PEERS = {
    "floor": "FastAPI: HMAC, pydantic, 202",
    "inline": "the same and `.delay()` in the event loop",
    "thread": "the same and `.delay()` in a thread",
}
HEAD = ("what", "accepted a second", "CPU ms a webhook", "p50 ms at half", "p99 ms at half")
RATIOS_HEAD = ("ours to", "accepted a second", "CPU a webhook", "p99")
_WARM_SECONDS = 0.5
# A server that gets no processor for a second may refuse one, on a machine that others use.
_MOST_REFUSED = 0.05
# More than any of them takes: what is too much is never sent.
_MOST_PER_SECOND = 9_000


@dataclass(frozen=True, slots=True)
class Round:
    """One process in one round: webhooks a second, CPU milliseconds of one, quantiles of an answer at half load.

    `refused` is how many of all were not taken.
    """

    rate: float
    cpu: float
    p50: float
    p99: float
    refused: int


@dataclass(frozen=True, slots=True)
class _Side:
    """A process that takes webhooks; `settled` waits until what it does behind its answers is done."""

    name: str
    process: Process
    port: int
    tenant: str
    secret: str
    settled: Callable[[int], None] = lambda _answers: None


def peer_process(folder: Path, kind: str, broker: str) -> Process:
    """One of the peers, not started yet, at a port of its own."""
    port = free_port()
    arguments = [kind, "--port", str(port), "--broker", broker]
    return Process(
        kind,
        [sys.executable, "-m", "benchmarks.peers.webhooks", *arguments],
        log_path=folder / f"{kind}.log",
        environment=machine_environment(),
        ready=answers(port, "/openapi.json"),
        folder=PROJECT,
    )


@contextlib.contextmanager
def _peers(folder: Path) -> Iterator[list[_Side]]:
    """Yield the peers, each in a process of its own, with a Redis of their own."""
    with Valkey(folder / "valkey", appendonly=True) as redis, contextlib.ExitStack() as stack:
        sides = []
        for kind in PEERS:
            process = peer_process(folder, kind, redis.url)
            process.start()
            stack.callback(process.stop, 2)
            port = int(process.command[process.command.index("--port") + 1])
            sides.append(_Side(kind, process, port, "acme", peer.SECRET))
        for side in sides:
            side.process.wait_ready()
        yield sides


def _side(ours: Ours) -> _Side:
    accepted = 0

    def settled(answers: int) -> None:
        nonlocal accepted
        accepted += answers
        ours.scrape()
        if lost := ours.await_spans("Webhook", accepted):
            sys.stderr.write(f"{lost} of {accepted} spans did not reach the collector\n")

    tenant, port = ours.system.tenants[0], int(ours.system.state["api_url"].rpartition(":")[2])
    return _Side("ours", ours.system.api, port, tenant.id, tenant.webhook_secret, settled)


def measure(folder: Path, *, rounds: int, seconds: float) -> dict[str, list[Round]]:
    """Each side's rounds, by its name. Raises WebhooksRefused."""
    tickets = Tickets()
    with _peers(folder / "peers") as sides, Ours(folder / "ours", workers=0) as ours:
        sides.append(_side(ours))
        found: dict[str, list[Round]] = {side.name: [] for side in sides}
        for side in sides:
            _load(side, tickets, _WARM_SECONDS)
        for number in range(rounds):
            # Who begins changes, so that what drifts favours none.
            for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
                found[side.name].append(_round(side, tickets, seconds))
    return found


def _round(side: _Side, tickets: Tickets, seconds: float) -> Round:
    before = cpu_seconds(side.process.pid)
    full = _load(side, tickets, seconds)
    cpu = (cpu_seconds(side.process.pid) - before) * 1000 / full.answers
    half = _load(side, tickets, seconds, full.rate / 2)
    sys.stderr.write(f"{side.name}: {full.rate:.0f} a second, {cpu:.2f} ms each, p99 {half.p99:.1f} ms at half\n")
    refused = sum(full.refused.values()) + sum(half.refused.values())
    return Round(full.rate, cpu, half.p50, half.p99, refused)


def _load(side: _Side, tickets: Tickets, seconds: float, rate: float | None = None) -> LoadResult:
    requests = int(seconds * (rate or _MOST_PER_SECOND)) + 1
    plan = Plan(side.port, side.secret, side.tenant, tickets.take(requests), seconds, requests, rate=rate)
    found = sent(plan, _MOST_REFUSED)
    side.settled(found.answers)
    return found


def _lines(found: dict[str, list[Round]]) -> list[str]:
    names = PEERS | {"ours": OURS}
    rows = [
        (names[name], f"{median(of, 'rate'):.0f}", *(f"{median(of, field):.2f}" for field in ("cpu", "p50", "p99")))
        for name, of in found.items()
    ]
    ratios = [
        (PEERS[name], *(f"{ratio(found['ours'], found[name], field):.2f}" for field in ("rate", "cpu", "p99")))
        for name in PEERS
    ]
    refused = {names[name]: sum(one.refused for one in of) for name, of in found.items()}
    told = ", ".join(f"{count} by {name}" for name, count in refused.items() if count) or "none"
    return [*table(HEAD, rows), "", *table(RATIOS_HEAD, ratios), "", f"Not taken: {told}."]


def _report(folder: Path, given: argparse.Namespace) -> Report:
    found = measure(folder, rounds=given.rounds, seconds=given.seconds)
    names = PEERS | {"ours": "ours"}

    def bars(of: str) -> list[Bar]:
        return [Bar(names[name], median(rounds, of), ours=name == "ours") for name, rounds in found.items()]

    charts = [
        Chart("webhooks", "Webhooks accepted by one API process", "a second; more is better", bars("rate")),
        Chart("webhooks-cpu", "CPU of a webhook in the API process", "milliseconds; less is better", bars("cpu")),
    ]
    figures = {name: [asdict(one) for one in rounds] for name, rounds in found.items()}
    return Report(_lines(found), figures, charts, _goals(found))


def _goals(found: dict[str, list[Round]]) -> list[Goal]:
    ours = found["ours"]
    return [
        Goal("webhooks accepted a second, to `.delay()` in a thread", ratio(ours, found["thread"], "rate"), least=3),
        Goal("webhooks accepted a second, to `.delay()` in the loop", ratio(ours, found["inline"], "rate"), least=2),
        Goal("CPU of a webhook, to the endpoint that only verifies", ratio(ours, found["floor"], "cpu"), most=2.5),
        Goal("p99 of an answer at half load, ms", median(ours, "p99"), most=50),
        Goal("p99 of an answer at half load, to the thread's", ratio(ours, found["thread"], "p99"), most=1),
    ]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each load (default: 1.5)")


BENCHMARK = Benchmark(
    "webhooks",
    _arguments,
    _report,
    tiny=("--rounds", "1", "--seconds", "0.3"),
)

if __name__ == "__main__":
    BENCHMARK.main()
