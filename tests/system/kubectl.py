"""A stand-in for kubectl: `logs` prints a real process's log, `exec ... -- redis-cli` asks the real Redis.

It understands what the FAQ types, word for word, and refuses anything else. What belongs to which name comes from
`KUBECTL_LOGS` (JSON: deployment -> path of a log file) and `KUBECTL_REDIS` (URL that stands for `-h redis`).
"""

import json
import os
import sys
from pathlib import Path

NAMESPACE = ["-n", "ai-agents-production"]


def main(words: list[str]) -> int:
    """Answer one command; status 1 for what a real kubectl would not know."""
    match words:
        case ["logs", name, *rest] if name.startswith("deployment/") and rest[:2] == NAMESPACE:
            return _logs(name.removeprefix("deployment/"), rest[2:])
        case ["exec", "-it", "deployment/ai-agents-api", *rest] if rest[:3] == [*NAMESPACE, "--"]:
            return _redis_cli(rest[3:])
    sys.stderr.write(f"error: unknown command {words}\n")
    return 1


def _logs(deployment: str, options: list[str]) -> int:
    path = json.loads(os.environ["KUBECTL_LOGS"]).get(deployment)
    if path is None:
        sys.stderr.write(f'Error from server (NotFound): deployments.apps "{deployment}" not found\n')
        return 1
    lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
    for option in options:
        if option.startswith("--tail="):
            lines = lines[-int(option.removeprefix("--tail=")) :]
        elif option != "--since=24h":
            sys.stderr.write(f"error: unknown flag {option}\n")
            return 1
    sys.stdout.writelines(lines)
    return 0


def _redis_cli(words: list[str]) -> int:
    match words:
        case ["redis-cli", "-h", "redis", "LLEN", key]:
            import redis  # noqa: PLC0415 -- reading a log needs none of it

            with redis.Redis.from_url(os.environ["KUBECTL_REDIS"]) as client:
                sys.stdout.write(f"(integer) {client.llen(key)}\n")
            return 0
    sys.stderr.write(f"error: unknown command {words}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
