"""One scenario after the other, and the table of what came of them."""

import time
from collections.abc import Iterable, Iterator, Sequence

from tests.chaos.count import Count, await_ends, count
from tests.chaos.scenarios import Scenario
from tests.chaos.stage import Stage
from tests.chaos.stream import Stream

_RATE = 5.0
_BEFORE_SECONDS = _AFTER_SECONDS = 0.8
_DRAIN_SECONDS = 90.0


def run(stage: Stage, scenarios: Iterable[Scenario]) -> Iterator[Count]:
    """Let each happen under a stream of webhooks, wait until all jobs have ended, and count."""
    for scenario in scenarios:
        began = time.monotonic()
        stream = Stream(stage.world, _RATE)
        stream.start()
        try:
            time.sleep(_BEFORE_SECONDS)
            scenario.happen(stage)
            time.sleep(_AFTER_SECONDS)
        finally:
            stage.world.clear_faults()
            stream.stop()
        rows = await_ends(stage, stream.accepted, _DRAIN_SECONDS)
        seconds = time.monotonic() - began
        yield count(stage, scenario.name, stream.accepted, stream.refused, rows, seconds)


def header() -> list[str]:
    """The head of a table in Markdown."""
    return [
        "| fault | accepted | lost | doubled notes | GPT-4 paid twice | cut off by the fault | seconds |",
        "|---|---|---|---|---|---|---|",
    ]


def line(result: Count) -> str:
    """A row of it."""
    cells = (result.accepted, result.lost, result.doubled, result.paid_twice, result.cut_off, f"{result.seconds:.0f}")
    return f"| {result.fault} | {' | '.join(map(str, cells))} |"


def verdict(results: Sequence[Count]) -> str:
    """The sentence below it."""
    accepted = sum(result.accepted for result in results)
    broken = [result.fault for result in results if not result.holds]
    if broken:
        return f"Not kept for: {', '.join(broken)}."
    return f"{accepted} webhooks accepted: none lost, no note doubled, no answer paid for twice."
