"""Time arguments, and tables, spans and JSON as printed."""

import argparse
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from support.arguments import moment
from support.tables import age, as_json, duration, table

NOW = datetime(2026, 3, 1, 3, 0, 0, tzinfo=UTC)
JOB_ID = UUID("01936b2e-7c1a-7000-8000-0123456789ab")


@pytest.mark.parametrize(("given", "ago"), [("45s", 45), ("30m", 1800), ("2h", 7200), ("3d", 259_200)])
def test_a_time_may_be_given_as_so_long_ago(given: str, ago: int) -> None:
    assert abs((datetime.now(UTC) - moment(given)).total_seconds() - ago) < 5


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2026-03-01T03:00", NOW),
        ("2026-03-01 03:00:00Z", NOW),
        ("2026-03-01T04:00:00+01:00", NOW),
        ("2026-03-01", NOW.replace(hour=0)),
    ],
)
def test_a_time_may_be_an_iso_time_in_utc_unless_it_names_a_zone(given: str, meant: datetime) -> None:
    assert moment(given) == meant


@pytest.mark.parametrize("given", ["", "2", "h", "2w", "-2h", "1.5h", "yesterday", "999999d", "9999999h", "2026-13-01"])
def test_anything_else_is_no_time(given: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="neither like 2h, 30m or 3d nor an ISO time"):
        moment(given)


def test_spans_of_time_are_short_and_never_negative() -> None:
    assert [duration(seconds) for seconds in (-1, 0, 59.9, 65, 7800, 356_400)] == [
        *("0s", "0s", "59s", "1m05s", "2h10m", "4d03h")
    ]
    assert [age(seconds) for seconds in (-1, 9, 200, 7800, 356_400)] == ["0s", "9s", "3m", "2h", "4d"]


def test_a_table_has_one_line_a_row_and_a_second_in_a_narrow_terminal() -> None:
    rows = [("1", "acme", "short"), ("22", "a", "a reason of some length"), ("3", "globex", "")]
    assert table(("JOB", "TENANT", "REASON"), rows, None).splitlines() == [
        "JOB  TENANT  REASON",
        "1    acme    short",
        "22   a       a reason of some length",
        "3    globex",
    ]
    assert table(("JOB", "TENANT", "REASON"), rows, 25).splitlines()[2:] == [
        "22   a",
        "    a reason of some length",
        "3    globex",
    ]


def test_no_cell_starts_a_line_or_a_sequence_of_the_terminal() -> None:
    assert table(("A", "B"), [("x\ny", "\x1b[31mred\u202e")], None).splitlines()[1] == "x?y  ?[31mred?"


def test_json_has_ids_as_text_and_iso_times() -> None:
    assert json.loads(as_json({"id": JOB_ID, "at": NOW})) == {"id": str(JOB_ID), "at": "2026-03-01T03:00:00.000Z"}
