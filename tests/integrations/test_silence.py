"""Limits for silence within an answer, on both kinds of event loop."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from integrations.model.streaming import Silence

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


@LOOPS
def test_it_ends_when_nothing_was_heard_for_so_long_and_not_before(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> None:
        silence = Silence(0.5)
        heard_at: list[float] = []

        async def fall_silent() -> None:
            async with silence:
                for _ in range(4):
                    await asyncio.sleep(0.2)
                    silence.heard()
                    heard_at.append(asyncio.get_running_loop().time())
                await asyncio.sleep(5)

        with pytest.raises(TimeoutError):
            await fall_silent()
        assert silence.expired()
        assert 0.49 < asyncio.get_running_loop().time() - heard_at[-1] < 2
        assert silence.first_heard_at == pytest.approx(heard_at[0], abs=0.01)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


@LOOPS
def test_what_ends_in_time_is_left_alone(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def scenario() -> None:
        silence = Silence(0.05)
        async with silence:
            pass
        await asyncio.sleep(0.1)
        assert not silence.expired()
        assert silence.first_heard_at is None

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


@LOOPS
def test_one_whose_end_has_come_before_its_block_begins_ends_it_in_the_same_way(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """A limit below the clock's resolution, which the settings allow, or a busy loop."""

    async def scenario() -> None:
        silence = Silence(0.01)
        await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            async with silence:
                await asyncio.sleep(5)
        assert silence.expired()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())
