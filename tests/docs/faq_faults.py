"""The FAQ's faults, the headings where support must arrive, and the verdicts of `ai-agents diagnose` there."""

from collections.abc import Mapping

from tests.docs import faults, outages
from tests.docs.faults import FaqFault, desk, gone, gpt4, held_by
from tests.docs.outages import replaced, while_a_rollout_waits
from tests.kit.world import World
from tests.system.console_ground import AWAY

WEBHOOK, QUEUING = "Resolution: Webhook Delivery Failure", "Resolution: Queuing Failure"
BACKLOG, CRASHES = "Resolution: High Queue Backlog", "Resolution: Worker Crashes"
FAILURE, RUNNING = "Resolution: Job Processing Failure", "Resolution: Still Running"
DELIVERED = "Resolution: Delivered"
GPT4, DESK = "1. GPT-4 API Timeout/Error", "2. ServiceDesk Plus API Unavailable"
NO_TICKET = '{"tenant_id": "acme", "ticket_id": ""}'
MARKUP = '{"tenant_id": "acme", "ticket_id": "{}", "event": "<b>"}'
GONE, CONTEXT, ELSE = "3. Invalid Ticket ID", "4. Context Gathering Timeout", "5. Anything Else"


def delete(world: World, ticket_id: str) -> None:
    world.delete_ticket(ticket_id)


def close(world: World, ticket_id: str) -> None:
    world.change_ticket(ticket_id, status="Closed")


# Headings of causes that several faults have.
STORES, DATABASE, REFUSED = "Redis or Both Stores Down", "Database Down", "Refused With 403"
FORM, STILL, CRASHING = "Refused for Its Form", "Alive but Taking Nothing", "Crashing"
OTHER_JOB, FEW = "Another Job Has It", "Too Few Workers"
FINE, SLOW = "Nothing Is Wrong", "Slow but in Progress"

CHANGED = faults.sent_at_a_change(faults.healthy, state="skipped")
CHANGED_MEANWHILE = faults.sent_at_a_change(faults.slow_gpt4, reason="another job of this ticket")
FAULTS = [
    # The first needs recent refusals, the second recent starts: they run before the others.
    FaqFault("webhook switched off", faults.webhook_off, WEBHOOK, "Never Sent", json=True),
    FaqFault("webhook switched off, another number begins alike", faults.longer_number, WEBHOOK, "Never Sent"),
    FaqFault("over 100 wait, worker takes nothing", outages.backlog_and_still, CRASHES, STILL),
    FaqFault("worker alive, takes nothing", outages.worker_still, CRASHES, STILL),
    FaqFault("API without stores, webhook off", outages.api_without_stores, QUEUING, STORES, DATABASE),
    FaqFault("API crash-looping", outages.api_crash_loop, WEBHOOK, "API Down"),
    FaqFault("API scaled to nothing", outages.no_api, WEBHOOK, "API Down"),
    FaqFault("wrong secret", faults.wrong_secret, WEBHOOK, REFUSED, json=True),
    FaqFault(
        "wrong secret, while a rollout waits for its image",
        while_a_rollout_waits(faults.wrong_secret, "api", "ImagePullBackOff"),
        *(WEBHOOK, REFUSED),
    ),
    FaqFault("tenant closed", faults.tenant_closed, WEBHOOK, REFUSED, json=True),
    FaqFault("no ticket in the body", faults.wrong_body(NO_TICKET), WEBHOOK, FORM),
    FaqFault("markup for an event", faults.wrong_body(MARKUP), WEBHOOK, FORM),
    FaqFault("too many jobs waiting", faults.too_many_waiting, WEBHOOK, "Too Many Jobs Waiting"),
    FaqFault("wrong address", faults.wrong_address, WEBHOOK, "Wrong Address", json=True),
    FaqFault("healthy", faults.healthy, DELIVERED, FINE, json=True),
    FaqFault("GPT-4 timeout", gpt4("silence"), FAILURE, GPT4, json=True),
    FaqFault("GPT-4 429", gpt4("status", code=429), FAILURE, GPT4),
    FaqFault("desk timeout", desk("silence", "read_ticket"), FAILURE, DESK),
    FaqFault("desk 500", desk("status", "add_note", code=500), FAILURE, DESK, json=True),
    FaqFault("desk throttles", held_by(desk("status", "read_ticket", code=429)), FAILURE, DESK),
    FaqFault("tenant closed in a worker", faults.tenant_closed_in_worker, FAILURE, DESK),
    FaqFault("ticket deleted", gone(delete), FAILURE, GONE, json=True),
    FaqFault("ticket closed", gone(close), FAILURE, GONE),
    FaqFault("ticket forgotten", faults.forgotten, FAILURE, GONE),
    FaqFault("context timeout", faults.slow_context, FAILURE, CONTEXT, quick=FINE, json=True),
    FaqFault("slow", faults.slow_gpt4, RUNNING, SLOW, json=True),
    FaqFault("backlog", outages.backlog(80), BACKLOG, FEW),
    FaqFault("moderate backlog", outages.backlog(30), BACKLOG, FEW),
    FaqFault("backlog, and no room", while_a_rollout_waits(outages.backlog(30), "worker", "Pending"), BACKLOG, FEW),
    FaqFault("database down", outages.no_database, CRASHES, DATABASE),
    FaqFault("database lost in mid-job", outages.database_lost, CRASHES, DATABASE),
    FaqFault("Redis down", outages.no_redis, QUEUING, STORES),
    FaqFault("Redis lost after the job was queued", outages.redis_lost, QUEUING, STORES),
    FaqFault("Redis with another password", outages.redis_refuses, QUEUING, "Redis Refuses Us"),
    FaqFault("Redis full", outages.full_redis, QUEUING, "Redis Takes Nothing"),
    FaqFault("both stores down", outages.no_stores, QUEUING, STORES, quick=DATABASE),
    FaqFault("worker killed in mid-job", outages.worker_killed, CRASHES, CRASHING),
    FaqFault("pods replaced since", replaced(faults.healthy, "api", "worker"), DELIVERED, FINE),
    FaqFault("API replaced since, webhook came twice", faults.came_twice, DELIVERED, FINE),
    FaqFault("webhook came twice, Postgres away", faults.came_twice_while_away, FAILURE, OTHER_JOB, traced=FINE),
    FaqFault("webhook at each change of the ticket", CHANGED, FAILURE, OTHER_JOB, traced=FINE),
    FaqFault("ticket changed in mid-job", CHANGED_MEANWHILE, FAILURE, OTHER_JOB),
    FaqFault("API replaced in mid-job", replaced(faults.slow_gpt4, "api"), RUNNING, SLOW),
    FaqFault("no worker until the deadline", outages.too_late, CRASHES, "Ended at Its Deadline"),
    FaqFault("desk refuses our key", faults.DESK_KEY_REFUSED, FAILURE, DESK),
    FaqFault("GPT-4 refuses our key", faults.GPT4_KEY_REFUSED, FAILURE, GPT4),
    FaqFault("GPT-4 refuses our key, worker replaced", replaced(faults.GPT4_KEY_REFUSED, "worker"), FAILURE, GPT4),
    FaqFault("desk refuses our key, worker replaced", replaced(faults.DESK_KEY_REFUSED, "worker"), FAILURE, DESK),
    FaqFault("ticket deleted, worker replaced", replaced(gone(delete), "worker"), FAILURE, GONE),
    FaqFault("worker killed and back", outages.worker_back, RUNNING, SLOW),
    FaqFault("worker silent", outages.worker_silent, CRASHES, CRASHING),
    FaqFault("worker silent and back", outages.worker_silent_and_back, CRASHES, CRASHING),
    FaqFault("last attempt lost", outages.last_attempt_lost, FAILURE, ELSE),
    FaqFault("attempt too long", outages.attempt_too_long, FAILURE, ELSE),
    FaqFault("claim lost", outages.claim_lost, RUNNING, SLOW),
    FaqFault("statement cancelled", outages.statement_cancelled, CRASHES, DATABASE),
    FaqFault("no image for the worker", outages.worker_waits("ImagePullBackOff"), CRASHES, "Not Starting"),
    FaqFault("a key is gone", outages.worker_waits("CreateContainerConfigError"), CRASHES, "Not Starting"),
    FaqFault("no room for the worker", outages.worker_waits("Pending"), CRASHES, "No Room"),
    FaqFault("workers scaled to nothing", outages.no_worker, BACKLOG, FEW),
    # It leaves held jobs behind; the next fault starts a new worker.
    FaqFault("desk down for long", faults.desk_down, FAILURE, DESK),
    FaqFault("worker crash-looping", outages.crash_loop, CRASHES, CRASHING),
]

# Verdicts by the heading of a cause.
_AWAY = {"database_failing", AWAY}
_QUEUED, _WORKERS = {"not_queued", *_AWAY}, {"no_worker", "in_progress"}
VERDICTS: Mapping[str, set[str]] = {
    "Never Sent": {"webhook_missing"},
    "API Down": {"webhook_missing"},
    # A request to a wrong address shows neither ticket nor tenant.
    "Wrong Address": {"webhook_missing"},
    "Refused With 403": {"webhook_rejected", "tenant_closed"},
    "Refused for Its Form": {"webhook_rejected"},
    "Too Many Jobs Waiting": {"webhook_rejected"},
    "Redis or Both Stores Down": _QUEUED,
    "Redis Refuses Us": _QUEUED,
    "Redis Takes Nothing": _QUEUED,
    "Too Few Workers": {"waiting_backlog", "no_worker"},
    # In its first seconds such a job waits like any other.
    "Alive but Taking Nothing": _WORKERS,
    "Crashing": _WORKERS,
    "Not Starting": {"no_worker"},
    "No Room": {"no_worker"},
    "Database Down": _AWAY,
    "Ended at Its Deadline": {"deadline_passed"},
    "1. GPT-4 API Timeout/Error": {"model_failing", "model_held"},
    "2. ServiceDesk Plus API Unavailable": {"desk_failing", "rate_held", "tenant_closed"},
    "3. Invalid Ticket ID": {"ticket_gone", "forgotten"},
    "4. Context Gathering Timeout": {"context_failing"},
    "5. Anything Else": {"worker_lost", "failed", "in_progress"},
    # It reports the outcome of the ticket's other job.
    "Another Job Has It": {"delivered", "in_progress", "already_enhanced", "another_job"},
    "Slow but in Progress": {"in_progress"},
    "Nothing Is Wrong": {"delivered"},
}
