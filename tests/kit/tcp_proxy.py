"""Paths to a server over TCP, for tests that count, drop or cut data."""

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class TcpProxy:
    """A proxy of `url` at a URL of its own; subclasses change `pass_on`."""

    def __init__(self, url: str) -> None:
        self.lead_to(url)
        self._door = socket.create_server(("127.0.0.1", 0))
        credentials, at, _ = urlsplit(url).netloc.rpartition("@")
        own = f"{credentials}{at}127.0.0.1:{self._door.getsockname()[1]}"
        self.url = urlsplit(url)._replace(netloc=own).geturl()
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        """Clients with their connections to the server, in order."""
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def lead_to(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 5432)

    def close(self) -> None:
        # Closing alone does not wake a waiting thread.
        self._door.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._door.close()
        for pair in self.pairs:
            _end(pair)

    def pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            sink.sendall(data)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                pair = (client, socket.create_connection(self._server))
                self.pairs.append(pair)
                for source, sink in (pair, pair[::-1]):
                    threading.Thread(target=self._run, args=(source, sink), daemon=True).start()

    def _run(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            self.pass_on(source, sink)
        _end((source, sink))


def _end(pair: tuple[socket.socket, socket.socket]) -> None:
    for end in pair:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
