"""Celery's worker and consumer, without raw output and Redis chatter."""

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from celery import bootsteps, signals
from celery.apps.worker import Worker
from celery.platforms import EX_OK
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks
from redis.exceptions import ResponseError

from observability import phrases
from observability.health import STUCK_EXIT
from observability.logging import say

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0


def stop_worker(exit_status: int, why: str) -> None:
    if state.should_stop is not None and state.should_stop is not False:
        return
    setattr(state, "should_stop", exit_status)  # noqa: B010 -- typed as None where it is declared
    signals.worker_shutting_down.send(sender=None, sig=why, how="Warm", exitcode=exit_status)


def end_after(seconds: float) -> None:
    timer = threading.Timer(seconds, os._exit, [STUCK_EXIT])
    timer.daemon = True
    timer.start()


class CalmWorker(Worker):
    """Worker without a banner, whose signals are logged.

    SIGTERM and SIGINT both stop reserving and give running jobs their grace; a second one changes nothing. SIGKILL
    loses nothing either, because of the row's lease.
    """

    def start(self) -> None:
        """Run the worker, and exit with its status, which `worker_main` drops."""
        super().start()
        sys.exit(self.exitcode)

    def emit_banner(self) -> None:
        say(phrases.PROCESS_STARTING, process="Worker")

    def install_platform_tweaks(self, worker: Any) -> None:  # noqa: ARG002
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        stop_worker(EX_OK, signal.Signals(number).name)

    def on_consumer_ready(self, consumer: Any) -> None:
        signals.worker_ready.send(sender=consumer)
        say(phrases.PROCESS_READY, process="Worker")


class Pausing(bootsteps.StartStopStep):
    """Stops taking messages while no job may start; set for each connection."""

    requires = (Tasks,)

    def start(self, parent: Any) -> None:
        may_take = parent.task_consumer.channel.qos
        has_room = may_take.can_consume
        may_take.can_consume = lambda: not parent.app.resources.pauses and has_room()


class QuietConsumer(Consumer):
    """A consumer without gossip, mingle and heartbeat, whatever the command line."""

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        quiet = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
        kwargs["worker_options"] = (worker_options or {}) | quiet
        super().__init__(*args, **kwargs)

        self._pause = _FIRST_PAUSE

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        super().on_connection_error_before_connected(exc)
        self._rest(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        self._rest(exc)

    def _rest(self, exc: Exception) -> None:
        """Wait before reconnecting to a Redis that refuses commands.

        Celery waits only for one that is away.
        """
        if isinstance(exc, ResponseError):
            time.sleep(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def on_ready(self) -> None:
        super().on_ready()
        self._pause = _FIRST_PAUSE

    @property
    def takes_jobs(self) -> bool:
        return self.connection is not None
