"""Parts of a page that time out are left out; our own errors are logged."""

import asyncio

import pytest
from sqlalchemy import text

from storage.session import Database
from support.console.queries import in_time
from tests.kit.logs import StartLog


async def test_what_comes_in_time_is_told(database: Database, start_log: StartLog) -> None:
    log = start_log()
    assert await in_time(database.call_for_one(text("SELECT 7"))) == 7
    assert await in_time(database.call(text("SELECT pg_sleep(5)")), 0.05) is None
    assert await in_time(asyncio.Event().wait(), 0.01) is None
    assert log.getvalue() == ""


@pytest.mark.parametrize(
    ("statement", "is_ours"), [("SELECT nothing_of_that_name()", True), ("SELECT pg_sleep(5)", False)]
)
async def test_a_statement_of_ours_that_is_wrong_stands_in_the_log(
    statement: str, is_ours: bool, database: Database, start_log: StartLog
) -> None:
    log = start_log()
    questions = text("SET statement_timeout = 50"), text(statement)
    assert await in_time(database.call_as("acme", *questions)) is None
    assert ("Database error: a part of a page could not be asked for" in log.getvalue()) is is_ours
    await database.call(text("RESET statement_timeout"))
