"""An HTTP server, with or without TLS, that repeats one answer."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import trustme

TICKET = b'{"request": {"id": "1", "subject": "S"}, "response_status": {"status_code": 2000, "status": "success"}}'


@dataclass
class CannedServer:
    """Repeats one answer, and records requests."""

    url: str = ""
    body: bytes = TICKET
    encoding: str = ""
    authorities: list[str] = field(default_factory=list)
    cookies: list[str] = field(default_factory=list)


@contextmanager
def serving(server: CannedServer, tls: ssl.SSLContext | None = None) -> Iterator[CannedServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            server.authorities.append(self.headers.get("authtoken", "") + self.headers.get("authorization", ""))
            server.cookies.append(self.headers.get("cookie", ""))
            self.send_response(200)
            self.send_header("set-cookie", "JSESSIONID=session-of-acme; Path=/")
            self.send_header("content-type", "application/json")
            if server.encoding:
                self.send_header("content-encoding", server.encoding)
            self.end_headers()
            self.wfile.write(server.body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        listener.socket = tls.wrap_socket(listener.socket, server_side=True)
    server.url = f"{'http' if tls is None else 'https'}://localhost:{listener.server_port}"
    thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def with_certificate(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context
