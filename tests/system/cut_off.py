"""Postgres clients that vanish in the middle of a transaction."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_HOLDER = """
import asyncio, sys
from uuid import uuid4
from sqlalchemy import text
from storage.session import Database

_REMEMBER = text("SELECT remember_deliveries(:tenant, ARRAY[:id], ARRAY[:key], now(), '10 minutes')")

async def hold(url, tenant_id, key):
    async with Database(url, application_name="ai-agents api").tenant(tenant_id) as session:
        await session.execute(_REMEMBER, {"tenant": tenant_id, "id": uuid4(), "key": key})
        print("held", flush=True)
        await asyncio.sleep(600)

asyncio.run(hold(*sys.argv[1:]))
"""


@contextmanager
def stopped_while_it_accepts(database_url: str, tenant_id: str, key: str) -> Iterator[None]:
    """Suspend a process that holds a delivery key before its commit."""
    command = [sys.executable, "-c", _HOLDER, database_url, tenant_id, key]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        yield
    finally:
        holder.kill()
        holder.communicate()


class Cable:
    """A proxy to Postgres that goes silent after a statement with `cut_at`.

    From then on no data passes in either direction, not even its answer, and no connection is closed, as when a
    host loses its network.
    """

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        self._server = (parts.hostname or "", parts.port or 5432)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = parts._replace(
            netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{self._door.getsockname()[1]}"
        ).geturl()
        self.cut_at: bytes | None = None
        self.is_cut = threading.Event()
        self._ends: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        self.is_cut.set()
        self._door.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        for end in (self._door, *self._ends):
            with suppress(OSError):
                end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                self._ends.append(client)
                if self.is_cut.is_set():
                    continue
                server = socket.create_connection(self._server)
                self._ends.append(server)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.is_cut.is_set():
                    return
                if self.cut_at is not None and self.cut_at in data:
                    self.is_cut.set()
                sink.sendall(data)
            sink.close()
