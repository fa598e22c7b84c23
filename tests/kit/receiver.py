"""The receiver without stores and network: events are kept in memory."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, cast
from uuid import UUID

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from api import webhooks
from api.authentication import Proof
from api.health import NO_TELEMETRY
from api.signature_diagnosis import SignatureDiagnosis
from api.webhooks import ApiState
from config.tenant_directory import TenantDirectory
from config.tenants import TENANTS_TOML
from jobs.repository import Event

SECRET = "s3cret-of-acme"
TOKEN = "t0ken-of-initech-" + "x" * 32
Headers = list[tuple[bytes, bytes]]


def raw(headers: Mapping[str, str]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


class KnownTenants(TenantDirectory):
    """Tenants of each kind.

    `acme`, `strict` (requires a timestamp), `globex` (closed), `initech` (cannot sign), `umbrella` (is polled).
    """

    def __init__(self) -> None:
        super().__init__(
            lambda: {
                "WEBHOOK_SECRET_ACME": SECRET,
                "WEBHOOK_SECRET_STRICT": SECRET,
                "WEBHOOK_SECRET_GLOBEX": SECRET,
                "SERVICEDESK_URL_GLOBEX": "nowhere",
                "WEBHOOK_TOKEN_INITECH": TOKEN,
                "SERVICEDESK_URL_UMBRELLA": "https://desk.umbrella.example",
                "SERVICEDESK_API_KEY_UMBRELLA": "k",
                TENANTS_TOML: "strict.webhook.require_timestamp = true\numbrella.webhook.mode = 'poll'",
            }
        )


class Receiver:
    """`POST /webhook` of an application, called without a server."""

    def __init__(self, tenants: TenantDirectory | None = None, diagnosis: SignatureDiagnosis | None = None) -> None:
        self.events: list[Event] = []
        self.rejections: list[tuple[str, str | None, int, str]] = []
        self.proofs: list[tuple[str, Proof]] = []
        self.proved = False  # of the last rejection
        self.app = FastAPI(redirect_slashes=False, telemetry=NO_TELEMETRY)
        webhooks.add_routes(self.app.router)
        self.app.add_exception_handler(HTTPException, webhooks.refuse_address)
        state: Any = partial(ApiState, body_seconds=10, diagnosis=diagnosis or SignatureDiagnosis())
        self.app.state.api = state(tenants or KnownTenants(), None, None, self, self, self)

    async def accept(self, event: Event) -> UUID:
        self.events.append(event)
        return event.job_id

    def record(self, *rejection: Any, proved: bool) -> None:
        self.rejections.append(cast("tuple[str, str | None, int, str]", rejection))
        self.proved = proved

    def count(self, tenant_id: str, proof: Proof) -> None:
        self.proofs.append((tenant_id, proof))

    async def post(
        self,
        parts: Iterable[bytes],
        headers: Headers,
        *,
        leaves: bool = False,
        path: str = "/webhook",
        sent: list[dict[str, Any]] | None = None,
    ) -> tuple[int, bytes]:
        """Send a body in parts; return status and body of the answer.

        `sent` collects the answer's messages.
        """
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        messages.append({"type": "http.disconnect"} if leaves else {"type": "http.request", "more_body": False})
        answered = [] if sent is None else sent

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            answered.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await self.app(scope, receive, send)
        return answered[0]["status"], b"".join(message.get("body", b"") for message in answered[1:])
