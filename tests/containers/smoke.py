"""`make compose-smoke`: a ticket at the simulated desk gets its note."""

import argparse
import sys
import time

import httpx2

from devstack.desk_client import DeskClient, as_text

TENANT = "acme"
KEY = "development-only"
TICKET = {
    "tenant": TENANT,
    "subject": "VPN does not connect from home",
    "description": "Since this morning the client says that the gateway can't be reached.",
}


_START_SECONDS = 10
"""`docker compose up --detach` returns before the desk, the last to start, answers."""


class SmokeFailed(Exception):
    """The ticket has no note; the text has its progress and the next action."""


def send_ticket(desk: str, seconds: float) -> tuple[str, float]:
    """Write a ticket at this desk, which may still be starting; return its note and the seconds it took.

    Raises SmokeFailed.
    """
    began, ticket_id = time.monotonic(), ""
    with DeskClient(desk, {TENANT: KEY}) as client:
        while (passed := time.monotonic() - began) < seconds:
            try:
                ticket_id = ticket_id or client.create_ticket(TICKET)
                if notes := client.notes(TENANT, ticket_id):
                    return notes[0], passed
            except httpx2.TransportError:
                if ticket_id or passed > _START_SECONDS:
                    break
            except httpx2.HTTPStatusError as failure:
                status = failure.response.status_code
                raise SmokeFailed(f"What answers at {desk} is not the simulated desk: status {status}") from None
            time.sleep(0.2)
        else:
            if ticket_id:
                raise SmokeFailed(f"Ticket {ticket_id} has no note after {seconds:.0f} s. {_how_far(desk, ticket_id)}")
    raise SmokeFailed(
        f"Nothing answers at {desk}. Start the system with `docker compose up`; where DESK_PORT is another one:"
        ' make compose-smoke ARGS="--desk http://127.0.0.1:PORT"'
    )


def _how_far(desk: str, ticket_id: str) -> str:
    """Return the outcome of the ticket's webhook, and the next place to look."""
    query = {"tenant": TENANT, "ticket_id": ticket_id}
    answer = httpx2.get(f"{desk}/_sim/webhooks", params=query, timeout=5, trust_env=False)
    statuses = [delivery["status"] for delivery in answer.json()["deliveries"]]
    if statuses != [202]:
        told = "not answered" if not statuses or statuses[-1] is None else f"answered with {statuses[-1]}"
        return f"Its webhook was {told}: see `docker compose ps` and `docker compose logs api`."
    return f"Its webhook was taken: docker compose logs worker | grep 'ticket_id: {ticket_id},'"


def main() -> int:
    """Send the ticket and report; return 1 if no note came."""
    parser = argparse.ArgumentParser(prog="compose-smoke", description=__doc__)
    parser.add_argument("--desk", default="http://127.0.0.1:8080", help="where the simulated desk listens")
    parser.add_argument("--seconds", type=float, default=90, help="longest wait for the note (default: 90)")
    chosen = parser.parse_args()
    try:
        note, took = send_ticket(chosen.desk.rstrip("/"), chosen.seconds)
    except SmokeFailed as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    sys.stdout.write(f"{as_text(note)}\n\nThe note arrived {took:.1f} s after its ticket.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
