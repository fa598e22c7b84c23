"""A model's service that is down: found once for all jobs, then tried after 15 s."""

import asyncio

import pytest

from integrations.errors import HeldBack, ModelUnavailable
from integrations.resilience import Breaker
from tests.kit.model import PROMPT, opened
from tests.kit.simulators import Simulator
from workflow.enhancement import Enhancement


async def test_a_service_that_fails_is_not_asked_until_its_rest_is_over(model: Simulator) -> None:
    model.order(kind="status", code=503, times=5)
    async with opened(model.url, breaker=Breaker("model", "model unavailable", rest_seconds=0.3)) as gpt4:
        for _ in range(5):
            gpt4.check()
            with pytest.raises(ModelUnavailable):
                await gpt4.ask(PROMPT, Enhancement)
        with pytest.raises(HeldBack, match="model unavailable"):
            gpt4.check()
        with pytest.raises(HeldBack, match="model unavailable"):
            await gpt4.ask(PROMPT, Enhancement)
        assert len(model.requests(operation="chat")) == 5
        await asyncio.sleep(0.35)
        assert (await gpt4.ask(PROMPT, Enhancement)).status == 200
        gpt4.check()
