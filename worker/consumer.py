"""Celery's worker, consumer and transport, adapted to this project.

The worker prints no banner, the consumer has no gossip, and a channel has one Redis client.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from types import FrameType
from typing import Any

from celery import bootsteps, signals
from celery.apps.worker import Worker
from celery.platforms import EX_OK
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks
from kombu.transport import redis, virtual
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from jobs.queue import QUEUE, job_id_of, message_of
from observability import log_events, metrics
from observability.health import STUCK_EXIT
from observability.logging import log_event

_NO_LIST = "ai-agents:no-list"
_PAUSE_SECONDS = 1.0


def stop_worker(exit_status: int, reason: str) -> None:
    """Stop the worker gracefully, once; `reason` is for Celery's log."""
    if state.should_stop is not None and state.should_stop is not False:
        return
    setattr(state, "should_stop", exit_status)  # noqa: B010 -- typed as None where it is declared
    signals.worker_shutting_down.send(sender=None, sig=reason, how="Warm", exitcode=exit_status)


def exit_after(seconds: float) -> None:
    """End the process with STUCK_EXIT after `seconds`, even with blocked threads."""
    timer = threading.Timer(seconds, os._exit, [STUCK_EXIT])
    timer.daemon = True
    timer.start()


class JobWorker(Worker):
    """A worker without a banner.

    After SIGTERM or SIGINT it takes no more messages, and running jobs have a grace period.
    """

    def start(self) -> None:
        """Run the worker and exit with its status, which `worker_main` drops."""
        super().start()
        sys.exit(self.exitcode)

    def emit_banner(self) -> None:
        log_event(log_events.PROCESS_STARTING, process="Worker")

    def install_platform_tweaks(self, worker: Any) -> None:  # noqa: ARG002
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        stop_worker(EX_OK, signal.Signals(number).name)

    def on_consumer_ready(self, consumer: Any) -> None:
        signals.worker_ready.send(sender=consumer)
        log_event(log_events.PROCESS_READY, process="Worker")


class PauseStep(bootsteps.StartStopStep):
    """Take no messages while jobs are paused; Celery starts this step per connection."""

    requires = (Tasks,)

    def start(self, parent: Any) -> None:
        qos = parent.task_consumer.channel.qos
        has_room = qos.can_consume
        qos.can_consume = lambda: not parent.app.resources.pauses and has_room()


class QuietConsumer(Consumer):
    """A consumer without gossip, mingle and heartbeat, whatever the command line."""

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        quiet = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
        kwargs["worker_options"] = (worker_options or {}) | quiet
        super().__init__(*args, **kwargs)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        super().on_connection_error_before_connected(exc)
        _pause_if_refused(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        _pause_if_refused(exc)


def _pause_if_refused(exc: Exception) -> None:
    """Wait before reconnecting to a Redis that refuses commands.

    Celery itself waits only for an unreachable one.
    """
    if isinstance(exc, ResponseError):
        time.sleep(_PAUSE_SECONDS)


class TakenMessages:
    """Watchdog check that waiting messages are taken."""

    def __init__(self, redis: Redis, *, stuck_seconds: float, is_full: Callable[[], bool]) -> None:
        self._redis = redis
        self._stuck_seconds = stuck_seconds
        self._is_full = is_full
        self._waiting_since: float | None = None

    def picked_up(self) -> None:
        """Record that a message was taken."""
        self._waiting_since = None

    def look(self, now: float) -> str | None:
        """Return a problem if messages waited `stuck_seconds` and none was taken."""
        if self._is_full() or not self._jobs_wait():
            self._waiting_since = None
            return None
        if self._waiting_since is None:
            self._waiting_since = now
        return "jobs wait and none is taken" if now - self._waiting_since >= self._stuck_seconds else None

    def start_over(self, now: float) -> None:  # noqa: ARG002 -- the next look starts the wait
        self._waiting_since = None

    def _jobs_wait(self) -> bool:
        try:
            # A write without effect; it fails where taking a message would: on a replica, with a full disk or memory.
            self._redis.lpushx(_NO_LIST, "")
            return bool(self._redis.llen(QUEUE))
        except (RedisError, OSError):
            # Reconnect next time: the master may have moved.
            self._redis.close()
            return False


class FreeingQoS(redis.QoS):
    """Free a message's slot even if Redis refuses its acknowledgement.

    Redis then delivers the message again, which is harmless.
    """

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)
        finally:
            virtual.QoS.ack(self, delivery_tag)


class OneClientChannel(redis.Channel):
    """A channel with one client.

    Kombu's own creates one for each message and acknowledgement, which takes 6 % of a job's CPU.
    """

    QoS = FreeingQoS
    _one_client: Any = None

    @cached_property
    def client(self) -> Any:
        client = super().client
        client.set_response_callback("BRPOP", _job_taken)
        return client

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        if client is None:
            # A reopened channel has a new pool.
            if self._one_client is None or self._one_client.connection_pool is not self.pool:
                self._one_client = self.Client(connection_pool=self.pool)
            client = self._one_client
        yield client


def _job_taken(reply: Sequence[bytes] | None, **_: object) -> tuple[bytes, str] | None:
    """Parse a BRPOP reply into the list's name and a message; None without a job id.

    The message is rebuilt from the job's id: a malformed one would end the worker, and Celery would quote it in the
    log.
    """
    if not reply:
        return None
    name, message = reply
    job_id = job_id_of(message)
    if job_id is None:
        metrics.MESSAGES_UNREADABLE.inc()
        log_event(log_events.MESSAGE_UNREADABLE, size=len(message))
        return None
    return name, message_of(job_id, "")


class OneClientTransport(redis.Transport):
    """Kombu's transport, for `redis://` and `rediss://`."""

    Channel = OneClientChannel


TRANSPORT_NAME = f"{__name__}:{OneClientTransport.__name__}"
