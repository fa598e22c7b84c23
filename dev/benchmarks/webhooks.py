"""Webhooks accepted by one API process, beside the peer's receiver.

The peer is `peers/receiver.py`. Measured at full speed: webhooks a second over 32 connections, and the CPU for one
(user and system). Measured at half speed: the time of an answer. Both use the same servers and collector.
"""

import contextlib
import sys
from argparse import Namespace
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.pilot.processes import Process
from dev.benchmarks.load import LoadResult, Plan
from dev.benchmarks.machine import cpu_seconds
from dev.benchmarks.ours import Ours, ours_running, sent
from dev.benchmarks.peers import processes as peers
from dev.benchmarks.report import Benchmark, Goal, Report, chart, median, ratio, table

TITLES = {"peer": "FastAPI, SQLAlchemy, Celery, structlog, OpenTelemetry", "ours": "ours"}
_WARM_SECONDS = 0.5
# A server without processor time for a second may refuse some, on a shared machine.
_MAX_REFUSED = 0.05
_MAX_PER_SECOND = 9_000


@dataclass(frozen=True, slots=True)
class Round:
    """A process in a round: webhooks a second, CPU ms each, quantiles, refusals."""

    rate: float
    cpu: float
    p50: float
    p99: float
    refused: int


@dataclass(frozen=True, slots=True)
class _Side:
    name: str
    process: Process
    port: int
    span: str

    def round(self, ours: Ours, seconds: float) -> Round:
        before = cpu_seconds(self.process.pid)
        full = self.load(ours, seconds)
        cpu = (cpu_seconds(self.process.pid) - before) * 1000 / full.answers
        half = self.load(ours, seconds, full.rate / 2)
        sys.stderr.write(f"{self.name}: {full.rate:.0f} a second, {cpu:.2f} ms each, p99 {half.p99:.1f} ms at half\n")
        return Round(full.rate, cpu, half.p50, half.p99, sum(full.refused.values()) + sum(half.refused.values()))

    def load(self, ours: Ours, seconds: float, rate: float | None = None) -> LoadResult:
        """Send webhooks, and wait for the export of their spans, a part of the cost."""
        requests = int(seconds * (rate or _MAX_PER_SECOND)) + 1
        spans, tenant = ours.spans().get(self.span, 0), ours.system.tenants[0]
        first = ours.take(requests)
        result = sent(
            Plan(self.port, tenant.webhook_secret, tenant.id, first, seconds, requests, rate=rate), _MAX_REFUSED
        )
        ours.await_spans(self.span, spans + result.answers - sum(result.refused.values()))
        ours.scrape()
        return result


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, list[Round]]:
    """Return the rounds of each side. Raises MeasurementError."""
    with ours_running(folder / "ours", workers=0) as ours, contextlib.ExitStack() as stack:
        process, port = peers.receiver(folder, ours)
        process.start()
        stack.callback(process.stop, 2)
        process.wait_ready()
        sides = [
            _Side("peer", process, port, peers.RECEIVER_SPAN),
            _Side("ours", ours.system.api, ours.port, "Webhook"),
        ]
        results: dict[str, list[Round]] = {side.name: [] for side in sides}
        for side in sides:
            side.load(ours, _WARM_SECONDS)
        for number in range(rounds):
            # The order alternates, so that drift favours neither.
            for side in sides[:: -1 if number % 2 else 1]:
                results[side.name].append(side.round(ours, seconds))
    return results


def _report(folder: Path, options: Namespace) -> Report:
    results = measure(folder, options.rounds, options.seconds)
    ours, peer = results["ours"], results["peer"]
    fields = ("rate", "cpu", "p50", "p99")
    rows = [(TITLES[name], f"{median(rounds, 'rate'):.0f}", *(f"{median(rounds, field):.2f}" for field in fields[1:]))
            for name, rounds in results.items()]  # fmt: skip
    rows.append(("ours to it", *(f"{ratio(ours, peer, field):.2f}" for field in fields)))
    refused = ", ".join(f"{sum(each.refused for each in rounds)} by {TITLES[name]}" for name, rounds in results.items())
    head = ("what", "accepted a second", "CPU ms a webhook", "p50 ms at half", "p99 ms at half")
    goals = [
        Goal("webhooks accepted a second, to the peer", ratio(ours, peer, "rate"), least=4),
        Goal("p99 of an answer at half load, ms", median(ours, "p99"), most=50),
    ]
    figures = {name: [asdict(each) for each in rounds] for name, rounds in results.items()}
    bars = chart("Webhooks accepted a second", {"peer": median(peer, "rate"), "ours": median(ours, "rate")})
    return Report([*table(head, rows), *bars, "", f"Not accepted: {refused}."], figures, goals)


BENCHMARK = Benchmark("webhooks", _report, {"rounds": 5, "seconds": 1.5}, {"rounds": 1, "seconds": 0.3})
