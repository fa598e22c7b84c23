"""Several model endpoints, and tenants that use them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.settings import DeskClientSettings, WorkerSettings
from config.tenant_directory import TenantDirectory
from dev.simulators.serving import serve_in_thread
from integrations.desks import Desks
from integrations.llm.clients import Models, TenantModel
from integrations.llm.spending import Spent
from integrations.values import ModelAnswer, Unanswered, Usage
from jobs.queue import open_redis
from tests.config.given import ACME, CLOUD
from tests.integrations.canned import ADVICE
from tests.kit.clock import Clock
from tests.kit.model import PROMPT
from tests.kit.tenants_toml import given
from workflow.answer import Enhancement

OWN = {"OPENAI_API_KEY_ACME": "of-acme"}


@dataclass
class Street:
    """Endpoints at `/<house>/v1`, with the requests and the answers of each."""

    url: str = ""
    came: list[tuple[str, str, str]] = field(default_factory=list)
    """House, key, model."""
    says: dict[str, Any] = field(default_factory=dict)
    """House -> a status, or a change of its answer."""
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request) -> Response:
        house, asked = request.path_params["house"], json.loads(await request.body())
        self.came.append((house, request.headers["authorization"].removeprefix("Bearer "), asked["model"]))
        says = self.says.get(house, {})
        while says == "wait":
            await asyncio.sleep(0.01)
            says = self.says.get(house, {})
        if isinstance(says, int):
            return JSONResponse({"error": {"message": "no", "code": None}}, says)
        message = {"role": "assistant", "content": json.dumps(ADVICE)}
        choice = {"message": message, "finish_reason": "stop"} | says
        usage = {"prompt_tokens": 70, "completion_tokens": 30, "cost": 0.5}
        return JSONResponse({"id": "c", "model": f"{asked['model']} in {house}", "choices": [choice], "usage": usage})


@pytest.fixture(scope="module")
def _street() -> Iterator[Street]:
    street = Street()
    app = Starlette(routes=[Route("/{house}/v1/chat/completions", street.answer, methods=["POST"])])
    with serve_in_thread(app) as street.url:
        yield street


@pytest.fixture
def street(_street: Street) -> Street:
    _street.came, _street.says = [], {}
    return _street


@dataclass
class BookInMemory:
    """Spending in memory; `elsewhere` is that of other processes, seen on reading."""

    here: Spent = field(default_factory=Spent)
    elsewhere: Spent = field(default_factory=Spent)
    heard: Spent = field(default_factory=Spent)

    def paid(self, tenant_id: str, spent: Spent) -> None:  # noqa: ARG002 -- one tenant
        self.here = self.here.plus(spent)

    def known(self, tenant_id: str) -> Spent:  # noqa: ARG002
        return self.here.plus(self.heard)

    async def read(self, tenant_id: str) -> Spent:
        self.heard = self.elsewhere
        return self.known(tenant_id)


@dataclass
class Town:
    """The models of tenants whose settings (`values`) may change."""

    values: dict[str, object]
    clock: Clock
    models: Models
    book: BookInMemory

    def change(self, **values: object) -> None:
        """Set settings, remove empty ones, and refresh the directory."""
        self.values |= values
        for name in [name for name, value in self.values.items() if not value]:
            del self.values[name]
        self.clock.now += 6

    async def ask(self, tenant_id: str = "acme") -> ModelAnswer[Enhancement]:
        """Prepare and send a question; return the answer."""
        self.models.of(tenant_id).check()
        return await asked(self.models.of(tenant_id))


async def asked(
    model: TenantModel,
    paid: list[Usage] | None = None,
    in_vain: list[Unanswered] | None = None,
    *,
    is_check: bool = False,
) -> ModelAnswer[Enhancement]:
    async def ignore(_: str) -> None:
        pass

    heard: list[Usage] = [] if paid is None else paid
    unanswered: list[Unanswered] = [] if in_vain is None else in_vain
    return await model.complete(
        PROMPT,
        Enhancement,
        heard.append,
        unusable=None,
        on_unusable=ignore,
        on_unanswered=unanswered.append,
        is_check=is_check,
    )


@asynccontextmanager
async def town(street: Street, process: dict[str, Any] | None = None, /, **values: object) -> AsyncIterator[Town]:
    """Open models for acme and globex; the process's model is house `process`."""
    settings = WorkerSettings(
        database_url="postgresql://a:b@db/x",
        redis_url="redis://redis:6379/0",
        **{"openai_api_key": "of-process", "openai_base_url": f"{street.url}/process/v1", **(process or {})},
    )
    clock, book, own = Clock(), BookInMemory(), {**ACME, **CLOUD, **values}
    tenants = TenantDirectory(lambda: given(own), monotonic=clock)
    models = Models(tenants, settings, book, connections=4)
    try:
        yield Town(own, clock, models, book)
    finally:
        await models.close()


@asynccontextmanager
async def desks_of(values: dict[str, str], clock: Clock) -> AsyncIterator[Desks]:
    """Open the desks of tenants whose settings may change, without Redis."""
    limits = {"database_url": "postgresql://a@b/c", "redis_url": "redis://127.0.0.1:1/0"}
    settings = DeskClientSettings.model_validate(limits | {"servicedesk_timeout_seconds": 5})
    redis = open_redis("redis://127.0.0.1:1/0")
    desks = Desks(TenantDirectory(lambda: values, monotonic=clock), settings, redis, connections=2)
    yield desks
    await desks.close()


def at(street: Street, house: str) -> str:
    return f"{street.url}/{house}/v1"
