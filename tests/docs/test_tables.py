"""Tables in the documents, compared with the code."""

import re
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine

from cli.pilot.postgres import Postgres
from config import exit_codes
from db.session import driver_url
from dev.stack import document_tables as tables
from observability import log_events
from observability.log_events import Phrase
from tests.docs.documents import ROOT

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


def test_the_openapi_document_is_current() -> None:
    """If this fails: `make tables`."""
    assert tables.OPENAPI.read_text(encoding="utf-8") == tables.openapi()


def test_each_table_stands_in_one_document() -> None:
    texts = [path.read_text(encoding="utf-8") for path in tables.documents()]
    names = [name for text in texts for name in re.findall(r"<!-- table: ([a-z ]+) -->", text)]
    assert sorted(names) == sorted(tables.TABLES)


def test_support_has_a_remedy_for_each_exit_status_of_a_worker_that_crashed() -> None:
    """3 is the API's status; 0 and 143 are no crashes."""
    page = tables.ROOT / "docs" / "support" / "faq" / "troubleshooting-worker-crashes.md"
    output = re.findall(r"^\| `(?:Error|OOMKilled)`, (\d+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, output)) == sorted(exit_codes.OF_PROCESSES.keys() - {0, 3, 143})


def test_each_promised_line_has_its_event() -> None:
    page = (ROOT / "docs" / "log-lines.md").read_text(encoding="utf-8")
    names = set(re.findall(r"^\| `([^`]+)` \| \S", page, re.MULTILINE))
    phrases = [phrase for phrase in vars(log_events).values() if isinstance(phrase, Phrase)]
    assert names <= {re.sub(r"{\w+}", "…", phrase.template) for phrase in phrases}
    assert {re.sub(r"{\w+}", "…", phrase.template) for phrase in phrases if phrase.promised} <= names


PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
# Celery's keys beside the list and the hash.
CELERYS = {"unacked_index", "unacked_mutex", "_kombu.binding"}


@pytest.fixture
def database_tables(server: Postgres) -> MetaData:
    found, engine = MetaData(), create_engine(driver_url(server.superuser_url))
    found.reflect(engine)
    engine.dispose()
    found.remove(found.tables["alembic_version"])
    return found


def cells(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading, without its head."""
    table = PAGE[PAGE.index(f"## {heading}") :].split("\n|", 1)[1].split("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_each_column_of_each_table_stands_there_once(database_tables: MetaData) -> None:
    """A new column must be classified as text or personal data."""
    names = {row[0].strip("`"): sorted(re.findall(r"`(\w+)`", f"{row[1]} {row[2]}")) for row in cells("In Postgres")}
    assert names == {name: sorted(table.columns.keys()) for name, table in database_tables.tables.items()}


def test_columns_with_foreign_text_are_not_listed_as_ids(database_tables: MetaData) -> None:
    kinds = {"JSONB", "TSVECTOR", "BYTEA"}
    for row in cells("In Postgres"):
        name = row[0].strip("`")
        columns = {column.name for column in database_tables.tables[name].columns if str(column.type) in kinds}
        assert columns - {"key"} <= set(re.findall(r"`(\w+)`", row[1])), name


def test_each_key_in_redis_stands_there() -> None:
    """By prefix, as in the frozen names; tests/system/test_forget.py checks a running system."""
    _, frozen = (ROOT / "tests/kit/outside_names.txt").read_text(encoding="utf-8").split("[Redis keys]\n")
    told = {re.sub(r"<.*", "", name) for row in cells("In Redis") for name in re.findall(r"`([^`]+)`", row[0])}
    assert told == {*frozen.split("\n\n")[0].splitlines(), *CELERYS}
