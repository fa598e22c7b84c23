"""Take the pictures of a note and of the console, in a system that gets a few tickets. Needs Chromium.

`make pictures` runs it.
"""

import shutil
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402 -- behind the path

from dev.stack.demo import DEMO_TICKETS  # noqa: E402
from dev.stack.desk_client import DeskClient  # noqa: E402
from dev.stack.system import System  # noqa: E402
from workflow.answer import Content, NoteSource, NoteText, Suggested  # noqa: E402
from workflow.note import to_html  # noqa: E402

TICKET = NoteSource(
    id="ticket-103",
    kind="ticket",
    number="103",
    title="VPN drops every 30 minutes at home",
    day=date(2026, 3, 2),
    link="https://desk.acme.example/WorkOrder.do?woMode=viewWO&woID=103",
)
DOCUMENT = NoteSource(
    id="doc-000001",
    kind="document",
    title="Working from home: VPN",
    link="https://desk.acme.example/AddSolution.do?submitaction=viewsolution&fromListView=true&solutionID=12",
)
CONTENT = Content(
    likely_cause=NoteText(
        text="Her router breaks up large packets since the client's update.",
        sources=["ticket-103"],
        quote="Router fragmented packets over 1300 bytes.",
    ),
    next_steps=[
        NoteText(
            text="Set the MTU to 1300.",
            sources=["ticket-103"],
            quote="Set the MTU of the VPN adapter to 1300, stable since.",
        ),
        NoteText(
            text="If it drops again, reinstall client 7.2.1.",
            sources=["doc-000001"],
            quote="If drops continue, remove the client and install 7.2.1.",
        ),
        NoteText(text="Check whether her router was updated too."),
    ],
    sources=[TICKET, DOCUMENT],
    confidence="high",
    questions=["Does it drop by cable as well, or by Wi-Fi alone?"],
    suggestions=[Suggested(field="category", value="network")],
)
PAGE = """<!doctype html><meta charset="utf-8"><style>:root{{color-scheme:{scheme}}}
body{{font:14px/1.45 Arial,Helvetica,sans-serif;margin:16px}}</style>{note}"""
# File, address, by night, width and height of the window; a page that is higher is shown as a whole.
CONSOLE = (
    ("console-light.png", "/", False, 1200, 1100),
    ("console-dark-phone.png", "/", True, 390, 800),
    ("report-light.png", "/report?from={today}&to={today}", False, 1200, 760),
    ("console-ticket-light.png", "/tickets/{tenant}/{ticket}", False, 1200, 760),
    ("console-ticket-dark-phone.png", "/tickets/{tenant}/{ticket}", True, 390, 800),
)
_JOBS_SECONDS = 60.0


def shown(browser: Browser, width: int, height: int, *, by_night: bool) -> Page:
    phone = width < 500
    return browser.new_page(
        color_scheme="dark" if by_night else "light",
        viewport={"width": width, "height": height},
        device_scale_factor=2 if phone else 1,
        is_mobile=phone,
    )


def note(browser: Browser) -> None:
    markup = to_html(CONTENT, "01936b2e-7c1a-7000-8000-0123456789ab", "gpt-6-luna", feedback_link="https://x.example")
    for file, by_night, width, height in (
        ("note-light.png", False, 900, 560),
        ("note-dark-narrow.png", True, 500, 800),
    ):
        page = shown(browser, width, height, by_night=by_night)
        page.set_content(PAGE.format(scheme="dark" if by_night else "light", note=markup))
        page.screenshot(path=HERE / file)


def console(browser: Browser, system: System) -> None:
    tenant, ticket = first_ticket(system)
    for file, path, by_night, width, height in CONSOLE:
        page = shown(browser, width, height, by_night=by_night)
        page.goto(f"{system.state['console_url']}/login")
        page.fill("#token", system.state["console_token"])
        page.click("button.first")
        page.wait_for_selector(".who")
        today = datetime.now(UTC).date()
        answer = page.goto(system.state["console_url"] + path.format(tenant=tenant, ticket=ticket, today=today))
        if answer is None or not answer.ok:
            sys.exit(f"There is no page at {path}.")
        page.screenshot(path=HERE / file, full_page=width > height)


def first_ticket(system: System) -> tuple[str, str]:
    """Have a few tickets written, and return one when all have their note."""
    with DeskClient(system.state["desk_url"], system.tenants) as desk:
        written = [(ticket["tenant"], desk.create_ticket(ticket)) for ticket in DEMO_TICKETS]
        end = time.monotonic() + _JOBS_SECONDS
        while not all(desk.notes(tenant, ticket) for tenant, ticket in written):
            if time.monotonic() > end:
                sys.exit(f"Not every ticket has its note after {_JOBS_SECONDS:.0f} s; the logs are in {system.logs}.")
            time.sleep(0.2)
    return written[0]


if __name__ == "__main__":
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("Chromium is not there.")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as running,
        tempfile.TemporaryDirectory() as folder,
        System(Path(folder), console=True, settings={"acme.audit_days": 7, "globex.audit_days": 7}) as on,
    ):
        note(running)
        console(running, on)
