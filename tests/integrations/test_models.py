"""A tenant's model: its address and key, the fallback, and the daily budget."""

import asyncio
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from config.secret_files import UNREADABLE
from config.tenant_directory import TenantDirectory
from integrations.errors import DeferredError, ModelRefusedError, ModelTimeoutError, ModelUnavailableError
from integrations.llm import spending
from integrations.llm.spending import Spent
from integrations.resilience import HoldReason
from integrations.values import Unanswered, Usage
from tests.config.given import ACME
from tests.integrations.street import OWN, BookInMemory, Street, asked, at, town
from tests.kit.clock import Clock
from tests.kit.desk import line_of
from tests.kit.tenants_toml import given

BASE_URL = "acme.openai.base_url"
KEY_REFUSED = {"server": "model at 127.0.0.1", "reason": HoldReason.KEY_REFUSED.value}


def fallback(street: Street) -> dict[str, str]:
    """Return the process's settings for a fallback, house `fallback`."""
    named = {"openai_fallback_model": "spare", "openai_fallback_api_key": "of-fallback"}
    return named | {"openai_fallback_base_url": at(street, "fallback")}


def sample(name: str, labels: dict[str, str]) -> float | None:
    return REGISTRY.get_sample_value(f"ai_agents_{name}", labels)


async def came_to(street: Street) -> None:
    async with asyncio.timeout(20):
        while not street.came:  # noqa: ASYNC110 -- another thread's memory
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("own", "came"),
    [
        ({}, ("process", "of-process", "gpt-6-luna")),
        ({"acme.openai.model": "small"}, ("process", "of-process", "small")),
        (OWN, ("process", "of-acme", "gpt-6-luna")),
        (OWN | {BASE_URL: "/acme/v1", "acme.openai.model": "m"}, ("acme", "of-acme", "m")),
    ],
    ids=["nothing of its own", "a model", "a key", "all"],
)
async def test_settings_select_the_model_of_a_tenant(own: Any, came: Any, street: Street) -> None:
    own = {name: street.url + value if value.startswith("/") else value for name, value in own.items()}
    async with town(street, fallback(street), **own) as its_town:
        answer = await its_town.ask()
        await its_town.ask("globex")
        model = its_town.models.of("acme")
        assert (model.name, model.base_url) == (came[2], at(street, came[0]))
        assert answer.model == f"{came[2]} in {came[0]}"
        assert street.came == [came, ("process", "of-process", "gpt-6-luna")]
        street.says |= {"process": 503, "acme": 503}
        if "OPENAI_API_KEY_ACME" in own:
            with pytest.raises(ModelUnavailableError):
                await its_town.ask()
        else:
            assert (await its_town.ask()).model == "spare in fallback"


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ({}, "checker"),
        ({"acme.openai.check_model": "own"}, "own"),
        (OWN, "gpt-6-luna"),
        (OWN | {"acme.openai.check_model": "own"}, "own"),
    ],
)
async def test_a_check_may_have_a_model_of_its_own(own: Any, name: str, street: Street) -> None:
    async with town(street, {"openai_check_model": "checker"}, **own) as its_town:
        model = its_town.models.of("acme")
        paid: list[Usage] = []
        await asked(model, paid, is_check=True)
        await asked(model, paid)
    key = "of-acme" if own.keys() & OWN.keys() else "of-process"
    assert (model.check_name, [each.model for each in paid]) == (name, [name, "gpt-6-luna"])
    assert street.came == [("process", key, name), ("process", key, "gpt-6-luna")]


async def test_without_a_right_to_its_model_a_check_is_held_and_no_answer(street: Street) -> None:
    street.says["process"] = 401
    async with town(street, **{"acme.openai.check_model": "own"}) as its_town:
        model = its_town.models.of("acme")
        for _ in range(2):
            with pytest.raises(DeferredError):
                await asked(model, is_check=True)
        street.says.clear()
        assert (await its_town.ask()).model == "gpt-6-luna in process"
    assert [name for *_, name in street.came] == ["own", "gpt-6-luna"]


async def test_a_changed_key_counts_for_the_next_call_and_keeps_running_calls(street: Street) -> None:
    async with town(street, **OWN | {BASE_URL: at(street, "acme")}) as its_town:
        street.says["acme"] = "wait"
        model = its_town.models.of("acme")
        before = its_town.models.client(its_town.models.first("acme"))
        running = asyncio.create_task(asked(model))
        await came_to(street)
        its_town.change(**{"OPENAI_API_KEY_ACME": "rotated", BASE_URL: at(street, "new")})
        await asked(model)
        assert not before._client.is_closed()
        street.says.clear()
        assert (await running).model == "gpt-6-luna in acme"
        assert before._client.is_closed()
    assert [came[:2] for came in street.came] == [("acme", "of-acme"), ("new", "rotated")]


@pytest.mark.parametrize(
    "gone", ["its key is withdrawn", "a key without an address is", "no key is left", "the tenant has left"]
)
async def test_a_tenant_whose_key_is_removed_calls_no_model(gone: str, street: Street) -> None:
    """Its texts may be meant for that model only; running attempts are refused too."""
    process = {"openai_api_key": ""} if gone == "no key is left" else {}
    async with town(street, process, **OWN | {BASE_URL: at(street, "acme")}) as its_town:
        model = its_town.models.of("acme")
        if gone == "its key is withdrawn":
            its_town.change(OPENAI_API_KEY_ACME="")
        elif gone == "a key without an address is":
            its_town.change(**{BASE_URL: ""})
            assert model.base_url == at(street, "process")
            its_town.change(**{"OPENAI_API_KEY_ACME": "", "acme.openai.daily_tokens": "many"})
        elif gone == "no key is left":
            its_town.change(**{"OPENAI_API_KEY_ACME": "", BASE_URL: ""})
        else:
            its_town.change(**dict.fromkeys((*ACME, *OWN, BASE_URL), ""))
        with pytest.raises(DeferredError, match="tenant closed"):
            model.check()
        with pytest.raises(DeferredError, match="tenant closed"):
            await asked(model)
    assert street.came == []


async def test_a_rotated_process_key_ends_the_hold(street: Street) -> None:
    """Rotating a refused key must not need a restart of the workers."""
    street.says["process"] = 401
    async with town(street, OPENAI_API_KEY="refused") as its_town:
        for _ in range(2):
            with pytest.raises(DeferredError, match="model key refused"):
                await its_town.ask()
        street.says.clear()
        its_town.change(OPENAI_API_KEY="rotated")
        for tenant_id in ("acme", "globex"):
            assert (await its_town.ask(tenant_id)).status == 200
    assert sample("model_held", KEY_REFUSED) == 0
    assert [came[1] for came in street.came] == ["refused", "rotated", "rotated"]


@pytest.mark.parametrize("changed", ["", "sk-\u2013", "two\nlines", UNREADABLE], ids=["gone", "odd", "lines", "bytes"])
async def test_a_removed_or_invalid_process_key_is_not_sent(changed: str, street: Street) -> None:
    """The first model's key must not go to the fallback's address."""
    keys = {"OPENAI_API_KEY": "of-process", "OPENAI_FALLBACK_API_KEY": "of-fallback"}
    async with town(street, fallback(street), **OWN, **keys) as its_town:
        its_town.change(OPENAI_FALLBACK_API_KEY=changed)
        street.says["process"] = 401
        with pytest.raises(DeferredError, match="model key refused"):
            await its_town.ask("globex")
        its_town.change(OPENAI_API_KEY=changed)
        with pytest.raises(DeferredError, match="model key refused") as held:
            await its_town.ask("globex")
        assert held.value.extends_deadline
        street.says.clear()
        assert (await its_town.ask()).status == 200
    assert [came[1] for came in street.came] == ["of-process", "of-acme"]


async def test_a_tenants_model_that_is_down_holds_its_jobs_only(street: Street) -> None:
    street.says["acme"] = 503
    async with town(street, **OWN | {BASE_URL: at(street, "acme")}) as its_town:
        for _ in range(5):
            with pytest.raises(ModelUnavailableError):
                await its_town.ask()
        with pytest.raises(DeferredError, match="model unavailable"):
            await its_town.ask()
        assert (await its_town.ask("globex")).status == 200
        its_town.change(**{"OPENAI_API_KEY_ACME": "rotated", BASE_URL: at(street, "new")})
        assert (await its_town.ask()).status == 200


async def test_a_removed_model_loses_its_metric_and_a_new_key_updates_it(street: Street) -> None:

    def shown() -> list[float | None]:
        server = {"server": "model of acme"}
        return [sample("breaker_open", server), sample("model_held", KEY_REFUSED | server)]

    street.says["acme"] = 401
    async with town(street, **OWN | {BASE_URL: at(street, "acme")}) as its_town:
        with pytest.raises(DeferredError, match="model key refused"):
            await its_town.ask()
        assert shown() == [0, 1]
        street.says.clear()
        its_town.change(OPENAI_API_KEY_ACME="rotated")
        await its_town.ask()
        assert shown() == [0, 0]
        its_town.change(**{"OPENAI_API_KEY_ACME": "", BASE_URL: ""})
        await its_town.ask("globex")
        assert shown() == [None, None]


@pytest.mark.parametrize(
    ("first", "second", "ends", "houses"),
    [
        (503, {}, "spare in fallback", ["process", "fallback"]),
        (429, {}, ModelUnavailableError, ["process"]),
        (400, {}, ModelRefusedError, ["process"]),
        ({"message": {"content": "", "refusal": "No."}}, {}, ModelRefusedError, ["process"]),
        (503, 503, ModelUnavailableError, ["process", "fallback"]),
        (503, 400, ModelUnavailableError, ["process", "fallback"]),
        (503, {"message": {"content": "", "refusal": "No."}}, ModelRefusedError, ["process", "fallback"]),
    ],
    ids=["down", "too fast", "refused", "content refused", "both down", "fallback set up wrongly", "fallback refuses"],
)
async def test_the_first_model_decides_about_the_fallback(
    first: Any, second: Any, ends: Any, houses: list[str], street: Street, log: io.StringIO
) -> None:
    street.says |= {"process": first, "fallback": second}
    async with town(street, fallback(street), **{"acme.openai.model": "small"}) as its_town:
        paid: list[Usage] = []
        if isinstance(ends, str):
            assert (await asked(its_town.models.of("acme"), paid)).model == ends
            assert {usage.model for usage in paid} == {"spare"}
            text = log.getvalue()
            assert text.count("Fallback used: fallback model at 127.0.0.1 answers in place of model small at") == 1
            assert text.count("OpenAI API error: 503 Service Unavailable") == 1
        else:
            with pytest.raises(ends):
                await asked(its_town.models.of("acme"))
    assert [came[0] for came in street.came] == houses


async def test_who_got_the_question_in_vain_is_told_with_why(street: Street) -> None:
    street.says |= {"process": 503, "fallback": {"message": {"content": "", "refusal": "No."}}}
    process = {name: value.replace("127.0.0.1", "localhost") for name, value in fallback(street).items()}
    failed: list[Unanswered] = []
    async with town(street, process, **{"acme.openai.model": "small"}) as its_town:
        with pytest.raises(ModelRefusedError):
            await asked(its_town.models.of("acme"), in_vain=failed)
        street.says.pop("fallback")
        await asked(its_town.models.of("acme"), in_vain=failed)
    down = ("127.0.0.1", "small", "OpenAI API: 503 Service Unavailable", 0)
    refused = ("localhost", "spare", "OpenAI API: invalid answer", 70)
    assert [(each.host, each.model, each.reason, each.usage.input_tokens) for each in failed] == [down, refused, down]


async def test_an_open_breaker_sends_all_calls_to_the_fallback(street: Street, log: io.StringIO) -> None:
    street.says["process"] = 503
    async with town(street, fallback(street)) as its_town:
        for _ in range(7):
            assert (await its_town.ask("globex")).model == "spare in fallback"
        assert [came[0] for came in street.came].count("process") == 5
        assert log.getvalue().count("Fallback used") == 1
        assert log.getvalue().count("OpenAI API error: 503") == 5
        street.says["fallback"] = 503
        for _ in range(5):
            with pytest.raises(DeferredError, match="model unavailable"):
                await asked(its_town.models.of("globex"))
        with pytest.raises(DeferredError, match="model unavailable"):
            its_town.models.of("globex").check()
    assert {came[1:] for came in street.came if came[0] == "fallback"} == {("of-fallback", "spare")}


async def test_the_fallback_answers_at_once_while_the_first_model_is_held(street: Street, log: io.StringIO) -> None:
    street.says["process"] = 402
    async with town(street, fallback(street)) as its_town:
        for _ in range(2):
            assert (await its_town.ask("globex")).model == "spare in fallback"
            its_town.models.of("globex").check()
    assert [came[0] for came in street.came] == ["process", "fallback", "fallback"]
    assert log.getvalue().count("OpenAI API error: 402 Payment Required") == 1
    assert log.getvalue().count("Hold error: model at 127.0.0.1: model out of credit") == 1


async def test_without_the_first_models_key_the_fallback_answers(street: Street, log: io.StringIO) -> None:
    async with town(
        street, fallback(street), OPENAI_API_KEY="of-process", OPENAI_FALLBACK_API_KEY="of-fallback"
    ) as its_town:
        await its_town.ask()
        its_town.change(OPENAI_API_KEY="")
        for _ in range(2):
            assert (await its_town.ask()).model == "spare in fallback"
        assert sample("model_held", KEY_REFUSED) == 1
        its_town.change(OPENAI_API_KEY="another")
        await its_town.ask()
        assert sample("model_held", KEY_REFUSED) == 0
    assert [came[1] for came in street.came] == ["of-process", "of-fallback", "of-fallback", "another"]
    assert log.getvalue().count("OpenAI API error: no key") == log.getvalue().count("Hold error: ") == 1


async def test_a_tenant_with_its_own_model_has_no_fallback(street: Street) -> None:
    street.says["process"] = "wait"
    async with town(street, {**fallback(street), "openai_timeout_seconds": 0.3}) as its_town:
        running = asyncio.create_task(asked(its_town.models.of("acme")))
        await came_to(street)
        its_town.change(**OWN | {"acme.openai.base_url": at(street, "acme")})
        with pytest.raises(ModelTimeoutError) as failed:
            await running
    street.says.clear()
    # As long as the settings say: a local server on a CPU may need longer than the default.
    assert line_of(failed.value) == "GPT-4 API call failed: timeout after 0.3s"
    assert [house for house, _, _ in street.came] == ["process"]


async def test_past_the_daily_limit_no_model_is_called(street: Street, log: io.StringIO) -> None:
    async with town(street, **{"acme.openai.daily_tokens": 1000}) as its_town:
        await its_town.ask()
        its_town.book.elsewhere = Spent(850)
        await its_town.ask()
        for _ in range(2):
            with pytest.raises(DeferredError, match=spending.SPENDING_LIMIT):
                await its_town.ask()
        assert sample("spending_used_ratio", {"tenant_id": "acme"}) == 1.05
        its_town.change(**{"acme.openai.daily_tokens": 2000, "acme.openai.daily_dollars": 2.5})
        await its_town.ask()
        its_town.change(**{"acme.openai.daily_dollars": 1.5})
        with pytest.raises(DeferredError, match=spending.SPENDING_LIMIT):
            await its_town.ask()
    line = "Spending limit of today reached: tenant_id=acme, tokens=1050, dollars=1.00"
    assert log.getvalue().count(line) == 1
    assert log.getvalue().count("Spending limit of today reached") == 2
    assert len(street.came) == 3


@pytest.mark.parametrize(
    ("before_midnight", "seconds"), [(timedelta(hours=20), 3600), (timedelta(minutes=5), 301), (timedelta(0), 3600)]
)
def test_a_hold_lasts_until_the_day_is_over_and_an_hour_at_most(before_midnight: timedelta, seconds: int) -> None:
    clock, values = Clock(), given({**ACME, "acme.openai.daily_tokens": 10})
    moment = datetime(2026, 3, 2, tzinfo=UTC) - before_midnight
    tenants = TenantDirectory(lambda: values, monotonic=clock)
    limits = spending.SpendingLimits(tenants, BookInMemory(here=Spent(10)), lambda: moment)
    with pytest.raises(DeferredError) as held:
        limits.check("acme")
    assert (held.value.seconds, held.value.extends_deadline) == (seconds, True)


async def test_a_limit_without_usage_data_is_logged_once(log: io.StringIO) -> None:
    """OpenAI reports no cost, and some local servers no tokens. An estimate is not called untold."""
    book = BookInMemory()
    values = given({**ACME, "acme.openai.daily_dollars": 1})
    limits = spending.SpendingLimits(TenantDirectory(lambda: values), book)
    limits.paid("acme", Usage(70, 30, estimated=True))
    limits.paid("acme", Usage(70, 30, 0.5))
    # Its dollars are those of the last complete call.
    limits.paid("acme", Usage(70, 30, estimated=True))
    assert book.here == Spent(300, 1.0)
    with pytest.raises(DeferredError, match=spending.SPENDING_LIMIT):
        limits.check("acme")
    assert "without effect" not in log.getvalue()
    for _ in range(2):
        limits.paid("acme", Usage(5, 5))
    told = "Spending limit without effect: tenant_id=acme, the model does not report its dollars"
    assert log.getvalue().count(told) == 1
