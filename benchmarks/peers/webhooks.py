"""`python -m benchmarks.peers.webhooks floor|inline|thread`: the plainest endpoints that take a signed webhook.

`floor` verifies the signature, validates the body and answers 202. The others then call `.delay()` of a Celery task,
in the event loop as a beginner writes it, or in FastAPI's pool of threads, as its documentation has it for a function
that blocks. None writes a row or a line, makes a span or counts, and none knows a duplicate.
"""

import argparse
import hmac
from collections.abc import Callable
from typing import Annotated

import uvicorn
from celery import Celery
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

PATH = "/webhook"
SECRET = "known-to-the-load-alone"  # noqa: S105 -- of no desk


class Payload(BaseModel):
    """The part of the body that is used."""

    tenant_id: str
    ticket_id: str
    event: str | None = None


def verified(request: Request, body: bytes) -> Payload:
    """Return what a signed body says. Raises HTTPException (403), or ValidationError."""
    signed = request.headers["x-servicedesk-timestamp"].encode() + b"." + body
    digest = hmac.digest(SECRET.encode(), signed, "sha256").hex()
    if not hmac.compare_digest(f"sha256={digest}", request.headers["x-servicedesk-signature"]):
        raise HTTPException(403)
    return Payload.model_validate_json(body)


def celery_delay(broker: str) -> Callable[[Payload], object]:
    """Return what queues a task for a webhook."""
    celery = Celery("peer", broker=broker)
    celery.conf.task_ignore_result = True

    @celery.task(name="peer.enhance")
    def enhance(tenant_id: str, ticket_id: str) -> None:
        """Nothing: no worker runs here."""

    return lambda payload: enhance.delay(payload.tenant_id, payload.ticket_id)


def create_app(kind: str, broker: str) -> FastAPI:
    """Return the application with one of the endpoints."""
    app = FastAPI()
    delay = celery_delay(broker)

    async def body_of(request: Request) -> bytes:
        return await request.body()

    async def floor(request: Request) -> dict[str, str]:
        verified(request, await request.body())
        return {"status": "accepted"}

    async def inline(request: Request) -> dict[str, str]:
        delay(verified(request, await request.body()))
        return {"status": "accepted"}

    def thread(request: Request, body: Annotated[bytes, Depends(body_of)]) -> dict[str, str]:
        delay(verified(request, body))
        return {"status": "accepted"}

    endpoints: dict[str, Callable[..., object]] = {"floor": floor, "inline": inline, "thread": thread}
    app.add_api_route(PATH, endpoints[kind], methods=["POST"], status_code=202)
    return app


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("floor", "inline", "thread"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--broker", required=True)
    given = parser.parse_args()
    # The loop and the parser are the product's: uvicorn takes uvloop and httptools where they are installed.
    uvicorn.run(
        create_app(given.kind, given.broker),
        host="127.0.0.1",
        port=given.port,
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
