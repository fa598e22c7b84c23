"""What each peer's task does: the calls that a job of ours makes, with the same packages, and nothing else.

Read the ticket, search twice in Postgres, ask the model for an answer in one piece, put the note into the ticket. One
class for what blocks and one for coroutines; a process makes its own when it runs its first task.
"""

import json
import os
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Self

import httpx
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

PLACES = 32
"""Tasks that run at once, of ours and of each peer that has places."""
_TENANT = text("SELECT set_config('app.tenant_id', 'acme', true)")
_WORDS = "words @@ to_tsquery('english', :words)"
_SIMILAR = text(
    f"SELECT ticket_id, subject, resolution FROM tickets WHERE {_WORDS} AND resolution <> '' LIMIT 3"  # noqa: S608
)
_DOCUMENTS = text(f"SELECT title, body FROM passages WHERE {_WORDS} LIMIT 3")  # noqa: S608 -- a constant
_SEARCHED = {"words": "vpn | connect | morning | client | laptop | office | network"}
_SYSTEM = "You help technicians. Say what the cause may be and what to do next." * 4


@dataclass(frozen=True, slots=True)
class Given:
    """Where everything is."""

    broker: str
    database: str
    desk: str
    desk_key: str
    model: str

    @classmethod
    def read(cls) -> Self:
        """From the environment: the peers' own commands take no other word of ours."""
        return cls(**json.loads(os.environ["BENCH_PEER"]))

    def environment(self) -> dict[str, str]:
        """Return the values that `read` finds."""
        return {"BENCH_PEER": json.dumps(asdict(self))}

    @property
    def headers(self) -> dict[str, str]:
        """What a desk is called with."""
        return {"authtoken": self.desk_key, "accept": "application/vnd.manageengine.sdp.v3+json"}

    def ticket(self, ticket_id: str) -> str:
        """Return the address of a ticket."""
        return f"{self.desk}/api/v3/requests/{ticket_id}"


class Related(BaseModel):
    """A ticket or a document that the answer builds on."""

    model_config = ConfigDict(extra="forbid")

    title: str
    relevance: str


class Advice(BaseModel):
    """What the model is asked for."""

    model_config = ConfigDict(extra="forbid")

    summary: str
    likely_cause: str
    next_steps: list[str]
    related: list[Related]


@cache
def _format() -> Any:
    schema = {"name": "Advice", "strict": True, "schema": Advice.model_json_schema()}
    return {"type": "json_schema", "json_schema": schema}


def _question(ticket: dict[str, Any], found: list[Any]) -> list[Any]:
    about = {"id": ticket["id"], "subject": ticket["subject"], "description": ticket["description"]}
    asked = json.dumps({"ticket": about, "found": [list(row) for row in found]})
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": asked}]


def _note(answer: str | None) -> dict[str, str]:
    advice = Advice.model_validate_json(answer or "")
    steps = "".join(f"<li>{step}</li>" for step in advice.next_steps)
    note = f"<h3>Enhancement</h3><p>{advice.summary}</p><p>{advice.likely_cause}</p><ol>{steps}</ol>"
    return {"input_data": json.dumps({"note": {"description": note, "show_to_requester": False}})}


class BlockingWork:
    """The task for threads and processes."""

    def __init__(self, given: Given) -> None:
        self._given = given
        limits = httpx.Limits(max_connections=PLACES, max_keepalive_connections=PLACES)
        self._http = httpx.Client(headers=given.headers, timeout=10, limits=limits)
        self._model = OpenAI(base_url=given.model, api_key="any", max_retries=0)
        self._engine = create_engine(given.database, pool_size=PLACES)

    def enhance(self, ticket_id: str) -> None:
        """All of a job."""
        address = self._given.ticket(ticket_id)
        ticket = self._http.get(address).raise_for_status().json()["request"]
        with self._engine.begin() as connection:
            connection.execute(_TENANT)
            found = [*connection.execute(_SIMILAR, _SEARCHED), *connection.execute(_DOCUMENTS, _SEARCHED)]
        answer = self._model.chat.completions.create(
            model="gpt-6-luna", messages=_question(ticket, found), response_format=_format()
        )
        note = _note(answer.choices[0].message.content)
        self._http.post(f"{address}/notes", data=note).raise_for_status()


class AsyncWork:
    """The task for an event loop."""

    def __init__(self, given: Given) -> None:
        self._given = given
        limits = httpx.Limits(max_connections=PLACES, max_keepalive_connections=PLACES)
        self._http = httpx.AsyncClient(headers=given.headers, timeout=10, limits=limits)
        self._model = AsyncOpenAI(base_url=given.model, api_key="any", max_retries=0)
        self._engine = create_async_engine(given.database, pool_size=PLACES)

    async def enhance(self, ticket_id: str) -> None:
        """All of a job."""
        address = self._given.ticket(ticket_id)
        ticket = (await self._http.get(address)).raise_for_status().json()["request"]
        async with self._engine.begin() as connection:
            await connection.execute(_TENANT)
            similar = await connection.execute(_SIMILAR, _SEARCHED)
            found = [*similar, *await connection.execute(_DOCUMENTS, _SEARCHED)]
        answer = await self._model.chat.completions.create(
            model="gpt-6-luna", messages=_question(ticket, found), response_format=_format()
        )
        note = _note(answer.choices[0].message.content)
        (await self._http.post(f"{address}/notes", data=note)).raise_for_status()


@cache
def blocking() -> BlockingWork:
    """Return this process's own."""
    return BlockingWork(Given.read())


@cache
def coroutines() -> AsyncWork:
    """Return this process's own, in its one event loop."""
    return AsyncWork(Given.read())
