"""A proxy that counts messages to Postgres."""

import socket
import struct
import threading
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit

# After the protocol's version each message begins with its kind.
_SESSION = struct.pack("!I", 3 << 16)


class PostgresMeter:
    """A proxy at `url`; `seen` counts the clients' messages by kind.

    https://www.postgresql.org/docs/current/protocol-message-formats.html
    """

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        self._server = (parts.hostname or "", parts.port or 5432)
        self._door = socket.create_server(("127.0.0.1", 0))
        credentials = parts.netloc.rpartition("@")[0]
        self.url = parts._replace(netloc=f"{credentials}@127.0.0.1:{self._door.getsockname()[1]}").geturl()
        self.seen: Counter[str] = Counter()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def statements(self) -> int:
        """Return the number of simple queries and of executions with bound values."""
        return self.seen["Q"] + self.seen["E"]

    @property
    def round_trips(self) -> int:
        """Return the number of simple queries and of messages after which a client waits."""
        return self.seen["Q"] + self.seen["S"]

    def close(self) -> None:
        """Accept no more connections."""
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                server = socket.create_connection(self._server)
                threading.Thread(target=self._count, args=(client, server), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client), daemon=True).start()

    def _count(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client, server:
            # Until its session begins a client's messages have no kind (`head` is 0).
            head, unread = 0, b""
            while data := client.recv(65536):
                server.sendall(data)
                unread += data
                while len(unread) >= head + 4:
                    (size,) = struct.unpack("!I", unread[head : head + 4])
                    if len(unread) < head + size:
                        break
                    if head:
                        self.seen[chr(unread[0])] += 1
                    elif unread[4:8] == _SESSION:
                        head = 1
                        unread = unread[size:]
                        continue
                    unread = unread[head + size :]

    @staticmethod
    def _pass_on(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.close()
