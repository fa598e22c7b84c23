"""Tables in the documents, compared with the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import Field

from config import exits
from config.settings import WorkerSettings
from devstack import document_tables as tables

RUNBOOK = tables.ROOT / "docs" / "runbooks" / "WEBHOOK_TROUBLESHOOTING_RUNBOOK.md"


@pytest.mark.parametrize("path", tables.documents(), ids=lambda path: path.name)
def test_the_tables_of_a_document_are_current(path: Path) -> None:
    """If this fails: `make tables`."""
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


def refusals() -> set[tuple[int, str]]:
    """Return each status of a refused webhook with its reasons, from the API's calls."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (tables.ROOT / "api").glob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    # The answer's words; its log line has another reason.
    return {refusal for call in calls for refusal in _refusals_of(call)} - {(503, "try again later")}


def _refusals_of(call: ast.Call) -> Iterator[tuple[int, str]]:
    """Yield the status and reason of a refusal, or of a log line with both."""
    name = getattr(call.func, "id", "") or getattr(call.func, "attr", "")
    named = {keyword.arg: keyword.value.value for keyword in call.keywords if isinstance(keyword.value, ast.Constant)}
    match [argument.value for argument in call.args[:2] if isinstance(argument, ast.Constant)]:
        case [int(status), str(reason)] if status < 500 and re.search(
            "refuse|HTTPException|_answer", name, re.IGNORECASE
        ):
            yield status, reason
        case [str(reason), *_] if name == "SignatureRefused":
            yield 403, reason
    if name == "say" and "status" in named:
        yield int(str(named["status"])), str(named["reason"])


def test_the_runbook_has_a_remedy_for_each_refusal_and_for_no_other() -> None:
    """Only the runbook has the remedies; the code has the refusals."""
    rows = re.findall(r"^\| (\d{3}) \| ([^|]*) \|", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert {status for status, _ in rows} == {row[0] for row in tables.statuses()[1:]}
    told = {(int(status), reason) for status, cell in rows for reason in re.findall(r"`([^`(]+)`", cell)}
    assert {(status, reason) for status, reason in told if not reason.startswith("Webhook ")} == refusals()


def test_support_has_a_remedy_for_each_exit_status_of_a_worker_that_crashed() -> None:
    """3 is the API's status; 0 and 143 are no crashes."""
    page = tables.ROOT / "docs" / "support" / "faq" / "troubleshooting-worker-crashes.md"
    told = re.findall(r"^\| `(?:Error|OOMKilled)`, (\d+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, told)) == sorted(exits.OF_PROCESSES.keys() - {0, 3, 143})
