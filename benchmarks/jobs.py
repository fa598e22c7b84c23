"""`python -m benchmarks.jobs`: what a job costs a worker, beside the same calls as a task of what people would use.

Desk and model answer at once (`benchmarks.outside`), to ours in the 98 pieces of a stream, to the others in one.
For each: the CPU (user and system, children too) of one worker process for a job, and how many it does in a second
while others wait. All in turn, in several rounds.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.charts import Bar
from benchmarks.environments import python_of
from benchmarks.ours import Ours
from benchmarks.peers.work import PLACES, Given
from benchmarks.proc import tree_cpu
from benchmarks.report import Benchmark, Chart, Goal, Report, median, ratio, table
from devstack.processes import Process
from devstack.programs import PROJECT
from devstack.surroundings import machine_environment

HEAD = ("what", "CPU ms a job", "jobs a second", "ours to it: CPU", "jobs a second", "what it does not do")
_WARM_JOBS = 40
_SETTLE_SECONDS = 0.5
_LESS = "no row, no lease, no trace, no line"
_LOST = f"{_LESS}; a task is lost with its worker"
_AGAIN = f"{_LESS}; after a crash the note is there twice"


@dataclass(frozen=True, slots=True)
class Peer:
    """One of the others: its module, whose Python it needs (empty for ours), its command, and what it lacks."""

    title: str
    module: str
    environment: str
    command: tuple[str, ...]
    lacks: str


def _celery(*pool: str) -> tuple[str, ...]:
    # As its guide to optimizing has it: what is not used is off.
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
    return ("celery", "-A", "benchmarks.peers.with_celery", "worker", *quiet, *pool)


PEERS = {
    "threads": Peer(
        f"Celery, {PLACES} threads", "with_celery", "", _celery("--pool", "threads", "-c", str(PLACES)), _LOST
    ),
    "prefork": Peer(
        "Celery, a child a core", "with_celery", "", _celery("--pool", "prefork", "-c", str(os.cpu_count())), _LOST
    ),
    "dramatiq": Peer(
        f"Dramatiq, {PLACES} threads",
        "with_dramatiq",
        "bench",
        ("dramatiq", "benchmarks.peers.with_dramatiq", "--processes", "1", "--threads", str(PLACES)),
        _AGAIN,
    ),
    "taskiq": Peer(
        f"Taskiq, {PLACES} tasks",
        "with_taskiq",
        "bench",
        (
            *("taskiq", "worker", "benchmarks.peers.with_taskiq:broker", "--workers", "1"),
            *("--max-async-tasks", str(PLACES), "--log-level", "WARNING"),
        ),
        _AGAIN,
    ),
    "arq": Peer(f"arq, {PLACES} jobs", "with_arq", "bench-arq", ("arq", "benchmarks.peers.with_arq.ArqWorker"), _AGAIN),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """One worker in one round: CPU milliseconds of a job, jobs a second from the first note to the last.

    `outside`: how busy the busier of desk and model was (0 to 1), `requeued`: how often one of our jobs had to wait.
    """

    cpu: float
    rate: float
    outside: float
    requeued: int


@dataclass(frozen=True, slots=True)
class Contender:
    """A worker; `queue` queues so many jobs, `settled` waits until what it does behind the notes is done."""

    name: str
    worker: Process
    queue: Callable[[int], object]
    settled: Callable[[int], None]


def _batch(side: Contender, ours: Ours, jobs: int) -> Batch:
    first, before, requeued = ours.tickets.peek(), ours.notes().notes, ours.requeued()
    outside = [process.pid for process in (ours.system.desk, ours.system.openai)]
    cpu, busy, began = tree_cpu(side.worker.pid), list(map(tree_cpu, outside)), time.monotonic()
    side.queue(jobs)
    ours.await_notes(before + jobs)
    busiest = max(tree_cpu(pid) - earlier for pid, earlier in zip(outside, busy, strict=True))
    share = busiest / (time.monotonic() - began)
    side.settled(jobs)
    cost = (tree_cpu(side.worker.pid) - cpu) * 1000 / jobs
    return Batch(cost, ours.rate_of(first, jobs), share, ours.requeued() - requeued)


def _side_of_ours(ours: Ours) -> Contender:
    done = 0

    def settled(jobs: int) -> None:
        nonlocal done
        done += jobs
        ours.scrape()
        if lost := ours.await_spans("Worker", done):
            sys.stderr.write(f"{lost} of {done} spans did not reach the collector\n")

    return Contender("ours", ours.worker, ours.send, settled)


@contextlib.contextmanager
def peers(folder: Path, ours: Ours, names: Sequence[str]) -> Iterator[list[Contender]]:
    """Yield the workers of those peers, each with a database of its own in the Redis of ours."""
    state = ours.system.state
    with contextlib.ExitStack() as stack:
        sides = []
        for number, name in enumerate(names, 1):
            given = Given(
                state["redis_url"].removesuffix("0") + str(number),
                state["database_url"].replace("postgresql://", "postgresql+psycopg://"),
                state["desks"]["acme"]["url"],
                state["desk_key"],
                state["openai_url"],
            )
            side = _peer(folder, name, given, ours)
            side.worker.start()
            stack.callback(side.worker.stop, 5)
            sides.append(side)
        yield sides


def _peer(folder: Path, name: str, given: Given, ours: Ours) -> Contender:
    peer = PEERS[name]
    python = python_of(peer.environment) if peer.environment else Path(sys.executable)
    environment = machine_environment() | given.environment() | {"PYTHONPATH": str(PROJECT)}
    worker = Process(
        name,
        [str(python.with_name(peer.command[0])), *peer.command[1:]],
        log_path=folder / f"{name}.log",
        environment=environment,
        folder=PROJECT,
    )

    def queue(jobs: int) -> None:
        words = ["-m", f"benchmarks.peers.{peer.module}", str(jobs), str(ours.tickets.take(jobs))]
        sender = Process(
            f"{name}-sender",
            [str(python), *words],
            log_path=folder / f"{name}-sender.log",
            environment=environment,
            folder=PROJECT,
        )
        sender.run()

    return Contender(name, worker, queue, lambda _jobs: time.sleep(_SETTLE_SECONDS))


def measure(folder: Path, *, rounds: int, jobs: int, names: Sequence[str] = tuple(PEERS)) -> dict[str, list[Batch]]:
    """Each side's rounds, by its name. Raises JobsFailed, ProcessFailed or WebhooksRefused."""
    with (
        Ours(folder / "ours", settings={"WORKER_CONCURRENCY": str(PLACES)}) as ours,
        peers(folder / "peers", ours, names) as sides,
    ):
        sides.append(_side_of_ours(ours))
        found: dict[str, list[Batch]] = {side.name: [] for side in sides}
        for side in sides:
            before = ours.notes().notes
            side.queue(_WARM_JOBS)
            ours.await_notes(before + _WARM_JOBS)
            side.settled(_WARM_JOBS)
        for number in range(rounds):
            # Who begins changes, so that what drifts favours none.
            for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
                batch = _batch(side, ours, jobs)
                sys.stderr.write(f"{side.name}: {batch.cpu:.1f} ms a job, {batch.rate:.0f} a second\n")
                found[side.name].append(batch)
    return found


def _lines(found: dict[str, list[Batch]]) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for name, batches in found.items():
        cells = (f"{median(batches, 'cpu'):.1f}", f"{median(batches, 'rate'):.0f}")
        if name == "ours":
            rows.append(("ours", *cells, "", "", ""))
        else:
            ratios = [f"{ratio(found['ours'], batches, field):.2f}" for field in ("cpu", "rate")]
            rows.append((PEERS[name].title, *cells, *ratios, PEERS[name].lacks))
    busy = max(batch.outside for batches in found.values() for batch in batches)
    said = f"Desk and model, a process each, were busy for {busy:.0%} of the time at most"
    requeued = f"{sum(batch.requeued for batch in found['ours'])} times a job of ours went back to wait"
    return [*table(HEAD, rows), "", f"{said}; {requeued} (`Job requeued`)."]


def _report(folder: Path, given: argparse.Namespace) -> Report:
    found = measure(folder, rounds=given.rounds, jobs=given.jobs, names=given.peers)

    def bars(of: str) -> list[Bar]:
        titles = {name: peer.title for name, peer in PEERS.items()} | {"ours": "ours"}
        return [Bar(titles[name], median(batches, of), ours=name == "ours") for name, batches in found.items()]

    charts = [
        Chart("jobs", "Jobs of one worker; desk and model answer at once", "a second; more is better", bars("rate")),
        Chart("jobs-cpu", "CPU of a job in the worker", "milliseconds; less is better", bars("cpu")),
    ]
    figures = {name: [asdict(one) for one in of] for name, of in found.items()}
    return Report(_lines(found), figures, charts, _goals(found))


def _goals(found: dict[str, list[Batch]]) -> list[Goal]:
    ours = found["ours"]
    slower = sum(median(batches, "rate") < median(ours, "rate") for batches in found.values())
    return [
        Goal("CPU of a job, to Celery's threads", ratio(ours, found.get("threads", ours), "cpu"), most=1.7),
        Goal("CPU of a job, ms", median(ours, "cpu"), most=15),
        Goal("jobs a second of one worker", median(ours, "rate"), least=50),
        Goal("peers that do fewer jobs a second", slower, least=2),
    ]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--jobs", type=int, default=200, help="in each round (default: 200)")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[*PEERS], help="(default: all)")


BENCHMARK = Benchmark("jobs", _arguments, _report, tiny=("--rounds", "1", "--jobs", "10"))

if __name__ == "__main__":
    BENCHMARK.main()
