"""Draw what a note looks like: by day, and by night on a narrow screen. Needs Chromium."""

import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from workflow.answer import Content, NotedSource, NotedText, Suggested  # noqa: E402 -- behind the path
from workflow.note import to_html  # noqa: E402

TICKET = NotedSource(
    id="ticket-103",
    kind="ticket",
    number="103",
    title="VPN drops every 30 minutes at home",
    day=date(2026, 3, 2),
    link="https://desk.acme.example/WorkOrder.do?woMode=viewWO&woID=103",
    gives="The same error, solved by a smaller MTU.",
)
DOCUMENT = NotedSource(
    id="doc-000001", kind="document", title="Working from home: VPN", gives="How to install the client."
)
CONTENT = Content(
    summary="Zoë Adeyemi's VPN has dropped every half hour at home since the update of Monday, with error 809.",
    likely_cause=NotedText(
        text="Her router breaks up large packets since the client's update.", sources=["ticket-103"]
    ),
    next_steps=[
        NotedText(text="Set the MTU to 1300, as for the same error in March.", sources=["ticket-103"]),
        NotedText(text="If that does not hold, install client 7.2.1 anew.", sources=["doc-000001"]),
        NotedText(text="Look whether her router has had an update, too."),
    ],
    sources=[TICKET, DOCUMENT],
    confidence="high",
    questions=["Does it drop by cable as well, or by Wi-Fi alone?"],
    suggestions=[Suggested(field="category", value="network", strength="strong")],
)
PAGE = """<!doctype html><meta charset="utf-8"><style>:root{{color-scheme:{scheme}}}
body{{font:14px/1.45 Arial,Helvetica,sans-serif;margin:16px}}</style>{note}"""


def draw(name: str, scheme: str, width: int, height: int) -> None:
    """Write one picture."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("Chromium is not there.")
    note = to_html(CONTENT, "01936b2e-7c1a-7000-8000-0123456789ab", "gpt-6-luna", feedback_link="https://x.example")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "note.html"
        page.write_text(PAGE.format(scheme=scheme, note=note), encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
        shot = [f"--window-size={width},{height}", f"--screenshot={HERE / name}", page.as_uri()]
        subprocess.run([browser, *options, *shot], check=True, capture_output=True)  # noqa: S603 -- our own page


if __name__ == "__main__":
    draw("note-light.png", "light", 900, 560)
    draw("note-dark-narrow.png", "dark", 500, 800)
