"""Faults of pods: not starting, missing, or without a store; see `faults`."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from devstack.processes import Process
from tests.documents.faults import FaultStage, Inject, webhook_off
from tests.kit.world import wait_for


def _crash(stage: FaultStage, process: Process) -> None:
    for _ in range(3):
        process.start()
        assert process.wait(20) is not None
        stage.shell.look()


@contextmanager
def crash_loop(stage: FaultStage) -> Iterator[str]:
    """Roll out a worker without a setting that it needs."""
    key = stage.worker.environment["OPENAI_API_KEY"]
    stage.worker.stop(5)
    stage.worker.environment["OPENAI_API_KEY"] = ""
    _crash(stage, stage.worker)
    ticket_id = stage.queued()
    try:
        yield ticket_id
    finally:
        stage.system.restart(stage.worker, {"OPENAI_API_KEY": key})
    stage.world.ended(ticket_id)


@contextmanager
def api_crash_loop(stage: FaultStage) -> Iterator[str]:
    """Roll out an API without a setting that it needs; the desk's calls fail."""
    api = stage.system.api
    url = api.environment["REDIS_URL"]
    api.stop(5)
    api.environment["REDIS_URL"] = ""
    _crash(stage, api)
    try:
        yield stage.world.create_ticket()
    finally:
        stage.system.restart(api, {"REDIS_URL": url})


@contextmanager
def no_api(stage: FaultStage) -> Iterator[str]:
    stage.system.api.stop(8)
    try:
        yield stage.world.create_ticket()
    finally:
        stage.system.restart(stage.system.api)


@contextmanager
def api_without_stores(stage: FaultStage) -> Iterator[str]:
    """Run the API without Postgres and Redis, with the desk's webhook off."""
    # A new log, without refusals of earlier tests.
    stage.system.restart(stage.system.api)
    with webhook_off(stage) as ticket_id:
        stage.system.postgres.stop()
        stage.system.redis.stop()
        try:
            yield ticket_id
        finally:
            stage.system.redis.restart()
            stage.system.postgres.restart()


def worker_waits(state: str) -> Inject:
    """Leave the worker's pod without a container; `state` is Kubernetes' reason."""

    @contextmanager
    def inject(stage: FaultStage) -> Iterator[str]:
        stage.worker.stop(5)
        stage.shell.held[stage.worker.name] = state
        ticket_id = stage.queued()
        try:
            yield ticket_id
        finally:
            del stage.shell.held[stage.worker.name]
            stage.system.restart(stage.worker)
        stage.world.ended(ticket_id)

    return inject


def while_a_rollout_waits(inject: Inject, deployment: str, state: str) -> Inject:
    """Add a new pod of `api` or `worker` without a container; `state` is the reason."""

    @contextmanager
    def also(stage: FaultStage) -> Iterator[str]:
        process = {"api": stage.system.api, "worker": stage.worker}[deployment]
        with stage.shell.surging(process, state), inject(stage) as ticket_id:
            yield ticket_id

    return also


@contextmanager
def no_worker(stage: FaultStage) -> Iterator[str]:
    stage.worker.stop(8)
    ticket_id = stage.queued()
    try:
        yield ticket_id
    finally:
        stage.system.restart(stage.worker)
    stage.world.ended(ticket_id)


@contextmanager
def full_redis(stage: FaultStage) -> Iterator[str]:
    """Let Redis answer and refuse writes."""
    # Ends an earlier outage, which would have its own line.
    stage.world.ended(stage.world.create_ticket())
    ask = "kubectl exec deployment/ai-agents-api -n ai-agents-production -- redis-cli -h redis CONFIG SET maxmemory"
    assert stage.shell.run(f"{ask} 1").lines == ["OK"]
    try:
        ticket_id = stage.world.create_ticket()
        wait_for(lambda: stage.world.job(ticket_id))
        stage.says(stage.system.api, "Redis error: jobs wait in the database")
        yield ticket_id
    finally:
        stage.shell.run(f"{ask} 0")
    stage.world.ended(ticket_id)


@contextmanager
def redis_refuses(stage: FaultStage) -> Iterator[str]:
    """Set a password in Redis that the pods lack; open connections stay."""
    stage.worker.pause()
    ticket_id = stage.queued()
    with Redis.from_url(stage.system.state["redis_url"]) as redis:
        redis.config_set("requirepass", "of-somebody-else")
        try:
            yield ticket_id
        finally:
            redis.config_set("requirepass", "")
            stage.worker.resume()
    stage.world.ended(ticket_id)
