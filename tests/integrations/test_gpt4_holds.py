"""Holds of a model that refuses everyone: one for all jobs, tried every 30 s."""

import asyncio
import io
from typing import Any

import pytest
from prometheus_client import REGISTRY

from integrations.errors import HeldBack, ModelDenied, ModelRefused, ModelUnavailable, OutsideFailure
from integrations.resilience import Hold, HoldReason
from tests.kit.clock import Clock
from tests.kit.logs import StartLog
from tests.kit.model import PROMPT, opened
from tests.kit.simulators import Simulator
from workflow.enhancement import Enhancement

NO_CREDIT = ModelDenied("402 Payment Required", HoldReason.OUT_OF_CREDIT)
SERVER = "model of a test of holds"


class HeldModel:
    """A hold before a model whose answers the test sets."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.hold = Hold(SERVER, monotonic=self.clock, jitter=lambda _low, high: high)

    def ask(self, failure: Exception | None = None) -> None:
        """Send one question; raises the job's error."""
        with self.hold.watch():
            if failure is not None:
                raise failure

    def held_for(self, failure: Exception | None = None) -> float:
        """Return the seconds for which a question is held back."""
        with pytest.raises(HeldBack) as held:
            self.ask(failure)
        assert (held.value.reason, held.value.extends_deadline) == (HoldReason.OUT_OF_CREDIT, True)
        return held.value.seconds

    def shown(self) -> dict[str, float | None]:
        """Return the metric by reason, without zeros."""
        found = {
            reason: REGISTRY.get_sample_value("ai_agents_model_held", {"server": SERVER, "reason": reason})
            for reason in HoldReason
        }
        return {reason: value for reason, value in found.items() if value}


@pytest.fixture
def held() -> HeldModel:
    return HeldModel()


@pytest.fixture
def log(start_log: StartLog) -> io.StringIO:
    return start_log()


def test_one_job_tries_every_half_minute_and_its_answer_ends_the_hold(held: HeldModel, log: io.StringIO) -> None:
    assert held.held_for(NO_CREDIT) == 36
    held.clock.now += 29
    with pytest.raises(HeldBack):
        held.hold.check()
    assert held.held_for() == pytest.approx(3.5, abs=0.6)
    held.clock.now += 1
    held.hold.check()
    assert held.held_for(NO_CREDIT) == 36
    assert held.shown() == {HoldReason.OUT_OF_CREDIT: 1.0}
    told = log.getvalue()
    assert told.count(f"Hold error: {SERVER}: model out of credit, its jobs wait and one tries every 30s") == 1
    assert told.count("OpenAI API error: 402 Payment Required") == 2
    held.clock.now += 30
    held.ask()
    held.hold.check()
    assert held.shown() == {}
    assert log.getvalue().count(f"Hold ended: {SERVER} answers again") == 1


def test_while_one_tries_no_other_does(held: HeldModel) -> None:
    held.held_for(NO_CREDIT)
    held.clock.now += 30
    with held.hold.watch():
        assert held.held_for() == 36
    held.ask()


@pytest.mark.parametrize("failure", [ModelUnavailable("503 Service Unavailable"), ModelRefused("400 Bad Request")])
def test_a_try_that_fails_otherwise_says_nothing_about_the_hold(held: HeldModel, failure: OutsideFailure) -> None:
    held.held_for(NO_CREDIT)
    held.clock.now += 30
    with pytest.raises(type(failure)):
        held.ask(failure)
    assert held.held_for() == 36
    held.clock.now += 30
    held.ask()


def test_a_job_waits_for_a_tenth_of_a_long_hold_and_five_minutes_at_most(held: HeldModel) -> None:
    waits = []
    for minutes in (0, 4, 16, 80, 800):
        held.clock.now += minutes * 60
        waits.append(held.held_for(NO_CREDIT) / 1.2)
    assert waits == pytest.approx([30, 30, 120, 300, 300])


def test_a_hold_that_no_job_of_this_process_meets_any_more_is_not_shown(held: HeldModel) -> None:
    held.held_for(NO_CREDIT)
    held.clock.now += 599
    assert held.shown()
    held.clock.now += 2
    assert held.shown() == {}
    held.ask()


def test_another_reason_has_a_line_of_its_own(held: HeldModel, log: io.StringIO) -> None:
    held.held_for(NO_CREDIT)
    held.clock.now += 30
    with pytest.raises(HeldBack, match="model key refused"):
        held.ask(ModelDenied("401 Unauthorized", HoldReason.KEY_REFUSED))
    assert held.shown() == {HoldReason.KEY_REFUSED: 1.0}
    assert log.getvalue().count("Hold error: ") == 2


WRONG: list[dict[str, Any]] = [
    {"kind": "status", "code": 429, "word": "project_spend_limit_exceeded"},
    {"kind": "error_in_200", "code": 402},
    {"kind": "error_event", "word": "insufficient_quota", "code": 429},
]


@pytest.mark.parametrize("fault", WRONG, ids=lambda fault: fault["kind"])
async def test_all_jobs_that_are_under_way_are_held_by_the_first_refusal(
    fault: dict[str, Any], model: Simulator, log: io.StringIO
) -> None:
    model.order(**fault)
    clock = Clock()
    async with opened(model.url, hold=Hold(SERVER, monotonic=clock)) as gpt4:
        asked = await asyncio.gather(*(gpt4.ask(PROMPT, Enhancement) for _ in range(5)), return_exceptions=True)
        assert [str(held) for held in asked] == ["held back: model out of credit"] * 5
        with pytest.raises(HeldBack):
            gpt4.check()
        assert log.getvalue().count("OpenAI API error: ") == log.getvalue().count("Hold error: ") == 1
        model.forget()
        clock.now += 30
        assert (await gpt4.ask(PROMPT, Enhancement)).content.summary
        gpt4.check()
    assert "sk-test" not in log.getvalue()
