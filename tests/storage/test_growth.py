"""Rows read by frequent statements, which must not grow with waiting jobs."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from benchmarks.growth import ASKED, LINEAR, Filled

ROWS = 20_000
# The relay counts this many, and the running ones.
MOST_READ = 1_000
_READ = text("SELECT seq_tup_read + idx_tup_fetch AS read FROM pg_stat_user_tables WHERE relname = 'jobs'")
_FLUSH = text("SELECT pg_stat_force_next_flush()")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("filled")
    folder.chmod(0o755)
    with Filled(folder, ROWS) as on:
        on.open_for(1_000)
        yield on


async def rows_read(on: Filled) -> int:
    await on.database.call(_FLUSH)
    return int(await on.database.call_for_one(_READ))


async def test_each_statement_reads_few_rows_of_many(filled: Filled) -> None:
    await filled.connect()
    found = {}
    for name, ask in ASKED.items():
        before = await rows_read(filled)
        await ask(filled)
        found[name] = await rows_read(filled) - before
    await filled.database.close()
    assert {name: read for name, read in found.items() if read > MOST_READ}.keys() <= LINEAR, found
