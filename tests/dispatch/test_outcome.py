"""Consistency of row, event, log line, metrics and span for each outcome."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis

from devstack.postgres import Postgres
from dispatch.outcome import How
from observability import metrics
from storage.session import Database
from tests.dispatch import endings
from tests.dispatch.endings import Driver
from tests.kit.logs import StartLog
from tests.kit.postgres import NewEvent, Table
from tests.kit.simulators import Simulator

TOLD = re.compile(
    r"(Task completed|Task skipped|Task failed|Job requeued): job_id=(\S+?), (?:ticket_id=\S+, )?(.*?) \|"
)
# Words of `job_events` that differ from the outcome; a lost claim writes none.
EVENTS = {How.CLAIM_LOST: "claimed", How.DUPLICATE: "skipped", How.FORGOTTEN: "skipped", How.WORKER_LOST: "failed"}
SPANS = ("Worker", "Relay", "Forget", "Retry")


@dataclass(frozen=True)
class Ending:
    """An outcome, one way to reach it, and the expected records."""

    how: How
    drive: Callable[[Driver], Awaitable[UUID]]
    row: tuple[str, str | None]
    """State and reason."""
    line: str
    """The phrase, and as a pattern what follows the identifiers; `~` is the reason of the row."""
    attempt: str | None
    """As ATTEMPTS counts it; None where there was none, or of a process that is gone."""
    span: str
    """Its name and its `outcome`; `~` as above."""
    red: bool = False

    def filled(self, text: str) -> str:
        return text.replace("~", self.row[1] or "")

    def counts(self) -> Counter[tuple[str, ...]]:
        state, reason = self.row
        grown: list[tuple[str, ...]] = [("ai_agents_job_attempts_total", "acme", self.attempt)] if self.attempt else []
        if state in ("completed", "skipped", "failed"):
            grown.append(("ai_agents_jobs_ended_total", "acme", state, reason or ""))
            grown.append(("ai_agents_job_duration_seconds_count", "acme", state))
        if self.how is How.RECOVERED:
            grown.append(("ai_agents_jobs_recovered_total",))
        return Counter(grown)


GONE, FORGOTTEN, DUPLICATE = ("skipped", "ticket not found"), ("skipped", "forgotten"), ("skipped", "duplicate webhook")
DOWN, ANOTHER = ("waiting", "desk unavailable"), ("waiting", "another job of this ticket")
LOST = "Task failed reason=claim lost; left to another attempt"
LOOK = "Task failed reason=~; will be looked for once more in 60s"
LAST_WORKER = ("failed", "worker lost at its last attempt")
FLAGGED = ("failed", "OpenAI API: 403 Forbidden")
REFUSED, BROKEN = ("failed", "ServiceDesk Plus API: 403"), ("waiting", "ServiceDesk Plus API: 500")
SKIPPED, REQUEUED, ENDED = "Task skipped reason=~", "Job requeued reason=~", "Task failed reason=~; not retried"
HELD, GAVE_UP = REQUEUED + r", held back for (\d+)s", "Task failed reason=~; gave up at its deadline"
STOPPING = "Job requeued reason=worker stopping"
AGAIN = "Task failed reason=~; will be retried in 2s"
DONE = r"Task completed duration=\ds"

ENDINGS = [
    Ending(How.COMPLETED, endings.completed, ("completed", None), DONE, "completed", "Worker: completed"),
    Ending(How.SKIPPED, endings.gone, GONE, SKIPPED, "skipped", "Worker: ~"),
    Ending(How.SKIPPED, endings.forgotten_at_work, FORGOTTEN, SKIPPED, "skipped", "Worker: ~"),
    Ending(How.SKIPPED, endings.forgotten_at_a_stop, FORGOTTEN, SKIPPED, "skipped", "Worker: ~"),
    Ending(How.FAILED, endings.refused, REFUSED, ENDED, "failed", "Worker: failed", red=True),
    Ending(
        How.FAILED, endings.down_at_the_deadline, ("failed", DOWN[1]), GAVE_UP, "failed", "Worker: failed", red=True
    ),
    Ending(How.FAILED, endings.stopped_at_its_failure_note, FLAGGED, ENDED, "failed", "Worker: failed", red=True),
    Ending(How.RETRIED, endings.retried, BROKEN, AGAIN, "retried", "Worker: retried", red=True),
    Ending(How.LOOKED_FOR, endings.looked_for, DOWN, LOOK, "retried", "Worker: looked for once more", red=True),
    Ending(How.HELD_BACK, endings.held_back, DOWN, HELD, "held back", "Worker: held back: ~"),
    Ending(How.HELD_BACK, endings.another_first, ANOTHER, HELD, "held back", "Worker: held back: ~"),
    Ending(How.GIVEN_BACK, endings.given_back, ("waiting", None), STOPPING, "given back", "Worker: given back"),
    Ending(How.CLAIM_LOST, endings.claim_lost, ("running", None), LOST, "claim lost", "Worker: claim lost", red=True),
    Ending(
        How.CLAIM_LOST,
        endings.claim_lost_at_a_stop,
        ("running", None),
        LOST,
        "claim lost",
        "Worker: claim lost",
        red=True,
    ),
    Ending(How.DUPLICATE, endings.duplicate_at_a_worker, DUPLICATE, SKIPPED, None, "Worker: ~"),
    Ending(How.DUPLICATE, endings.duplicate_at_the_relay, DUPLICATE, SKIPPED, None, "Relay: ~"),
    Ending(How.FORGOTTEN, endings.forgotten_by_command, FORGOTTEN, SKIPPED, None, "Forget: ~"),
    Ending(How.RETRIED_BY_HAND, endings.retried_by_hand, ("waiting", "retried by hand"), REQUEUED, None, "Retry: ~"),
    Ending(How.RECOVERED, endings.recovered, ("waiting", "worker lost"), REQUEUED, None, "Relay: ~"),
    Ending(How.WORKER_LOST, endings.worker_lost, LAST_WORKER, ENDED, None, "Relay: worker lost", red=True),
    Ending(How.EXPIRED, endings.expired, ("failed", "deadline passed"), ENDED, None, "Relay: expired", red=True),
]


def counted() -> Counter[tuple[str, ...]]:
    kinds = (metrics.ATTEMPTS, metrics.JOBS_ENDED, metrics.JOB_SECONDS, metrics.JOBS_RECOVERED)
    counts = Counter[tuple[str, ...]]()
    for sample in (sample for kind in kinds for metric in kind.collect() for sample in metric.samples):
        if sample.name.endswith(("_total", "_count")):
            counts[sample.name, *sample.labels.values()] = int(sample.value)
    return counts


@pytest.fixture
def driver(
    database: Database,
    table: Table,
    redis: Redis,
    redis_url: str,
    desks: Simulator,
    model: Simulator,
    new_event: NewEvent,
) -> Driver:
    return Driver(database, table, redis, redis_url, desks, model, new_event)


@pytest.fixture
def by_hand(server: Postgres, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", server.url)
    monkeypatch.setenv("REDIS_URL", redis_url)


def test_every_outcome_has_an_ending() -> None:
    assert {ending.how for ending in ENDINGS} == set(How)


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize("ending", ENDINGS, ids=[ending.drive.__name__ for ending in ENDINGS])
async def test_row_line_metrics_and_span_agree(
    ending: Ending, driver: Driver, spans: InMemorySpanExporter, start_log: StartLog, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = start_log()
    before = counted()
    job_id = await ending.drive(driver)
    row = driver.table.job(job_id)
    assert (row["state"], row["reason"]) == ending.row
    event = driver.table.run("SELECT * FROM job_events WHERE job_id = %s ORDER BY id DESC LIMIT 1", job_id)[0]
    assert event["what"] == EVENTS.get(ending.how, ending.how)
    assert event["reason"] in (None, row["reason"])
    assert counted() - before == ending.counts()
    log = stream.getvalue() + capsys.readouterr().err
    ((phrase, told),) = [(phrase, told) for phrase, told_of, told in TOLD.findall(log) if told_of == str(job_id)]
    line = re.fullmatch(ending.filled(ending.line), f"{phrase} {told}")
    assert line is not None
    ended = [span for span in spans.get_finished_spans() if span.name in SPANS and "outcome" in (span.attributes or {})]
    (span,) = ended
    attributes = span.attributes or {}
    assert f"{span.name}: {attributes['outcome']!s}" == ending.filled(ending.span)
    assert event["attempt"] == attributes.get("attempt", event["attempt"])
    held = attributes.get("held_back_seconds")
    assert held == (pytest.approx(int(line[1]), abs=0.5) if ending.how is How.HELD_BACK else None)
    # An error span has the log line's words.
    shown = [(raised.attributes or {})["exception.message"] for raised in span.events]
    assert shown == ([told.removeprefix("reason=")] if ending.red else [])
    assert span.status.description == (shown[0] if ending.red else None)
