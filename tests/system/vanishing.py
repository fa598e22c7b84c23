"""A peer that vanishes in a transaction."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

VANISHED = "ai-agents vanished"
_PEER = """
import asyncio, sys
from sqlalchemy import text
from db.session import Database

async def hold(name, url, tenant_id, statement):
    database = Database(url, application_name=name)
    await database.ping()
    print("ready", flush=True)
    sys.stdin.readline()
    async with database.tenant(tenant_id) as session:
        print(len((await session.execute(text(statement))).all()), flush=True)
        await asyncio.sleep(600)

asyncio.run(hold(*sys.argv[1:]))
"""


@contextmanager
def about_to_vanish(database_url: str, tenant_id: str, statement: str) -> Iterator[Callable[[], int]]:
    """Start a process that executes a tenant's statement when the result is called.

    The process is suspended before its commit. The call returns the number of rows.
    """
    command = [sys.executable, "-c", _PEER, VANISHED, database_url, tenant_id, statement]
    peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert peer.stdin is not None
    assert peer.stdout is not None
    orders, says = peer.stdin, peer.stdout

    def vanish() -> int:
        orders.write("now\n")
        orders.flush()
        rows = int(says.readline())
        peer.send_signal(signal.SIGSTOP)
        return rows

    try:
        assert says.readline() == "ready\n"
        yield vanish
    finally:
        peer.kill()
        peer.communicate()
