"""Faults of pods: those that do not start, are not there, or have no store; see `faults`."""

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
    """A rollout took a setting away that the worker needs."""
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
    """A rollout took a setting away that the API needs; the desk calls in vain."""
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
    """Somebody scaled the API to nothing."""
    stage.system.api.stop(8)
    try:
        yield stage.world.create_ticket()
    finally:
        stage.system.restart(stage.system.api)


@contextmanager
def api_without_stores(stage: FaultStage) -> Iterator[str]:
    """The API runs without Postgres and Redis, and the desk's webhook is off."""
    # Its log begins anew, without what was refused in the tests before.
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
    """The worker's pod is there, and its container is not; `state` is what Kubernetes calls that."""

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
    """Beside that there is a new pod of `api` or `worker` that has no container; `state` is why."""

    @contextmanager
    def also(stage: FaultStage) -> Iterator[str]:
        process = {"api": stage.system.api, "worker": stage.worker}[deployment]
        with stage.shell.surging(process, state), inject(stage) as ticket_id:
            yield ticket_id

    return also


@contextmanager
def no_worker(stage: FaultStage) -> Iterator[str]:
    """Somebody scaled the workers to nothing."""
    stage.worker.stop(8)
    ticket_id = stage.queued()
    try:
        yield ticket_id
    finally:
        stage.system.restart(stage.worker)
    stage.world.ended(ticket_id)


@contextmanager
def full_redis(stage: FaultStage) -> Iterator[str]:
    """Redis answers and takes nothing."""
    # An outage before it is over then: else it would have had its line.
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
    """Somebody gave Redis a password that the pods do not have; who is connected stays so."""
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
