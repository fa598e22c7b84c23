"""Scenarios in sequence, and the table of their results."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from tests.system.chaos.count import Comparison, Count, await_ends, await_told, count, is_held
from tests.system.chaos.scenarios import Scenario
from tests.system.chaos.stage import NOTE_SETTLE_SECONDS, Stage, too_many
from tests.system.chaos.stream import AcceptedWebhook, Stream

_RATE = 5.0
_BEFORE_SECONDS = _AFTER_SECONDS = 0.8
# A message held by a worker killed before its claim is missed after a minute.
_DRAIN_SECONDS = 150.0
_POLL_SECONDS = 0.2
AGAIN = "all of them, counted again at the end"


@dataclass(frozen=True, slots=True)
class _Happened:
    scenario: Scenario
    began: float
    stream: Stream
    problems: list[str]


def run(stage: Stage, scenarios: Iterable[Scenario]) -> Iterator[Count]:
    """Run each scenario under a stream of webhooks, await its jobs, and count.

    Everything is counted again at the end. A job whose message was lost with a worker is missed after a minute, so
    it is awaited during the next scenarios.
    """
    happened, uncounted = [], []
    for scenario in scenarios:
        happened.append(_happen(stage, scenario))
        uncounted.append(happened[-1])
        rows = await_ends(stage, _accepted(uncounted), _DRAIN_SECONDS, but_held=True)
        held = {job_id for job_id, row in rows.items() if is_held(row)}
        over = [one for one in uncounted if not held & _job_ids(one.stream.accepted)]
        uncounted = [one for one in uncounted if one not in over]
        yield from (_counted(stage, one) for one in over)
    yield from (_counted(stage, one) for one in uncounted)
    yield _count_again(stage, _accepted(happened), sum(one.stream.refused for one in happened))


def _happen(stage: Stage, scenario: Scenario) -> _Happened:
    began = time.monotonic()
    stream = Stream(stage.world, _RATE)
    stage.burst = stream.burst
    stream.start()
    try:
        time.sleep(_BEFORE_SECONDS)
        scenario.happen(stage)
        time.sleep(_AFTER_SECONDS)
    finally:
        stage.world.clear_faults()
        stream.stop()
    problems, stage.problems = [*stage.problems, *stream.failures], []
    return _Happened(scenario, began, stream, problems)


def _counted(stage: Stage, one: _Happened) -> Count:
    accepted = one.stream.accepted
    rows = await_ends(stage, accepted, _DRAIN_SECONDS)
    told = _await_told(stage, accepted, rows)
    stage.problems += one.problems
    seconds = time.monotonic() - one.began
    return count(stage, one.scenario.name, accepted, rows, told, refused=one.stream.refused, seconds=seconds)


def _accepted(happened: Iterable[_Happened]) -> list[AcceptedWebhook]:
    return [webhook for one in happened for webhook in one.stream.accepted]


def _job_ids(accepted: Iterable[AcceptedWebhook]) -> set[str]:
    return {job_id for webhook in accepted for job_id in webhook.job_ids}


def _count_again(stage: Stage, everything: Sequence[AcceptedWebhook], refused: int) -> Count:
    """Count again once no late note of an abandoned attempt can arrive."""
    began = time.monotonic()
    with redis.Redis.from_url(stage.system.state["redis_url"]) as client:
        while client.llen("celery"):
            if time.monotonic() > began + _DRAIN_SECONDS:
                stage.problems.append("the queue is not empty at the end")
                break
            time.sleep(_POLL_SECONDS)
    time.sleep(NOTE_SETTLE_SECONDS)
    rows = await_ends(stage, everything, _DRAIN_SECONDS)
    told = _await_told(stage, everything, rows)
    stage.problems += too_many(len(stage.leases.ran_out), len(everything))
    return count(stage, AGAIN, everything, rows, told, refused=refused, seconds=time.monotonic() - began)


def _await_told(stage: Stage, accepted: Sequence[AcceptedWebhook], rows: dict[str, dict[str, Any]]) -> Comparison:
    return await_told([stage.system.api, *stage.system.workers], _job_ids(accepted), rows, stage.deaths)


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
    """Return the sentences below the table; the last row has the totals.

    `ran_out` are leases of processes that were not stopped.
    """
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
