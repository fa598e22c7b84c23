"""Take the pictures of the console: a system is started, gets a few tickets, and its pages are shown. Needs Chromium.

python docs/pictures/console.py
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402 -- behind the path

from devstack.demo import DEMO_TICKETS  # noqa: E402
from devstack.desk_client import DeskClient  # noqa: E402
from devstack.system import System  # noqa: E402

# File, address, by night, width and height of the window; a page that is higher is shown as a whole.
SHOTS = (
    ("console-light.png", "/", False, 1200, 760),
    ("console-ticket-light.png", "/tickets/{tenant}/{ticket}", False, 1200, 760),
    ("console-ticket-dark-phone.png", "/tickets/{tenant}/{ticket}", True, 390, 800),
)
_JOBS_SECONDS = 60.0


def take(system: System) -> None:
    """Write all pictures."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("Chromium is not there.")
    named = tickets(system)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for file, path, by_night, width, height in SHOTS:
            shoot(browser, system, HERE / file, path.format(**named), "dark" if by_night else "light", (width, height))
        browser.close()


def tickets(system: System) -> dict[str, str]:
    """Have a few tickets written, one of which fails; one that has its note."""
    keys = {tenant.id: tenant.desk_key for tenant in system.tenants}
    with DeskClient(system.state["desk_url"], keys) as desk:
        written = [(ticket["tenant"], desk.create_ticket(ticket)) for ticket in DEMO_TICKETS]
        end = time.monotonic() + _JOBS_SECONDS
        while not all(desk.notes(tenant, ticket) for tenant, ticket in written):
            if time.monotonic() > end:
                sys.exit(f"Not every ticket has its note after {_JOBS_SECONDS:.0f} s; the logs are in {system.logs}.")
            time.sleep(0.2)
    tenant, ticket = written[0]
    return {"tenant": tenant, "ticket": ticket}


def shoot(browser: Browser, system: System, file: Path, path: str, scheme: str, size: tuple[int, int]) -> None:
    """Write one picture."""
    width, height = size
    phone = width < 600
    context = browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": height},
        device_scale_factor=2 if phone else 1,
        is_mobile=phone,
    )
    with context:
        page = context.new_page()
        log_in(page, system)
        answer = page.goto(system.state["console_url"] + path)
        if answer is None or not answer.ok:
            sys.exit(f"There is no page at {path}.")
        page.screenshot(path=file, full_page=not phone)


def log_in(page: Page, system: System) -> None:
    """Use the development token."""
    page.goto(f"{system.state['console_url']}/login")
    page.fill("#token", system.state["console_token"])
    page.click("button.first")
    page.wait_for_selector(".who")


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        System(Path(folder), console=True, settings={"acme.audit_days": 7, "globex.audit_days": 7}) as running,
    ):
        take(running)
