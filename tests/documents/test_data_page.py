"""docs/data.md is the code's: each table with each column, each key in Redis, and settings that exist."""

import re

from config.settings import HousekeepingSettings
from dispatch import asking, inbox
from dispatch.message import QUEUE
from dispatch.queue import UNACKED
from integrations import rate
from integrations.servicedesk import tokens as desk_tokens
from storage.models import Base
from tests.documents.readme import ROOT
from workflow.ports import Kept

PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
# What Celery makes beside the list and the hash.
CELERYS = {"unacked_index", "unacked_mutex", "_kombu.binding"}


def cells(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    table = PAGE[PAGE.index(f"## {heading}") :].split("\n|", 1)[1].split("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_each_column_of_each_table_stands_there_once() -> None:
    """And no other: whoever adds a column has to say whether it holds text or personal data."""
    told = {row[0].strip("`"): sorted(re.findall(r"`(\w+)`", f"{row[1]} {row[2]}")) for row in cells("In Postgres")}
    assert told == {name: sorted(table.columns.keys()) for name, table in Base.metadata.tables.items()}


def test_columns_that_hold_text_from_outside_are_not_told_as_ids() -> None:
    """Those of documents, of indexes and of hashes at least."""
    kinds = {"JSONB", "TSVECTOR", "BYTEA"}
    for row in cells("In Postgres"):
        name = row[0].strip("`")
        columns = {column.name for column in Base.metadata.tables[name].columns if str(column.type) in kinds}
        assert columns - {"key"} <= set(re.findall(r"`(\w+)`", row[1])), name


def test_each_key_in_redis_stands_there() -> None:
    """By how it begins; tests/system/test_forget.py looks at a running system's."""
    ours = {*(f"{what}:" for what in Kept), inbox.INBOX, inbox.DELIVERY}
    ours |= {asking.QUESTIONS, asking.ANSWER, rate.KEY, desk_tokens.KEY, QUEUE, UNACKED}
    told = {re.sub(r"<.*", "", name) for row in cells("In Redis") for name in re.findall(r"`([^`]+)`", row[0])}
    assert told == ours | CELERYS


def test_each_setting_that_keeps_things_is_one() -> None:
    named = set(re.findall(r"\b(KEEP_[A-Z_]+)`", PAGE))
    assert named == {name.upper() for name in HousekeepingSettings.model_fields if name.startswith("keep_")}
