"""Evidence for a verdict: past events, present state and unchecked parts."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from integrations.looks import DeskLook
from storage.by_hand import Happened, remark_of
from storage.job_figures import MOST_COUNTED
from storage.jobs import OWN_EVENTS, RECOVERED, SIGNED_BY_PREVIOUS
from storage.reconciling import SeenWithoutWebhook
from storage.rejections import Receiving
from support.diagnose.facts import Facts, nobody_works
from support.diagnose.readings import reading_of
from support.tables import duration

_FIRST, _LAST = 4, 10
_PRECISE_SECONDS = 60
_STEPS = {
    "claimed": "begun by a worker",
    "asked": "GPT-4 was asked",
    "answered": "GPT-4 has answered",
    "posting": "the note is being posted",
    "completed": "the note is in the ticket",
    "retried": "failed, and is tried again",
}
"""How an event is said, where its own word is short."""
_FOUND = "no webhook came, and it was found in the desk"


class Evidence(NamedTuple):
    """One fact; `at` is None for the present state."""

    at: datetime | None
    what: str


def evidence(facts: Facts) -> list[Evidence]:
    past = [*_of_webhooks(facts), *_of_attempts(facts)]
    return [*sorted(past, key=lambda fact: fact.at or facts.asked_at), *_of_now(facts)]


def _of_webhooks(facts: Facts) -> Iterator[Evidence]:
    webhooks, job = facts.webhooks, facts.job
    if facts.inbox is not None:
        yield Evidence(facts.inbox.accepted_at, f"its webhook was accepted, as job {facts.inbox.job_id}")
    if webhooks is not None:
        for refused in webhooks.refused[:3]:
            yield Evidence(refused.at, f"its webhook was refused: {refused.status} {refused.reason}")
    if facts.missing is not None:
        yield from _of_missing(facts.missing)
    if job is not None:
        own = _FOUND if job.event == RECOVERED else job.event
        how = own if job.event in OWN_EVENTS else "its webhook was accepted"
        yield Evidence(job.accepted_at, f"{how}, as job {job.id}")
        if remark_of(facts.events or ()) == SIGNED_BY_PREVIOUS:
            old = "the desk still had the old one"
            yield Evidence(job.accepted_at, f"its webhook was {SIGNED_BY_PREVIOUS}: {old}")
    elif webhooks is not None:
        yield from _of_no_webhook(webhooks)


def _of_missing(missing: SeenWithoutWebhook) -> Iterator[Evidence]:
    yield Evidence(missing.created_at, "it was created, by the desk's clock")
    yield Evidence(missing.seen_at, "the desk listed it, and no webhook of it had come")
    if missing.missed_at is not None:
        yield Evidence(missing.missed_at, "its webhook counts as missed")


def _of_no_webhook(webhooks: Receiving) -> Iterator[Evidence]:
    for unread in webhooks.unread:
        what = f"a webhook whose ticket can't be read was refused: {unread.reason} ({unread.count} since a day ago)"
        yield Evidence(unread.last_at, what)
    if webhooks.last_accepted_at is not None:
        yield Evidence(webhooks.last_accepted_at, "the last webhook of the client was accepted")


def _of_attempts(facts: Facts) -> Iterator[Evidence]:
    # The first is the webhook's, which has its own line.
    events = [event for event in facts.events or () if event.what not in ("accepted", "accepted late")]
    before = facts.job.accepted_at if facts.job else facts.asked_at
    for number, event in enumerate(events):
        if number < _FIRST or number >= len(events) - _LAST:
            yield Evidence(event.at, _step(event, before))
        elif number == _FIRST:
            yield Evidence(event.at, f"and {len(events) - _FIRST - _LAST} events more: `ai-agents show --events`")
        before = event.at


def _step(event: Happened, before: datetime) -> str:
    why = f": {event.reason}" if event.reason else ""
    seconds = (event.at - before).total_seconds()
    took = f"{seconds:.1f}s" if seconds < _PRECISE_SECONDS else duration(seconds)
    return f"attempt {event.attempt}: {_STEPS.get(event.what, event.what)}{why} (after {took})"


def _of_now(facts: Facts) -> Iterator[Evidence]:
    webhooks = facts.webhooks
    if facts.database_failure:
        yield Evidence(None, f"Postgres was asked, and {facts.database_failure}")
    if facts.inbox is not None:
        yield Evidence(None, "Redis keeps its webhook until Postgres has it")
    elif facts.job is None and webhooks is not None and not webhooks.refused:
        yield Evidence(None, "no webhook of it is known, neither accepted nor refused")
    if webhooks is not None and webhooks.shares_used_up and facts.job is None:
        yield Evidence(None, "more webhooks were refused in the last hour than are kept: the API's log has all of them")
    yield from _of_queue_and_workers(facts)
    if facts.most_running is not None:
        yield Evidence(None, f"{facts.most_running} of the client's jobs run, and no more may at a time")
    for reason, held in facts.held.items():
        many = f"{held.jobs} or more" if held.jobs >= MOST_COUNTED else held.jobs
        yield Evidence(None, f"{many} of the client's jobs wait: {reason}")
    for reason in facts.held_elsewhere:
        yield Evidence(None, f"jobs with the same model key wait: {reason}")
    if facts.desk.asked:
        yield Evidence(None, f"desk: {_desk(facts.desk)}")
    if facts.model.asked:
        failure = facts.model.failure
        yield Evidence(None, f"model: {failure or 'its server answers (no question was asked)'}")


def _of_queue_and_workers(facts: Facts) -> Iterator[Evidence]:
    queue = facts.queue
    if queue is not None:
        reading = reading_of(queue.waiting)
        yield Evidence(None, f"queue: {queue.waiting} jobs wait ({reading}), {queue.held} are with workers")
    if facts.queue_failure:
        yield Evidence(None, f"queue: Redis was asked, and {facts.queue_failure}")
    if facts.work is not None:
        yield Evidence(None, f"workers: {_workers(facts)}")


def _workers(facts: Facts) -> str:
    work, queue = facts.work, facts.queue
    if work is None:
        return "not checked"
    listen = "" if queue is None or queue.listening is None else f"{queue.listening} listen at the queue, "
    silent = f", {work.silent} of which have fallen silent" if work.silent else ""
    is_gone = work.workers and nobody_works(queue, work)
    gone = ", but no worker is connected to Postgres any more" if is_gone else ""
    started = facts.last_started_at
    last = (
        f"the last one was begun {duration((facts.asked_at - started).total_seconds())} ago"
        if started
        else "none was begun in the last ten minutes"
    )
    return f"{listen}{work.workers} have jobs, {work.running} jobs run{silent}{gone}; {last}"


def _desk(desk: DeskLook) -> str:
    ticket = {None: "", "open": "the ticket is open", "closed": "the ticket is closed", "gone": "it has no such ticket"}
    note = {None: "", True: "our note is in the ticket", False: "our note is not in the ticket"}
    said = [desk.failure or "it answers", ticket[desk.ticket], note[desk.note]]
    return ", ".join(filter(None, said))


def not_checked(facts: Facts) -> list[str]:
    parts = {
        "jobs, refused webhooks and workers": f"Postgres: {facts.database_failure}" if facts.database_failure else "",
        "desk": "" if facts.desk.asked else facts.desk.failure,
        "model": "" if facts.model.asked else facts.model.failure,
        "queue": "the address of Redis is not here" if facts.queue is None and not facts.queue_failure else "",
        "workers that listen": "Redis does not tell" if facts.queue and facts.queue.listening is None else "",
        "jobs at work": "" if facts.work is not None or facts.database_failure else "the database did not tell in time",
        "events of the job": "the database did not tell in time" if facts.events is None else "",
        "refused webhooks": _why_no_webhooks(facts),
    }
    return [f"{part}: {why}" for part, why in parts.items() if why]


def _why_no_webhooks(facts: Facts) -> str:
    if facts.webhooks is not None or facts.database_failure:
        return ""
    return "the database did not tell in time" if facts.tenant_id else "of tenants that this process does not know"
