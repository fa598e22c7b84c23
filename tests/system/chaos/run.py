"""Scenarios in sequence, and the table of their results."""

import time
from collections.abc import Iterable, Iterator, Sequence

import redis

from tests.system.chaos.count import DRAIN_SECONDS, Count, await_ends, count, is_held, job_ids_of
from tests.system.chaos.scenarios import Scenario
from tests.system.chaos.stage import NOTE_SETTLE_SECONDS, Stage, too_many
from tests.system.chaos.stream import AcceptedWebhook, Stream

_RATE = 5.0
_BEFORE_SECONDS = _AFTER_SECONDS = 0.8
_POLL_SECONDS = 0.2
AGAIN = "all of them, counted again at the end"


def run(stage: Stage, scenarios: Iterable[Scenario]) -> Iterator[Count]:
    """Run each scenario under a stream of webhooks, await its jobs, and count.

    Everything is counted again at the end. A job whose message was lost with a worker is missed after a minute, so
    it is awaited during the next scenarios.
    """
    streams: list[Stream] = []
    uncounted: list[Stream] = []
    for scenario in scenarios:
        uncounted.append(_happen(stage, scenario))
        streams.append(uncounted[-1])
        rows = await_ends(stage, _accepted(uncounted), but_held=True)
        held = {job_id for job_id, row in rows.items() if is_held(row)}
        over = [stream for stream in uncounted if not held & job_ids_of(stream.accepted)]
        uncounted = [stream for stream in uncounted if stream not in over]
        yield from (_counted(stage, stream) for stream in over)
    yield from (_counted(stage, stream) for stream in uncounted)
    yield _count_again(stage, _accepted(streams), sum(stream.refused for stream in streams))


def _happen(stage: Stage, scenario: Scenario) -> Stream:
    stream = Stream(scenario.name, stage.world, _RATE)
    stage.burst = stream.burst
    stream.start()
    try:
        time.sleep(_BEFORE_SECONDS)
        scenario.happen(stage)
        time.sleep(_AFTER_SECONDS)
    finally:
        stage.world.clear_faults()
        stream.stop()
    stream.failures += stage.problems
    stage.problems = []
    return stream


def _counted(stage: Stage, stream: Stream) -> Count:
    stage.problems += stream.failures
    return count(stage, stream.fault, stream.accepted, refused=stream.refused, began=stream.began)


def _accepted(streams: Iterable[Stream]) -> list[AcceptedWebhook]:
    return [webhook for stream in streams for webhook in stream.accepted]


def _count_again(stage: Stage, everything: Sequence[AcceptedWebhook], refused: int) -> Count:
    """Count again once no late note of an abandoned attempt can arrive."""
    began = time.monotonic()
    with redis.Redis.from_url(stage.system.state["redis_url"]) as client:
        while client.llen("celery"):
            if time.monotonic() > began + DRAIN_SECONDS:
                stage.problems.append("the queue is not empty at the end")
                break
            time.sleep(_POLL_SECONDS)
    time.sleep(NOTE_SETTLE_SECONDS)
    await_ends(stage, everything)
    stage.problems += too_many(len(stage.ran_out), len(everything))
    return count(stage, AGAIN, everything, refused=refused, began=began)


def header() -> list[str]:
    return [
        "| fault | accepted | refused | lost | doubled notes | GPT-4 paid twice"
        " | answered to a dead or still process | cut off in mid-call | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]


def line(result: Count) -> str:
    counts = (result.accepted, result.refused, result.lost, result.doubled, result.paid_twice)
    cells = (*counts, result.excused, result.cut_off, f"{result.seconds:.0f}")
    return f"| {result.fault} | {' | '.join(map(str, cells))} |"


def verdict(results: Sequence[Count], ran_out: int) -> str:
    """Return the sentences below the table, whose last row has the totals; `ran_out`: leases of running processes."""
    broken = [result for result in results if not result.holds]
    if broken or not results:
        problems = [f"\n- {result.fault}: {problem}" for result in broken for problem in result.problems]
        return f"Not kept for: {', '.join(result.fault for result in broken)}.{''.join(problems)}"
    total = results[-1]
    again = total.excused + total.cut_off
    faults = ", ".join(f'"{result.fault}"' for result in results[:-1] if result.missed)
    excused = {
        f"{total.unsaid} jobs ended without a line: the process was killed in between.": total.unsaid,
        f"{total.held_in_post} notes came twice: the process was held still in its POST.": total.held_in_post,
        f"{faults} took over a minute: of {total.missed} jobs the worker was killed between taking the message and "
        "claiming the job. One that lives claims it or gives it back within half a minute, so the relay waits for "
        "one.": total.missed,
        f"{ran_out} leases ran out though nobody stopped their process: the machine was too busy.": ran_out,
    }
    return (
        f"{total.accepted} webhooks accepted, {total.refused} deliveries refused: none lost, no note doubled, "
        "no answer paid for twice that we had; the log tells each end once.\n"
        f"{again} calls were cut off in mid-call, by a kill, a pause, the end of a grace or a lost lease, and made "
        f"again; {total.excused} of them GPT-4 had answered in full, to a process that was dead or held still."
        f"{''.join(chr(10) + text for text, number in excused.items() if number)}"
    )
