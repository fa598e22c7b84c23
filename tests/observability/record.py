"""Pictures of docs/dashboards.md from nine minutes of a running system.

Then runs `docs/pictures/draw.py`. Needs `prometheus`; uv installs matplotlib for the drawing. `--keep FILE` keeps the
recording, and `docs/pictures/draw.py FILE` draws it again.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from devstack.system import System
from tests.kit.world import World
from tests.observability.pages import PAGES, ROOT, digest, queries
from tests.observability.prometheus import Prometheus, settle, watching
from tests.system.collector import collecting

SECONDS = 540
STEP_SECONDS = 4
# Answers as slow as real ones; few slots, so that a burst waits; a lease that shows a death soon.
OPENAI_SECONDS = 24
SETTINGS = {"WORKER_CONCURRENCY": "9", "LEASE_SECONDS": "10", "OPENAI_MODEL": "openai/gpt-6-luna"}
# Feedback and missed webhooks are seen soon.
SETTINGS |= {"SYNC_INTERVAL_SECONDS": "10", "RECONCILE_INTERVAL_SECONDS": "20", "globex.reconcile": "on"}
TICKETS_A_MINUTE = 24


def story(system: System, world: World) -> list[tuple[float, Callable[[], Any]]]:
    """Return the events beside the steady stream, by seconds after the beginning."""
    missing = (f"99{number}" for number in range(100, 200))
    return [
        (75, lambda: [world.create_ticket(tenant="globex") for _ in range(75)]),
        (110, lambda: world.openai_fault(kind="status", code=500, times=6)),
        *((second, lambda: world.post_webhook(next(missing))) for second in range(20, SECONDS, 60)),
        *(
            (second, lambda number=number: close_one(world, ("acme", "globex")[number % 2], number))
            for number, second in enumerate(range(60, 296, 6))
        ),
        *((second, lambda: world.post_webhook("1", secret="an old one")) for second in range(190, 260, 6)),
        *(
            (second, lambda tenant=tenant: world.create_ticket(tenant=tenant, send_webhook=False))
            for second in range(150, 186, 6)
            for tenant in ("acme", "globex")
        ),
        (250, system.workers[1].kill),
        (262, lambda: system.restart(system.workers[1])),
        (300, lambda: world.desk_fault(kind="status", tenant="globex", operation=None, code=503)),
        (370, world.clear_faults),
        (420, lambda: world.openai_fault(kind="status", code=403, times=5)),
        (440, lambda: world.configure_desk("acme", api_key="made anew")),
        (500, lambda: world.configure_desk("acme", api_key=system.state["desk_key"])),
    ]


def close_one(world: World, tenant: str, number: int) -> None:
    """Read a note, vote on it, and close the ticket with some of its steps."""
    with world.admin() as connection:
        done = "SELECT ticket_id FROM jobs WHERE tenant_id = %s AND state = 'completed' AND id NOT IN"
        (ticket_id,) = connection.execute(
            f"{done} (SELECT job_id FROM feedback) ORDER BY accepted_at LIMIT 1",  # noqa: S608 -- above
            (tenant,),
        ).fetchone() or ("",)
    if ticket_id:
        world.vote(ticket_id, "not useful" if number % 4 == 1 else "useful", tenant)
        steps = world.steps(ticket_id, tenant)
        world.solve(ticket_id, f"{steps[number % len(steps)]} Replaced cable and port.", tenant)


def live(system: System, world: World) -> None:
    """Run the stream and the story to the end."""
    began = time.monotonic()
    stream = [
        (60 / TICKETS_A_MINUTE * number, lambda tenant=tenant: world.create_ticket(tenant=tenant))
        for number, tenant in enumerate(["acme", "acme", "globex"] * (SECONDS * TICKETS_A_MINUTE // 180))
    ]
    for second, event in sorted([*stream, *story(system, world)], key=lambda planned: planned[0]):
        time.sleep(max(0.0, began + second - time.monotonic()))
        # A burst and a restart take time; the stream continues.
        threading.Thread(target=event, daemon=True).start()
    time.sleep(max(0.0, began + SECONDS - time.monotonic()))


def record(prometheus: Prometheus, start: float, end: float) -> dict[str, Any]:
    """Return every query's result by page and panel, and the digests of the pages."""
    pages: dict[str, dict[str, list[Any]]] = {}
    for query in queries():
        series = prometheus.query_range(query.filled(window="1m"), start, end, STEP_SECONDS)
        pages.setdefault(query.page, {}).setdefault(query.panel, []).append({"legend": query.legend, "series": series})
    return {"start": start, "end": end, "pages": pages, "digests": {page: digest(page) for page in PAGES}}


def main() -> int:
    """Record and draw; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.observability.record", description=__doc__)
    parser.add_argument("--keep", type=Path, help="keep what was recorded in this file")
    kept = parser.parse_args().keep
    with tempfile.TemporaryDirectory(prefix="pictures-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        collector = stack.enter_context(collecting())
        settings = SETTINGS | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        system = System(folder / "system", settings=settings, workers=2, openai_seconds=OPENAI_SECONDS)
        stack.enter_context(system)
        prometheus = stack.enter_context(watching(system, folder / "prometheus"))
        world = World(system)
        stack.callback(world.close)
        settle(prometheus)
        start = time.time()
        live(system, world)
        recorded = kept or folder / "recorded.json"
        recorded.write_text(json.dumps(record(prometheus, start, time.time())), encoding="utf-8")
        script = ROOT / "docs" / "pictures" / "draw.py"
        return subprocess.run([find_uv_bin(), "run", "--quiet", "--script", script, recorded], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
