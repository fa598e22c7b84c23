"""Commands for operators where this process runs: Kubernetes, Compose, or a machine with log files."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from config.settings import DiagnoseSettings

_NAMESPACE = "-n ai-agents-production"


@dataclass(frozen=True, slots=True)
class Commands:
    """Texts of next steps, with commands in backquotes, and the command that prints a log."""

    check_redis: str
    check_workers: str
    check_api: str
    restart_workers: str
    add_workers: tuple[str, ...]
    logs: str  # with {app}

    def log(self, app: str) -> str:
        return self.logs.replace("{app}", app)


KUBERNETES = Commands(
    check_redis=f"`kubectl exec deployment/ai-agents-api {_NAMESPACE} -- redis-cli -h redis PING`",
    check_workers=f"`kubectl get pods {_NAMESPACE} | grep worker`",
    check_api=f"`kubectl get pods {_NAMESPACE} | grep api`: was a pod `1/1`",
    restart_workers=f"`kubectl rollout restart deployment/ai-agents-worker {_NAMESPACE}`",
    add_workers=(
        f"`kubectl annotate scaledobject ai-agents-worker {_NAMESPACE} autoscaling.keda.sh/paused=true --overwrite`",
        f"`kubectl scale deployment/ai-agents-worker {_NAMESPACE} --replicas=10`",
    ),
    logs=f"kubectl logs deployment/ai-agents-{{app}} {_NAMESPACE} --since=24h --all-pods=true --ignore-errors=true",
)


def commands_of(settings: DiagnoseSettings) -> Commands:
    """Return the commands of Compose or of a folder of logs, if set; otherwise those of Kubernetes."""
    if settings.compose_command:
        return _of_compose(settings.compose_command)
    return _of_log_files(settings.logs_dir) if settings.logs_dir else KUBERNETES


def _of_compose(compose: str) -> Commands:
    return Commands(
        check_redis=f"`{compose} exec api redis-cli -h redis PING`",
        check_workers=f"`{compose} ps --all worker`",
        check_api=f"`{compose} ps --all api`: was it healthy",
        restart_workers=f"`{compose} restart worker`",
        add_workers=(f"`{compose} up --detach --no-recreate --scale worker=3 worker`",),
        logs=f"{compose} logs --no-log-prefix --since 24h {{app}}",
    )


def _of_log_files(folder: Path) -> Commands:
    quoted = shlex.quote(str(folder))
    return Commands(
        check_redis=f"`tail {quoted}/valkey.log`",
        check_workers=f"`tail {quoted}/worker*.log`",
        check_api=f"`tail {quoted}/api.log`: did the API run",
        restart_workers="stop the system with Ctrl-C, and start it again",
        add_workers=("raise WORKER_CONCURRENCY, and start the system again",),
        logs=f"cat {quoted}/{{app}}*.log",
    )
