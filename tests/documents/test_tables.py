"""The tables in the documents are the code's."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest
from pydantic import Field

from config import exits
from config.settings import WorkerSettings
from devstack import document_limits as limits
from devstack import document_tables as tables

RUNBOOK = tables.ROOT / "docs" / "runbooks" / "WEBHOOK_TROUBLESHOOTING_RUNBOOK.md"


@pytest.mark.parametrize("path", tables.documents(), ids=lambda path: path.name)
def test_the_tables_of_a_document_are_current(path: Path) -> None:
    """Else: `make tables`."""
    text = path.read_text(encoding="utf-8")
    assert tables.filled(text) == text
    assert text.count("<!-- table:") == text.count("<!-- end -->")


def test_each_table_stands_in_one_document() -> None:
    texts = [path.read_text(encoding="utf-8") for path in tables.documents()]
    told = [name for text in texts for name in re.findall(r"<!-- table: ([a-z ]+) -->", text)]
    assert sorted(told) == sorted(tables.TABLES)


def test_a_changed_default_makes_a_table_stale() -> None:
    class Changed(WorkerSettings):
        lease_seconds: float = Field(46, description=str(WorkerSettings.model_fields["lease_seconds"].description))

    before, after = (set(tables.settings({"worker": kind})) for kind in (WorkerSettings, Changed))
    assert {row[:3] for row in before ^ after} == {("`LEASE_SECONDS`", "all", value) for value in ("`45`", "`46`")}


def test_a_changed_limit_makes_a_table_stale() -> None:
    name = "integrations.breaker:MOST_FAILURES"
    changed = limits.rows(lambda known: 6 if known == name else resolve_name(known))
    text = f"<!-- table: limits -->\n\n{tables.markdown(changed)}\n\n<!-- end -->\n"
    assert tables.filled(text) == text.replace("breaker | 6 |", "breaker | 5 |")


def test_the_runbook_has_a_remedy_for_each_refusal_and_for_no_other() -> None:
    """What to do stands there alone; which refusals there are is the code's."""
    rows = re.findall(r"^\| (\d{3}) \| ([^|]*) \|", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert {status for status, _ in rows} == {row[0] for row in tables.statuses()[1:]}
    told = {(int(status), reason) for status, cell in rows for reason in re.findall(r"`([^`(]+)`", cell)}
    assert {(status, reason) for status, reason in told if not reason.startswith("Webhook ")} == tables.refusals()


def test_support_has_a_remedy_for_each_exit_status_of_a_worker_that_crashed() -> None:
    """What each means is in the table; 3 is the API's, and 0 and 143 are no crashes."""
    page = tables.ROOT / "docs" / "support" / "faq" / "troubleshooting-worker-crashes.md"
    told = re.findall(r"^\| `(?:Error|OOMKilled)`, (\d+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, told)) == sorted(exits.OF_PROCESSES.keys() - {0, 3, 143})
