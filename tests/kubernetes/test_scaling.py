"""The autoscaler: its triggers, and the resulting number of workers."""

import math
from typing import Any

import pytest

from jobs.queue import QUEUE, UNACKED
from tests.kubernetes.rendering import Rendered

# Fields of https://keda.sh/docs/2.20/reference/scaledobject-spec/ and of the scaler for Redis lists.
SPEC = {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "advanced", "triggers"}
METADATA = {"address", "databaseIndex", "listName", "listLength", "activationListLength", "enableTLS", "unsafeSsl"}
BEHAVIOUR = {"stabilizationWindowSeconds", "policies", "selectPolicy", "tolerance"}
_TOLERANCE = 0.1


@pytest.fixture
def spec(production: Rendered) -> dict[str, Any]:
    return dict(production.one("ScaledObject", "ai-agents-worker")["spec"])


def targets(spec: dict[str, Any]) -> dict[str, int]:
    """Return how much of each Redis key one worker accounts for."""
    return {one["metadata"]["listName"]: int(one["metadata"]["listLength"]) for one in spec["triggers"]}


def wanted(spec: dict[str, Any], waiting: int, running: int, now: int | None = None) -> int:
    """Return the number of workers that Kubernetes makes of `now`.

    The higher trigger wins. Within 10 % of the target the number stays: the autoscaler's tolerance.
    """
    now = now or spec["minReplicaCount"]
    per_worker = targets(spec)
    asked = []
    for key, amount in ((QUEUE, waiting), (UNACKED, running)):
        is_near = abs(amount / (per_worker[key] * now) - 1) <= _TOLERANCE
        asked.append(now if is_near else math.ceil(amount / per_worker[key]))
    return int(min(max(*asked, spec["minReplicaCount"]), spec["maxReplicaCount"]))


def test_the_scaler_is_valid_for_keda(production: Rendered, spec: dict[str, Any]) -> None:
    """KEDA accepts only strings in metadata, and refuses duplicate trigger names."""
    assert set(spec) <= SPEC
    assert len({one["name"] for one in spec["triggers"]}) == len(spec["triggers"]) == 2
    for trigger in spec["triggers"]:
        assert (trigger["type"], trigger["metricType"]) == ("redis", "AverageValue")
        assert set(trigger["metadata"]) <= METADATA
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
        authentication = production.one("TriggerAuthentication", trigger["authenticationRef"]["name"])
        assert authentication["spec"]["secretTargetRef"] == [
            {"parameter": "password", "name": "ai-agents-secrets", "key": "REDIS_PASSWORD"}
        ]
    behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert set(behaviour) == {"scaleUp", "scaleDown"}
    assert all(set(one) <= BEHAVIOUR for one in behaviour.values())


def test_the_scaler_reads_the_products_keys(production: Rendered, spec: dict[str, Any]) -> None:
    assert set(targets(spec)) == {QUEUE, UNACKED}
    (url,) = [one["value"] for one in production.container("ai-agents-api")["env"] if one["name"] == "REDIS_URL"]
    for trigger in spec["triggers"]:
        assert trigger["metadata"]["address"] == f"redis.{production.namespace}.svc:6379"
        assert url.endswith(f"/{trigger['metadata']['databaseIndex']}")


def test_more_than_five_waiting_jobs_per_worker_add_workers(production: Rendered, spec: dict[str, Any]) -> None:
    """Five are normal, five waiting jobs need one more; 75 % of the slots is full."""
    assert targets(spec)[QUEUE] == 5
    assert targets(spec)[UNACKED] == round(0.75 * int(production.settings()["WORKER_CONCURRENCY"]))
    assert spec["minReplicaCount"] == 5
    assert [wanted(spec, waiting, 0) for waiting in (0, 25, 27, 28, 31, 50, 5000)] == [5, 5, 5, 6, 7, 10, 10]


def test_busy_workers_stay_although_the_queue_is_empty(production: Rendered, spec: dict[str, Any]) -> None:
    slots = int(production.settings()["WORKER_CONCURRENCY"])
    for workers in range(spec["minReplicaCount"], spec["maxReplicaCount"] + 1):
        assert wanted(spec, 0, workers * slots, workers) >= workers
        assert wanted(spec, 0, math.ceil(workers * slots * 0.75), workers) >= workers
    assert wanted(spec, 0, 0) == spec["minReplicaCount"]


def test_scaling_is_fast_up_and_slow_down(spec: dict[str, Any]) -> None:
    """Checks every 15 s: full within 30 s; down one a minute after five calm ones."""
    behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    up, down = behaviour["scaleUp"], behaviour["scaleDown"]
    assert up["stabilizationWindowSeconds"] == 0
    assert up["selectPolicy"] == "Max"
    assert {"type": "Percent", "value": 100, "periodSeconds": 15} in up["policies"]
    assert spec["pollingInterval"] <= 15
    assert down["stabilizationWindowSeconds"] >= 300
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]
