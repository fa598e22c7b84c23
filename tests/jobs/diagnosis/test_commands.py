"""Commands in next steps and for logs: Kubernetes, Compose, or log files."""

from pathlib import Path

import pytest

from config.settings import DiagnoseSettings
from jobs.diagnosis.commands import KUBERNETES, Commands, commands_of
from jobs.diagnosis.report import report
from jobs.diagnosis.verdict_rules import judge
from jobs.statistics import QueueActivity
from tests.jobs.diagnosis.known import NOBODY_AT_WORK, ago, facts, job

DATABASE = "postgresql://ai_agents@127.0.0.1/ai_agents"
PILOT = "docker compose -f compose.pilot.yml"


def given(**settings: str) -> Commands:
    return commands_of(DiagnoseSettings(database_url=DATABASE, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("commands", "check", "more", "log"),
    [
        (given(), "`kubectl get pods ", "`kubectl scale ", "kubectl logs deployment/ai-agents-worker "),
        (given(compose_command=PILOT), f"`{PILOT} ps --all worker` shows", "--scale worker=3", f"{PILOT} logs "),
        (
            given(logs_dir="/srv/my pilot/logs"),
            "`tail '/srv/my pilot/logs'/worker*.log` shows",
            "raise WORKER_CONCURRENCY",
            "cat '/srv/my pilot/logs'/worker*.log | grep ",
        ),
    ],
)
def test_steps_and_log_are_for_the_environment(commands: Commands, check: str, more: str, log: str) -> None:
    lost = facts(job("waiting"), work=NOBODY_AT_WORK, queue=QueueActivity(1, 0, 0), commands=commands)
    assert judge(lost).actions[0].startswith(check)
    behind = facts(job("waiting", due_at=ago(300)), queue=QueueActivity(60, 4, 2), commands=commands)
    assert more in "\n".join(judge(behind).actions)
    running = facts(job("running"), commands=commands)
    assert report(running, judge(running), None)["log_command"].startswith(log)


def test_no_step_of_another_environment_is_left() -> None:
    for commands in (given(compose_command=PILOT), given(logs_dir="/logs")):
        texts = [getattr(commands, name) for name in Commands.__slots__]
        assert "kubectl" not in str(texts)
    assert commands_of(DiagnoseSettings(database_url=DATABASE, logs_dir=Path("/logs"))) != KUBERNETES
