"""The worker's Celery application: `celery -A worker.app worker` is right as it stands, and so is `ai-agents worker`.

Jobs wait for GPT-4 most of their time, so one process holds many: Celery's `threads` pool, each thread handing its
coroutine to the one event loop of the process. Celery's time limits do nothing there; deadlines are the workflow's.
"""

import sys
import warnings

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_init, worker_ready, worker_shutdown, worker_shutting_down
from kombu.utils.objects import cached_property

from config.settings import SettingsRefused, WorkerSettings
from config.startup import load_with_tenants
from config.tenant_directory import TenantDirectory
from dispatch.queue import QUEUE, TRANSPORT
from observability import phrases
from observability.logging import refuse_start, say, start_logging
from observability.tenants import follow_tenants, say_unusable
from worker.process import QuietConsumer

_SPARE_CONNECTIONS = 20


class _Worker(Celery):
    """Celery with a worker that writes nothing beside the log."""

    @cached_property
    def Worker(self) -> type:  # noqa: N802 -- Celery's name
        worker: type = self.subclass_with_self("worker.process:CalmWorker")  # type: ignore[arg-type]  # a name will do
        return worker


def _settings() -> tuple[WorkerSettings, TenantDirectory]:
    try:
        return load_with_tenants(WorkerSettings, needs="desk", on_problem=say_unusable)
    except SettingsRefused as refused:
        refuse_start(refused.problems)
        sys.exit(78)


settings, tenants = _settings()
start_logging(settings)
follow_tenants(tenants)
# Celery warns of root in a dozen lines. The image has a user of its own; on a laptop's container root is what there is.
warnings.simplefilter("ignore", SecurityWarning)
app = _Worker("ai-agents", broker=settings.redis_url, include=["worker.tasks"])
app.conf.update(
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_ignore_result=True,
    task_reject_on_worker_lost=True,
    task_publish_retry=False,
    # LLEN celery is the backlog only while workers reserve no more than they run.
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_pool="threads",
    worker_concurrency=settings.worker_concurrency,
    # Gossip, mingle, heartbeat and remote control are chatter over pub/sub that can block a worker on a dead socket.
    worker_consumer="worker.process:QuietConsumer",
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        **TRANSPORT,
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 5,
        # No message comes back by itself while its job may still run; lost ones are the relay's.
        "visibility_timeout": settings.job_deadline_seconds + 60,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "max_connections": settings.worker_concurrency + _SPARE_CONNECTIONS,
    },
)


@setup_logging.connect(weak=False)
def _keep_our_logging(**_: object) -> None:
    """Being connected is enough: Celery then sets up none of its own."""


@worker_init.connect(weak=False)
def _open(**_: object) -> None:
    try:
        from worker.resources import open_resources  # noqa: PLC0415 -- loads the workflow: only in a worker

        open_resources(settings, tenants)
    except Exception as failure:  # noqa: BLE001 -- Celery would log it, call the worker ready and take jobs
        say(phrases.PROCESS_FAILED, failure=failure)
        sys.exit(1)


@worker_ready.connect(weak=False)
def _watch(sender: QuietConsumer, **_: object) -> None:
    from worker.resources import resources  # noqa: PLC0415

    resources().watch(sender)


@worker_shutting_down.connect(weak=False)
def _drain(**_: object) -> None:
    from worker.resources import resources  # noqa: PLC0415

    resources().start_draining()


@worker_shutdown.connect(weak=False)
def _close(**_: object) -> None:
    from worker.resources import resources  # noqa: PLC0415

    resources().close()
