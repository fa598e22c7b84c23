"""`kubectl exec`: runs the command with the environment of the process that stands for the container."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from tests.kit.kubectl.arguments import NotDone, parse
from tests.kit.kubectl.state import Cluster, Pod, read_cluster

_PROJECT = Path(__file__).resolve().parents[3]


def run(words: list[str]) -> int:
    """Run a command; its own exit status."""
    command = parse("exec", words, values="container", switches="stdin tty quiet")
    if not command.after:
        raise NotDone("error: you must specify at least one command for the container")
    if len(command.names) != 1:
        raise NotDone("error: pod, type/name or --filename must be specified")
    cluster = read_cluster()
    pod = cluster.target(command.names[0])[0]
    if not pod.runs:
        raise NotDone(
            f'error: Internal error occurred: unable to upgrade connection: container not found ("{pod.container}")'
        )
    if command.on("tty") and not sys.stdin.isatty():
        sys.stderr.write("Unable to use a TTY - input is not a terminal or the right kind of file\n")
    with tempfile.TemporaryDirectory(prefix="container-") as folder:
        environment = environment_of(pod, cluster, Path(folder))
        stdin = None if command.on("stdin") else subprocess.DEVNULL
        try:
            status = subprocess.run(command.after, env=environment, cwd=_PROJECT, stdin=stdin, check=False).returncode
        except OSError:
            raise NotDone(
                "error: Internal error occurred: Internal error occurred: error executing command in container: failed"
                f' to exec in container: exec: "{command.after[0]}": executable file not found in $PATH'
            ) from None
    if status:
        sys.stderr.write(f"command terminated with exit code {status}\n")
    return status


def environment_of(pod: Pod, cluster: Cluster, folder: Path) -> dict[str, str]:
    """The environment that the process began with (where none is told, the stores' addresses), with the image's tools.

    `folder` gets what the image has and this machine has not: a `redis-cli` that knows the host `redis`.
    """
    environment = pod.environment or _told(cluster)
    tool = folder / "redis-cli"
    tool.write_text(
        f'#!/bin/sh\nPYTHONPATH="{_PROJECT}" exec "{sys.executable}" -m tests.kit.kubectl.redis_cli "$@"\n',
        encoding="utf-8",
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    path = [str(folder), str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    # The image has psql; where the machine has none, that of the embedded Postgres will do.
    path += [os.environ["STANDIN_TOOLS"]] if "STANDIN_TOOLS" in os.environ else []
    redis = urlsplit(cluster.state["redis_url"])
    hosts = {"STANDIN_REDIS": f"{redis.hostname}:{redis.port}", "STANDIN_POD": pod.name}
    return environment | {"PATH": os.pathsep.join(path)} | hosts


def _told(cluster: Cluster) -> dict[str, str]:
    redis_url = cluster.state["redis_url"]
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": cluster.state["database_url"], "REDIS_URL": redis_url}
    password = urlsplit(redis_url).password
    return environment | ({"REDISCLI_AUTH": password} if password else {})
