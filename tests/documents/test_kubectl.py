"""The stand-in for kubectl: it says what kubectl says, and is as strict."""

import json
import os
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.kit.kubectl.__main__ import main

_N = "-n ai-agents-production"


def _line(seconds_ago: float, text: str) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z info     {text}\n"


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """An API, a worker that died twice and lives, and one that is dead for good."""
    (tmp_path / "api.log").write_text(_line(7200, "old") + _line(5, "ticket_id: 1, new"), encoding="utf-8")
    first, second = _line(90, "before"), _line(50, "after")
    (tmp_path / "worker.log").write_text(first + second, encoding="utf-8")
    (tmp_path / "worker-2.log").write_text(_line(9, "two"), encoding="utf-8")
    dead = {"start": 0, "pid": 1, "exit": 137, "reason": "OOMKilled"}
    state = {
        "logs": {name: str(tmp_path / f"{name}.log") for name in ("api", "worker", "worker-2", "valkey")},
        "pids": {"api": os.getpid()},
        "tenants": {"acme": "s3cret"},
        "database_url": "postgresql://a/b",
        "redis_url": "redis://127.0.0.1:1/0",
        "pods": {
            "api": {"revision": 1, "lives": [{"start": 0, "pid": os.getpid(), "exit": None}]},
            "worker": {"revision": 1, "lives": [dead, {"start": len(first), "pid": os.getpid(), "exit": None}]},
            "worker-2": {"revision": 1, "lives": [dead, dead, dead]},
            "valkey": {"revision": 1, "lives": [{"start": 0, "pid": os.getpid(), "exit": None}]},
        },
    }
    (tmp_path / "state.json").write_text(json.dumps(state), encoding="utf-8")
    return tmp_path


@dataclass
class Kubectl:
    """Types a command for the cluster in `folder`."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, words: str) -> tuple[int, str, str]:
        """Status, output, complaints."""
        status = main(shlex.split(words))
        output, complaints = self.capture.readouterr()
        return status, output, complaints

    def change(self, pods: dict[str, Any]) -> None:
        """Have more pods."""
        state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        state["pods"] |= pods
        (self.folder / "state.json").write_text(json.dumps(state), encoding="utf-8")


@pytest.fixture
def run(cluster: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Kubectl:
    monkeypatch.setenv("KUBECTL_STATE", str(cluster / "state.json"))
    monkeypatch.setenv("KUBECTL_ORDERS", str(cluster / "orders"))
    return Kubectl(cluster, capfd)


def test_logs_of_a_deployment_are_those_of_one_pod_and_with_all_pods_of_each(run: Kubectl) -> None:
    _, one, complaints = run(f"logs deployment/ai-agents-worker {_N}")
    assert "after" in one
    assert "two" not in one
    assert "before" not in one
    assert complaints.startswith("Found 2 pods, using pod/ai-agents-worker-")
    each = run(f"logs deployment/ai-agents-worker {_N} --all-pods=true")[1].splitlines()
    assert len(each) == 2
    assert all(line.startswith("[pod/ai-agents-worker-") and "/worker] " in line for line in each)
    assert "before" in run(f"logs deployment/ai-agents-worker {_N} --previous")[1]


def test_logs_know_since_and_tail(run: Kubectl) -> None:
    logs = f"logs deployment/ai-agents-api {_N}"
    assert len(run(logs)[1].splitlines()) == 2
    assert "old" not in run(f"{logs} --since=1h")[1]
    assert "old" not in run(f"{logs} --tail=1")[1]
    assert "old" in run(f"logs -l app=ai-agents-api {_N} --tail=-1 --prefix")[1]
    # It counts for each pod.
    told = run(f"logs deployment/ai-agents-worker {_N} --all-pods=true --tail=1")[1].splitlines()
    assert ["after" in told[0], "two" in told[1]] == [True, True]
    assert len(told) == 2


def test_a_pod_without_a_log_hides_the_others_unless_errors_are_ignored(run: Kubectl) -> None:
    run.change({"worker-new": {"revision": 1, "lives": [], "waits": "ImagePullBackOff"}})
    for words in (f"deployment/ai-agents-worker {_N} --all-pods=true", f"-l app=ai-agents-worker {_N} --tail=-1"):
        status, output, complaints = run(f"logs {words}")
        assert (status, output) == (1, "")
        assert complaints.startswith('Error from server (BadRequest): container "worker" in pod ')
        status, output, _ = run(f"logs {words} --ignore-errors=true")
        assert status == 0
        first, *others = output.splitlines()
        assert first.startswith('error: container "worker" in pod "ai-agents-worker-')
        assert ["after" in output, "two" in output, len(others)] == [True, True, 2]


def test_no_more_pods_are_followed_at_once_than_kubectl_follows(run: Kubectl) -> None:
    life = {"start": 0, "pid": os.getpid(), "exit": None}
    run.change({f"worker-{number}": {"revision": 1, "lives": [life]} for number in range(3, 7)})
    follow = f"logs deployment/ai-agents-worker {_N} --all-pods=true -f"
    for words in (follow, f"{follow} --max-log-requests=4"):
        status, output, complaints = run(words)
        assert (status, output) == (1, "")
        assert complaints.startswith("error: you are attempting to follow 6 log streams, but maximum allowed")


def test_pods_are_listed_and_described(run: Kubectl) -> None:
    rows = [line.split() for line in run(f"get pods {_N}")[1].splitlines()]
    states = ["1/1 Running 0", "1/1 Running 1", "0/1 CrashLoopBackOff 2", "1/1 Running 0"]
    assert [" ".join(row[1:4]) for row in rows[1:]] == states
    assert rows[4][0] == "redis-0"
    told = run(f"describe pod {rows[2][0]} {_N}")[1]
    assert "OOMKilled" in told
    assert "Exit Code:    137" in told


def test_a_command_runs_in_the_container(run: Kubectl) -> None:
    status, _, complaints = run(f"exec -it deployment/ai-agents-api {_N} -- sh -c 'exit 3'")
    assert status == 3
    assert "Unable to use a TTY" in complaints
    assert "command terminated with exit code 3" in complaints


def test_a_key_of_the_secret_is_printed_as_kubernetes_keeps_it(run: Kubectl) -> None:
    key = "-o jsonpath='{.data.WEBHOOK_SECRET_ACME}'"
    assert run(f"get secret ai-agents-secrets {_N} {key}")[1] == "czNjcmV0"


def test_a_change_is_an_order(run: Kubectl) -> None:
    _, said, _ = run(f"scale deployment/ai-agents-worker {_N} --replicas=10")
    assert said == "deployment.apps/ai-agents-worker scaled\n"
    (order,) = map(json.loads, (run.folder / "orders").read_text(encoding="utf-8").splitlines())
    assert order == {"verb": "scale", "deployment": "ai-agents-worker", "replicas": 10}
    paused = "autoscaling.keda.sh/paused=true"
    assert run(f"annotate scaledobject ai-agents-worker {_N} {paused}")[0] == 0
    assert run(f"rollout restart deployment/ai-agents-worker {_N}")[0] == 0
    assert run(f"rollout restart statefulset/redis {_N}")[1] == "statefulset.apps/redis restarted\n"
    orders = (run.folder / "orders").read_text(encoding="utf-8").splitlines()
    assert [json.loads(order).get("workload") for order in orders[2:]] == ["ai-agents-worker", "redis"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"logs deployment/ai-agents-api {_N} --sinse=24h", "error: unknown flag: --sinse"),
        (f"logs deployment/ai-agents-api {_N} -Z", "error: unknown shorthand flag: 'Z' in -Z"),
        (f"logs deployment/ai-agents-api {_N} --since=24", 'error: invalid argument "24" for "--since" flag'),
        (f"logs deployment/ai-agents {_N}", 'Error from server (NotFound): deployments.apps "ai-agents" not found'),
        ("logs deployment/ai-agents-api", "Error from server (NotFound)"),
        (f"exec deployment/ai-agents-api {_N}", "error: you must specify at least one command for the container"),
        (f"scale deployment/ai-agents-worker {_N}", 'error: required flag(s) "replicas" not set'),
        (f"get secret ai-agents {_N} -o jsonpath='{{.data.A}}'", "Error from server (NotFound): secrets"),
        (f"rollout restart statefulset/valkey {_N}", 'Error from server (NotFound): statefulsets.apps "valkey" not'),
        (f"exec deployment/ai-agents-api {_N} -- redis-cli PING", "Could not connect to Redis at 127.0.0.1:6379"),
        (f"describe pod nobody {_N}", 'Error from server (NotFound): pods "nobody" not found'),
        (f"logs deployment/ai-agents-api {_N} --previous", "Error from server (BadRequest): previous terminated"),
        ("frobnicate", 'error: unknown command "frobnicate" for "kubectl"'),
    ],
)
def test_a_mistake_is_refused_with_the_words_of_kubectl(run: Kubectl, words: str, said: str) -> None:
    status, output, complaints = run(words)
    assert (status, output) == (1, "")
    assert complaints.startswith(said)
