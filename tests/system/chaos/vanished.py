"""A process that vanishes in a transaction and leaves its rows locked."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NAME = "ai-agents vanished"
_HOLDER = """
import asyncio, sys
from sqlalchemy import select
from storage.models import Job, JobState
from storage.session import Database

async def hold(url, tenant_id):
    database = Database(url, application_name=sys.argv[3])
    await database.ask()
    print("ready", flush=True)
    sys.stdin.readline()
    async with database.tenant(tenant_id) as session:
        waiting = select(Job.id).where(Job.state == JobState.WAITING).with_for_update(skip_locked=True)
        print(len((await session.scalars(waiting)).all()), flush=True)
        await asyncio.sleep(600)

asyncio.run(hold(*sys.argv[1:3]))
"""


@contextmanager
def about_to_vanish(database_url: str, tenant_id: str) -> Iterator[Callable[[], int]]:
    """Start that process; the result locks the tenant's waiting jobs when called.

    The process is suspended before its commit. The call returns the number of locked jobs.
    """
    command = [sys.executable, "-c", _HOLDER, database_url, tenant_id, NAME]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdin is not None
    assert holder.stdout is not None
    told, says = holder.stdin, holder.stdout

    def vanish() -> int:
        told.write("now\n")
        told.flush()
        locked = int(says.readline())
        holder.send_signal(signal.SIGSTOP)
        return locked

    try:
        assert says.readline() == "ready\n"
        yield vanish
    finally:
        holder.kill()
        holder.communicate()
