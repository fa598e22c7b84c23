"""A signer as a real process, the desk that posts to it, and what stands for the API, which verifies signatures."""

import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from devstack.free_ports import free_port
from devstack.processes import Process
from devstack.programs import PROJECT, answers
from devstack.surroundings import machine_environment
from tests.kit.signing import is_timed

KEY = "key-that-only-the-desk-of-acme-knows"
JOB_ID = "01890000-0000-7000-8000-000000000001"


PAGE = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}
"""The heads of what something in between answers in the API's place."""
_IN_ITS_PLACE = {"text/html": b"<html>", "application/json": b'{"detail": "Bad Request: blocked by policy"}'}
_REASONS = {400: "malformed payload: no", 413: "body too large", 415: "compressed body", 422: "malformed payload"}


@dataclass
class ApiStandIn:
    """Takes webhooks at a port, and answers 202, or what `answers_with` has for their ticket; 403 where not signed."""

    secret: str
    port: int = field(default_factory=free_port)
    answers_with: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    tries: list[tuple[float, Mapping[str, str], dict[str, str]]] = field(default_factory=list)
    accepted: list[tuple[str, str]] = field(default_factory=list)
    proxied: list[str] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhook"

    def begin(self) -> None:
        """Be there (again)."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def end(self) -> None:
        """Be away: nothing listens."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def of(self, ticket_id: str) -> list[tuple[float, Mapping[str, str]]]:
        """The tries at a ticket's webhooks: when, and with which headers."""
        return [(at, headers) for at, headers, body in self.tries if body.get("ticket_id") == ticket_id]

    def take(self, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        """Answer one request as the API would."""
        content = json.loads(body)
        self.tries.append((time.monotonic(), headers, content))
        if not is_timed(self.secret, headers, body):
            return 403, {}
        is_check = "ticket_id" not in content
        status, more = self.answers_with.get(content.get("ticket_id", ""), (200 if is_check else 202, {}))
        if status == 202 and "ticket_id" in content:
            self.accepted.append((content["ticket_id"], headers["x-servicedesk-delivery"]))
        return status, more

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class WebhookHandler(BaseHTTPRequestHandler):
            # Not kept alive: a server that is away must not go on answering over an old connection.
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, more = api.take({name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
                other = {"detail": _REASONS.get(status, "no")}
                told = {200: {"status": "verified"}, 202: {"job_id": JOB_ID}}.get(status, other)
                self.wfile.write(_IN_ITS_PLACE.get(more.get("Content-Type", ""), json.dumps(told).encode()))

            def do_CONNECT(self) -> None:
                api.proxied.append(self.path)
                self.send_error(502)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name
                """Nothing."""

        return WebhookHandler


class SignerSite:
    """Where the desk of acme is: its signer, whose spool and secrets are folders, and the API far away."""

    def __init__(self, folder: Path) -> None:
        self.spool = folder / "spool"
        self.secrets = folder / "secrets"
        self.secrets.mkdir()
        (self.secrets / "WEBHOOK_SECRET_ACME").write_text("s3cret-of-acme\n", encoding="utf-8")
        self.api = ApiStandIn("s3cret-of-acme")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{free_port()}"
        self.signer = self.another("signer", port)
        self.signer.environment["METRICS_PORT"] = self.metrics_url.rpartition(":")[2]
        self._desk = httpx.Client(base_url=self.url, trust_env=False, timeout=20)

    def another(self, name: str, port: int) -> Process:
        """Make a signer with these folders."""
        words = ["signer", "--tenant", "acme", "--to", self.api.url, "--port", str(port)]
        given = {
            "SIGNER_KEY": KEY,
            "SIGNER_SPOOL_DIR": str(self.spool),
            "SIGNER_SPOOL_MEGABYTES": "1",
            "SECRETS_DIR": str(self.secrets),
        }
        return Process(
            name,
            [sys.executable, "-m", "support.cli", *words],
            log_path=self.spool.with_name(f"{name}.log"),
            environment=machine_environment() | given,
            ready=answers(port, "/health"),
            folder=PROJECT,
        )

    def close(self) -> None:
        """End all of it."""
        self._desk.close()
        self.signer.stop()
        self.api.end()

    def post(self, body: Any, *, key: str | None = KEY, path: str = "/webhook", **headers: str) -> httpx.Response:
        """Post as the desk does: a text, and headers that never change."""
        fixed = {"Content-Type": "application/json"} | ({} if key is None else {"X-Signer-Key": key}) | headers
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        return self._desk.post(path, content=content, headers=fixed)

    def kept(self, ticket_id: str) -> str:
        """Post a ticket's webhook, which has to be kept; its delivery id."""
        answer = self.post({"ticket_id": ticket_id, "event": "ticket.created"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["delivery"])

    def health(self) -> tuple[int, dict[str, Any]]:
        """What the health address says."""
        answer = self._desk.get("/health")
        return answer.status_code, answer.json()

    def files(self, folder: str = "waiting") -> list[Path]:
        """What is on disk."""
        return sorted((self.spool / folder).iterdir())
