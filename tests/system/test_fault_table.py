"""The fault table: external fault -> worker log -> outcome of the job, played at once on one real system.

Each row is one ticket whose faults hit that ticket only. Every text that a fault can carry contains `PLANTED`, which no
line may show. Faults that hold other jobs are in `tests/workflow/test_held.py` and `tests/system/test_throttled.py`;
all kinds of a failure's class in `tests/integrations/test_model_client.py` and `test_desk_calls.py`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import pytest

from dev.stack.environment import SimulatedTenant
from dev.stack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import on
from tests.system.faq import STARTED, assert_story

PLANTED = "hunter2-<b>zebra</b>"
IDLE, TOTAL, DESK, SETTLE = 5, 10, 5, 6
"""Seconds: the limits of GPT-4's silence, of its whole answer, of one answer of the desk, and of a note's arrival."""
ANSWERED = r"GPT-4 API call: status=200"
UPDATED = r"ServiceDesk Plus ticket updated: ticket_id=<T>"
COMPLETED = r"Task completed: job_id=<J>, duration=\d+s"
KEPT = r"GPT-4 answer of an earlier attempt reused"
MODEL, REFUSED, TIMEOUT = "OpenAI API error: ", "ServiceDesk Plus API error: ", "ServiceDesk Plus API timeout"
LOST, INVALID = REFUSED + "connection", REFUSED + "invalid answer"
Order = Mapping[str, Any]


@dataclass(frozen=True)
class FaultRow:
    """One fault. `told` are the expected log phrases, in order, between start and end.

    `calls` is the number of GPT-4 requests, `attempts` that of the job. `ends` and `reason` are the job's state and
    reason. `before` and `meanwhile` (while GPT-4 answers) are changes of the ticket; None is its deletion.
    """

    faults: tuple[Order, ...]
    told: tuple[str, ...]
    ends: Literal["completed", "skipped", "failed"] = "completed"
    attempts: int = 1
    calls: int = 1
    reason: str | None = None
    tenant: str = ""  # any on premises
    before: Mapping[str, Any] | None = field(default_factory=dict)
    meanwhile: Mapping[str, Any] | None = field(default_factory=dict)

    @property
    def name(self) -> str:
        words = [str(value) for order in self.faults for value in order.values() if PLANTED not in str(value)]
        changes = [
            f"{when} {how}" for when, how in (("before", self.before), ("meanwhile", self.meanwhile)) if how != {}
        ]
        return " ".join([*words, *re.findall(r"\w+", str(changes)), self.tenant]).strip()

    @property
    def subject(self) -> str:
        """Return a subject that occurs in this row's ticket only."""
        return f"Printer jams, case [{self.name}]"


def desk(kind: str, operation: str, **more: Any) -> Order:
    return {"operation": operation, "kind": kind, "times": 1, **more}


def gpt4(kind: str, times: int = 1, **more: Any) -> Order:
    return {"kind": kind, "times": times, **more}


def failed_line(phrase: str, words: str) -> str:
    reason = re.escape(reason_of(phrase))
    return rf"Task failed: job_id=<J>, ticket_id=<T>, reason={reason}(?: \(code rate_limit_exceeded\))?; {words}"


def reason_of(phrase: str) -> str:
    """Return the reason that belongs to a failure's phrase."""
    if " error: " in phrase:
        return phrase.replace(" error: ", ": ")
    return "GPT-4 timeout" if phrase.startswith("GPT-4") else "ServiceDesk Plus timeout"


def retried(
    phrase: str, *faults: Order, calls: int = 2, then: tuple[str, ...] = (ANSWERED, UPDATED), wait: int = 2
) -> FaultRow:
    # The fault hits one attempt; the next one completes, after `wait` seconds.
    line = failed_line(phrase, f"will be retried in {wait}s")
    return FaultRow(faults, (phrase, line, STARTED, *then), attempts=2, calls=calls)


def failed(phrase: str, *faults: Order, calls: int = 1) -> FaultRow:
    """Retries do not help: one attempt."""
    told = (re.escape(phrase), failed_line(phrase, "not retried"))
    return FaultRow(faults, told, "failed", calls=calls, reason=reason_of(phrase))


def repaired(*faults: Order, calls: int = 2) -> FaultRow:
    # The client recovers within the attempt: nothing failed.
    return FaultRow(faults, (ANSWERED, UPDATED), calls=calls)


def skipped(phrase: str, reason: str, *faults: Order, calls: int = 0, **changes: Any) -> FaultRow:
    # The ticket is gone or closed, which is expected.
    line = f"Task skipped: job_id=<J>, ticket_id=<T>, reason={reason}"
    return FaultRow(faults, (phrase, line), "skipped", reason=reason, calls=calls, **changes)


def of_gpt4() -> Iterator[FaultRow]:
    silent, bad, long = (
        rf"GPT-4 API call failed: timeout after {IDLE}s",
        MODEL + "400 Bad Request",
        "messages[1].content",
    )
    yield failed(bad, gpt4("status", code=400, message=PLANTED, word=PLANTED, param=PLANTED))
    yield failed(bad + " (param model)", gpt4("status", code=400, word=PLANTED, param="model"))
    told = " (code context_length_exceeded, param messages)"
    yield failed(bad + told, gpt4("status", code=400, message=PLANTED, word="context_length_exceeded", param=long))
    yield failed(MODEL + "403 Forbidden", gpt4("status", code=403, message=PLANTED))
    yield failed(MODEL + "403 Forbidden", gpt4("error_in_200", code=403, message=PLANTED))
    yield failed(MODEL + "content filter", gpt4("content_filter"))
    for kind, times in (("refusal", 1), ("malformed", 2), ("empty_choices", 2)):
        yield failed(MODEL + "invalid answer", gpt4(kind, times), calls=times)
    for phrase, fault in (
        ("408 Request Timeout", gpt4("status", code=408, message=PLANTED)),
        ("500 Internal Server Error", gpt4("status", code=500, message=PLANTED)),
        ("429 Rate Limit", gpt4("status", code=429, message=PLANTED)),
        ("429 Rate Limit", gpt4("error_event", code=429, message=PLANTED)),
        ("502 Bad Gateway", gpt4("html", code=502, message=PLANTED)),
        ("502 Bad Gateway", gpt4("error_in_200", message=PLANTED)),
        ("502 Bad Gateway", gpt4("error_event", message=PLANTED)),
        ("500 Internal Server Error", gpt4("error_event", code=302)),
        ("invalid answer", gpt4("html", message=PLANTED)),
        ("invalid answer", gpt4("huge", megabytes=6)),
        ("connection", gpt4("cut")),
    ):
        yield retried(MODEL + phrase, fault)
    yield retried(MODEL + "429 Rate Limit", gpt4("status", code=429, retry_after=6), wait=6)
    for fault in (
        gpt4("silence"),
        gpt4("stall"),
        gpt4("keep_alive", seconds=0.3, chunks=3),
        gpt4("empty_deltas", seconds=0.3),
    ):
        yield retried(silent, fault)
    yield retried(rf"GPT-4 API call failed: timeout after {TOTAL}s", gpt4("slow_stream", seconds=0.6))
    for kind in ("cut_off", "malformed", "wrong_schema", "no_json_schema"):
        yield repaired(gpt4(kind))
    yield repaired(gpt4("refuse_parameter", param="stream_options"))
    for fault in (gpt4("not_streamed"), gpt4("hostile"), gpt4("keep_alive", seconds=0.2, comments=4)):
        yield repaired(fault, calls=1)


def of_reading() -> Iterator[FaultRow]:
    """Faults before GPT-4 is called: a read has no side effect, so it is retried soon."""
    read = "read_ticket"
    for phrase, fault in (
        (REFUSED + "500", desk("status", read, code=500)),
        (REFUSED + "500", desk("inner_failure", read, inner_code=4004, message=PLANTED)),
        (INVALID, desk("html", read, message=PLANTED)),
        (INVALID, desk("huge", read, megabytes=6)),
        (TIMEOUT, desk("silence", read)),
        (TIMEOUT, desk("slow", read, seconds=DESK + 2)),
        (LOST, desk("cut", read)),
    ):
        yield retried(phrase, fault, calls=1)
    yield retried(REFUSED + "503", desk("status", read, code=503, retry_after=4), calls=1, wait=4)
    for shown, fault in (
        (400, desk("status", read, code=400, message=PLANTED)),
        (403, desk("status", read, code=403, message=PLANTED)),
        (400, desk("inner_failure", read, inner_code=4001, message=PLANTED)),
        (403, desk("inner_failure", read, inner_code=4002, message=PLANTED)),
        (3000, desk("warning", read, message=PLANTED)),
        (302, desk("redirect", read, location=f"https://{PLANTED}.example/")),
        (404, desk("html", read, code=404, message=PLANTED)),
    ):
        yield failed(f"{REFUSED}{shown}", fault, calls=0)


def of_gone() -> Iterator[FaultRow]:
    """Tickets that are gone, in each way that the desk reports it."""
    missing, closed = (
        ("Ticket not found: <T>", "ticket not found"),
        ("Ticket deleted/closed", "ticket deleted or closed"),
    )
    thinking = gpt4("slow_stream", seconds=0.25)
    yield skipped(*missing, desk("status", "read_ticket", code=404, message=PLANTED))
    yield skipped(*missing, desk("inner_failure", "read_ticket", inner_code=4007))
    yield skipped(*missing, desk("status", "add_note", code=404), calls=1)
    for told, change in ((missing, None), (closed, {"status": "Closed"}), (closed, {"is_trashed": True})):
        yield skipped(*told, before=change)
        yield skipped(*told, thinking, calls=1, meanwhile=change)


def of_noting() -> Iterator[FaultRow]:
    """Faults while the note is posted: GPT-4 has answered, and is paid once."""
    add = "add_note"
    for phrase, wait, fault in (
        (REFUSED + "408", 2, desk("status", add, code=408)),
        (REFUSED + "408", 4, desk("status", add, code=408, retry_after=4)),
        (REFUSED + "500", SETTLE, desk("status", add, code=500)),
        (REFUSED + "500", SETTLE, desk("inner_failure", add, message=PLANTED)),
        (INVALID, SETTLE, desk("html", add, message=PLANTED)),
        (TIMEOUT, SETTLE, desk("silence", add)),
    ):
        yield retried(phrase, fault, calls=1, then=(KEPT, UPDATED), wait=wait)
    # The note was stored anyway: the second attempt finds it without a GPT-4 call.
    for phrase, fault in (
        (REFUSED + "500", desk("status", add, performed=True, message=PLANTED)),
        (REFUSED + "500", desk("inner_failure", add, performed=True)),
        (INVALID, desk("html", add, performed=True)),
        (INVALID, desk("not_json", add, performed=True)),
        (TIMEOUT, desk("silence", add, performed=True)),
        (TIMEOUT, desk("slow", add, seconds=DESK + 2)),
        (TIMEOUT, desk("slow", add, seconds=DESK + 2, performed=False)),
        (LOST, desk("cut", add)),
        (LOST, desk("cut_after", add)),
    ):
        yield retried(phrase, fault, calls=1, then=(UPDATED,), wait=SETTLE)
    for shown, fault in (
        (400, desk("status", add, code=400)),
        (403, desk("status", add, code=403)),
        (3000, desk("warning", add, message=PLANTED)),
        (403, desk("inner_failure", add, inner_code=4002, message=PLANTED)),
        (302, desk("redirect", add, location=f"https://{PLANTED}.example/")),
    ):
        yield failed(f"{REFUSED}{shown}", fault)


def of_finding() -> Iterator[FaultRow]:
    # The note is stored, its answer lost, and the look for it fails: one note.
    for phrase, fault in (
        (REFUSED + "500", desk("status", "list_notes", message=PLANTED)),
        (REFUSED + "408", desk("status", "list_notes", code=408)),
        (INVALID, desk("html", "list_notes", message=PLANTED)),
        (TIMEOUT, desk("silence", "list_notes")),
        (REFUSED + "500", desk("inner_failure", "list_notes")),
        (REFUSED + "500", desk("status", "read_note")),
    ):
        first, again = (f"will be retried in {wait}s" for wait in (SETTLE, "[345]"))
        told = (LOST, failed_line(LOST, first), STARTED, phrase, failed_line(phrase, again), STARTED, UPDATED)
        yield FaultRow((desk("cut_after", "add_note"), fault), told, attempts=3)


def of_cloud() -> Iterator[FaultRow]:
    # The cloud edition: the same answers, and a token that the desk may refuse once.
    rows = [
        retried(REFUSED + "500", desk("status", "read_ticket"), calls=1),
        retried(TIMEOUT, desk("silence", "read_ticket"), calls=1),
        retried(REFUSED + "408", desk("status", "add_note", code=408), calls=1, then=(KEPT, UPDATED)),
        retried(LOST, desk("cut_after", "add_note"), calls=1, then=(UPDATED,), wait=SETTLE),
        repaired(desk("status", "read_ticket", code=401), calls=1),
        repaired(desk("status", "add_note", code=401), calls=1),
    ]
    yield from (replace(row, tenant="cloud") for row in rows)
    # Tokens are shared by a tenant's jobs, so each fault of the accounts host has a tenant of its own.
    for tenant, phrase, kind, more in (
        ("too-many-tokens", REFUSED + "429", "token_refused", {"message": "Access Denied"}),
        ("unknown-refusal", INVALID, "token_refused", {"message": PLANTED}),
        ("token-html", INVALID, "html", {"message": PLANTED}),
        ("token-429", REFUSED + "429", "status", {"code": 429, "message": PLANTED}),
        ("token-500", REFUSED + "500", "status", {"message": PLANTED}),
        ("token-silence", TIMEOUT, "silence", {}),
        ("token-cut", LOST, "cut_after", {}),
    ):
        yield replace(retried(phrase, desk(kind, "token", **more), calls=1), tenant=tenant)
    refused = desk("status", "token", code=403, message=PLANTED)
    yield replace(failed(REFUSED + "403", refused, calls=0), tenant="token-403")


# Rows one after the other are at different desks and models: five failures of one in a row hold its jobs for 15 s.
SPREAD = [f"acme-{number}" for number in range(8)]
TABLE = [*of_gpt4(), *of_reading(), *of_gone(), *of_noting(), *of_finding(), *of_cloud()]
PLACED = [replace(row, tenant=row.tenant or SPREAD[number % len(SPREAD)]) for number, row in enumerate(TABLE)]
ROWS = {row.name: row for row in PLACED}
LIMITS = {
    "OPENAI_TIMEOUT_SECONDS": str(IDLE),
    "OPENAI_DEADLINE_SECONDS": str(TOTAL),
    "SERVICEDESK_TIMEOUT_SECONDS": str(DESK),
    # Longer than the first wait and unlike a `Retry-After`, so that the table can distinguish them.
    "NOTE_SETTLE_SECONDS": str(SETTLE),
    # A job waits in the queue until its row's turn: a healthy call must stay well within the limits.
    "WORKER_CONCURRENCY": "32",
    "CONTEXT_TIMEOUT_SECONDS": "20",
}
TOLD_END = re.compile(r"Task (?:completed|skipped): |Task failed: .*; not retried")
# As long as a cloud desk's ids are: a shorter number would be a display number.
_FIRST_ID = 123_640_000_000_700_000
# Text of the servers beside the planted one.
FOREIGN = (
    *re.split(r"[<>/]+", PLANTED)[:3:2],
    *("Sign in to", "html>", "PROCESSING", "can't help", "forged", "elsewhere", "response_status", "EXTRA_KEY"),
    *("Access Denied", "invalid_", "[31m", "very long"),
)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    others = sorted({row.tenant for row in ROWS.values()} - {*SPREAD})
    tenants = [*map(SimulatedTenant, SPREAD), *(SimulatedTenant(tenant, edition="cloud") for tenant in others)]
    folder = tmp_path_factory.mktemp("faults")
    running = System(
        folder, tenants=tenants, settings=SHORT | LIMITS, openai_seconds=0.3, housekeeping=False, launch=loaded
    )
    (worker,) = running.workers
    for tenant in tenants[: len(SPREAD)]:
        # The same key, but as the tenant's own.
        worker.environment[f"OPENAI_API_KEY_{tenant.suffix}"] = worker.environment["OPENAI_API_KEY"]
    with running:
        yield running


class Played(NamedTuple):
    """The ticket ids by row, the worker's lines, and the requests to GPT-4."""

    tickets: dict[str, str]
    lines: list[str]
    asked: list[str]


@pytest.fixture(scope="module")
def played(system: System, outside: World) -> Played:
    """Play the whole table, and await each job's end and its line."""
    made = {row.name: prepare(outside, row, number) for number, row in enumerate(ROWS.values())}
    # Rows whose tickets change during the GPT-4 call are first, so that the moment is not missed.
    changing = [row for row in ROWS.values() if row.meanwhile != {}]
    # Then the longest, so that they are not awaited alone.
    later = sorted((row for row in ROWS.values() if row.meanwhile == {}), key=lambda row: -row.attempts)
    for row in changing:
        assert outside.post_webhook(made[row.name], row.tenant).status_code == 202
    for row in changing:
        wait_for(lambda row=row: outside.gpt4_requests(row.subject))  # type: ignore[misc]
        change(outside, row, made[row.name], row.meanwhile)
    for row in later:
        assert outside.post_webhook(made[row.name], row.tenant).status_code == 202
    log = system.workers[0].log_path
    wait_for(lambda: len(TOLD_END.findall(log.read_text(encoding="utf-8"))) == len(made), 120)
    requests_seen = [str(request) for request in outside.gpt4_requests("Printer jams, case")]
    return Played(made, log.read_text(encoding="utf-8").splitlines(), requests_seen)


def prepare(outside: World, row: FaultRow, number: int) -> str:
    """Create the row's ticket, with an id unique over all desks, and order its faults."""
    ticket_id = outside.create_ticket(row.subject, row.tenant, send_webhook=False, id=str(_FIRST_ID + number))
    for order in row.faults:
        if "operation" not in order:
            outside.openai_fault(match=row.subject, **order)
        elif order["operation"] == "token":
            outside.desk_fault(tenant=row.tenant, **order)
        else:
            outside.desk_fault(tenant=row.tenant, ticket_id=ticket_id, **order)
    change(outside, row, ticket_id, row.before)
    return ticket_id


def change(outside: World, row: FaultRow, ticket_id: str, how: Mapping[str, Any] | None) -> None:
    if how is None:
        outside.delete_ticket(ticket_id, row.tenant)
    elif how:
        outside.change_ticket(ticket_id, row.tenant, **how)


@pytest.mark.parametrize("name", ROWS)
def test_a_fault_is_told_and_decided_as_the_table_says(name: str, outside: World, played: Played) -> None:
    row, ticket_id = ROWS[name], played.tickets[name]
    job = outside.job(ticket_id, row.tenant)
    own = [line for line in played.lines if f"job_id: {job['id']}" in line]
    is_completed = row.ends == "completed"
    assert_story(own, [STARTED, *row.told, *[COMPLETED] * is_completed], ticket_id, str(job["id"]))
    assert (job["state"], job["reason"], job["attempt"]) == (row.ends, row.reason, row.attempts)
    if row.meanwhile is not None and row.before is not None:
        assert len(outside.notes(ticket_id, row.tenant)) == is_completed
    assert sum(row.subject in text for text in played.asked) == row.calls
    # One start and one end an attempt, one update, and known failures.
    begins = ("Task started", "Task failed", "Task completed", "Task skipped", "ServiceDesk Plus ticket updated")
    said = Counter(begin for line in own for begin in begins if f" {begin}: " in f" {line}")
    failures = row.attempts - (row.ends != "failed")
    # This many concurrent faults may open a breaker: a job that is held back begins again, which is no attempt.
    held_back = sum("Job requeued: " in line and "held back for" in line for line in own)
    ends = {"completed": begins[2::2], "skipped": begins[3:4], "failed": ()}[row.ends]
    assert said == Counter(
        {"Task started": row.attempts + held_back, "Task failed": failures, **dict.fromkeys(ends, 1)}
    )
    # Each failed attempt has two lines at level ERROR: the phrase, and the decision.
    assert sum("error" in line.lower() and "Breaker error" not in line for line in own) == 2 * failures


@pytest.mark.usefixtures("played")
def test_each_ordered_fault_occurred(outside: World) -> None:
    """Otherwise a row would have met a healthy server."""
    assert [fault for fault in outside.faults() if not fault["exhausted"]] == []
    assert len(outside.faults()) == sum(len(row.faults) for row in ROWS.values())


@pytest.mark.usefixtures("played")
def test_a_ticket_known_by_two_numbers_gets_one_note(system: System, outside: World) -> None:
    subject = "VPN does not connect, known by two numbers"
    desk_id = outside.create_ticket(subject, "cloud", send_webhook=False)
    number = outside.display_id(desk_id, "cloud")
    for named in (number, desk_id):
        assert outside.post_webhook(named, "cloud").status_code == 202
        outside.ended(named, "cloud")
    first, second = outside.job(number, "cloud"), outside.job(desk_id, "cloud")
    assert (first["state"], first["desk_id"], first["display_id"]) == ("completed", desk_id, number)
    assert (second["state"], second["reason"]) == ("skipped", "already enhanced")
    assert len(outside.notes(desk_id, "cloud")) == 1
    assert len(outside.gpt4_requests(subject)) == 1
    log = system.workers[0].log_path.read_text(encoding="utf-8").splitlines()
    told = [line for line in log if f"job_id: {first['id']}" in line]
    assert_story(told, [STARTED, r"Context gathered: .*", UPDATED, COMPLETED], number, str(first["id"]))
    began = next(index for index, line in enumerate(told) if "Context gathered: " in line)
    assert all(f"desk_id: {desk_id}" in line for line in told[began:])
    listed = on(system, "jobs", "--tenant", "cloud", "--ticket", number, "--json").stdout
    assert [str(job["id"]) in listed for job in (first, second)] == [True, True]


@pytest.mark.usefixtures("played")
def test_no_line_has_text_of_a_servers_answer(system: System) -> None:
    """Runs last: no secret, markup or prose of an answer is logged at any level."""
    for process in (system.api, system.workers[0]):
        text = process.log_path.read_text(encoding="utf-8")
        assert [word for word in FOREIGN if word in text] == []
