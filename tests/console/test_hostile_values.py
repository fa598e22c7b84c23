"""External values are text on every page: reasons, tickets, models, answers."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qsl
from uuid import UUID

import pytest

import console
from console.routes.failures import RetryResult
from console.sessions import User
from console.templating import templates
from jobs import rejections
from privacy import audit
from tests.console.site import Visits
from tests.jobs.exchanges import exchange
from tests.kit.postgres import Store

ATTACK = "'\"><script>alert(1)</script>{{7*7}}<img src=x onerror=alert(2)>"
OLGA = User("<b>olga</b>", "operator", reads_texts=True)
TEMPLATES = sorted((Path(console.__file__).parent / "templates").glob("*.html"))


@pytest.fixture
async def hostile(store: Store) -> UUID:
    answer = json.dumps({"summary": ATTACK})
    job_id = await store.accept(
        ticket_id="1", state="failed", reason=ATTACK, finished_at="now()", enhancement=answer, model=ATTACK
    )
    await store.accept(ticket_id="2", reason=ATTACK)
    event = "INSERT INTO job_events (tenant_id, job_id, attempt, what, reason) VALUES ('acme', %s, 1, 'failed', %s)"
    store.table.run(event, job_id, ATTACK)
    await rejections.record(store.database, "acme", "1", 422, ATTACK, proved=True)
    texts = dict.fromkeys(("model", "host", "system", "sent"), ATTACK)
    await audit.keep(store.database, "acme", job_id, exchange(ATTACK, answer={"summary": ATTACK}, **texts))
    return job_id


def assert_harmless(html: str) -> None:
    """Assert that the attack is neither markup nor a template."""
    assert "<script>" not in html
    assert "<img" not in html
    assert ">49<" not in html
    assert "script&gt;" in html


async def test_an_attack_in_a_row_or_a_text_stays_text(hostile: UUID, visits: Visits) -> None:
    pages = ["/", "/tickets/acme/1", "/tenants", "/tenants/acme", "/failures", f"/jobs/{hostile}/texts"]
    for path in (*pages, "/failures?cause=failed", "/failures/preview?cause=failed"):
        place, _, asked = path.partition("?")
        html = await visits.html(place, OLGA, query=dict(parse_qsl(asked)))
        assert str(hostile) in html or "script&gt;" in html
        assert_harmless(html)


def test_an_attack_in_a_refusal_stays_text() -> None:
    values = {"results": [RetryResult("x", "acme", ATTACK, ATTACK)], "done": 0, "is_incomplete": False, "rest": ""}
    around = {"user": OLGA, "csrf_field": "", "here": "/", "static": str}
    assert_harmless(templates.get_template("retried.html").render(values | around))


def test_no_template_has_what_the_content_policy_forbids() -> None:
    assert len(TEMPLATES) > 10
    for text in (template.read_text(encoding="utf-8") for template in TEMPLATES):
        assert not re.search(r"<(style|iframe|object|embed)\b|<script(?![^>]* src=)|\sstyle=|\son\w+=", text)
        assert not re.search(r"javascript:|\|\s*safe\b", text)
        assert not re.findall(r"(?:src|href|action)=\"(?:https?:)?//", text)
        assert text.count('method="post"') == text.count("{{ csrf_field }}") + text.count("{{ login_field }}")
