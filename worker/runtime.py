"""Resources of a worker process: event loop, database, HTTP clients, telemetry."""

import asyncio
import concurrent.futures
import gc
import os
import socket
import threading
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self, TypeVar
from uuid import UUID

import uvloop
from redis import Redis

from config.secrets import own_secrets
from config.settings import WorkerSettings, captures_messages
from config.tenant_directory import TenantDirectory
from config.tenants import MODEL_KEYS, Tenant
from db.schema import DatabaseUnfitError, wait_for_database
from db.session import Database
from integrations.desks import Desks
from integrations.llm.clients import Models
from integrations.llm.spending import SpendingBook
from jobs.fair_claim import FairShares, NoStartableJobError
from jobs.feedback import FeedbackLinks
from jobs.inbox import Inbox
from jobs.queue import QUEUE, open_redis, warn_of_eviction
from jobs.repository import MAX_LIFE
from jobs.statistics import LEASES
from knowledge.embeddings import Embedders
from knowledge.language import languages_of_tenant
from knowledge.search import PostgresSearch
from observability import log_events, metrics, metrics_server
from observability.health import STUCK_EXIT, Readiness, Watchdog
from observability.logging import log_event
from observability.startup import abort_start, end_loading
from observability.tracing import Tracing
from privacy.secret_fingerprints import report_secrets
from worker.consumer import QuietConsumer, TakenMessages, exit_after, stop_worker
from worker.tasks import JobReleasedError, MessageHandler
from workflow.graph import build_graph
from workflow.lease import Leases
from workflow.runner import Runner, run_next
from workflow.stored_answers import StoredAnswers

DATABASE_CONNECTIONS = 3
"""Shared by all jobs: most statements take milliseconds, a search may take seconds."""
LEASE_CONNECTIONS = 2
_CLAIM_LOCK_SECONDS = 0.5
_CLOSE_SECONDS = 5.0
_PAUSE_SECONDS = 1.0

Result = TypeVar("Result")


class Resources:
    """An event loop in its own thread, and the resources that its jobs share."""

    @classmethod
    def open(cls, settings: WorkerSettings, tenants: TenantDirectory) -> Self:
        """Open the resources, or exit with the problem."""
        try:
            # First, so that probes reach a process that waits for its database.
            readiness = Readiness()
            metrics_server.serve("worker", settings.metrics_port, readiness, settings.metrics_host)
            metrics.CONCURRENCY.set(settings.worker_concurrency)
            for tenant in tenants.all():
                metrics.expect_outcomes(tenant.id)
            return cls(settings, tenants, readiness)
        except (metrics_server.PortError, DatabaseUnfitError) as unfit:
            abort_start([str(unfit)])

    def __init__(self, settings: WorkerSettings, tenants: TenantDirectory, readiness: Readiness) -> None:
        self._settings = settings
        self._readiness = readiness
        self._tracing = Tracing("ai-agents-worker", settings.traces_dir)
        self._running: set[asyncio.Task[None]] = set()
        self._grace_is_over = False
        self._pauses_until = 0.0
        self._stack = AsyncExitStack()
        self._loop = uvloop.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="jobs", daemon=True).start()
        end_loading()  # enables garbage collection, before the wait for the database
        # With Python's default of 700, collections of a thousand jobs take 8 % of the CPU, up to 0.4 s at a time.
        gc.set_threshold(5_000, 20, 50)
        self._handler = self._on_loop(self._open(tenants))
        self._taken_messages = TakenMessages(
            Redis.from_url(settings.redis_url, socket_timeout=2, socket_connect_timeout=2),
            stuck_seconds=settings.worker_stuck_seconds,
            is_full=lambda: len(self._running) >= settings.worker_concurrency,
        )
        self._watchdog = Watchdog(
            self._taken_messages,
            stuck_seconds=settings.worker_stuck_seconds,
            call_in_loop=self._loop.call_soon_threadsafe,
            on_stuck=self._end_stuck,
        )

    def _on_loop(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, tenants: TenantDirectory) -> MessageHandler:
        settings = self._settings
        database = Database(
            settings.database_url,
            application_name="ai-agents worker",
            pool_size=DATABASE_CONNECTIONS,
            # For hanging statements: the context's limit ends a search earlier.
            statement_seconds=settings.context_timeout_seconds + 30,
            # A burst queues for connections, within the attempt's time.
            pool_seconds=settings.attempt_timeout_seconds,
            traced=True,
        )
        self._stack.push_async_callback(database.close)
        # Claims that wait for locked rows must not block renewals.
        lease_database = Database(
            settings.database_url,
            application_name=LEASES,
            pool_size=LEASE_CONNECTIONS,
            lock_seconds=_CLAIM_LOCK_SECONDS,
        )
        self._stack.push_async_callback(lease_database.close)
        redis = open_redis(settings.redis_url, seconds=2)
        self._stack.push_async_callback(redis.aclose)
        # Probes use the lease pool, where they do not queue behind searches.
        self._readiness.check_with(self._loop, {"database": lease_database.ping, "redis": lambda: redis.llen(QUEUE)})
        await wait_for_database(database)
        await self._stack.enter_async_context(report_secrets(database, partial(_secrets, settings, tenants)))
        book = SpendingBook(database)
        self._stack.push_async_callback(book.close)
        models = Models(tenants, settings, book, connections=settings.worker_concurrency)
        self._stack.push_async_callback(models.close)
        await warn_of_eviction(redis)
        desks = Desks(tenants, settings, redis, connections=settings.worker_concurrency)
        self._stack.push_async_callback(desks.close)
        embedders = Embedders(tenants, settings)
        self._stack.push_async_callback(embedders.close)
        for embedder in embedders.in_use():
            embedder.start()
        links = FeedbackLinks.of(settings)
        runner = Runner(
            owner=f"{socket.gethostname()}:{os.getpid()}",
            database=database,
            lease_database=lease_database,
            leases=Leases(lease_database, settings.lease_seconds),
            desk_of=desks.of,
            # A removed tenant: its jobs fail because it has no desk.
            tenant_of=lambda tenant_id: tenants.get(tenant_id) or Tenant(tenant_id),
            model_of=models.of,
            search=PostgresSearch(
                database,
                DATABASE_CONNECTIONS - 1,
                lambda tenant_id: languages_of_tenant(tenants.get(tenant_id)),
                embedders.embed_query,
            ),
            answers=StoredAnswers(redis, round(MAX_LIFE.total_seconds())),
            graph=build_graph(),
            context_seconds=settings.context_timeout_seconds,
            attempt_seconds=settings.attempt_timeout_seconds,
            note_settle_seconds=settings.note_settle_seconds,
            capture_messages=captures_messages(),
            prices=settings.model_prices,
            check_claims=settings.openai_claim_check,
            fair_shares=FairShares(tenants.all),
            feedback_link_of=links.link if links else None,
        )
        return MessageHandler(partial(run_next, runner), database, Inbox(redis), settings.job_deadline_seconds)

    def watch(self, consumer: QuietConsumer) -> None:
        """Start the watchdog and the readiness probe: the worker takes messages now."""
        end_loading()
        self._watchdog.start()
        self._readiness.start(lambda: consumer.connection is not None)

    def _end_stuck(self, reason: str) -> None:
        # The timer first: a stuck process may not stop, and its log may block.
        exit_after(self._settings.worker_grace_seconds + 4 * _CLOSE_SECONDS)
        log_event(log_events.WORKER_STUCK, reason=reason)
        stop_worker(STUCK_EXIT, "stuck")

    def run(self, message_id: UUID) -> None:
        """Run one job to its end, in a thread of Celery's pool. Raises JobReleasedError."""
        self._taken_messages.picked_up()
        try:
            self._on_loop(self._tracked(message_id))
        except NoStartableJobError:
            self._pauses_until = time.monotonic() + _PAUSE_SECONDS
            raise JobReleasedError from None
        except concurrent.futures.CancelledError:
            raise JobReleasedError from None
        else:
            self._pauses_until = 0.0  # the ended job's slot is free for another one

    @property
    def pauses(self) -> bool:
        """True while no due job may start; messages stay in the list."""
        return time.monotonic() < self._pauses_until

    async def _tracked(self, message_id: UUID) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- for the type checker
        if self._grace_is_over:
            raise JobReleasedError
        self._running.add(task)
        try:
            await self._handler.handle(message_id)
        finally:
            self._running.discard(task)

    def start_draining(self) -> None:
        """Drain, from a signal handler; release unfinished jobs after the grace period."""
        grace = self._settings.worker_grace_seconds
        self._loop.call_soon_threadsafe(self._loop.call_later, grace, self._release_jobs)
        self._readiness.stop()
        self._watchdog.stop()
        # The log comes last: it may block.
        exit_after(grace + 4 * _CLOSE_SECONDS)
        log_event(log_events.PROCESS_STOPPING, process="Worker")

    def _release_jobs(self) -> None:
        # Each cancelled task releases its claim before its thread returns the message to the list.
        self._grace_is_over = True
        for task in self._running:
            task.cancel()

    def close(self) -> None:
        """Close connections within _CLOSE_SECONDS, write the last spans, end the loop."""
        closing = asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop)
        concurrent.futures.wait([closing], timeout=_CLOSE_SECONDS)
        self._tracing.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        log_event(log_events.PROCESS_STOPPED, process="Worker")


def _secrets(settings: WorkerSettings, tenants: TenantDirectory) -> dict[tuple[str, str], str]:
    model_keys = {(tenant, name): key for (tenant, name), key in tenants.secrets().items() if name in MODEL_KEYS}
    return own_secrets(settings, tenants) | model_keys
