"""Peer job: `celery -A dev.benchmarks.peers.job worker`.

As a program it queues jobs (`NUMBER FIRST_TICKET`). A Celery task runs a LangGraph graph: gather context, request a
streamed answer from the model, post the note. The job's row changes four times. It writes six log lines and makes
spans.
"""

import json
import os
import sys
from typing import Any, TypedDict
from uuid import UUID

import httpx2
import structlog
from celery import Celery
from langgraph.graph import END, START, StateGraph
from openai import OpenAI, OpenAIError
from opentelemetry import trace
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text
from sqlalchemy.orm import Session

import dev.benchmarks.peers.telemetry  # noqa: F401 -- it configures logging and tracing
from dev.benchmarks.peers.models import Base, Job, engine

_SYSTEM = "You help technicians. Say what the cause may be and what to do next." * 4
_TENANT = text("SELECT set_config('app.tenant_id', :tenant_id, true)")
_TICKETS = text(
    "SELECT ticket_id, subject, resolution FROM tickets"
    " WHERE to_tsvector('english', subject || ' ' || description || ' ' || resolution)"
    " @@ websearch_to_tsquery('english', :words) AND resolution <> '' LIMIT 3"
)
_DOCUMENTS = text(
    "SELECT title, body FROM passages"
    " WHERE to_tsvector('english', title || ' ' || body) @@ websearch_to_tsquery('english', :words) LIMIT 3"
)
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS peer_tickets ON tickets"
    " USING gin (to_tsvector('english', subject || ' ' || description || ' ' || resolution))",
    "CREATE INDEX IF NOT EXISTS peer_passages ON passages USING gin (to_tsvector('english', title || ' ' || body))",
)

log = structlog.get_logger()
tracer = trace.get_tracer(__name__)
desk = httpx2.Client(
    base_url=os.environ["SERVICEDESK_URL"],
    headers={"authtoken": os.environ["SERVICEDESK_API_KEY"], "accept": "application/vnd.manageengine.sdp.v3+json"},
)
model = OpenAI()
app = Celery("peers", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
)


class Related(BaseModel):
    """A ticket or a document that the answer builds on."""

    model_config = ConfigDict(extra="forbid")

    title: str
    relevance: str


class Advice(BaseModel):
    """The model's answer."""

    model_config = ConfigDict(extra="forbid")

    summary: str
    likely_cause: str
    next_steps: list[str]
    related: list[Related]


class State(TypedDict, total=False):
    """The state of the graph."""

    job_id: str
    tenant_id: str
    ticket_id: str
    ticket: dict[str, Any]
    found: list[list[Any]]
    advice: dict[str, Any]


def _update(job_id: str, **values: Any) -> None:
    with Session(engine) as session:
        job = session.get_one(Job, UUID(job_id))
        for name, value in values.items():
            setattr(job, name, value)
        session.commit()


def gather(state: State) -> State:
    with tracer.start_as_current_span("Context"):
        ticket = desk.get(f"/api/v3/requests/{state['ticket_id']}").raise_for_status().json()["request"]
        with Session(engine) as session:
            session.execute(_TENANT, {"tenant_id": state["tenant_id"]})
            words = {"words": " or ".join(ticket["subject"].split())}
            tickets = session.execute(_TICKETS, words).all()
            documents = session.execute(_DOCUMENTS, words).all()
    log.info("Context gathered", ticket_history=bool(tickets), docs=bool(documents))
    return {"ticket": ticket, "found": [list(row) for row in (*tickets, *documents)]}


def request_advice(state: State) -> State:
    fields = {name: state["ticket"][name] for name in ("id", "subject", "description")}
    question = json.dumps({"ticket": fields, "found": state["found"]})
    schema: Any = {"name": "Advice", "strict": True, "schema": Advice.model_json_schema()}
    with tracer.start_as_current_span("GPT-4"):
        stream = model.chat.completions.create(
            model="gpt-6-luna",
            messages=[{"role": "system", "content": _SYSTEM}, {"role": "user", "content": question}],
            response_format={"type": "json_schema", "json_schema": schema},
            stream=True,
        )
        answer = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)
    log.info("GPT-4 API call", status=200)
    advice = Advice.model_validate_json(answer).model_dump()
    _update(state["job_id"], advice=advice, state="posting")
    return {"advice": advice}


def post(state: State) -> State:
    advice = state["advice"]
    steps = "".join(f"<li>{step}</li>" for step in advice["next_steps"])
    note = f"<h3>Enhancement</h3><p>{advice['summary']}</p><p>{advice['likely_cause']}</p><ol>{steps}</ol>"
    data = {"input_data": json.dumps({"note": {"description": note, "show_to_requester": False}})}
    with tracer.start_as_current_span("ServiceDesk Update"):
        answer = desk.post(f"/api/v3/requests/{state['ticket_id']}/notes", data=data).raise_for_status()
    _update(state["job_id"], note_id=str(answer.json()["note"]["id"]), state="completed")
    log.info("ServiceDesk Plus ticket updated")
    return {}


builder = StateGraph(State)
builder.add_node("gather", gather)
builder.add_node("ask", request_advice)
builder.add_node("post", post)
builder.add_edge(START, "gather")
builder.add_edge("gather", "ask")
builder.add_edge("ask", "post")
builder.add_edge("post", END)
graph = builder.compile()


@app.task(
    name="enhance",
    autoretry_for=(httpx2.HTTPError, OpenAIError),
    retry_backoff=2,
    retry_backoff_max=300,
    max_retries=8,
)
def enhance(job_id: str) -> None:
    with Session(engine) as session:
        job = session.get_one(Job, UUID(job_id), with_for_update=True)
        if job.state == "completed":
            return
        job.state = "running"
        about = State(job_id=job_id, tenant_id=job.tenant_id, ticket_id=job.ticket_id)
        session.commit()
    with structlog.contextvars.bound_contextvars(**about):
        log.info("Task started")
        trace.get_current_span().set_attributes({"ticket_id": about["ticket_id"], "tenant_id": about["tenant_id"]})
        log.info("LangGraph workflow initiated")
        graph.invoke(about)
        log.info("Task completed")


def queue(number: int, first: int) -> None:
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for index in _INDEXES:
            connection.execute(text(index))
    for ticket in map(str, range(first, first + number)):
        with Session(engine) as session:
            job = Job(tenant_id="acme", ticket_id=ticket, delivery_id=ticket)
            session.add(job)
            session.commit()
            enhance.delay(str(job.id))


if __name__ == "__main__":
    queue(*map(int, sys.argv[1:]))
