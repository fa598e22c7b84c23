"""The faults of the FAQ's list, and the headings of the FAQ where support must arrive."""

from tests.e2e.world import World
from tests.support_documents import faults, outages
from tests.support_documents.faults import Fault, desk, gone, gpt4

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
GONE, CONTEXT = "3. Invalid Ticket ID", "4. Context Gathering Timeout"


def delete(world: World, ticket_id: str) -> None:
    """The desk knows it no more."""
    world.delete_ticket(ticket_id)


def close(world: World, ticket_id: str) -> None:
    """It is done."""
    world.change_ticket(ticket_id, status="Closed")


FAULTS = [
    # The first looks for what was refused lately, the second for what was started lately: they come before the others.
    Fault("webhook switched off", faults.webhook_off, WEBHOOK, "Never Sent", json=True),
    Fault("worker alive, takes nothing", faults.worker_still, CRASHES, "Alive but Taking Nothing"),
    Fault("wrong secret", faults.wrong_secret, WEBHOOK, "Refused With 403", swapped=(1, 2), json=True),
    Fault("no ticket in the body", faults.wrong_form, WEBHOOK, "Refused for Its Form"),
    Fault("wrong address", faults.wrong_address, WEBHOOK, "Wrong Address", json=True),
    Fault("healthy", faults.healthy, DELIVERED, "Nothing Is Wrong", swapped=(2, 3), json=True),
    Fault("GPT-4 timeout", gpt4("silence"), FAILURE, GPT4, json=True),
    Fault("GPT-4 429", gpt4("status", code=429), FAILURE, GPT4),
    Fault("desk timeout", desk("silence", "read_ticket"), FAILURE, DESK),
    Fault("desk 500", desk("status", "add_note", code=500), FAILURE, DESK, json=True),
    Fault("desk throttles", desk("status", "read_ticket", code=429), FAILURE, DESK),
    Fault("ticket deleted", gone(delete), FAILURE, GONE, json=True),
    Fault("ticket closed", gone(close), FAILURE, GONE),
    Fault("context timeout", outages.slow_context, FAILURE, CONTEXT, quick="Nothing Is Wrong", json=True),
    Fault("slow", outages.slow_gpt4, RUNNING, "Slow but in Progress", json=True),
    Fault("backlog", outages.too_few_workers, BACKLOG, "Too Few Workers"),
    Fault("database down", outages.no_database, CRASHES, "Database Down"),
    Fault("database lost in mid-job", outages.database_lost, CRASHES, "Database Down"),
    Fault("Redis down", outages.no_redis, QUEUING, "Redis or Both Stores Down"),
    Fault("both stores down", outages.no_stores, QUEUING, "Redis or Both Stores Down", quick="Database Down"),
    Fault("worker killed in mid-job", outages.worker_killed, CRASHES, "Crashing"),
    Fault("pods replaced since", outages.lines_gone, DELIVERED, "Nothing Is Wrong"),
    Fault("API replaced since, webhook came twice", outages.came_twice, DELIVERED, "Nothing Is Wrong"),
    Fault("no worker until the deadline", outages.too_late, CRASHES, "Ended at Its Deadline"),
    # This one leaves jobs behind that are held back; the next one begins with a new worker.
    Fault("desk down for long", outages.desk_down, FAILURE, DESK),
    Fault("worker crash-looping", outages.crash_loop, CRASHES, "Crashing"),
]
