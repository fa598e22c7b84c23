"""The faults of the FAQ's list, and the headings of the FAQ where support must arrive."""

from tests.documents import faults, lease_faults, outages, pod_faults
from tests.documents.faults import Fault, desk, gone, gpt4
from tests.kit.world import World

WEBHOOK, QUEUING, BACKLOG, CRASHES, FAILURE, RUNNING, DELIVERED = (
    f"Resolution: {name}"
    for name in (
        "Webhook Delivery Failure",
        "Queuing Failure",
        "High Queue Backlog",
        "Worker Crashes",
        "Job Processing Failure",
        "Still Running",
        "Delivered",
    )
)
GPT4, DESK = "1. GPT-4 API Timeout/Error", "2. ServiceDesk Plus API Unavailable"
GONE, CONTEXT, ELSE = "3. Invalid Ticket ID", "4. Context Gathering Timeout", "5. Anything Else"


def delete(world: World, ticket_id: str) -> None:
    """The desk knows it no more."""
    world.delete_ticket(ticket_id)


def close(world: World, ticket_id: str) -> None:
    """It is done."""
    world.change_ticket(ticket_id, status="Closed")


FAULTS = [
    # The first looks for what was refused lately, the second for what was started lately: they come before the others.
    Fault("webhook switched off", faults.webhook_off, WEBHOOK, "Never Sent", json=True),
    Fault("webhook switched off, another number begins alike", faults.longer_number, WEBHOOK, "Never Sent"),
    Fault("over 100 wait, worker takes nothing", outages.backlog_and_still, CRASHES, "Alive but Taking Nothing"),
    Fault("worker alive, takes nothing", faults.worker_still, CRASHES, "Alive but Taking Nothing"),
    Fault(
        "API without stores, webhook off",
        pod_faults.api_without_stores,
        QUEUING,
        "Redis or Both Stores Down",
        "Database Down",
    ),
    Fault("API crash-looping", pod_faults.api_crash_loop, WEBHOOK, "API Down"),
    Fault("API scaled to nothing", pod_faults.no_api, WEBHOOK, "API Down"),
    Fault("wrong secret", faults.wrong_secret, WEBHOOK, "Refused With 403", swapped=(1, 2), json=True),
    Fault(
        "wrong secret, while a rollout waits for its image",
        pod_faults.while_a_rollout_waits(faults.wrong_secret, "api", "ImagePullBackOff"),
        WEBHOOK,
        "Refused With 403",
    ),
    Fault("tenant closed", faults.tenant_closed, WEBHOOK, "Refused With 403", json=True),
    Fault("no ticket in the body", faults.wrong_form, WEBHOOK, "Refused for Its Form"),
    Fault("markup for an event", faults.wrong_event, WEBHOOK, "Refused for Its Form"),
    Fault("wrong address", faults.wrong_address, WEBHOOK, "Wrong Address", json=True),
    Fault("healthy", faults.healthy, DELIVERED, "Nothing Is Wrong", swapped=(2, 3), json=True),
    Fault("GPT-4 timeout", gpt4("silence"), FAILURE, GPT4, json=True),
    Fault("GPT-4 429", gpt4("status", code=429), FAILURE, GPT4),
    Fault("desk timeout", desk("silence", "read_ticket"), FAILURE, DESK),
    Fault("desk 500", desk("status", "add_note", code=500), FAILURE, DESK, json=True),
    Fault("desk throttles", desk("status", "read_ticket", code=429), FAILURE, DESK),
    Fault("tenant closed in a worker", faults.tenant_closed_in_worker, FAILURE, DESK),
    Fault("ticket deleted", gone(delete), FAILURE, GONE, json=True),
    Fault("ticket closed", gone(close), FAILURE, GONE),
    Fault("ticket forgotten", faults.forgotten, FAILURE, GONE),
    Fault("context timeout", outages.slow_context, FAILURE, CONTEXT, quick="Nothing Is Wrong", json=True),
    Fault("slow", outages.slow_gpt4, RUNNING, "Slow but in Progress", json=True),
    Fault("backlog", outages.backlog(80), BACKLOG, "Too Few Workers"),
    Fault("moderate backlog", outages.backlog(30), BACKLOG, "Too Few Workers"),
    Fault(
        "backlog, and no room for another worker",
        pod_faults.while_a_rollout_waits(outages.backlog(30), "worker", "Pending"),
        BACKLOG,
        "Too Few Workers",
    ),
    Fault("database down", outages.no_database, CRASHES, "Database Down"),
    Fault("database lost in mid-job", outages.database_lost, CRASHES, "Database Down"),
    Fault("Redis down", outages.no_redis, QUEUING, "Redis or Both Stores Down"),
    Fault("Redis lost after the job was queued", outages.redis_lost, QUEUING, "Redis or Both Stores Down"),
    Fault("Redis with another password", pod_faults.redis_refuses, QUEUING, "Redis Refuses Us"),
    Fault("Redis full", pod_faults.full_redis, QUEUING, "Redis Takes Nothing"),
    Fault("both stores down", outages.no_stores, QUEUING, "Redis or Both Stores Down", quick="Database Down"),
    Fault("worker killed in mid-job", outages.worker_killed, CRASHES, "Crashing"),
    Fault("pods replaced since", outages.lines_gone, DELIVERED, "Nothing Is Wrong"),
    Fault("API replaced since, webhook came twice", outages.came_twice, DELIVERED, "Nothing Is Wrong"),
    Fault(
        "webhook came twice, Postgres away",
        outages.came_twice_while_away,
        FAILURE,
        "Another Job Has It",
        traced="Nothing Is Wrong",
    ),
    Fault(
        "webhook at each change of the ticket",
        faults.sent_at_each_change,
        FAILURE,
        "Another Job Has It",
        traced="Nothing Is Wrong",
    ),
    Fault("ticket changed in mid-job", outages.sent_again_meanwhile, FAILURE, "Another Job Has It"),
    Fault("API replaced in mid-job", outages.api_replaced, RUNNING, "Slow but in Progress"),
    Fault("no worker until the deadline", outages.too_late, CRASHES, "Ended at Its Deadline"),
    Fault(
        "GPT-4 refuses our key, worker replaced since",
        lease_faults.worker_replaced(gpt4("status", code=401)),
        FAILURE,
        GPT4,
    ),
    Fault(
        "desk refuses our key, worker replaced since",
        lease_faults.worker_replaced(desk("status", "read_ticket", code=401)),
        FAILURE,
        DESK,
    ),
    Fault("ticket deleted, worker replaced since", lease_faults.worker_replaced(gone(delete)), FAILURE, GONE),
    Fault("worker killed and back", lease_faults.worker_back, RUNNING, "Slow but in Progress"),
    Fault("worker silent", lease_faults.worker_silent, CRASHES, "Crashing"),
    Fault("worker silent and back", lease_faults.worker_silent_and_back, CRASHES, "Crashing"),
    Fault("last attempt lost", lease_faults.last_attempt_lost, FAILURE, ELSE),
    Fault("attempt too long", lease_faults.attempt_too_long, FAILURE, ELSE),
    Fault("claim lost", lease_faults.claim_lost, RUNNING, "Slow but in Progress"),
    Fault("statement cancelled", lease_faults.statement_cancelled, CRASHES, "Database Down"),
    Fault("no image for the worker", pod_faults.worker_waits("ImagePullBackOff"), CRASHES, "Not Starting"),
    Fault(
        "a key is gone from the secret", pod_faults.worker_waits("CreateContainerConfigError"), CRASHES, "Not Starting"
    ),
    Fault("no room for the worker", pod_faults.worker_waits("Pending"), CRASHES, "No Room"),
    Fault("workers scaled to nothing", pod_faults.no_worker, BACKLOG, "Too Few Workers"),
    # This one leaves jobs behind that are held back; the next one begins with a new worker.
    Fault("desk down for long", outages.desk_down, FAILURE, DESK),
    Fault("worker crash-looping", pod_faults.crash_loop, CRASHES, "Crashing"),
]
