"""The peers' processes, beside the servers, desk and model of our running system."""

from pathlib import Path

from cli.pilot.free_ports import free_port
from cli.pilot.processes import Process
from cli.pilot.programs import ROOT, answers, machine_environment
from dev.benchmarks.machine import python_of
from dev.benchmarks.ours import Ours

RECEIVER_SPAN, TASK_SPAN = "POST /webhook", "run/enhance"
"""The span that the peers make last for each webhook and each job."""


def receiver(folder: Path, ours: Ours) -> tuple[Process, int]:
    port = free_port()
    words = ["-m", "uvicorn", "dev.benchmarks.peers.receiver:app", "--port", str(port), "--no-access-log"]
    process = _process(folder, "receiver", ours, *words, "--log-level", "warning")
    process.ready = answers(port, "/openapi.json")
    return process, port


def worker(folder: Path, ours: Ours, pool: str, concurrency: int) -> Process:
    """Return a new worker; its options save CPU (Celery's guide to optimizing)."""
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
    words = ("-m", "celery", "-A", "dev.benchmarks.peers.job", "worker", *quiet)
    return _process(folder, pool, ours, *words, "--pool", pool, "-c", str(concurrency))


def queue(folder: Path, ours: Ours, pool: str, jobs: int) -> None:
    words = ("-m", "dev.benchmarks.peers.job", str(jobs), str(ours.take(jobs)))
    _process(folder, pool, ours, *words, log=f"{pool}-queue").run()


def _process(folder: Path, name: str, ours: Ours, *words: str, log: str = "") -> Process:
    state = ours.system.state
    # Each kind has its own Redis database.
    number = {"receiver": 1, "threads": 2, "prefork": 3}[name]
    environment = {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": state["database_admin_url"].replace("postgresql://", "postgresql+psycopg://"),
        "REDIS_URL": f"{state['redis_url'].removesuffix('/0')}/{number}",
        "WEBHOOK_SECRET_ACME": ours.system.tenants[0].webhook_secret,
        "SERVICEDESK_URL": state["desks"]["acme"]["url"],
        "SERVICEDESK_API_KEY": state["desk_key"],
        "OPENAI_BASE_URL": state["openai_url"],
        "OPENAI_API_KEY": "any",
        "OTEL_EXPORTER_OTLP_ENDPOINT": ours.collector,
        "OTEL_SERVICE_NAME": name,
    }
    return Process(
        log or name,
        [str(python_of("bench")), *words],
        log_path=folder / f"{log or name}.log",
        environment=machine_environment() | environment,
        folder=ROOT,
    )
