"""Whose model is asked, with which key, and what follows when it can't answer or the day's money is spent."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.settings import WorkerSettings
from config.tenant_directory import TenantDirectory
from integrations.errors import HeldBack, ModelRefused, ModelUnavailable
from integrations.model import spending
from integrations.model.models import Models, TenantModel
from integrations.values import ModelAnswer, Spent, Usage
from observability import metrics
from simulators.serving import serve_in_thread
from tests.config.given import ACME, CLOUD
from tests.integrations.endpoints import ADVICE
from tests.kit.clock import Clock
from tests.kit.logs import StartLog
from tests.kit.model import PROMPT
from workflow.enhancement import Enhancement

OWN = {"OPENAI_API_KEY_ACME": "of-acme"}


@dataclass
class Street:
    """Endpoints side by side, `/<house>/v1`: who came to which with what, and what each house does."""

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
    """The houses, each well, and nobody was there."""
    _street.came, _street.says = [], {}
    return _street


@dataclass
class BookInMemory:
    """What was spent, in memory; `elsewhere` by other processes, told only to who reads."""

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

    values: dict[str, str]
    clock: Clock
    models: Models
    book: BookInMemory

    def change(self, **values: str) -> None:
        """Set settings, or take them away (empty), and let the directory hear of it."""
        self.values |= values
        for name in [name for name, value in self.values.items() if not value]:
            del self.values[name]
        self.clock.now += 6

    async def ask(self, tenant_id: str = "acme") -> ModelAnswer[Enhancement]:
        """One answer; the question is prepared first."""
        self.models.of(tenant_id).check()
        return await asked(self.models.of(tenant_id))


async def asked(model: TenantModel, paid: list[Usage] | None = None) -> ModelAnswer[Enhancement]:
    async def ignore(_: str) -> None:
        pass

    heard: list[Usage] = [] if paid is None else paid
    return await model.ask(PROMPT, Enhancement, heard.append, unusable=None, on_unusable=ignore)


@asynccontextmanager
async def town(street: Street, process: dict[str, Any] | None = None, /, **values: str) -> AsyncIterator[Town]:
    """Tenants acme and globex with desks, and these settings of theirs; the process's model is in house `process`."""
    settings = WorkerSettings(
        database_url="postgresql://a:b@db/x",
        redis_url="redis://redis:6379/0",
        **{"openai_api_key": "of-process", "openai_base_url": f"{street.url}/process/v1", **(process or {})},
    )
    clock, book, given = Clock(), BookInMemory(), ACME | CLOUD | values
    tenants = TenantDirectory(lambda: dict(given), monotonic=clock)
    models = Models(tenants, settings, book, connections=4)
    try:
        yield Town(given, clock, models, book)
    finally:
        await models.close()


def at(street: Street, house: str) -> str:
    return f"{street.url}/{house}/v1"


@pytest.mark.parametrize(
    ("own", "came"),
    [
        ({}, ("process", "of-process", "gpt-6-luna")),
        ({"OPENAI_MODEL_ACME": "small"}, ("process", "of-process", "small")),
        (OWN, ("process", "of-acme", "gpt-6-luna")),
        (OWN | {"OPENAI_BASE_URL_ACME": "/acme/v1", "OPENAI_MODEL_ACME": "m"}, ("acme", "of-acme", "m")),
    ],
    ids=["nothing of its own", "a model", "a key", "all"],
)
async def test_a_tenant_is_asked_for_where_its_settings_say(
    own: dict[str, str], came: tuple[str, str, str], street: Street
) -> None:
    """And the others as before: no key goes to another's address."""
    own = {name: street.url + value if value.startswith("/") else value for name, value in own.items()}
    async with town(street, **own) as its_town:
        answer = await its_town.ask()
        await its_town.ask("globex")
        model = its_town.models.of("acme")
        assert (model.name, model.base_url) == (came[2], at(street, came[0]))
    assert answer.model == f"{came[2]} in {came[0]}"
    assert street.came == [came, ("process", "of-process", "gpt-6-luna")]


async def test_a_changed_key_counts_for_the_next_call_and_disturbs_none_that_runs(street: Street) -> None:
    """Its client is closed then, and not before."""
    async with town(street, **OWN, OPENAI_BASE_URL_ACME=at(street, "acme")) as its_town:
        street.says["acme"] = "wait"
        model = its_town.models.of("acme")
        with its_town.models.call(its_town.models.first("acme")) as before:
            pass
        running = asyncio.create_task(asked(model))
        while not street.came:  # noqa: ASYNC110 -- another thread's memory
            await asyncio.sleep(0.01)
        its_town.change(OPENAI_API_KEY_ACME="rotated", OPENAI_BASE_URL_ACME=at(street, "new"))
        await asked(model)
        assert not before._client.is_closed()
        street.says.clear()
        assert (await running).model == "gpt-6-luna in acme"
        await asyncio.sleep(0)
        assert before._client.is_closed()
    assert [came[:2] for came in street.came] == [("acme", "of-acme"), ("new", "rotated")]


@pytest.mark.parametrize(
    "gone", ["its key is withdrawn", "a key without an address is", "no key is left", "the tenant has left"]
)
async def test_no_model_is_asked_for_a_tenant_whose_key_is_gone(gone: str, street: Street) -> None:
    """Its texts may be meant for that model only; an attempt that began before hears of it too."""
    process = {"openai_api_key": ""} if gone == "no key is left" else {}
    async with town(street, process, **OWN, OPENAI_BASE_URL_ACME=at(street, "acme")) as its_town:
        model = its_town.models.of("acme")
        if gone == "its key is withdrawn":
            its_town.change(OPENAI_API_KEY_ACME="")
        elif gone == "a key without an address is":
            its_town.change(OPENAI_BASE_URL_ACME="")
            assert model.base_url == at(street, "process")
            its_town.change(OPENAI_API_KEY_ACME="", OPENAI_DAILY_TOKENS_ACME="many")
        elif gone == "no key is left":
            its_town.change(OPENAI_API_KEY_ACME="", OPENAI_BASE_URL_ACME="")
        else:
            its_town.change(**dict.fromkeys((*ACME, *OWN, "OPENAI_BASE_URL_ACME"), ""))
        with pytest.raises(HeldBack, match="tenant closed"):
            model.check()
        with pytest.raises(HeldBack, match="tenant closed"):
            await asked(model)
    assert street.came == []


async def test_a_tenants_model_that_is_down_holds_its_jobs_only(street: Street) -> None:
    street.says["acme"] = 503
    async with town(street, **OWN, OPENAI_BASE_URL_ACME=at(street, "acme")) as its_town:
        for _ in range(5):
            with pytest.raises(ModelUnavailable):
                await its_town.ask()
        with pytest.raises(HeldBack, match="model unavailable"):
            await its_town.ask()
        assert (await its_town.ask("globex")).status == 200
        its_town.change(OPENAI_API_KEY_ACME="rotated", OPENAI_BASE_URL_ACME=at(street, "new"))
        assert (await its_town.ask()).status == 200


FALLBACK = {
    "openai_fallback_model": "spare",
    "openai_fallback_api_key": "of-fallback",
}


@pytest.mark.parametrize(
    ("first", "fallback", "ends", "houses"),
    [
        (503, {}, "spare in fallback", ["process", "fallback"]),
        (429, {}, ModelUnavailable, ["process"]),
        (400, {}, ModelRefused, ["process"]),
        ({"message": {"content": "", "refusal": "No."}}, {}, ModelRefused, ["process"]),
        (503, 503, ModelUnavailable, ["process", "fallback"]),
        (503, 400, ModelUnavailable, ["process", "fallback"]),
        (503, {"message": {"content": "", "refusal": "No."}}, ModelRefused, ["process", "fallback"]),
    ],
    ids=["down", "too fast", "refused", "content refused", "both down", "fallback set up wrongly", "fallback refuses"],
)
async def test_what_the_first_model_says_decides_whether_the_fallback_is_asked(
    first: Any, fallback: Any, ends: Any, houses: list[str], street: Street, start_log: StartLog
) -> None:
    stream = start_log()
    street.says |= {"process": first, "fallback": fallback}
    process = FALLBACK | {"openai_fallback_base_url": at(street, "fallback")}
    async with town(street, process, OPENAI_MODEL_ACME="small") as its_town:
        paid: list[Usage] = []
        if isinstance(ends, str):
            assert (await asked(its_town.models.of("acme"), paid)).model == ends
            assert {usage.model for usage in paid} == {"spare"}
            said = stream.getvalue()
            assert said.count("Fallback used: fallback model at 127.0.0.1 answers in place of model small at") == 1
            assert said.count("OpenAI API error: 503 Service Unavailable") == 1
        else:
            with pytest.raises(ends):
                await asked(its_town.models.of("acme"))
    assert [came[0] for came in street.came] == houses


async def test_while_the_breaker_is_open_the_fallback_answers_and_the_first_is_left_alone(
    street: Street, start_log: StartLog
) -> None:
    """One line tells of it, however many jobs it is."""
    stream = start_log()
    street.says["process"] = 503
    process = FALLBACK | {"openai_fallback_base_url": at(street, "fallback")}
    async with town(street, process) as its_town:
        for _ in range(7):
            assert (await its_town.ask("globex")).model == "spare in fallback"
        assert [came[0] for came in street.came].count("process") == 5
        assert stream.getvalue().count("Fallback used") == 1
        assert stream.getvalue().count("OpenAI API error: 503") == 5
        street.says["fallback"] = 503
        for _ in range(5):
            with pytest.raises(HeldBack, match="model unavailable"):
                await asked(its_town.models.of("globex"))
        with pytest.raises(HeldBack, match="model unavailable"):
            its_town.models.of("globex").check()
    assert {came[1:] for came in street.came if came[0] == "fallback"} == {("of-fallback", "spare")}


@pytest.mark.parametrize("own", [OWN, OWN | {"OPENAI_BASE_URL_ACME": "/acme/v1"}], ids=["key", "address"])
async def test_a_tenant_with_a_key_or_an_address_of_its_own_has_no_fallback(
    own: dict[str, str], street: Street
) -> None:
    own = {name: street.url + value if value.startswith("/") else value for name, value in own.items()}
    street.says |= {"process": 503, "acme": 503}
    process = FALLBACK | {"openai_fallback_base_url": at(street, "fallback")}
    async with town(street, process, **own) as its_town:
        with pytest.raises(ModelUnavailable):
            await its_town.ask()
    assert [came[0] for came in street.came] == ["acme" if "OPENAI_BASE_URL_ACME" in own else "process"]


async def test_past_the_limit_of_the_day_nothing_is_asked_until_it_is_raised(
    street: Street, start_log: StartLog
) -> None:
    """By what all processes have spent: another one has paid for most of it."""
    stream = start_log()
    async with town(street, OPENAI_DAILY_TOKENS_ACME="1000") as its_town:
        await its_town.ask()
        its_town.book.elsewhere = Spent(850)
        await its_town.ask()
        for _ in range(2):
            with pytest.raises(HeldBack, match=spending.SPENDING_LIMIT):
                await its_town.ask()
        assert dict(sample_of("acme")) == {"acme": 1.05}
        its_town.change(OPENAI_DAILY_TOKENS_ACME="2000", OPENAI_DAILY_DOLLARS_ACME="2.50")
        await its_town.ask()
        its_town.change(OPENAI_DAILY_DOLLARS_ACME="1.50")
        with pytest.raises(HeldBack, match=spending.SPENDING_LIMIT):
            await its_town.ask()
    line = "Spending limit of today reached: tenant_id=acme, tokens=1050, dollars=1.00"
    assert stream.getvalue().count(line) == 1
    assert stream.getvalue().count("Spending limit of today reached") == 2
    assert len(street.came) == 3


def sample_of(tenant_id: str) -> list[tuple[str, float]]:
    (family,) = metrics.SPENDING_USED.collect()
    return [(s.labels["tenant_id"], s.value) for s in family.samples if s.labels["tenant_id"] == tenant_id]


@pytest.mark.parametrize(
    ("before_midnight", "seconds"), [(timedelta(hours=20), 3600), (timedelta(minutes=5), 301), (timedelta(0), 3600)]
)
def test_a_hold_lasts_until_the_day_is_over_and_an_hour_at_most(before_midnight: timedelta, seconds: int) -> None:
    clock, values = Clock(), ACME | {"OPENAI_DAILY_TOKENS_ACME": "10"}
    moment = datetime(2026, 3, 2, tzinfo=UTC) - before_midnight
    tenants = TenantDirectory(lambda: values, monotonic=clock)
    limits = spending.SpendingLimits(tenants, BookInMemory(here=Spent(10)), lambda: moment)
    with pytest.raises(HeldBack) as held:
        limits.check("acme")
    assert (held.value.seconds, held.value.extends_deadline) == (seconds, True)


async def test_a_limit_that_can_not_be_held_is_told_once(start_log: StartLog) -> None:
    """OpenAI tells no cost, and some local servers no tokens."""
    stream = start_log()
    values = ACME | {"OPENAI_DAILY_DOLLARS_ACME": "1"}
    limits = spending.SpendingLimits(TenantDirectory(lambda: values), BookInMemory())
    for _ in range(2):
        limits.paid("acme", Usage(5, 5))
    told = "Spending limit without effect: tenant_id=acme, the model does not tell its dollars"
    assert stream.getvalue().count(told) == 1
