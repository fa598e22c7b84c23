"""Model selection per tenant, with its address and key."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from config.secret_files import UNREADABLE
from integrations.errors import HeldBack, ModelTimeout, ModelUnavailable
from integrations.resilience import HoldReason
from tests.config.given import ACME
from tests.integrations.street import OWN, Street, asked, at, town
from tests.kit.desk import line_of

BASE_URL = "acme.openai.base_url"


@pytest.mark.parametrize(
    ("own", "came"),
    [
        ({}, ("process", "of-process", "gpt-6-luna")),
        ({"acme.openai.model": "small"}, ("process", "of-process", "small")),
        (OWN, ("process", "of-acme", "gpt-6-luna")),
        (OWN | {"acme.openai.base_url": "/acme/v1", "acme.openai.model": "m"}, ("acme", "of-acme", "m")),
    ],
    ids=["nothing of its own", "a model", "a key", "all"],
)
async def test_a_tenant_is_asked_for_where_its_settings_say(
    own: dict[str, str], came: tuple[str, str, str], street: Street
) -> None:
    """No key goes to another's address."""
    own = {name: street.url + value if value.startswith("/") else value for name, value in own.items()}
    async with town(street, **own) as its_town:
        answer = await its_town.ask()
        await its_town.ask("globex")
        model = its_town.models.of("acme")
        assert (model.name, model.base_url) == (came[2], at(street, came[0]))
    assert answer.model == f"{came[2]} in {came[0]}"
    assert street.came == [came, ("process", "of-process", "gpt-6-luna")]


async def test_a_changed_key_counts_for_the_next_call_and_disturbs_none_that_runs(street: Street) -> None:
    """Its client is closed after the last running call."""
    async with town(street, **OWN | {BASE_URL: at(street, "acme")}) as its_town:
        street.says["acme"] = "wait"
        model = its_town.models.of("acme")
        with its_town.models.call(its_town.models.first("acme")) as before:
            pass
        running = asyncio.create_task(asked(model))
        while not street.came:  # noqa: ASYNC110 -- another thread's memory
            await asyncio.sleep(0.01)
        its_town.change(**{"OPENAI_API_KEY_ACME": "rotated", BASE_URL: at(street, "new")})
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
        with pytest.raises(HeldBack, match="tenant closed"):
            model.check()
        with pytest.raises(HeldBack, match="tenant closed"):
            await asked(model)
    assert street.came == []


async def test_a_process_key_that_is_rotated_lifts_the_hold_on_the_old_one(street: Street) -> None:
    """Rotating a refused key must not need a restart of the workers."""
    street.says["process"] = 401
    async with town(street, OPENAI_API_KEY="refused") as its_town:
        for _ in range(2):
            with pytest.raises(HeldBack, match="model key refused"):
                await its_town.ask()
        street.says.clear()
        its_town.change(OPENAI_API_KEY="rotated")
        for tenant_id in ("acme", "globex"):
            assert (await its_town.ask(tenant_id)).status == 200
    held = REGISTRY.get_sample_value(
        "ai_agents_model_held", {"server": "model at 127.0.0.1", "reason": "model key refused"}
    )
    assert held == 0
    assert [came[1] for came in street.came] == ["refused", "rotated", "rotated"]


@pytest.mark.parametrize("changed", ["", "sk-\u2013", "two\nlines", UNREADABLE], ids=["gone", "odd", "lines", "bytes"])
async def test_a_process_key_that_is_gone_or_can_not_be_sent_is_sent_nowhere(changed: str, street: Street) -> None:
    """The first model's key must not go to the fallback's address."""
    process = {"openai_fallback_model": "spare", "openai_fallback_api_key": "of-fallback"}
    process |= {"openai_fallback_base_url": at(street, "fallback")}
    keys = {"OPENAI_API_KEY": "of-process", "OPENAI_FALLBACK_API_KEY": "of-fallback"}
    async with town(street, process, **OWN, **keys) as its_town:
        its_town.change(OPENAI_FALLBACK_API_KEY=changed)
        street.says["process"] = 401
        with pytest.raises(HeldBack, match="model key refused"):
            await its_town.ask("globex")
        its_town.change(OPENAI_API_KEY=changed)
        with pytest.raises(HeldBack, match="model key refused") as held:
            await its_town.ask("globex")
        assert held.value.extends_deadline
        street.says.clear()
        assert (await its_town.ask()).status == 200
    assert [came[1] for came in street.came] == ["of-process", "of-acme"]


async def test_a_tenants_model_that_is_down_holds_its_jobs_only(street: Street) -> None:
    street.says["acme"] = 503
    async with town(street, **OWN | {BASE_URL: at(street, "acme")}) as its_town:
        for _ in range(5):
            with pytest.raises(ModelUnavailable):
                await its_town.ask()
        with pytest.raises(HeldBack, match="model unavailable"):
            await its_town.ask()
        assert (await its_town.ask("globex")).status == 200
        its_town.change(**{"OPENAI_API_KEY_ACME": "rotated", BASE_URL: at(street, "new")})
        assert (await its_town.ask()).status == 200


async def test_a_model_that_is_gone_is_shown_no_more_and_one_with_another_key_is(street: Street) -> None:
    """A new key keeps the old name; the metric shows the new state."""

    def shown() -> list[float | None]:
        server = {"server": "model of acme"}
        held = server | {"reason": HoldReason.KEY_REFUSED.value}
        gauges = [("ai_agents_breaker_open", server), ("ai_agents_model_held", held)]
        return [REGISTRY.get_sample_value(name, labels) for name, labels in gauges]

    street.says["acme"] = 401
    async with town(street, **OWN | {BASE_URL: at(street, "acme")}) as its_town:
        with pytest.raises(HeldBack, match="model key refused"):
            await its_town.ask()
        assert shown() == [0, 1]
        street.says.clear()
        its_town.change(OPENAI_API_KEY_ACME="rotated")
        await its_town.ask()
        assert shown() == [0, 0]
        its_town.change(**{"OPENAI_API_KEY_ACME": "", BASE_URL: ""})
        await its_town.ask("globex")
        assert shown() == [None, None]


async def test_the_first_word_is_waited_for_as_long_as_the_settings_say(street: Street) -> None:
    """A local server on a CPU may need longer than the default."""
    street.says["process"] = "wait"
    async with town(street, {"openai_timeout_seconds": 0.3}) as its_town:
        with pytest.raises(ModelTimeout) as failed:
            await its_town.ask()
    street.says.clear()
    assert line_of(failed.value) == "GPT-4 API call failed: timeout after 0.3s"


async def test_an_endpoint_that_was_chosen_before_a_change_is_closed_after_its_call(street: Street) -> None:
    async with town(street, **OWN) as its_town:
        chosen = its_town.models.first("acme")
        its_town.change(OPENAI_API_KEY_ACME="rotated")
        await its_town.ask()
        assert len(its_town.models.clients) == 1
        with its_town.models.call(chosen):
            assert len(its_town.models.clients) == 2
        assert len(its_town.models.clients) == 1
