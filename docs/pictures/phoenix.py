"""Take the picture of a job's trace in Phoenix: `python docs/pictures/phoenix.py http://localhost:6006`.

Needs Chromium and a running Phoenix (`arize-phoenix`), which is no part of `.venv`.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

import httpx2  # noqa: E402 -- behind the path
from playwright.sync_api import sync_playwright  # noqa: E402

from dev.stack.desk_client import DeskClient  # noqa: E402
from dev.stack.system import System  # noqa: E402

PROJECT = "ai-agents"
TICKET = {
    "tenant": "acme",
    "subject": "VPN drops since this morning",
    "description": "The VPN drops every 30 minutes. Call Jordan Reyes at +1 415 555 0134 or jordan@acme.example.",
    "priority": "High",
    "category": "Network",
}


def span_of_a_job(phoenix: str) -> str:
    """Run a job with captured messages, and return the id of its span `GPT-4`."""
    os.environ |= {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{phoenix}/v1/traces",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
        "OTEL_RESOURCE_ATTRIBUTES": f"openinference.project.name={PROJECT}",
    }
    with tempfile.TemporaryDirectory() as folder, System(Path(folder), openai_seconds=2) as system:
        desk = DeskClient(system.state["desk_url"], system.tenants)
        ticket_id = desk.create_ticket(TICKET)
        while not desk.notes("acme", ticket_id):
            time.sleep(0.2)
        time.sleep(8)  # until the worker has exported its spans, and Phoenix has stored them
    spans = httpx2.get(f"{phoenix}/v1/projects/{PROJECT}/spans?limit=1000").json()["data"]
    newest = max((span for span in spans if span["name"] == "GPT-4"), key=lambda span: span["start_time"])
    return str(newest["context"]["span_id"])


if __name__ == "__main__":
    address = sys.argv[1].rstrip("/")
    span_id = span_of_a_job(address)
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("Chromium is not there.")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser,
    ):
        page = browser.new_page(color_scheme="light", viewport={"width": 1280, "height": 1200})
        page.add_init_script("localStorage.setItem('arize-phoenix-theme', 'light')")
        page.goto(f"{address}/redirects/spans/{span_id}")
        # Fold the sources, which are long, in the prompt and in the answer.
        texts = page.locator(".cm-editor", has_text='"sources": [')
        for editor in (texts.nth(0), texts.nth(1)):
            editor.wait_for()
            row = editor.locator(".cm-line", has_text='"sources": [').first.bounding_box()
            gutter = editor.locator(".cm-foldGutter").bounding_box()
            if row and gutter:
                page.mouse.click(gutter["x"] + gutter["width"] / 2, row["y"] + row["height"] / 2)
                page.wait_for_timeout(500)
        page.screenshot(path=HERE / "phoenix.png")
