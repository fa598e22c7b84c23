"""A path to a server that drops its connections silently, as a firewall does."""

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class Forgetful:
    """A proxy of `url`. Neither end notices a forgotten connection; its next use is cut off."""

    def __init__(self, url: str) -> None:
        self.lead_to(url)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._door.getsockname()[1]}/0"
        self.opened = 0
        self._known: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        self._known = []

    def lead_to(self, url: str) -> None:
        """Connect new clients to this server; existing ones keep theirs."""
        behind = urlsplit(url)
        self._behind = (behind.hostname or "", behind.port or 0)

    def close(self) -> None:
        # Closing alone does not wake a waiting thread.
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                ends = (client, socket.create_connection(self._behind))
                self.opened += 1
                self._known.append(ends)
                for source, sink in (ends, ends[::-1]):
                    threading.Thread(target=self._pass_on, args=(source, sink, ends), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, ends: tuple[socket.socket, socket.socket]) -> None:
        with suppress(OSError):
            while (data := source.recv(65536)) and ends in self._known:
                sink.sendall(data)
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
