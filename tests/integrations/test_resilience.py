"""Breakers of servers that are down, and holds of a model that refuses everyone."""

import asyncio
import io
from typing import Any

import pytest
from prometheus_client import REGISTRY

from integrations.errors import (
    DeferredError,
    DeskRefusedError,
    DeskTimeoutError,
    DeskUnavailableError,
    ExternalError,
    ModelDeniedError,
    ModelRefusedError,
    ModelTimeoutError,
    ModelUnavailableError,
)
from integrations.resilience import Breaker, Hold, HoldReason
from tests.kit.clock import Clock
from tests.kit.model import PROMPT, opened
from tests.kit.simulators import Simulator
from workflow.answer import Enhancement

DOWN = [
    *(DeskTimeoutError(), DeskUnavailableError("503"), DeskUnavailableError("connection")),
    *(ModelTimeoutError(30), ModelUnavailableError("500 Internal Server Error"), ModelUnavailableError("connection")),
]
UP = [
    *(DeskUnavailableError("429", 60), DeskUnavailableError("408"), DeskRefusedError("403")),
    *(ModelUnavailableError("429 Rate Limit"), ModelRefusedError("400 Bad Request")),
]


class GuardedServer:
    """A breaker before a server whose answers the test sets."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker("desk of acme", "desk unavailable", monotonic=self.clock, jitter=lambda low, _high: low)

    def call(self, failure: Exception | None = None) -> None:
        """Make one call; raises the caller's error."""
        with self.breaker.watch():
            if failure is not None:
                raise failure

    def fail(self, failure: ExternalError | None = None, times: int = 5) -> None:
        for _ in range(times):
            with pytest.raises(ExternalError):
                self.call(failure or DeskTimeoutError())

    def held_back(self) -> float:
        """Return the seconds for which a call is held back."""
        with pytest.raises(DeferredError) as held:
            self.call()
        with pytest.raises(DeferredError):
            self.breaker.check()
        assert held.value.reason == "desk unavailable"
        return held.value.seconds


@pytest.fixture
def guarded() -> GuardedServer:
    return GuardedServer()


@pytest.mark.parametrize("failure", DOWN, ids=str)
def test_five_failures_that_say_down_open_it_for_a_while(guarded: GuardedServer, failure: ExternalError) -> None:
    guarded.fail(failure, 4)
    guarded.breaker.check()
    guarded.fail(failure, 1)
    assert guarded.held_back() == 15
    guarded.clock.now += 10
    assert guarded.held_back() == 5


@pytest.mark.parametrize("failure", UP, ids=str)
def test_a_server_that_refuses_is_up(guarded: GuardedServer, failure: ExternalError) -> None:
    guarded.fail(failure, 20)
    guarded.fail(times=4)
    guarded.fail(failure, 1)
    for _ in range(5):
        guarded.fail(times=4)
        # Failures count only in a row.
        guarded.call()
    guarded.breaker.check()


def test_one_successful_trial_closes_the_breaker(guarded: GuardedServer, log: io.StringIO) -> None:
    guarded.fail()
    for _ in range(3):
        guarded.clock.now += 15
        guarded.fail(times=1)
        assert guarded.held_back() == 15
    guarded.clock.now += 15
    with guarded.breaker.watch():
        assert guarded.held_back() == 5
    guarded.call()
    opened, closed = log.getvalue().splitlines()
    assert "Breaker error: desk of acme failed 5 times in a row, jobs held back for 15s" in opened
    assert "Breaker closed: desk of acme is back" in closed


@pytest.mark.parametrize("end", [asyncio.CancelledError(), RuntimeError()], ids=repr)
def test_a_trial_without_an_answer_leaves_it_to_the_next_call(guarded: GuardedServer, end: BaseException) -> None:
    guarded.fail()
    guarded.clock.now += 15
    with pytest.raises(type(end)), guarded.breaker.watch():
        raise end
    guarded.call()
    guarded.breaker.check()


def test_calls_begun_before_the_opening_change_nothing(guarded: GuardedServer) -> None:
    """Sixty jobs call a silent desk; some of their timeouts come after the opening."""
    late = [guarded.breaker.watch() for _ in range(3)]
    for call in late:
        call.__enter__()
    guarded.fail()
    guarded.clock.now += 10
    late[0].__exit__(None, None, None)
    late[1].__exit__(DeskTimeoutError, DeskTimeoutError(), None)
    assert guarded.held_back() == 5
    guarded.clock.now += 5
    with guarded.breaker.watch():
        late[2].__exit__(None, None, None)
        assert guarded.held_back() == 5


def test_held_back_jobs_do_not_come_back_all_at_once() -> None:
    breaker = Breaker("desk of acme", "desk unavailable", most_failures=1)
    with pytest.raises(DeskTimeoutError), breaker.watch():
        raise DeskTimeoutError
    seconds = set()
    for _ in range(20):
        with pytest.raises(DeferredError) as held:
            breaker.check()
        seconds.add(held.value.seconds)
    assert len(seconds) > 10
    assert 14.9 < min(seconds) <= max(seconds) <= 18


NO_CREDIT = ModelDeniedError("402 Payment Required", HoldReason.OUT_OF_CREDIT)
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
        with pytest.raises(DeferredError) as held:
            self.ask(failure)
        assert (held.value.reason, held.value.extends_deadline) == (HoldReason.OUT_OF_CREDIT, True)
        return held.value.seconds

    def shown(self) -> dict[str, float | None]:
        """Return the metric by reason, without zeros."""
        labels = [{"server": SERVER, "reason": reason} for reason in HoldReason]
        found = {one["reason"]: REGISTRY.get_sample_value("ai_agents_model_held", one) for one in labels}
        return {reason: value for reason, value in found.items() if value}


@pytest.fixture
def held() -> HeldModel:
    return HeldModel()


def test_one_job_tries_every_half_minute_and_its_answer_ends_the_hold(held: HeldModel, log: io.StringIO) -> None:
    assert held.held_for(NO_CREDIT) == 36
    held.clock.now += 29
    with pytest.raises(DeferredError):
        held.hold.check()
    assert held.held_for() == pytest.approx(3.5, abs=0.6)
    held.clock.now += 1
    held.hold.check()
    assert held.held_for(NO_CREDIT) == 36
    assert held.shown() == {HoldReason.OUT_OF_CREDIT: 1.0}
    log_text = log.getvalue()
    assert log_text.count(f"Hold error: {SERVER}: model out of credit, its jobs wait and one tries every 30s") == 1
    assert log_text.count("OpenAI API error: 402 Payment Required") == 2
    held.clock.now += 30
    held.ask()
    held.hold.check()
    assert held.shown() == {}
    assert log.getvalue().count(f"Hold ended: {SERVER} answers again") == 1


@pytest.mark.parametrize(
    "failure", [ModelUnavailableError("503 Service Unavailable"), ModelRefusedError("400 Bad Request")]
)
def test_a_trial_that_fails_otherwise_keeps_the_hold(held: HeldModel, failure: ExternalError) -> None:
    held.held_for(NO_CREDIT)
    held.clock.now += 30
    with pytest.raises(type(failure)):
        held.ask(failure)
    assert held.held_for() == 36
    held.clock.now += 30
    with held.hold.watch():
        assert held.held_for() == 36
    held.ask()


def test_a_job_waits_for_a_tenth_of_a_long_hold_and_five_minutes_at_most(held: HeldModel) -> None:
    waits = []
    for minutes in (0, 4, 16, 80, 800):
        held.clock.now += minutes * 60
        waits.append(held.held_for(NO_CREDIT) / 1.2)
    assert waits == pytest.approx([30, 30, 120, 300, 300])


def test_another_reason_has_a_line_of_its_own(held: HeldModel, log: io.StringIO) -> None:
    held.held_for(NO_CREDIT)
    held.clock.now += 30
    with pytest.raises(DeferredError, match="model key refused"):
        held.ask(ModelDeniedError("401 Unauthorized", HoldReason.KEY_REFUSED))
    assert held.shown() == {HoldReason.KEY_REFUSED: 1.0}
    assert log.getvalue().count("Hold error: ") == 2
    # It is not shown any more once no job of this process met it for a while.
    for seconds, shown in ((599, {HoldReason.KEY_REFUSED: 1.0}), (2, {})):
        held.clock.now += seconds
        assert held.shown() == shown
    held.ask()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "code": 429, "word": "project_spend_limit_exceeded"},
        {"kind": "error_in_200", "code": 402},
        {"kind": "error_event", "word": "insufficient_quota", "code": 429},
    ],
    ids=lambda fault: str(fault["kind"]),
)
async def test_the_first_refusal_holds_all_jobs(fault: Any, model: Simulator, log: io.StringIO) -> None:
    model.order(**fault)
    clock = Clock()
    async with opened(model.url, hold=Hold(SERVER, monotonic=clock)) as gpt4:
        asked = await asyncio.gather(*(gpt4.complete(PROMPT, Enhancement) for _ in range(5)), return_exceptions=True)
        assert [str(held) for held in asked] == ["held back: model out of credit"] * 5
        with pytest.raises(DeferredError):
            gpt4.check()
        assert log.getvalue().count("OpenAI API error: ") == log.getvalue().count("Hold error: ") == 1
        model.forget()
        clock.now += 30
        assert (await gpt4.complete(PROMPT, Enhancement)).content.summary
        gpt4.check()
    assert "sk-test" not in log.getvalue()
