"""The worker's Celery app: `celery -A worker.app worker` or `ai-agents worker`.

Jobs mostly wait for GPT-4, so one process runs many: Celery's `threads` pool, whose threads hand their coroutines to
the process's event loop. Celery's time limits do nothing there; deadlines are the workflow's.
"""

import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_init, worker_ready, worker_shutdown, worker_shutting_down
from kombu.utils.objects import cached_property

from config.settings import WorkerSettings
from jobs.queue import QUEUE, TRANSPORT
from observability import log_events
from observability.logging import log_event
from observability.startup import start_process
from worker.consumer import TRANSPORT_NAME, JobWorker, PauseStep

if TYPE_CHECKING:
    from worker.runtime import Resources

_SPARE_CONNECTIONS = 20


class WorkerProcess(Celery):
    """The worker's app; it loads settings when Celery configures it, not at import."""

    resources: "Resources"

    def __init__(self) -> None:
        super().__init__("ai-agents", include=["worker.tasks"])
        self.on_configure.connect(_exit_on_failure(self._configure), weak=False)
        self.steps["consumer"].add(PauseStep)

    @cached_property
    def Worker(self) -> type:  # noqa: N802 -- Celery's name
        worker: type = self.subclass_with_self(JobWorker)
        return worker

    def _configure(self, **_: object) -> None:
        settings, tenants = start_process(WorkerSettings, needs="desk")
        # A dozen lines if the user is root, as in a laptop's container.
        warnings.simplefilter("ignore", SecurityWarning)
        self.config_from_object(_configuration(settings))

        def open_resources(**_: object) -> None:
            from worker.runtime import Resources  # noqa: PLC0415 -- loads the workflow: only in a worker

            self.resources = Resources.open(settings, tenants)

        # A connected receiver disables Celery's own logging setup.
        setup_logging.connect(lambda **_: None, weak=False)
        worker_init.connect(_exit_on_failure(open_resources), weak=False)
        worker_ready.connect(lambda sender, **_: self.resources.watch(sender), weak=False)
        worker_shutting_down.connect(lambda **_: self.resources.start_draining(), weak=False)
        worker_shutdown.connect(lambda **_: self.resources.close(), weak=False)


def _configuration(settings: WorkerSettings) -> dict[str, Any]:
    return {
        "broker_url": settings.redis_url,
        "broker_transport": TRANSPORT_NAME,
        "task_default_queue": QUEUE,
        "task_acks_late": True,
        "task_ignore_result": True,
        "task_reject_on_worker_lost": True,
        "task_publish_retry": False,
        # Workers reserve no more than they run, so that LLEN celery is the backlog.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_pool": "threads",
        "worker_concurrency": settings.worker_concurrency,
        # Gossip, mingle, heartbeat and remote control use pub/sub, which can block on a dead socket.
        "worker_consumer": "worker.consumer:QuietConsumer",
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A command that Redis refuses (on a replica, with a full disk) must not end the worker.
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            **TRANSPORT,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 5,
            # Longer than any job runs; the relay restores lost messages earlier.
            "visibility_timeout": settings.job_deadline_seconds + 60,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "max_connections": settings.worker_concurrency + _SPARE_CONNECTIONS,
        },
    }


def _exit_on_failure(begin: Callable[..., None]) -> Callable[..., None]:
    def receiver(**sent: object) -> None:
        try:
            begin(**sent)
        except Exception as failure:  # noqa: BLE001 -- Celery would log it and take jobs nevertheless
            log_event(log_events.PROCESS_FAILED, failure=failure)
            sys.exit(1)

    return receiver


app = WorkerProcess()
