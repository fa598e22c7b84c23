"""A webhook receiver: `uvicorn dev.benchmarks.peers.receiver:app`.

FastAPI with a SQLAlchemy session as a dependency. It verifies the signature, commits a row, queues the job with
`.delay()`, writes two log lines, makes spans and counts.
"""

import hmac
import os
import time
from collections.abc import Iterator
from typing import Annotated

import structlog
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from prometheus_client import Counter, make_asgi_app
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dev.benchmarks.peers.job import enhance
from dev.benchmarks.peers.models import Base, Job, engine

_SECRETS = {"acme": os.environ["WEBHOOK_SECRET_ACME"].encode()}
_WINDOW_SECONDS = 300
log = structlog.get_logger()
received = Counter("webhooks_received", "Accepted webhooks", ["tenant_id"])


class Webhook(BaseModel):
    """The body of a webhook."""

    tenant_id: str
    ticket_id: str
    event: str | None = None


class Accepted(BaseModel):
    """The answer to an accepted webhook."""

    job_id: str


async def read_body(request: Request) -> bytes:
    """Return the raw body, which the signature covers."""
    return await request.body()


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


Base.metadata.create_all(engine)
app = FastAPI()
app.mount("/metrics", make_asgi_app())


@app.post("/webhook", status_code=202)
def receive(
    body: Annotated[bytes, Depends(read_body)],
    session: Annotated[Session, Depends(get_session)],
    x_servicedesk_timestamp: Annotated[str, Header()],
    x_servicedesk_signature: Annotated[str, Header()],
    x_servicedesk_delivery: Annotated[str, Header()],
) -> Accepted:
    webhook = Webhook.model_validate_json(body)
    signed = x_servicedesk_timestamp.encode() + b"." + body
    digest = hmac.digest(_SECRETS[webhook.tenant_id], signed, "sha256").hex()
    is_signed = hmac.compare_digest(f"sha256={digest}", x_servicedesk_signature)
    if not is_signed or abs(time.time() - int(x_servicedesk_timestamp)) > _WINDOW_SECONDS:
        raise HTTPException(403)
    structlog.contextvars.bind_contextvars(ticket_id=webhook.ticket_id, tenant_id=webhook.tenant_id)
    log.info("Webhook received")
    job = Job(tenant_id=webhook.tenant_id, ticket_id=webhook.ticket_id, delivery_id=x_servicedesk_delivery)
    session.add(job)
    try:
        session.commit()
    except IntegrityError:
        session.rollback()
        job_id = session.scalars(select(Job.id).where(Job.delivery_id == x_servicedesk_delivery)).one()
        return Accepted(job_id=str(job_id))
    enhance.delay(str(job.id))
    log.info("Job queued", job_id=str(job.id))
    received.labels(webhook.tenant_id).inc()
    return Accepted(job_id=str(job.id))


FastAPIInstrumentor.instrument_app(app, exclude_spans=["receive", "send"])
