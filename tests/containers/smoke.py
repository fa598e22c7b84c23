"""`make compose-smoke`: a ticket at the simulated desk gets its note."""

import argparse
import sys
import time

import httpx2

from dev.stack.desk_client import DeskClient, as_text
from dev.stack.environment import SimulatedTenant

TENANT = "acme"
KEY = "development-only"
TICKET = {
    "tenant": TENANT,
    "subject": "VPN does not connect from home",
    "description": "Since this morning the client says that the gateway can't be reached.",
}
_START_SECONDS = 10
"""`docker compose up --detach` returns before the desk, the last to start, answers."""


def send_ticket(desk: str, seconds: float) -> tuple[str, float]:
    """Write a ticket at this desk, which may still be starting; return its note and the seconds it took.

    Raises httpx2.HTTPError if the desk does not answer, TimeoutError without a note.
    """
    began, ticket_id = time.monotonic(), ""
    with DeskClient(desk, [SimulatedTenant(TENANT, desk_key=KEY)]) as client:
        while (passed := time.monotonic() - began) < seconds:
            try:
                ticket_id = ticket_id or client.create_ticket(TICKET)
                if notes := client.notes(TENANT, ticket_id):
                    return notes[0], passed
            except httpx2.TransportError:
                if ticket_id or passed > _START_SECONDS:
                    raise
            time.sleep(0.2)
    raise TimeoutError(f"Ticket {ticket_id} has no note after {seconds:.0f} s: see `docker compose logs api worker`")


def main() -> int:
    """Send the ticket and report; return 1 if no note came."""
    parser = argparse.ArgumentParser(prog="compose-smoke", description=__doc__)
    parser.add_argument("--desk", default="http://127.0.0.1:8080", help="where the simulated desk listens")
    parser.add_argument("--seconds", type=float, default=90, help="longest wait for the note (default: 90)")
    chosen = parser.parse_args()
    try:
        note, took = send_ticket(chosen.desk.rstrip("/"), chosen.seconds)
    except (httpx2.HTTPError, TimeoutError) as failure:
        sys.stderr.write(f"{chosen.desk}: {failure}. Start the system with `docker compose up` first.\n")
        return 1
    sys.stdout.write(f"{as_text(note)}\n\nThe note arrived {took:.1f} s after its ticket.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
