"""The fallback model, if the first one cannot answer."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from integrations.errors import HeldBack, ModelRefused, ModelTimeout, ModelUnavailable
from integrations.values import Unanswered, Usage
from tests.integrations.street import OWN, Street, asked, at, town
from tests.kit.logs import StartLog

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
    async with town(street, process, **{"acme.openai.model": "small"}) as its_town:
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


async def test_who_got_the_question_in_vain_is_told_with_why(street: Street) -> None:
    street.says |= {"process": 503, "fallback": {"message": {"content": "", "refusal": "No."}}}
    process = FALLBACK | {"openai_fallback_base_url": at(street, "fallback").replace("127.0.0.1", "localhost")}
    told: list[Unanswered] = []
    async with town(street, process, **{"acme.openai.model": "small"}) as its_town:
        with pytest.raises(ModelRefused):
            await asked(its_town.models.of("acme"), in_vain=told)
        street.says.pop("fallback")
        await asked(its_town.models.of("acme"), in_vain=told)
    down = ("127.0.0.1", "small", "OpenAI API: 503 Service Unavailable", 0)
    refused = ("localhost", "spare", "OpenAI API: invalid answer", 70)
    assert [(each.host, each.model, each.reason, each.usage.input_tokens) for each in told] == [down, refused, down]


async def test_while_the_breaker_is_open_the_fallback_answers_and_the_first_is_left_alone(
    street: Street, start_log: StartLog
) -> None:
    """One line, however many jobs there are."""
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


async def test_where_the_first_is_held_the_fallback_answers_at_once(street: Street, start_log: StartLog) -> None:
    """The first model is not called for it again."""
    stream = start_log()
    street.says["process"] = 402
    async with town(street, FALLBACK | {"openai_fallback_base_url": at(street, "fallback")}) as its_town:
        for _ in range(2):
            assert (await its_town.ask("globex")).model == "spare in fallback"
            its_town.models.of("globex").check()
    assert [came[0] for came in street.came] == ["process", "fallback", "fallback"]
    assert stream.getvalue().count("OpenAI API error: 402 Payment Required") == 1
    assert stream.getvalue().count("Hold error: model at 127.0.0.1: model out of credit") == 1


async def test_where_the_firsts_key_is_gone_the_fallback_answers_by_its_own(
    street: Street, start_log: StartLog
) -> None:
    """It is held like a refused key, and continues with the next key."""
    stream = start_log()
    process = FALLBACK | {"openai_fallback_base_url": at(street, "fallback")}
    async with town(street, process, OPENAI_API_KEY="of-process", OPENAI_FALLBACK_API_KEY="of-fallback") as its_town:
        await its_town.ask()
        its_town.change(OPENAI_API_KEY="")
        for _ in range(2):
            assert (await its_town.ask()).model == "spare in fallback"
        held = {"server": "model at 127.0.0.1", "reason": "model key refused"}
        assert REGISTRY.get_sample_value("ai_agents_model_held", held) == 1
        its_town.change(OPENAI_API_KEY="another")
        await its_town.ask()
        assert REGISTRY.get_sample_value("ai_agents_model_held", held) == 0
    assert [came[1] for came in street.came] == ["of-process", "of-fallback", "of-fallback", "another"]
    assert stream.getvalue().count("OpenAI API error: no key") == stream.getvalue().count("Hold error: ") == 1


@pytest.mark.parametrize("own", [OWN, OWN | {"acme.openai.base_url": "/acme/v1"}], ids=["key", "address"])
async def test_a_tenant_with_a_key_or_an_address_of_its_own_has_no_fallback(
    own: dict[str, str], street: Street
) -> None:
    own = {name: street.url + value if value.startswith("/") else value for name, value in own.items()}
    street.says |= {"process": 503, "acme": 503}
    process = FALLBACK | {"openai_fallback_base_url": at(street, "fallback")}
    async with town(street, process, **own) as its_town:
        with pytest.raises(ModelUnavailable):
            await its_town.ask()
    assert [came[0] for came in street.came] == ["acme" if "acme.openai.base_url" in own else "process"]


async def test_a_tenant_that_gets_its_own_while_one_waits_has_no_fallback_any_more(
    street: Street,
) -> None:
    """Each call obeys the settings of its own time."""
    elsewhere = {"openai_fallback_base_url": at(street, "fb"), "openai_fallback_api_key": "of-fb"}
    process = {"openai_fallback_model": "fb", "openai_timeout_seconds": 0.3, **elsewhere}
    street.says["process"] = "wait"
    async with town(street, process) as its_town:
        running = asyncio.create_task(asked(its_town.models.of("acme")))
        while not street.came:  # noqa: ASYNC110 -- another thread's memory
            await asyncio.sleep(0.01)
        its_town.change(**OWN | {"acme.openai.base_url": at(street, "acme")})
        with pytest.raises(ModelTimeout):
            await running
    street.says.clear()
    assert [house for house, _, _ in street.came] == ["process"]
