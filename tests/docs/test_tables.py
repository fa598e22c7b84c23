"""Tables in the documents, compared with the code."""

import re
from pathlib import Path

import pytest

from config import exits
from dev.stack import document_tables as tables

# The table of redaction measures all sets, which takes 20 s.
SLOW = "redaction.md"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.name, marks=pytest.mark.slow if path.name == SLOW else ())
        for path in tables.documents()
    ],
)
def test_the_tables_of_a_document_are_current(path: Path) -> None:
    """If this fails: `make tables`."""
    text = path.read_text(encoding="utf-8")
    assert tables.filled(text) == text
    assert text.count("<!-- table:") == text.count("<!-- end -->")


def test_each_table_stands_in_one_document() -> None:
    texts = [path.read_text(encoding="utf-8") for path in tables.documents()]
    told = [name for text in texts for name in re.findall(r"<!-- table: ([a-z ]+) -->", text)]
    assert sorted(told) == sorted(tables.TABLES)


def test_support_has_a_remedy_for_each_exit_status_of_a_worker_that_crashed() -> None:
    """3 is the API's status; 0 and 143 are no crashes."""
    page = tables.ROOT / "docs" / "support" / "faq" / "troubleshooting-worker-crashes.md"
    told = re.findall(r"^\| `(?:Error|OOMKilled)`, (\d+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, told)) == sorted(exits.OF_PROCESSES.keys() - {0, 3, 143})
